//! The text that `oc adm release mirror` prints at its end (docs/oc-compatibility.md, section 2.3),
//! byte for byte.

use std::collections::BTreeMap;

use super::object::{Object, mirrors_and_source};
use super::yaml::Node;
use super::{Content, Entry, Mirrors, Scope, expressible, install_config, widen};

/// The kind of objects that the text explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instructions {
    /// ImageContentSourcePolicy and `imageContentSources`.
    Icsp,
    /// ImageDigestMirrorSet and `imageDigestSources`.
    Idms,
    /// No objects: only the names of the image and the repository.
    None,
}

/// Returns the text about the releases; empty if there are none.
pub fn instructions(content: &Content, kind: Instructions) -> String {
    if content.releases.is_empty() {
        return String::new();
    }
    let mut text = String::from("\nSuccess\n");
    let mut mirrors = Mirrors::default();
    for release in &content.releases {
        text.push_str(&format!(
            "Update image:  {}\nMirror prefix: {}\n",
            release.image, release.prefix
        ));
        mirrors.digests.extend_from_slice(&release.mirrors.digests);
    }
    let (groups, _) = expressible::valid_mirrors([&mirrors]);
    let entries = groups
        .first()
        .map(|group| widen::entries(&group.digests, &groups, Scope::Repository));
    let entries = entries.unwrap_or_default();
    let (section, article, object) = match kind {
        Instructions::None => return text,
        Instructions::Icsp => (
            install_config::image_content_sources(&entries),
            "an ImageContentSourcePolicy",
            example(
                "operator.openshift.io/v1alpha1",
                "ImageContentSourcePolicy",
                "repositoryDigestMirrors",
                &entries,
            ),
        ),
        Instructions::Idms => (
            install_config::image_digest_sources(&entries),
            "an ImageDigestMirrorSet",
            example(
                "config.openshift.io/v1",
                "ImageDigestMirrorSet",
                "imageDigestMirrors",
                &entries,
            ),
        ),
    };
    text.push_str(&format!(
        "\nTo use the new mirrored repository to install, add the following section to the \
         install-config.yaml:\n\n{section}\n\nTo use the new mirrored repository for upgrades, use \
         the following to create {article}:\n\n{object}"
    ));
    text
}

fn example(
    api_version: &'static str,
    kind: &'static str,
    list: &'static str,
    entries: &[Entry],
) -> String {
    let items = entries
        .iter()
        .map(|entry| Node::Map(mirrors_and_source(entry)));
    let object = Object {
        api_version,
        kind,
        name: "example".to_owned(),
        namespace: None,
        labels: &BTreeMap::new(),
        spec: Node::map([(list, Node::List(items.collect()))]),
    };
    object.into_yaml()
}
