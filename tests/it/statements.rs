//! Statements on a bundle: which file of them is damaged, and statements outside the bundle.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::support::command::Outcome;
use crate::support::images::Build;
use crate::support::stage::{Stage, files, flip};

/// Exports a bundle, and removes its signatures.
fn unsigned(stage: &Stage) -> PathBuf {
    let image = Build::oci("image").layer(3000).image();
    let reference = stage.publish("team/app", "v1", &image);
    let bundle = stage.export("bundle", &[&reference], &[]);
    fs::remove_dir_all(bundle.join("signatures")).unwrap();
    bundle
}

fn sign(stage: &Stage, bundle: &Path, key: &str, more: &[&str]) -> Outcome {
    let mut command = stage.exporter.command();
    command.arg("sign").arg(bundle).arg("--key").arg(key);
    Outcome::of({
        command.args(more);
        command
    })
}

fn importer(stage: &Stage, verb: &str, bundle: &Path, more: &[&str]) -> Outcome {
    let mut command = stage.importer.command();
    command.arg(verb).arg(bundle).arg("--quiet").args(more);
    Outcome::of(command)
}

/// A statement beside a write-once medium counts exactly like one on the medium.
#[test]
fn statements_besides_the_bundle_count_like_those_in_it() {
    let stage = Stage::new();
    let bundle = unsigned(&stage);
    let besides = stage.at("besides");
    let besides_text = besides.to_str().unwrap().to_owned();
    sign(
        &stage,
        &bundle,
        "exporter.pem",
        &["--statements", &besides_text],
    )
    .succeeds();
    assert!(!bundle.join("signatures").exists());
    let with = ["--trust", "exporter.pub", "--statements", &besides_text];

    importer(&stage, "verify", &bundle, &with[..2]).fails_with(3);
    importer(&stage, "verify", &bundle, &with)
        .succeeds()
        .stdout_has("signed as exporter by")
        .stdout_has("\nauthenticated, intact, complete");
    importer(&stage, "inspect", &bundle, &with)
        .succeeds()
        .stdout_has("(verified exporter)");
    let out = stage.at("out");
    let unpack = [&with[..], &["--to", out.to_str().unwrap()]].concat();
    importer(&stage, "unpack", &bundle, &unpack).succeeds();
    let target = crate::support::docker_registry::DockerRegistry::start();
    let host = target.host().to_string();
    let to = ["--to", &*host, "--tls-verify=false"];
    importer(&stage, "import", &bundle, &[&with[..2], &to].concat()).fails_with(3);
    importer(&stage, "import", &bundle, &[&with[..], &to].concat()).succeeds();

    // Without a trusted key no statement counts.
    importer(&stage, "verify", &bundle, &with[2..])
        .fails_with(3)
        .stdout_has("signature not checked (no --trust key matches): ");
    stage
        .exporter
        .run(["keygen", "--out", "stranger"])
        .succeeds();
    let strange = stage.at("strange");
    let strange_text = strange.to_str().unwrap().to_owned();
    sign(
        &stage,
        &bundle,
        "stranger.pem",
        &["--statements", &strange_text],
    )
    .succeeds();
    let forged = ["--trust", "exporter.pub", "--statements", &strange_text];
    importer(&stage, "verify", &bundle, &forged).fails_with(3);

    // A trusted key's rejection counts there, too.
    let against = stage.at("against");
    let against_text = against.to_str().unwrap().to_owned();
    let reject = ["--verdict", "reject", "--statements", &against_text];
    sign(&stage, &bundle, "exporter.pem", &reject).succeeds();
    let both = [&with[..], &["--statements", &against_text]].concat();
    importer(&stage, "verify", &bundle, &both)
        .fails_with(4)
        .stdout_has("REJECTS");
    importer(&stage, "import", &bundle, &[&both[..], &to].concat()).fails_with(4);

    // Damage there is not waived, and is named with its path.
    let signature = files(&besides).into_iter().find(|f| f.ends_with(".sig"));
    flip(&besides.join(signature.unwrap()), 40, 1);
    importer(
        &stage,
        "verify",
        &bundle,
        &[&with[..], &["--allow-unsigned"]].concat(),
    )
    .fails_with(4)
    .stdout_has(&format!("{besides_text}/signatures/"));

    // A directory without statements was named by mistake.
    let nothing = stage.at("nothing");
    fs::create_dir(&nothing).unwrap();
    let nothing = ["--statements", nothing.to_str().unwrap()];
    importer(&stage, "verify", &bundle, &[&with[..2], &nothing].concat())
        .fails_with(2)
        .stderr_has("holds no statements");

    // Statements on another manifest show that this one was changed.
    flip(&bundle.join("manifest.cbor"), 200, 0);
    importer(&stage, "verify", &bundle, &with)
        .fails_with(4)
        .stdout_has("has signed a different manifest.cbor");
}

#[test]
fn the_file_that_is_wrong_is_named_where_that_can_be_told() {
    let stage = Stage::new();
    let bundle = unsigned(&stage);
    sign(&stage, &bundle, "exporter.pem", &[]).succeeds();
    let all = files(&bundle.join("signatures"));
    let of = |ending: &str| {
        let name = all.iter().find(|name| name.ends_with(ending)).unwrap();
        format!("signatures/{name}")
    };
    let (statement, signature) = (of(".statement"), of(".sig"));
    let finding = |damage: &dyn Fn(&Path)| {
        let copy = stage.copy(&bundle, "copy");
        damage(&copy);
        let outcome = stage.verify(&copy, &["--output", "json"]).fails_with(4);
        let findings = outcome.json()["findings"].as_array().unwrap().clone();
        let bad: Vec<_> = findings
            .into_iter()
            .filter(|finding| finding["kind"] == "bad-statement")
            .collect();
        assert_eq!(bad.len(), 1, "{outcome}");
        let text = |key: &str| bad[0][key].as_str().unwrap().to_owned();
        (text("file"), text("message"))
    };
    // A signature has 64 bytes.
    let (file, message) = finding(&|at| fs::write(at.join(&signature), [1; 63]).unwrap());
    assert_eq!(file, signature, "{message}");
    let (file, message) = finding(&|at| fs::write(at.join(&signature), [1; 65]).unwrap());
    assert_eq!(file, signature, "{message}");
    // No signed statement has this form.
    let (file, message) = finding(&|at| flip(&at.join(&statement), 0, 0));
    assert_eq!(file, statement);
    assert!(!message.contains(".sig"), "{message}");
    // Another year or another signature: either file may be the damaged one.
    for (path, byte) in [(&signature, 7), (&statement, year(&bundle, &statement))] {
        let (file, message) = finding(&|at| flip(&at.join(path), byte, 0));
        assert_eq!(file, statement);
        assert!(message.contains("or its signature"), "{message}");
        assert!(message.contains(&signature), "{message}");
    }
}

/// Returns the offset of the last digit of the year in a statement.
fn year(bundle: &Path, statement: &str) -> usize {
    let text = fs::read_to_string(bundle.join(statement)).unwrap();
    text.find("\ntime: ").unwrap() + "\ntime: 202".len()
}

#[test]
fn a_directory_that_is_none_is_one_finding() {
    let stage = Stage::new();
    let bundle = unsigned(&stage);
    sign(&stage, &bundle, "exporter.pem", &[]).succeeds();
    for directory in ["signatures", "chunks"] {
        let copy = stage.copy(&bundle, "copy");
        fs::remove_dir_all(copy.join(directory)).unwrap();
        symlink(bundle.join(directory), copy.join(directory)).unwrap();
        let outcome = stage.verify(&copy, &["--output", "json"]).fails_with(4);
        let report = outcome.json();
        let about = report["findings"].as_array().unwrap().iter();
        let about = about.filter(|finding| finding["file"] == directory);
        assert_eq!(about.count(), 1, "{outcome}");
        let signatures = outcome.stdout.matches("\"signatures").count();
        assert_eq!(
            signatures,
            usize::from(directory == "signatures"),
            "{outcome}"
        );
    }
}

/// A file that can be read, but is too long to be a document, is not a media error.
#[test]
fn documents_above_their_cap_are_no_media_errors() {
    let stage = Stage::new();
    let bundle = unsigned(&stage);
    sign(&stage, &bundle, "exporter.pem", &[]).succeeds();
    let statement = files(&bundle)
        .into_iter()
        .find(|file| file.ends_with(".statement"))
        .unwrap();
    for (file, megabytes) in [
        ("manifest.cbor", 70),
        ("inventory.cbor", 130),
        ("LABEL.txt", 1),
        ("SHA256SUMS", 130),
        (&*statement, 1),
    ] {
        let copy = stage.copy(&bundle, "copy");
        let long = fs::OpenOptions::new().write(true).open(copy.join(file));
        // A sparse file, whose bytes are never read.
        long.unwrap().set_len(megabytes << 20).unwrap();
        stage
            .verify(&copy, &[])
            .fails_with(4)
            .stdout_has(&format!("{file}: "));
        stage.import(&copy, "127.0.0.1:9", &[]).fails_with(4);
    }
}

#[test]
fn verify_names_the_images_that_are_missing() {
    let stage = Stage::new();
    let there = stage.publish("team/there", "v1", &Build::oci("there").layer(500).image());
    let host = stage.source.host().to_string();
    let missing: Vec<String> = (10..32).map(|n| format!("{host}/gone/{n}:v1")).collect();
    let mut references: Vec<&str> = missing.iter().map(String::as_str).collect();
    references.push(&there);
    stage.try_export("bundle", &references, &[]).fails_with(5);
    let bundle = stage.at("bundle");

    let text = stage.verify(&bundle, &[]).fails_with(5);
    for (number, reference) in missing.iter().enumerate() {
        let shown = text.stdout.contains(&format!("missing: {reference}: "));
        assert_eq!(shown, number < 20, "{reference}\n{text}");
    }
    text.stdout_has("and 2 more");
    assert!(!text.stdout.contains(&format!("{there}:")), "{text}");

    let report = stage.verify(&bundle, &["--output", "json"]).json();
    let named: Vec<&str> = report["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|image| image["reference"].as_str().unwrap())
        .collect();
    assert_eq!(named, missing);
}
