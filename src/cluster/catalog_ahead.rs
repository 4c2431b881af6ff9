//! Builds the [`Content`] for a catalog before anything is mirrored, from its list of images alone:
//! no registry was asked to resolve tags (`oc adm catalog mirror --manifests-only`,
//! docs/oc-compatibility.md, section 4.3).

use std::collections::{BTreeMap, BTreeSet};

use super::object_name::ObjectName;
use super::{Catalog, Content, Mapping, Mirror, Mirrors, NameStyle};
use crate::model::{CatalogMember, Digest, Reference, Tag};
use crate::plan::naming::{self, ImageToName, NamingError, Placed, Role, SourceImage, Target};

impl Content {
    /// Names a catalog and its members on a target. Only images that are named by digest get an
    /// entry by digest, and the catalog itself is named by tag unless its digest was given.
    ///
    /// # Errors
    ///
    /// As [`naming::place`]. Tags count as different images unless their digests are known to be
    /// equal.
    pub fn ahead(
        catalog: &Reference,
        members: &[CatalogMember],
        target: &Target,
        naming: &naming::Options,
    ) -> Result<Self, NamingError> {
        let stand_ins = StandIns::of(members);
        let mut wanted = vec![ImageToName {
            image: stand_ins.image(catalog),
            role: Role::Catalog,
        }];
        wanted.extend(members.iter().map(|member| ImageToName {
            image: stand_ins.image(&member.image),
            role: Role::Member {
                catalog: catalog.clone(),
                written: member.written.clone(),
            },
        }));
        let placement = naming::place(&wanted, target, naming)?;
        let mut content = Self {
            shared_tags: naming::shared_tags(placement.images()),
            style: NameStyle::of(naming),
            ..Self::default()
        };
        let mut mirrors = Mirrors::default();
        let mut root = None;
        for placed in placement.images() {
            let requested = &placed.image.requested;
            content.mapping.push(Mapping {
                source: source(placed),
                target: placed.target(),
            });
            let mirror = Mirror {
                source: placed.image.source.clone(),
                mirrors: vec![placed.repository.clone()],
            };
            let is_catalog = placed.roles.contains(&Role::Catalog);
            match (requested.digest, is_catalog) {
                (Some(_), _) => mirrors.digests.push(mirror),
                // Clusters pull the catalog from the image in its CatalogSource, not from its
                // source.
                (None, true) => {}
                (None, false) if placed.is_retagged() => {
                    content.retagged.push(Mapping::of(placed));
                }
                (None, false) => mirrors.tags.push(mirror),
            }
            if is_catalog {
                root = Some(placed);
            }
        }
        content.catalogs.extend(root.map(|placed| Catalog {
            requested: catalog.clone(),
            name: ObjectName::of(placed, NameStyle::of(naming)),
            image: match catalog.digest {
                Some(digest) => placed.repository.pinned(digest),
                None => placed.target(),
            },
            mirrors,
        }));
        Ok(content)
    }
}

/// The source of a mapping as `oc` writes it: by digest if it has one, else by tag (default
/// `latest`).
fn source(placed: &Placed) -> Reference {
    let image = &placed.image;
    match image.requested.digest {
        Some(digest) => image.source.pinned(digest),
        None => image.source.tagged(placed.tag.clone()),
    }
}

/// Substitute digests for images whose digest is unknown. Equal references get equal digests.
struct StandIns<'a> {
    /// The digests that members pin for a repository and tag.
    known: BTreeMap<(String, &'a Tag), BTreeSet<Digest>>,
}

impl<'a> StandIns<'a> {
    fn of(members: &'a [CatalogMember]) -> Self {
        let mut known: BTreeMap<_, BTreeSet<Digest>> = BTreeMap::new();
        for image in members.iter().map(|member| &member.image) {
            if let (Some(tag), Some(digest)) = (&image.tag, image.digest) {
                let key = (image.repository.to_string(), tag);
                known.entry(key).or_default().insert(digest);
            }
        }
        Self { known }
    }

    fn image(&self, reference: &Reference) -> SourceImage {
        let repository = reference.repository.to_string();
        let known = || {
            let tag = reference.tag.as_ref()?;
            let digests = self.known.get(&(repository.clone(), tag))?;
            // With several digests, it is unknown which one the tag points to now.
            digests.first().filter(|_| digests.len() == 1).copied()
        };
        let unknown = || {
            let name = format!("{repository}:{}", reference.selector());
            Digest::from_bytes(*blake3::hash(name.as_bytes()).as_bytes())
        };
        SourceImage {
            source: reference.repository.clone(),
            tag: reference.tag.clone(),
            root: reference.digest.or_else(known).unwrap_or_else(unknown),
            requested: reference.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Options, render};
    use crate::plan::naming::Profile;

    fn content(catalog: &str, members: &[&str]) -> Result<Content, NamingError> {
        let member = |written: &&str| CatalogMember {
            image: written.parse().unwrap(),
            written: (*written).to_owned(),
            needed_by: Vec::new(),
        };
        let members: Vec<CatalogMember> = members.iter().map(member).collect();
        let naming = naming::Options {
            profile: Some(Profile::Oc),
            ..naming::Options::default()
        };
        let target = "mirror.lan/olm".parse().unwrap();
        Content::ahead(&catalog.parse().unwrap(), &members, &target, &naming)
    }

    fn file(content: &Content, name: &str) -> String {
        let files = render(content, &Options::default()).unwrap().files;
        let file = files.into_iter().find(|file| file.name == name);
        file.map(|file| file.text).unwrap_or_default()
    }

    #[test]
    fn names_are_those_of_oc() {
        let digest = format!("sha256:{}", "2f".repeat(32));
        let pinned = format!("quay.io/a/b/c@{digest}");
        let both = format!("quay.io/a/d:v1@{digest}");
        let members = [pinned.as_str(), &both, "quay.io/a/e", "etcd:3"];
        let content = content("quay.io/x/y/index:v4.18", &members).unwrap();
        let tag = naming::fnv_tag(&pinned).unwrap();
        let expected = format!(
            "docker.io/library/etcd:3=mirror.lan/olm/library-etcd:3\n\
             quay.io/a/b/c@{digest}=mirror.lan/olm/a-b-c:{tag}\n\
             quay.io/a/d@{digest}=mirror.lan/olm/a-d:v1\n\
             quay.io/a/e:latest=mirror.lan/olm/a-e:latest\n\
             quay.io/x/y/index:v4.18=mirror.lan/olm/x-y-index:v4.18\n"
        );
        assert_eq!(file(&content, "mapping.txt"), expected);
        let source = file(&content, "apply/catalogSource.yaml");
        assert!(
            source.contains("  image: mirror.lan/olm/x-y-index:v4.18\n"),
            "{source}"
        );
        assert!(source.contains("  name: x-y-index-v4-18\n"), "{source}");
        let idms = file(&content, "apply/imageDigestMirrorSet.yaml");
        let sources = idms.lines().filter(|line| line.contains("source:"));
        assert_eq!(sources.count(), 2, "{idms}");
        let itms = file(&content, "apply/imageTagMirrorSet.yaml");
        assert!(
            itms.contains("quay.io/a/e") && !itms.contains("y/index"),
            "{itms}"
        );
    }

    #[test]
    fn a_catalog_by_digest_stays_by_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let content = content(&format!("quay.io/x/index@{digest}"), &["quay.io/a/b:1"]).unwrap();
        let source = file(&content, "apply/catalogSource.yaml");
        assert!(
            source.contains(&format!("image: mirror.lan/olm/x-index@{digest}\n")),
            "{source}"
        );
        assert!(file(&content, "apply/imageDigestMirrorSet.yaml").contains("quay.io/x/index"));
    }

    #[test]
    fn what_may_differ_must_not_share_a_name() {
        let error = content("quay.io/x/index:1", &["quay.io/a/b-c:1", "quay.io/a-b/c:1"]);
        assert!(
            matches!(error, Err(NamingError::Collisions { .. })),
            "{error:?}"
        );
        assert!(content("quay.io/x/index:1", &["quay.io/a/b:1", "docker.io/a/b:1"]).is_err());
        let both = format!("quay.io/a/b:1@sha256:{}", "0a".repeat(32));
        assert!(content("quay.io/x/index:1", &["quay.io/a/b:1", &both]).is_ok());
    }

    #[test]
    fn a_tag_that_is_pinned_twice_is_kept_by_one() {
        let pinned = |byte: &str| format!("quay.io/a/b:1@sha256:{}", byte.repeat(32));
        let (a, b) = (pinned("0a"), pinned("0b"));
        let tag_of = |image: &str| naming::fnv_tag(&image.replace(":1@", "@")).unwrap();
        let mapping = |members: &[&str]| {
            let content = content("quay.io/x/index:1", members).unwrap();
            let idms = file(&content, "apply/imageDigestMirrorSet.yaml");
            assert!(idms.contains("source: quay.io/a/b"), "{idms}");
            assert_eq!(content.shared_tags.len(), 1);
            file(&content, "mapping.txt")
        };
        let text = mapping(&[&b, &a]);
        let line = |image: &str, tag: &str| {
            format!("{}=mirror.lan/olm/a-b:{tag}\n", image.replace(":1@", "@"))
        };
        assert!(text.contains(&line(&a, "1")), "{text}");
        assert!(text.contains(&line(&b, tag_of(&b).as_str())), "{text}");
        // It is unknown which of the digests the tag points to now.
        let text = mapping(&["quay.io/a/b:1", &b, &a]);
        assert!(text.contains(&line("quay.io/a/b:1", "1")), "{text}");
        assert!(text.contains(&line(&a, tag_of(&a).as_str())), "{text}");
        assert!(text.contains(&line(&b, tag_of(&b).as_str())), "{text}");
    }
}
