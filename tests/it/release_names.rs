//! Compares names and instructions for a release with the output of the real `oc adm release
//! mirror` (data/goldens/release below $SHARED). Run by scripts/check-shared.d/release-goldens.

use std::fs;
use std::path::PathBuf;

use airferry::cluster::{ClusterImage, Content, Instructions, instructions, render};
use airferry::model::{
    AttachmentState, Component, Digest, ImageEntry, Inventory, Reference, ReleaseEntry,
};
use airferry::plan::import::wanted;
use airferry::plan::naming::{Options, place};
use serde_json::Value;

/// The release image of the golden files.
const PAYLOAD: &str = "127.0.0.1:5700/gold/release:4.17.3";

fn golden(name: &str) -> String {
    let shared = std::env::var_os("SHARED").expect("SHARED names the shared directory");
    let path = PathBuf::from(shared)
        .join("data/goldens/release")
        .join(name);
    fs::read_to_string(path).expect("a golden file")
}

fn image(reference: &str, root: Digest) -> ImageEntry {
    let requested: Reference = reference.parse().expect("a reference");
    ImageEntry {
        tag: requested.tag.clone(),
        root: Some(root),
        cosign: AttachmentState::NotAsked,
        source: requested.repository.clone(),
        problem: None,
        attached: Vec::new(),
        platforms: Vec::new(),
        referrers: AttachmentState::NotAsked,
        fetched_from: requested.repository.clone(),
        requested,
        standalone: false,
    }
}

/// Returns the inventory of a bundle with that release, made from its `image-references`.
fn inventory() -> Inventory {
    let references: Value =
        serde_json::from_str(&golden("image-references.json")).expect("image-references");
    let tags = references["spec"]["tags"].as_array().expect("tags").iter();
    let mut components: Vec<Component> = tags
        .map(|tag| Component {
            name: tag["name"].as_str().expect("a name").to_owned(),
            image: tag["from"]["name"]
                .as_str()
                .expect("an image")
                .parse()
                .expect("a reference"),
        })
        .collect();
    components.sort_by(|a, b| a.name.cmp(&b.name));
    let payload = golden("payload.digest").trim().parse().expect("a digest");
    let mut images = vec![image(PAYLOAD, payload)];
    images.extend(components.iter().map(|component| {
        let root = component.image.digest.expect("a digest");
        image(&component.image.to_string(), root)
    }));
    images.sort_by(|a, b| a.requested.cmp(&b.requested));
    Inventory {
        left_out: Vec::new(),
        ext: None,
        document: Inventory::TYPE.to_owned(),
        bases: Vec::new(),
        blobs: Vec::new(),
        chunks: Vec::new(),
        format: 1,
        images,
        request: airferry::model::RequestId::new(Digest::from_bytes([0; 32])),
        catalogs: Vec::new(),
        releases: vec![ReleaseEntry {
            image: PAYLOAD.parse().expect("a reference"),
            version: references["metadata"]["name"]
                .as_str()
                .expect("a version")
                .parse()
                .expect("a version"),
            keyrings: Vec::new(),
            unsigned: true,
            components,
            signatures: Vec::new(),
            architecture: "amd64".to_owned(),
        }],
        manifests: Vec::new(),
    }
}

fn content(inventory: &Inventory, to: &str) -> Content {
    let (target, options) = (to.parse().expect("a target"), Options::default());
    let placement = place(&wanted(inventory), &target, &options).expect("names");
    let images: Vec<ClusterImage<'_>> = placement.images().iter().map(ClusterImage::new).collect();
    Content::of(inventory, &images, &options)
}

#[test]
#[ignore = "needs $SHARED"]
fn names_and_instructions_are_those_of_oc() {
    let inventory = inventory();
    let mirrored = content(&inventory, "mirror.example.com:8443/ocp4/openshift4");
    let files = render(&mirrored, &airferry::cluster::Options::default()).expect("files");
    let mut files = files.files.into_iter();
    let mapping = files
        .find(|file| file.name == "mapping.txt")
        .expect("a mapping");
    // `oc` writes a space there in the output of --to-mirror.
    let mapping = mapping.text.replace('=', " ");
    assert_eq!(mapping, golden("to-mirror.sorted.txt"));

    let local = content(&inventory, "127.0.0.1:5701/ocp4/openshift4");
    let mut tags: Vec<String> = local
        .mapping
        .iter()
        .map(|mapping| mapping.target.tag.as_ref().expect("a tag").to_string())
        .collect();
    tags.sort();
    let expected = golden("tags.txt");
    assert_eq!(tags, expected.lines().collect::<Vec<_>>());
    for (kind, name) in [
        (Instructions::Icsp, "instructions-icsp.txt"),
        (Instructions::Idms, "instructions-idms.txt"),
        (Instructions::None, "instructions-none.txt"),
    ] {
        // The golden files begin after the empty line.
        assert_eq!(instructions(&local, kind), format!("\n{}", golden(name)));
    }
}
