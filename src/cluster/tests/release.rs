//! Releases and catalogs.

use super::*;
use crate::model::{
    AttachmentState, CatalogEntry, CatalogFormat, CatalogMember, Component, ImageEntry, Inventory,
    ReleaseEntry, RequestId,
};
use crate::plan::import::wanted;
use crate::plan::naming::Profile;

pub(super) fn inventory(images: Vec<ImageEntry>) -> Inventory {
    Inventory {
        ext: None,
        document: Inventory::TYPE.to_owned(),
        bases: Vec::new(),
        blobs: Vec::new(),
        chunks: Vec::new(),
        format: 1,
        images,
        request: RequestId::new(Digest::from_bytes([0; 32])),
        catalogs: Vec::new(),
        left_out: Vec::new(),
        releases: Vec::new(),
        manifests: Vec::new(),
    }
}

fn image(text: &str) -> ImageEntry {
    let reference: Reference = text.parse().unwrap();
    ImageEntry {
        tag: reference.tag.clone(),
        root: Some(reference.digest.unwrap_or(Digest::from_bytes([0xaa; 32]))),
        cosign: AttachmentState::NotAsked,
        source: reference.repository.clone(),
        problem: None,
        attached: Vec::new(),
        platforms: Vec::new(),
        referrers: AttachmentState::NotAsked,
        // This must not appear in any output.
        fetched_from: "proxy.lan/fetched".parse().unwrap(),
        requested: reference,
        standalone: false,
    }
}

fn pinned(repository: &str, byte: u8) -> String {
    format!("{repository}@{}", Digest::from_bytes([byte; 32]))
}

/// Adds a release with two components: one in the repository of the release image, one in another.
fn add_release(inventory: &mut Inventory) {
    let root = "quay.io/okd/scos-release:4.18.0";
    let components = [
        ("cli", pinned("quay.io/okd/scos-content", 1)),
        ("etcd", pinned("quay.io/okd/scos-release", 2)),
    ];
    for text in components
        .iter()
        .map(|(_, text)| text.as_str())
        .chain([root])
    {
        inventory.images.push(image(text));
    }
    inventory.releases.push(ReleaseEntry {
        image: root.parse().unwrap(),
        version: "4.18.0".parse().unwrap(),
        keyrings: Vec::new(),
        unsigned: true,
        components: components
            .iter()
            .map(|(name, text)| Component {
                name: (*name).to_owned(),
                image: text.parse().unwrap(),
            })
            .collect(),
        signatures: Vec::new(),
        architecture: "amd64".to_owned(),
    });
}

/// Adds a catalog that names two images, one of them by tag.
fn add_catalog(inventory: &mut Inventory, index: &str) {
    let members = [
        pinned("quay.io/op/bundle", 3),
        "quay.io/op/operator:v1".to_owned(),
    ];
    for text in members.iter().map(String::as_str).chain([index]) {
        inventory.images.push(image(text));
    }
    inventory.catalogs.push(CatalogEntry {
        image: index.parse().unwrap(),
        filter: None,
        format: CatalogFormat::FileBased,
        members: members
            .iter()
            .map(|written| CatalogMember {
                image: written.parse().unwrap(),
                written: written.clone(),
                needed_by: Vec::new(),
            })
            .collect(),
        original: None,
        malformed: Vec::new(),
    });
}

fn sorted(mut inventory: Inventory) -> Inventory {
    inventory
        .images
        .sort_by(|a, b| a.requested.cmp(&b.requested));
    inventory.images.dedup();
    inventory
}

fn content_at(inventory: &Inventory, to: &str, naming: &naming::Options) -> Content {
    let placement = place(&wanted(inventory), &to.parse().unwrap(), naming).unwrap();
    let images: Vec<ClusterImage<'_>> = placement.images().iter().map(ClusterImage::new).collect();
    Content::of(inventory, &images, naming)
}

fn files(content: &Content, options: &Options) -> BTreeMap<String, String> {
    let rendered = render(content, options).unwrap();
    let mut warnings = rendered.warnings.iter();
    assert!(warnings.all(|warning| matches!(warning, Warning::UpdateService { .. })));
    let files = rendered.files.into_iter();
    files.map(|file| (file.name, file.text)).collect()
}

#[test]
fn a_catalog_alone_gives_what_oc_writes() {
    let mut inventory = inventory(Vec::new());
    add_catalog(&mut inventory, "quay.io/olm/catalog:v1");
    let inventory = sorted(inventory);
    let content = content_at(&inventory, "m.lan:8443/olm", &naming::Options::default());
    let files = files(&content, &Options::default());
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "apply/catalogSource.yaml",
            "apply/imageDigestMirrorSet.yaml",
            "apply/imageTagMirrorSet.yaml",
            "before-4.13/imageContentSourcePolicy.yaml",
            "if-installed/clusterCatalog.yaml",
            "mapping.txt"
        ]
    );
    assert_eq!(
        files["apply/catalogSource.yaml"],
        golden!("catalogSource.yaml")
    );
    assert_eq!(
        files["if-installed/clusterCatalog.yaml"],
        golden!("clusterCatalog.yaml")
    );
    assert_eq!(
        files["before-4.13/imageContentSourcePolicy.yaml"],
        golden!("imageContentSourcePolicy-catalog.yaml")
    );
    assert_eq!(
        files["apply/imageDigestMirrorSet.yaml"],
        golden!("imageDigestMirrorSet-catalog.yaml")
    );
    assert_eq!(files["mapping.txt"], golden!("mapping-catalog.txt"));
}

#[test]
fn everything_together_keeps_its_own_names() {
    let mut inventory = inventory(vec![image("quay.io/team/app:1")]);
    add_release(&mut inventory);
    add_catalog(&mut inventory, "quay.io/olm/catalog:v1");
    add_catalog(&mut inventory, "quay.io/olm/catalog:v2");
    add_catalog(&mut inventory, "quay.io/other/9_index:v2");
    let inventory = sorted(inventory);
    let content = content_at(&inventory, "m.lan:8443/okd", &naming::Options::default());
    let options = Options {
        graph_data: Some("m.lan:8443/okd/graph:latest".parse().unwrap()),
        ..Options::default()
    };
    let files = files(&content, &options);
    assert_eq!(
        files["apply/imageDigestMirrorSet.yaml"],
        golden!("imageDigestMirrorSet-all.yaml")
    );
    assert_eq!(
        files["if-installed/updateService.yaml"],
        golden!("updateService.yaml")
    );
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    for name in [
        "apply/catalogSource-olm-catalog-v1.yaml",
        "apply/catalogSource-olm-catalog-v2.yaml",
        "apply/catalogSource-other-9-index-v2.yaml",
        "if-installed/clusterCatalog-olm-catalog-v1.yaml",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let install = &files["install-config-imageDigestSources.yaml"];
    assert!(
        !install.contains("/team/app") && !install.contains("/op/"),
        "{install}"
    );
    let named = Options {
        name: Some("may".parse().unwrap()),
        ..Options::default()
    };
    let renamed = text(&content, &named, "apply/imageDigestMirrorSet.yaml");
    // The release image and its components share a repository, and an UpdateService reads it all.
    let warnings = render(&content, &options).unwrap().warnings;
    let warning = warnings.iter().map(ToString::to_string).next().unwrap();
    assert!(
        warning.contains("`m.lan:8443/okd`, which also holds 2 images"),
        "{warning}"
    );
    let apart = naming::Options {
        release: naming::ReleaseOptions {
            image: Some(repository("m.lan:8443/okd/release-images")),
            ..naming::ReleaseOptions::default()
        },
        ..naming::Options::default()
    };
    let content = content_at(&inventory, "m.lan:8443/okd", &apart);
    assert_eq!(render(&content, &options).unwrap().warnings, []);
    for name in ["may-release-0", "may-0", "may-olm-catalog-v1-0"] {
        assert!(renamed.contains(&format!("  name: {name}\n")), "{renamed}");
    }
}

#[test]
fn a_catalog_has_the_same_name_whatever_else_is_in_the_bundle() {
    let stems = |indexes: &[&str], profile| {
        let mut inventory = inventory(Vec::new());
        for index in indexes {
            add_catalog(&mut inventory, index);
        }
        let naming = naming::Options {
            profile,
            ..naming::Options::default()
        };
        let content = content_at(&sorted(inventory), "m.lan/okd", &naming);
        let options = Options::default();
        let files = files(&content, &options);
        let files = files
            .iter()
            .filter(|(file, _)| file.contains("catalogSource"));
        let name = |text: &str| {
            let name = text.lines().find_map(|line| line.strip_prefix("  name: "));
            name.unwrap().to_owned()
        };
        files.map(|(_, text)| name(text)).collect::<Vec<_>>()
    };
    let all = [
        "q.io/a/index:v4.17",
        "q.io/a/index:v4.18",
        "q.io/b/index:v4.17",
    ];
    for (profile, expected) in [
        (None, ["a-index-v4-17", "a-index-v4-18", "b-index-v4-17"]),
        (
            Some(Profile::Plain),
            ["a-index-v4-17", "a-index-v4-18", "b-index-v4-17"],
        ),
    ] {
        for (index, expected) in all.iter().zip(expected) {
            assert_eq!(stems(&[index], profile), [expected]);
        }
        assert_eq!(stems(&all, profile), expected);
    }
    let oc_mirror = Some(Profile::OcMirror);
    assert_eq!(stems(&all[..1], oc_mirror), ["cs-index-v4-17"]);
    assert_eq!(
        stems(&all[..2], oc_mirror),
        ["cs-index-v4-17", "cs-index-v4-18"]
    );
    // oc-mirror gives these two one name, and the second replaces the first.
    let both = stems(&[all[0], all[2]], oc_mirror);
    assert!(
        both.iter().all(|name| name.starts_with("cs-index-v4-17-")),
        "{both:?}"
    );
    assert_ne!(both[0], both[1]);
}

#[test]
fn chosen_names_must_fit_the_catalogs() {
    let mut inventory = inventory(Vec::new());
    add_catalog(&mut inventory, "q.io/a/index:v1");
    add_catalog(&mut inventory, "q.io/b/index:v1");
    let content = content_at(&sorted(inventory), "m.lan/okd", &naming::Options::default());
    let check = |names: &[&str]| {
        let options = Options {
            catalog_names: names.iter().map(|name| name.parse().unwrap()).collect(),
            ..Options::default()
        };
        check_names(&content, &options)
    };
    assert_eq!(check(&["q.io/a/index:v1=x", "q.io/b/index:v1=y"]), Ok(()));
    for (bad, expected) in [
        (&["x"][..], "are `q.io/a/index:v1`, `q.io/b/index:v1`"),
        (&["q.io/c/index:v1=x"], "No catalog `q.io/c/index:v1`"),
        (&["q.io/a/index:v1=x", "q.io/b/index:v1=x"], "two catalogs"),
        (&["q.io/a/index:v1=b-index-v1"], "two catalogs"),
    ] {
        let error = check(bad).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn instructions_are_those_of_oc() {
    let mut inventory = inventory(Vec::new());
    add_release(&mut inventory);
    let inventory = sorted(inventory);
    let mut naming = naming::Options::default();
    let content = content_at(&inventory, "m.lan:8443/ocp4/openshift4", &naming);
    for (kind, expected) in [
        (Instructions::Icsp, golden!("instructions-icsp.txt")),
        (Instructions::Idms, golden!("instructions-idms.txt")),
        (
            Instructions::None,
            "\nSuccess\nUpdate image:  m.lan:8443/ocp4/openshift4:4.18.0-x86_64\n\
             Mirror prefix: m.lan:8443/ocp4/openshift4\n",
        ),
    ] {
        assert_eq!(instructions(&content, kind), expected);
    }
    assert_eq!(instructions(&Content::default(), Instructions::Icsp), "");

    // If the release image has a repository of its own, both repositories are mirrors of all
    // images.
    naming.release.image = Some(repository("m.lan:8443/ocp4/images"));
    let content = content_at(&inventory, "m.lan:8443/ocp4/openshift4", &naming);
    let text = instructions(&content, Instructions::Idms);
    let both = "  - mirrors:\n    - m.lan:8443/ocp4/openshift4\n    - m.lan:8443/ocp4/images\n";
    assert_eq!(text.matches(both).count(), 2, "{text}");
    assert!(
        text.contains("Update image:  m.lan:8443/ocp4/images:4.18.0-x86_64\n"),
        "{text}"
    );
}

#[test]
fn releases_and_catalogs_that_are_not_on_the_target_are_left_out() {
    let mut inventory = inventory(Vec::new());
    add_release(&mut inventory);
    add_catalog(&mut inventory, "quay.io/olm/catalog:v1");
    let inventory = sorted(inventory);
    let naming = naming::Options::default();
    let to = "m.lan/okd".parse().unwrap();
    let placement = place(&wanted(&inventory), &to, &naming).unwrap();
    let members = placement.images().iter();
    let members = members.filter(|placed| !placed.roles.iter().any(Role::is_root));
    let images: Vec<ClusterImage<'_>> = members.map(ClusterImage::new).collect();
    let content = Content::of(&inventory, &images, &naming);
    assert_eq!(content.releases, []);
    assert_eq!(content.catalogs, []);
    assert_eq!(content.plain, Mirrors::default());
    let names: Vec<String> = files(&content, &Options::default()).into_keys().collect();
    assert_eq!(names, ["mapping.txt"]);
}

#[test]
fn a_platform_in_the_place_of_a_catalog_is_named_by_its_own_digest() {
    let mut inventory = inventory(Vec::new());
    add_catalog(&mut inventory, &pinned("quay.io/olm/catalog", 9));
    let inventory = sorted(inventory);
    let naming = naming::Options::default();
    let placement = place(&wanted(&inventory), &"m.lan".parse().unwrap(), &naming).unwrap();
    let child = Digest::from_bytes([8; 32]);
    let image = |placed| {
        let image = ClusterImage::new(placed);
        match placed.roles.contains(&Role::Catalog) {
            true => ClusterImage {
                platform_substitute: Some(child),
                ..image
            },
            false => image,
        }
    };
    let images: Vec<ClusterImage<'_>> = placement.images().iter().map(image).collect();
    let content = Content::of(&inventory, &images, &naming);
    assert_eq!(content.catalogs[0].image.digest, Some(child));
    let sources = content.catalogs[0].mirrors.digests.iter();
    let sources: Vec<String> = sources.map(|mirror| mirror.source.to_string()).collect();
    assert_eq!(sources, ["quay.io/op/bundle"]);
}
