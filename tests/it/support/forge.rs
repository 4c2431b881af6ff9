//! Forged bundles with valid signatures: their documents say what a test wants, and everything that
//! follows from the documents is correct.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use airferry::format::hash::{self, FileHasher};
use airferry::format::keys::{PrivateKey, SigningKey, parse_private};
use airferry::format::metadata_chunk::{self, MetadataTar};
use airferry::format::statement::StatementStem;
use airferry::format::{bundle, cbor, texts::Texts};
use airferry::model::{BundleId, BundleManifest, ChunkKind, Digest, Inventory};

use super::stage::Stage;

/// Changes the documents of a bundle of one generation, writes its metadata chunk again, and signs
/// it with the exporter's key, without any check.
#[track_caller]
pub fn forge(
    stage: &Stage,
    directory: &Path,
    change: impl FnOnce(&mut Inventory, &mut BundleManifest),
) {
    forge_with(&exporter(stage), directory, change);
}

/// As [`forge`], with any key.
#[track_caller]
pub fn forge_with(
    key: &SigningKey,
    directory: &Path,
    change: impl FnOnce(&mut Inventory, &mut BundleManifest),
) {
    let read = |name: &str| fs::read(directory.join(name)).expect("a document");
    let mut manifest = bundle::decode_manifest(&read("manifest.cbor")).expect("a manifest");
    let mut inventory =
        bundle::open_inventory(read("inventory.cbor"), &manifest).expect("an inventory");
    let chunk = manifest.chunks.last().expect("a metadata chunk").clone();
    let mut documents: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let stored = read(&chunk.path());
    metadata_chunk::read(stored.as_slice(), &inventory, chunk.number, &mut |found| {
        documents.insert(found.entry.digest, found.bytes);
    })
    .expect("a metadata chunk");
    change(&mut inventory, &mut manifest);
    let decoded = MetadataTar::new(&inventory, chunk.number)
        .expect("a row")
        .decoded();
    inventory.chunks.last_mut().expect("a row").decoded = decoded;
    let written = MetadataTar::new(&inventory, chunk.number)
        .expect("a row")
        .write_compressed(Vec::new(), &mut |digest| {
            let document = documents.get(digest).cloned();
            document.ok_or_else(|| io::Error::other("no such document"))
        })
        .expect("a metadata chunk");
    let mut hasher = FileHasher::new();
    hasher.update(&written);
    let row = hasher
        .finish()
        .into_chunk(chunk.number, ChunkKind::Metadata);
    *manifest.chunks.last_mut().expect("a row") = row;
    fs::write(directory.join(chunk.path()), written).expect("a chunk");
    let inventory = cbor::encode(&inventory, "inventory").expect("an inventory");
    manifest.inventory = hash::file_entry(&inventory);
    fs::write(directory.join("inventory.cbor"), inventory).expect("a document");
    let root = cbor::encode(&manifest, "manifest").expect("a manifest");
    let texts = Texts::new(&BundleId::new(hash::sha256(&root)), &manifest);
    fs::write(directory.join("SHA256SUMS"), &texts.sums).expect("a document");
    fs::write(directory.join("LABEL.txt"), &texts.label).expect("a document");
    fs::write(directory.join("manifest.cbor"), &root).expect("a document");
    sign_root(directory, key, &root, &texts.sums);
}

/// Returns the exporter's private key.
#[track_caller]
pub fn exporter(stage: &Stage) -> SigningKey {
    key_of(&stage.exporter.path("exporter.pem"))
}

/// Reads a private key without passphrase.
#[track_caller]
pub fn key_of(file: &Path) -> SigningKey {
    let file = fs::read(file).expect("a key");
    match parse_private(&file).expect("a key") {
        PrivateKey::Plain(key) => key,
        PrivateKey::Encrypted(_) => panic!("the key has a passphrase"),
    }
}

/// Replaces all statements by one exporter's statement on these bytes of a manifest.
#[track_caller]
pub fn sign_root(directory: &Path, key: &SigningKey, root: &[u8], sums: &str) {
    let entry = hash::file_entry(root);
    let complete = match bundle::decode_manifest(root) {
        Ok(manifest) if !manifest.complete => "no",
        _ => "yes",
    };
    let text = format!(
        "airferry-bundle-v1\nalgorithm: ed25519\nkey: {}\nformat: 1\nmanifest-length: {}\n\
         manifest-sha256: {}\nmanifest-blake3: {}\nsums-sha256: {}\ngeneration: 1\n\
         complete: {complete}\nrole: exporter\nverdict: approve\ntime: 2026-11-22T17:00:00Z\n",
        key.public().fingerprint().hex(),
        entry.length,
        entry.sha256.hex(),
        entry.blake3.hex(),
        hash::sha256(sums.as_bytes()).hex(),
    );
    let signatures = directory.join("signatures");
    let _ = fs::remove_dir_all(&signatures);
    fs::create_dir(&signatures).expect("a directory");
    let stem = StatementStem::all(&BundleId::new(entry.sha256), &key.public().fingerprint()).next();
    let stem = stem.expect("a name");
    fs::write(directory.join(stem.statement_path()), &text).expect("a statement");
    let signature = key.sign(text.as_bytes());
    fs::write(directory.join(stem.signature_path()), signature).expect("a signature");
}
