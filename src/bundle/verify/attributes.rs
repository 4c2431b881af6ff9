//! Lists extended attributes and alternate streams: content of a medium outside of all files.

use crate::bundle::finding::{Finding, FindingKind, Findings};
use crate::sys::media::{Entry, Media};

/// Returns a finding for each extended attribute of the bundle's files and directories. The format
/// gives attributes no meaning (bundle-format.md, R-03), so they change no result.
pub(crate) fn list_attributes(media: &dyn Media, entries: &[Entry]) -> Vec<Finding> {
    let mut findings = Findings::default();
    let own = std::iter::once("").chain(entries.iter().map(|entry| entry.path.as_str()));
    for path in own {
        for attribute in media.attributes(path) {
            findings.add_with(FindingKind::ExtendedAttribute, || {
                let name = attribute.name.escape_debug();
                let bytes = attribute.bytes;
                let message = format!(
                    "the extended attribute `{name}` ({bytes} bytes) is not part of the bundle \
                     and was not checked"
                );
                let file = if path.is_empty() { "." } else { path };
                Finding::new(FindingKind::ExtendedAttribute, message).in_file(file)
            });
        }
    }
    findings.into_vec()
}
