//! No data can hide in or beside a bundle, every claim that can be checked is checked, and nothing
//! is interpreted of a bundle that no trusted key has signed.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use airferry::format::hash;
use airferry::format::keys::SigningKey;
use airferry::model::{BlobPlace, BundleManifest, Carried, Inventory};

use crate::import::digest_at;
use crate::support::command::Outcome;
use crate::support::docker_registry::DockerRegistry;
use crate::support::forge::{exporter, forge, sign_root};
use crate::support::images::{Build, noise};
use crate::support::stage::{Stage, files};

/// Makes a signed bundle of one image.
fn signed() -> (Stage, PathBuf) {
    let stage = Stage::new();
    let image = Build::oci("app").layer(3000).layer(700).image();
    let reference = stage.publish("team/app", "v1", &image);
    let bundle = stage.export("bundle", &[&reference], &[]);
    (stage, bundle)
}

/// Makes a bundle that leaves out all blobs, because its base carried them.
fn increment() -> (Stage, PathBuf) {
    let (stage, base) = signed();
    let reference = format!("{}/team/app:v1", stage.source.host());
    let trusted = stage.trusted();
    let more = [
        "--base",
        base.to_str().unwrap(),
        "--base-trust",
        trusted.to_str().unwrap(),
    ];
    let bundle = stage.export("increment", &[&reference], &more);
    stage.verify(&bundle, &["--strict"]).succeeds();
    (stage, bundle)
}

fn run(stage: &Stage, verb: &str, bundle: &Path, more: &[&str]) -> Outcome {
    let mut command = stage.importer.command();
    command.arg(verb).arg(bundle).args(more);
    Outcome::of(command)
}

/// A change that makes the documents of a bundle false.
type Lie = fn(&mut Inventory, &mut BundleManifest);

#[test]
fn what_is_said_of_blobs_is_compared() {
    let (stage, bundle) = increment();
    let lies: [(&str, Lie); 6] = [
        // Without extents no blob would be hashed: not a byte of the blobs is here.
        ("R-23", |inventory, _| {
            for blob in &mut inventory.blobs {
                (blob.size, blob.place) = (0, BlobPlace::Carried(Carried::raw(Vec::new())));
            }
            inventory.bases.clear();
        }),
        ("R-23", |inventory, _| {
            for blob in &mut inventory.blobs {
                blob.place = BlobPlace::Carried(Carried::raw(Vec::new()));
            }
        }),
        ("does not mark it as non-distributable", |inventory, _| {
            for blob in &mut inventory.blobs {
                blob.place = BlobPlace::Foreign { urls: Vec::new() };
            }
        }),
        ("does not mark it as non-distributable", |inventory, _| {
            let urls = vec!["https://example.com/".to_owned()];
            inventory.blobs[0].place = BlobPlace::Foreign { urls };
        }),
        ("its size differs", |inventory, _| {
            inventory.blobs[0].size += 1
        }),
        ("R-25", |inventory, _| {
            let origin = airferry::model::BundleId::new(hash::sha256(b"invented"));
            inventory.blobs[0].place = BlobPlace::Omitted { origin };
        }),
    ];
    for (number, (why, lie)) in lies.into_iter().enumerate() {
        let lying = stage.copy(&bundle, "lying");
        forge(&stage, &lying, lie);
        let verified = stage.verify(&lying, &[]);
        assert_eq!(verified.code, Some(4), "case {number}\n{verified}");
        verified.stdout_has(why);
        stage.import(&lying, "127.0.0.1:9", &[]).fails_with(4);
        let to = stage.at("tree");
        let unpack = ["--to", to.to_str().unwrap(), "--trust"];
        let trusted = stage.trusted();
        let unpack = [&unpack[..], &[trusted.to_str().unwrap()]].concat();
        run(&stage, "unpack", &lying, &unpack).fails_with(4);
    }
}

#[test]
fn leftovers_of_an_export_are_foreign_beside_a_sealed_bundle() {
    let (stage, bundle) = signed();
    let made = format!("export.made/sha256-{}", "0a".repeat(32));
    for name in [
        "export.journal",
        "export.plan.statement",
        "export.plan.sig",
        &made,
        "manifest.cbor.tmp",
        "Manifest.cbor",
    ] {
        let copy = stage.copy(&bundle, "copy");
        let path = copy.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise("left over", 5000)).unwrap();
        let loose = stage.verify(&copy, &["--output", "json"]).succeeds();
        assert_eq!(loose.json()["bytes"]["foreign"], 5000, "{loose}");
        let text = stage.verify(&copy, &["--strict"]).fails_with(9);
        text.stdout_has(name.split('/').next().unwrap());
        adds_up(&loose, &copy);
    }
}

/// Asserts that the accounting is the sum of all files below the bundle's directory.
#[track_caller]
fn adds_up(outcome: &Outcome, bundle: &Path) {
    let report = outcome.json();
    let bytes = report["bytes"].as_object().unwrap();
    let sum: u64 = bytes.values().map(|value| value.as_u64().unwrap()).sum();
    let on_disk = files(bundle).into_iter();
    let on_disk = on_disk.map(|file| fs::metadata(bundle.join(file)).unwrap().len());
    assert_eq!(sum, on_disk.sum::<u64>(), "{outcome}");
}

#[test]
fn what_lies_in_other_directories_is_counted_to_the_bottom() {
    let (stage, bundle) = signed();
    for directory in [
        "a/b/c",
        "CHUNKS",
        "chunks/a/b",
        "signatures/a/b/c",
        "export.made/d/e",
    ] {
        let copy = stage.copy(&bundle, "copy");
        fs::create_dir_all(copy.join(directory)).unwrap();
        fs::write(copy.join(directory).join("000001.tar"), noise("x", 7000)).unwrap();
        let loose = stage.verify(&copy, &["--output", "json"]).succeeds();
        assert_eq!(loose.json()["bytes"]["foreign"], 7000, "{loose}");
        adds_up(&loose, &copy);
        stage.verify(&copy, &["--strict"]).fails_with(9);
        stage
            .verify(&copy, &[])
            .succeeds()
            .stdout_has("1 files, 7000 bytes");
    }
    // Files that an operating system leaves are accepted, but counted.
    let copy = stage.copy(&bundle, "copy");
    fs::create_dir_all(copy.join("System Volume Information/a/b")).unwrap();
    fs::write(
        copy.join("System Volume Information/a/b/c"),
        noise("x", 7000),
    )
    .unwrap();
    let strict = stage
        .verify(&copy, &["--strict", "--output", "json"])
        .succeeds();
    assert_eq!(strict.json()["bytes"]["foreign"], 7000, "{strict}");
}

/// Names that operating systems use must not hide data.
#[test]
fn only_what_operating_systems_leave_passes_strict() {
    let (stage, bundle) = signed();
    let copy = stage.copy(&bundle, "copy");
    for name in [".DS_Store", "THUMBS.DB", "chunks/._000001.tar", "._x"] {
        fs::write(copy.join(name), noise("x", 1 << 20)).unwrap();
    }
    for name in ["$Recycle.Bin", "lost+found", ".Trash-1000"] {
        fs::create_dir(copy.join(name)).unwrap();
        fs::write(copy.join(name).join("x"), noise("x", 1 << 20)).unwrap();
    }
    stage.verify(&copy, &["--strict"]).succeeds();
    type Hide = fn(&Path);
    let hide: [(&str, Hide); 8] = [
        ("._payload", |path| {
            fs::write(path, noise("x", (1 << 20) + 1)).unwrap()
        }),
        ("Thumbs.db", |path| {
            fs::write(path, noise("x", (1 << 20) + 1)).unwrap()
        }),
        (".DS_Store", |path| fs::create_dir(path).unwrap()),
        ("lost+found", |path| fs::write(path, "x").unwrap()),
        ("desktop.ini", |path| {
            std::os::unix::fs::symlink("/etc/passwd", path).unwrap()
        }),
        ("System Volume Information", |path| {
            fs::create_dir(path).unwrap();
            fs::write(path.join("x"), noise("x", (1 << 20) + 1)).unwrap();
        }),
        (".fseventsd", |path| {
            fs::create_dir(path).unwrap();
            std::os::unix::fs::symlink("/etc/passwd", path.join("x")).unwrap();
        }),
        ("chunks/lost+found", |path| fs::create_dir(path).unwrap()),
    ];
    for (name, hide) in hide {
        let copy = stage.copy(&bundle, "copy");
        hide(&copy.join(name));
        stage.verify(&copy, &[]).succeeds();
        let strict = stage.verify(&copy, &["--strict"]);
        assert_eq!(strict.code, Some(9), "{name}\n{strict}");
    }
}

#[test]
fn a_note_about_the_medium_is_listed_counted_and_short() {
    let (stage, bundle) = signed();
    fs::write(bundle.join("VOLUME.txt"), vec![b'x'; 64 << 10]).unwrap();
    let strict = stage
        .verify(&bundle, &["--strict", "--output", "json"])
        .succeeds();
    assert_eq!(strict.json()["bytes"]["foreign"], 64 << 10, "{strict}");
    strict.stdout_has("VOLUME.txt");
    fs::write(bundle.join("VOLUME.txt"), vec![b'x'; (64 << 10) + 1]).unwrap();
    stage.verify(&bundle, &[]).succeeds();
    stage
        .verify(&bundle, &["--strict"])
        .fails_with(9)
        .stdout_has("VOLUME.txt");
}

/// Anyone can add files that are named like statements.
#[test]
fn strangers_statements_are_few_and_short_or_foreign() {
    let (stage, bundle) = signed();
    let pair = |copy: &Path, number: u32, text: usize, signature: usize| {
        let stem = format!("signatures/{number:016x}-{:016x}-01", 7);
        fs::write(copy.join(format!("{stem}.statement")), vec![b'x'; text]).unwrap();
        fs::write(copy.join(format!("{stem}.sig")), vec![0; signature]).unwrap();
    };
    let copy = stage.copy(&bundle, "copy");
    (0..64).for_each(|number| pair(&copy, number, 16 << 10, 64));
    let strict = stage
        .verify(&copy, &["--strict", "--output", "json"])
        .succeeds();
    let report = strict.json();
    assert_eq!(
        report["other_generations"].as_array().unwrap().len(),
        64,
        "{strict}"
    );
    adds_up(&strict, &copy);
    pair(&copy, 64, 1, 64);
    stage.verify(&copy, &[]).succeeds();
    stage.verify(&copy, &["--strict"]).fails_with(9);
    for (text, signature) in [((16 << 10) + 1, 64), (100, 65), (0, 64)] {
        let copy = stage.copy(&bundle, "copy");
        pair(&copy, 1, text, signature);
        let loose = stage.verify(&copy, &["--output", "json"]).succeeds();
        let foreign = (text + signature) as u64;
        assert_eq!(loose.json()["bytes"]["foreign"], foreign, "{loose}");
        stage.verify(&copy, &["--strict"]).fails_with(9);
    }
}

/// Step 3 of reading comes before step 4: without a trusted signature nothing is interpreted.
#[test]
fn nothing_is_interpreted_of_a_bundle_by_a_stranger() {
    let (stage, bundle) = signed();
    let stranger = SigningKey::from_seed(&[9; 32]);
    let manifest = fs::read(bundle.join("manifest.cbor")).unwrap();
    let sums = fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
    let trusted = stage.trusted();
    let trust = ["--trust", trusted.to_str().unwrap()];
    let to = stage.at("tree");
    let to = ["--to", to.to_str().unwrap()];
    let out = stage.at("out");
    let resources = ["--to", "m.lan/okd", "--resources", out.to_str().unwrap()];
    for (name, root) in [("well-formed", &manifest[..]), ("no CBOR", b"\xff\xff")] {
        let copy = stage.copy(&bundle, "copy");
        fs::write(copy.join("manifest.cbor"), root).unwrap();
        // The stranger's documents are consistent.
        let line = |hash: &str| format!("{hash}  manifest.cbor");
        let own = sums.replace(
            &line(&hash::sha256(&manifest).hex()),
            &line(&hash::sha256(root).hex()),
        );
        fs::write(copy.join("SHA256SUMS"), &own).unwrap();
        // This file must not be read.
        fs::write(copy.join("inventory.cbor"), b"\xff").unwrap();
        sign_root(&copy, &stranger, root, &own);
        for (verb, more) in [
            ("verify", &[][..]),
            ("inspect", &[]),
            ("unpack", &to),
            ("cluster-resources", &resources),
        ] {
            let outcome = run(&stage, verb, &copy, &[&trust[..], more].concat());
            assert_eq!(outcome.code, Some(3), "{name}\n{outcome}");
            let said = format!("{}{}", outcome.stdout, outcome.stderr);
            assert!(!said.contains("R-1"), "{name}\n{outcome}");
            assert!(!said.contains("inventory"), "{name}\n{outcome}");
        }
        stage.import(&copy, "127.0.0.1:9", &[]).fails_with(3);
        let report = stage.verify(&copy, &["--output", "json"]).json();
        assert_eq!(report["stopped"], true);
        assert!(report.get("intact").is_none(), "{report}");
        // Without `--trust`, or with `--allow-unsigned`, the damage is found.
        run(&stage, "verify", &copy, &[]).fails_with(4);
        stage.verify(&copy, &["--allow-unsigned"]).fails_with(4);
    }
    // Where it is possible, a changed manifest is distinguished from a stranger's.
    let copy = stage.copy(&bundle, "copy");
    fs::write(copy.join("manifest.cbor"), b"\xff").unwrap();
    stage
        .verify(&copy, &[])
        .fails_with(4)
        .stdout_has("manifest.cbor");
    stage.import(&copy, "127.0.0.1:9", &[]).fails_with(3);
}

#[test]
fn a_statement_that_disagrees_or_has_expired_does_not_count() {
    let (stage, bundle) = signed();
    // The right key signed the sums of another bundle.
    let copy = stage.copy(&bundle, "copy");
    let root = fs::read(copy.join("manifest.cbor")).unwrap();
    sign_root(&copy, &exporter(&stage), &root, "other sums");
    let outcome = stage.verify(&copy, &["--output", "json"]).fails_with(4);
    assert_eq!(outcome.json()["authenticated"], false, "{outcome}");
    stage
        .verify(&copy, &[])
        .fails_with(4)
        .stdout_has("NOT AUTHENTICATED");

    let sign = |role: &str, expires: &str| {
        let mut command = stage.exporter.command();
        command.arg("sign").arg(&bundle);
        command.args([
            "--key",
            "exporter.pem",
            "--role",
            role,
            "--expires",
            expires,
        ]);
        Outcome::of(command).succeeds();
    };
    // The key was given: it is the statement that is wrong.
    stage
        .verify(&copy, &[])
        .stderr_has("signed again")
        .hides("give the exporter's public key");

    // A reviewer's approval that has expired is no approval.
    sign("reviewer", "2020-01-01T00:00:00Z");
    let outcome = stage.verify(&bundle, &[]).succeeds();
    outcome.stdout_has("signed as reviewer by");
    outcome.stdout_has("expired on 2020-01-01T00:00:00Z");
    let report = stage.verify(&bundle, &["--output", "json"]).json();
    let kinds = report["findings"].as_array().unwrap().iter();
    let expired = kinds.filter(|finding| finding["kind"] == "expired");
    assert_eq!(expired.count(), 1, "{report}");
}

#[test]
fn a_socket_is_no_file() {
    let (stage, bundle) = signed();
    for name in ["manifest.cbor", "inventory.cbor", "chunks/000001.tar"] {
        let copy = stage.copy(&bundle, "s");
        fs::remove_file(copy.join(name)).unwrap();
        let _socket = UnixListener::bind(copy.join(name)).unwrap();
        stage.verify(&copy, &[]).fails_with(4);
    }
}

/// The blobs that the base carried are on the target.
#[test]
fn an_increment_is_imported_behind_its_base() {
    let (stage, bundle) = increment();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    stage.import(&stage.at("bundle"), &host, &[]).succeeds();
    stage.import(&bundle, &host, &[]).succeeds();
}

/// An attachment gets the tag that follows from its subject, and never the tag of an image.
#[test]
fn an_attachment_takes_no_tag_of_an_image() {
    let stage = Stage::new();
    let image = Build::oci("app").layer(3000).image();
    let (taker, owner) = (
        Build::oci("taker").layer(700).image(),
        Build::oci("owner").layer(900).image(),
    );
    let tag = image.cosign_tag("sig");
    let references = [
        stage.publish("team/app", "v1", &image),
        stage.publish("team/app", "v2", &taker),
        stage.publish("team/app", &tag, &owner),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &[]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();

    let twin = stage.copy(&bundle, "twin");
    forge(&stage, &twin, |inventory, _| {
        let image = v1(inventory);
        image.attached[0].tag = image.tag.clone();
    });
    stage.verify(&twin, &[]).fails_with(4).stdout_has("R-27");
    stage.import(&twin, &host, &[]).fails_with(4);

    // By the rules both have the tag; the image keeps it, however often the bundle is imported.
    let both = stage.copy(&bundle, "both");
    let taken = taker.digest().parse().unwrap();
    forge(&stage, &both, |inventory, _| {
        v1(inventory).attached[0].root = taken;
    });
    stage.verify(&both, &["--strict"]).succeeds();
    for _ in 0..2 {
        let outcome = stage.import(&both, &host, &[]).fails_with(7);
        let said = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(said.contains("is the tag of the image"), "{outcome}");
        assert_eq!(digest_at(&host, "team/app", &tag), Some(owner.digest()));
    }
    let honest = DockerRegistry::start();
    stage
        .import(&bundle, &honest.host().to_string(), &[])
        .succeeds();
}

fn v1(inventory: &mut Inventory) -> &mut airferry::model::ImageEntry {
    let mut images = inventory.images.iter_mut();
    let v1 = images.find(|image| image.tag.as_ref().is_some_and(|tag| tag.as_str() == "v1"));
    v1.expect("the image")
}

#[test]
fn extended_attributes_are_listed_and_change_no_result() {
    let (stage, bundle) = signed();
    let directory = bundle.join("chunks");
    for (path, name) in [
        (bundle.join("LABEL.txt"), "user.note"),
        (directory.clone(), "user.stream"),
    ] {
        rustix::fs::setxattr(&path, name, b"hidden", rustix::fs::XattrFlags::CREATE)
            .expect("the tests' directory lies on a file system with attributes");
    }
    let verified = stage.verify(&bundle, &["--strict", "--output", "json"]);
    assert_eq!(verified.code, Some(0), "{verified}");
    let report = verified.json();
    let listed: Vec<(&str, &str)> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["kind"] == "extended-attribute")
        .map(|finding| {
            let text = |key: &str| finding[key].as_str().unwrap();
            (text("file"), text("message"))
        })
        .collect();
    let message = |name: &str| {
        format!(
            "the extended attribute `{name}` (6 bytes) is not part of the bundle and was not checked"
        )
    };
    let (note, stream) = (message("user.note"), message("user.stream"));
    assert_eq!(listed, [("LABEL.txt", &*note), ("chunks", &*stream)]);
}
