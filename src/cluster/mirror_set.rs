//! ImageDigestMirrorSet and ImageTagMirrorSet (`config.openshift.io/v1`).

use super::object::{ListKind, mirrors_and_source};
use super::yaml::Node;
use super::{ClusterError, Entry, Group};

/// The value of `mirrorSourcePolicy`: permission to pull from the source when no mirror has the
/// image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorSourcePolicy {
    /// Nodes must not. In an air gap this avoids waiting for the attempt to time out.
    NeverContactSource,
    /// Nodes may; this is also the default.
    AllowContactingSource,
}

impl MirrorSourcePolicy {
    const fn name(self) -> &'static str {
        match self {
            Self::NeverContactSource => "NeverContactSource",
            Self::AllowContactingSource => "AllowContactingSource",
        }
    }
}

/// Renders the ImageDigestMirrorSets, for images that pods name by digest.
pub(super) fn by_digest(entries: &[Entry], group: &Group<'_>) -> Result<String, ClusterError> {
    const KIND: ListKind = ListKind {
        api_version: "config.openshift.io/v1",
        kind: "ImageDigestMirrorSet",
        short: "idms",
        list: "imageDigestMirrors",
    };
    KIND.render(entries, group, |entry| node(entry, group))
}

/// Renders the ImageTagMirrorSets, for images that pods name by tag.
pub(super) fn by_tag(entries: &[Entry], group: &Group<'_>) -> Result<String, ClusterError> {
    const KIND: ListKind = ListKind {
        api_version: "config.openshift.io/v1",
        kind: "ImageTagMirrorSet",
        short: "itms",
        list: "imageTagMirrors",
    };
    KIND.render(entries, group, |entry| node(entry, group))
}

fn node(entry: &Entry, group: &Group<'_>) -> Node {
    let mut fields = mirrors_and_source(entry);
    if let Some(policy) = group.options.policy {
        fields.insert("mirrorSourcePolicy", Node::text(policy.name()));
    }
    Node::Map(fields)
}
