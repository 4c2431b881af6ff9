//! ImageContentSourcePolicy (`operator.openshift.io/v1alpha1`).

use super::object::{ListKind, mirrors_and_source};
use super::yaml::Node;
use super::{ClusterError, Entry, Group};

/// Renders the policies for images that pods name by digest. This kind has no `mirrorSourcePolicy`.
pub(super) fn render(entries: &[Entry], group: &Group<'_>) -> Result<String, ClusterError> {
    const KIND: ListKind = ListKind {
        api_version: "operator.openshift.io/v1alpha1",
        kind: "ImageContentSourcePolicy",
        short: "icsp",
        list: "repositoryDigestMirrors",
    };
    KIND.render(entries, group, |entry| Node::Map(mirrors_and_source(entry)))
}
