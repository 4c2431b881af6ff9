//! ImageContentSourcePolicy (`operator.openshift.io/v1alpha1`).

use super::object::{ListKind, mirrors_and_source};
use super::yaml::Node;
use super::{ClusterError, Entry, Options};

/// For images that pods name by digest. It has no word for `mirrorSourcePolicy`.
pub(super) fn render(entries: &[Entry], options: &Options) -> Result<String, ClusterError> {
    const KIND: ListKind = ListKind {
        api_version: "operator.openshift.io/v1alpha1",
        kind: "ImageContentSourcePolicy",
        list: "repositoryDigestMirrors",
    };
    KIND.render(entries, options, |entry| {
        Node::Map(mirrors_and_source(entry))
    })
}
