//! Sections for install-config.yaml, as `oc adm release mirror` prints them
//! (docs/oc-compatibility.md, section 2.3).

use super::Entry;
use super::object::mirrors_and_source;
use super::yaml::Node;

/// The section `imageContentSources`, the older name, which installers still accept.
pub(super) fn image_content_sources(entries: &[Entry]) -> String {
    section("imageContentSources", entries)
}

/// The section `imageDigestSources`, the newer name.
pub(super) fn image_digest_sources(entries: &[Entry]) -> String {
    section("imageDigestSources", entries)
}

fn section(key: &'static str, entries: &[Entry]) -> String {
    if entries.is_empty() {
        return String::new();
    }
    let items = entries
        .iter()
        .map(|entry| Node::Map(mirrors_and_source(entry)));
    Node::map([(key, Node::List(items.collect()))]).to_yaml()
}
