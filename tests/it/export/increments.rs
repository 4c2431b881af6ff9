//! Bundles with a base: blobs that the far side has are not carried again.

use std::fs;
use std::path::Path;

use super::site::{Site, reads, size};
use crate::support::images::{Build, Image};

const MIB: usize = 1 << 20;

/// Builds nine images; those for which `rebuilt` is true have new content.
fn fleet(rebuilt: impl Fn(usize) -> bool) -> Vec<Image> {
    (0..9)
        .map(|number| {
            let build = if rebuilt(number) { "new" } else { "old" };
            Build::oci(&format!("{number} {build}"))
                .shared_layer("base", MIB)
                .plain_layer(MIB / 2)
                .image()
        })
        .collect()
}

fn put(site: &Site, fleet: &[Image]) -> Vec<String> {
    let numbered = fleet.iter().enumerate();
    numbered
        .map(|(number, image)| site.put(&format!("fleet/{number}"), "stable", image))
        .collect()
}

fn with<'a>(references: &'a [String], more: &[&'a str]) -> Vec<&'a str> {
    references
        .iter()
        .map(String::as_str)
        .chain(more.iter().copied())
        .collect()
}

#[test]
fn only_what_is_new_is_carried() {
    let site = Site::new();
    let references = put(&site, &fleet(|_| false));
    let first = site.path("first");
    let made = site.export_json(&first, &with(&references, &[]), 0);

    // Nothing has changed.
    let from = site.asked().len();
    let same = site.path("same");
    let done = site.export_json(&same, &with(&references, &["--base", "first"]), 0);
    assert_eq!(site.blob_bytes_asked(from), 0);
    assert_eq!(done["carried"]["count"], 0);
    assert_eq!(done["omitted"], made["carried"]);
    assert_eq!(done["manifests"], made["manifests"]);
    assert!(size(&same) < 100_000, "{} bytes", size(&same));
    assert_eq!(done["bytes_on_medium"], size(&same));
    site.verify(&same, &["--strict"]).succeeds();

    // A third is rebuilt.
    let fleet = fleet(|number| number % 3 == 0);
    let references = put(&site, &fleet);
    let second = site.path("second");
    let more = ["--base", "first", "--dry-run"];
    let planned = site.export_json(&second, &with(&references, &more), 0);
    let done = site.export_json(&second, &with(&references, &["--base", "first"]), 0);
    let new: usize = (0..9)
        .step_by(3)
        .map(|number| {
            let blobs = &fleet[number].blobs;
            blobs[0].bytes.len() + blobs[2].bytes.len()
        })
        .sum();
    assert_eq!(done["carried"]["bytes"], new);
    assert_eq!(done["carried"]["count"], 6);
    assert_eq!(planned["bytes_on_medium"], size(&second));
    assert!(size(&second) < (new + 64 * 1024) as u64);
    site.verify(&second, &["--strict"]).succeeds();

    // The base of a base: blobs that the first bundle carried are still left out.
    let third = site.path("third");
    let more = ["--base", "second"];
    let done = site.export_json(&third, &with(&references, &more), 0);
    assert_eq!(done["carried"]["count"], 0);
    let inspected = site.run(["inspect", "third", "--output", "json"]);
    let first_id = made["bundle"].as_str().unwrap();
    assert!(inspected.stdout.contains(first_id), "{inspected}");
    site.verify(&third, &["--strict"]).succeeds();
}

#[test]
fn documents_alone_are_base_enough_and_must_be_vouched_for() {
    let site = Site::new();
    let references = put(&site, &fleet(|_| false));
    let first = site.path("first");
    site.export(&first, &with(&references, &[])).succeeds();
    let copy = site.path("copy");
    copy_documents(&first, &copy);
    let to = site.path("second");
    let more = ["--base", "copy"];
    let done = site.export_json(&to, &with(&references, &more), 0);
    assert_eq!(done["carried"]["count"], 0);

    // Refused without its signature, and when it was changed.
    fs::rename(copy.join("signatures"), site.path("signatures")).unwrap();
    let to = site.path("third");
    site.export(&to, &with(&references, &more))
        .fails_with(3)
        .stderr_has("--base-trust");
    fs::rename(site.path("signatures"), copy.join("signatures")).unwrap();
    let mut inventory = fs::read(copy.join("inventory.cbor")).unwrap();
    let last = inventory.len() - 1;
    inventory[last] ^= 1;
    fs::write(copy.join("inventory.cbor"), inventory).unwrap();
    site.export(&to, &with(&references, &more)).fails_with(4);
    assert!(!to.exists(), "nothing was begun");
}

fn copy_documents(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("signatures")).unwrap();
    for name in ["manifest.cbor", "inventory.cbor"] {
        fs::copy(from.join(name), to.join(name)).unwrap();
    }
    for entry in fs::read_dir(from.join("signatures")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join("signatures").join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_base_by_another_key_needs_trust() {
    let site = Site::new();
    let references = put(&site, &fleet(|_| false));
    site.run(["keygen", "--out", "colleague"]).succeeds();
    let mut command = vec![
        "export",
        "--tls-verify=false",
        "--key",
        "colleague.pem",
        "--to",
        "first",
    ];
    command.extend(references.iter().map(String::as_str));
    site.run(command).succeeds();
    let to = site.path("second");
    let base = ["--base", "first"];
    site.export(&to, &with(&references, &base))
        .fails_with(3)
        .stderr_has("--base-trust");
    let trusted = ["--base", "first", "--base-trust", "colleague.pub"];
    let done = site.export_json(&to, &with(&references, &trusted), 0);
    assert_eq!(done["carried"]["count"], 0);
}

/// A base vouches only for the blobs that it has.
#[test]
fn an_incomplete_base_counts_for_what_it_has() {
    let site = Site::new();
    let fleet = fleet(|_| false);
    let references = put(&site, &fleet);
    let lost = fleet[4].blobs[2].digest();
    let broken = lost.clone();
    site.fault(move |asked| {
        reads(asked, &broken)
            .then(|| crate::support::fake_registry::Reply::error(404, "BLOB_UNKNOWN"))
    });
    let first = site.path("first");
    site.export(&first, &with(&references, &[])).fails_with(5);
    site.heal();
    let second = site.path("second");
    let done = site.export_json(&second, &with(&references, &["--base", "first"]), 0);
    assert_eq!(done["carried"]["count"], 1);
    site.verify(&second, &["--strict"]).succeeds();
}
