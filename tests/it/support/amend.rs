//! Bundles with more in their inventory than was exported: the inventory of a finished bundle is
//! changed, everything that depends on it is written again, and the exporter's key signs it.

use std::fs;
use std::path::Path;

use airferry::format::{bundle, hash, texts::Texts};
use airferry::model::{Component, Inventory, Reference, ReleaseEntry, ReleaseSignature};

use super::command::Outcome;
use super::stage::Stage;

/// Changes the inventory of a bundle, and signs the bundle again.
#[track_caller]
pub fn amend(stage: &Stage, directory: &Path, change: impl FnOnce(&mut Inventory)) {
    let read = |name: &str| fs::read(directory.join(name)).expect("a document");
    let write = |name: &str, bytes: &[u8]| {
        fs::write(directory.join(name), bytes).expect("a document");
    };
    let mut manifest = bundle::decode_manifest(&read("manifest.cbor")).expect("a manifest");
    let mut inventory =
        bundle::open_inventory(read("inventory.cbor"), &manifest).expect("an inventory");
    change(&mut inventory);
    let bytes = bundle::encode_inventory(&inventory).expect("an inventory");
    manifest.inventory = hash::file_entry(&bytes);
    manifest.requires = inventory.features();
    manifest.complete = inventory.is_complete();
    let root = bundle::encode_manifest(&manifest).expect("a manifest");
    let texts = Texts::new(
        &airferry::model::BundleId::new(hash::sha256(&root)),
        &manifest,
    );
    write("inventory.cbor", &bytes);
    write("manifest.cbor", &root);
    write("SHA256SUMS", texts.sums.as_bytes());
    write("LABEL.txt", texts.label.as_bytes());
    fs::remove_dir_all(directory.join("signatures")).expect("statements");
    let mut command = stage.exporter.command();
    command.arg("sign").arg(directory).arg("--key");
    command.arg(stage.exporter.path("exporter.pem"));
    Outcome::of(command).succeeds();
}

/// Returns a release without signatures, made of images that a bundle has.
pub fn release(image: &str, version: &str, components: &[(&str, &str)]) -> ReleaseEntry {
    let parse = |text: &str| -> Reference { text.parse().expect("a reference") };
    ReleaseEntry {
        image: parse(image),
        version: version.parse().expect("a version"),
        keyrings: Vec::new(),
        unsigned: true,
        components: components
            .iter()
            .map(|(name, image)| Component {
                name: (*name).to_owned(),
                image: parse(image),
            })
            .collect(),
        signatures: Vec::new(),
        architecture: "amd64".to_owned(),
    }
}

/// Returns a message that claims to sign a release but is no OpenPGP message.
pub fn claim(inventory: &Inventory, image: &str) -> ReleaseSignature {
    let image: Reference = image.parse().expect("a reference");
    let entry = inventory.image(&image).expect("an image");
    ReleaseSignature {
        over: entry.root.expect("a root"),
        message: b"no OpenPGP".to_vec(),
    }
}
