//! `airferry release`: programs from a mirror and from a bundle, and descriptions of releases.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::command::Outcome;
use crate::support::images::{Build, Image, noise, publish};
use crate::support::stage::{Stage, files};
use crate::support::tools::run;

const IMAGE: (&str, usize) = ("_RELEASE_IMAGE_LOCATION_", 300);
const VERSION: (&str, usize) = ("_RELEASE_VERSION_LOCATION_", 64);
const ARCHITECTURE: (&str, usize) = ("_RELEASE_ARCHITECTURE_LOCATION_", 64);

/// Returns a placeholder for a value, or with the value in it: the bytes that the value does not
/// overwrite stay.
fn place((name, room): (&str, usize), value: Option<&str>) -> Vec<u8> {
    let mut bytes = format!("\0{name}\0{}\0", "X".repeat(room)).into_bytes();
    if let Some(value) = value {
        bytes[..value.len()].copy_from_slice(value.as_bytes());
        bytes[value.len()] = 0;
    }
    bytes
}

/// Returns a program that has these placeholders, separated by noise.
fn program(seed: &str, places: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = noise(seed, 300_001);
    for place in places {
        bytes.extend_from_slice(place);
        bytes.extend_from_slice(&noise(seed, 777));
    }
    bytes
}

/// Returns a program like the installer, as it is built or as it is extracted.
fn installer(values: Option<(&str, &str)>) -> Vec<u8> {
    let image = values.map(|(image, _)| image);
    let version = values.map(|(_, version)| version);
    program(
        "installer",
        &[
            place(VERSION, version),
            place(IMAGE, image),
            place(ARCHITECTURE, values.map(|_| "linux/amd64")),
            // Only the first placeholder of a name is filled.
            place(IMAGE, None),
        ],
    )
}

fn client(os: &str, version: Option<&str>) -> Vec<u8> {
    program(os, &[place(VERSION, version)])
}

/// A release in the source registry.
struct Release {
    reference: String,
    digest: String,
    components: Vec<String>,
}

/// Returns the components of a small release: programs for several machines.
fn components() -> Vec<(&'static str, Image)> {
    let (installer, linux) = (installer(None), client("linux", None));
    let (mac, windows) = (client("mac", None), client("windows", None));
    let cli = Build::oci("cli").layer(2000).files_layer(
        true,
        &[("usr/bin/oc@", b"oc.rhel9"), ("usr/bin/oc.rhel9", &linux)],
    );
    let artifacts = Build::docker("cli-artifacts").files_layer(
        false,
        &[
            ("usr/share/openshift/linux_amd64/oc.rhel9", &linux),
            ("usr/share/openshift/linux_amd64/oc@", b"oc.rhel9"),
            ("usr/share/openshift/mac/oc", &mac),
            ("usr/share/openshift/windows/oc.exe", &windows),
        ],
    );
    let below = Build::docker("installer")
        .files_layer(false, &[("usr/bin/openshift-install", b"an older one")])
        .files_layer(false, &[("usr/bin/openshift-install", &installer)]);
    let bad = client("bad", None);
    let bad = Build::docker("bad").files_layer(false, &[("usr/bin/openshift-install", &bad)]);
    vec![
        ("baremetal-installer", bad.image()),
        ("cli", cli.image()),
        ("cli-artifacts", artifacts.image()),
        ("installer", below.image()),
    ]
}

/// Makes a payload that names these components in `repository`, where they need not be.
fn payload(version: &str, repository: &str, components: &[(&str, Image)]) -> Image {
    let tags: Vec<Value> = components
        .iter()
        .map(|(name, image)| {
            json!({
                "name": name,
                "annotations": {
                    "io.openshift.build.commit.id": format!("c0ffee-{version}-{name}"),
                    "io.openshift.build.source-location": format!("https://example.com/{name}"),
                },
                "from": {"kind": "DockerImage", "name": format!("{repository}@{}", image.digest())},
            })
        })
        .collect();
    let references = json!({
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": {"name": version, "creationTimestamp": "2025-01-01T00:00:00Z"},
        "spec": {"tags": tags},
    });
    let metadata = json!({
        "kind": "cincinnati-metadata-v0", "version": version, "previous": ["4.17.0"],
    });
    Build::docker(version)
        .files_layer(
            false,
            &[("release-manifests/image-references", b"of the base image")],
        )
        .files_layer(
            false,
            &[
                (
                    "release-manifests/image-references",
                    references.to_string().as_bytes(),
                ),
                (
                    "release-manifests/release-metadata",
                    metadata.to_string().as_bytes(),
                ),
            ],
        )
        .image()
}

/// Publishes a release whose components are in `okd/content`.
fn publish_release(stage: &Stage, version: &str, components: &[(&str, Image)]) -> Release {
    let host = stage.source.host().to_string();
    let repository = format!("{host}/okd/content");
    for (_, image) in components {
        publish::push(&host, "okd/content", None, image);
    }
    let payload = payload(version, &repository, components);
    Release {
        reference: stage.publish("okd/release", version, &payload),
        digest: payload.digest(),
        components: components
            .iter()
            .map(|(_, image)| format!("{repository}@{}", image.digest()))
            .collect(),
    }
}

fn extract(stage: &Stage, from: &str, to: &Path, more: &[&str]) -> Outcome {
    let mut command = stage.importer.command();
    command.args(["release", "extract", "--from", from, "--to"]);
    command.arg(to).args(["--tls-verify=false", "--quiet"]);
    Outcome::of({
        command.args(more);
        command
    })
}

const UNSIGNED: &str = "--allow-unsigned-release";

#[test]
fn the_installer_is_made_for_its_release() {
    let stage = Stage::new();
    let release = publish_release(&stage, "4.18.0-okd-scos.1", &components());
    let to = stage.at("deep/bin");
    let installer_args = [
        "--command",
        "openshift-install",
        "--command-os",
        "linux",
        UNSIGNED,
    ];
    let outcome = extract(&stage, &release.reference, &to, &installer_args).succeeds();
    let (repository, _) = release.reference.rsplit_once(':').unwrap();
    let pull_spec = format!("{repository}@{}", release.digest);
    outcome.stdout_has(&pull_spec).stdout_has("NOT SIGNED");
    let found = fs::read(to.join("openshift-install")).unwrap();
    assert!(found == installer(Some((&pull_spec, "4.18.0-okd-scos.1"))));
    let mode = fs::metadata(to.join("openshift-install")).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o755);
    assert_eq!(files(&to), ["openshift-install"]);

    // A second run replaces it; another pull spec can be requested.
    let mirror = format!("mirror.example.com:8443/ocp4/openshift4@{}", release.digest);
    let more = [installer_args.as_slice(), &["--release-image", &mirror]].concat();
    extract(&stage, &release.reference, &to, &more).succeeds();
    let found = fs::read(to.join("openshift-install")).unwrap();
    assert!(found == installer(Some((&mirror, "4.18.0-okd-scos.1"))));

    // The same from a bundle.
    let mut references = vec![release.reference.as_str()];
    references.extend(release.components.iter().map(String::as_str));
    let bundle = stage.export("bundle", &references, &["--chunk-size", "128KiB"]);
    let bundle = bundle.to_str().unwrap();
    let trusted = stage.trusted();
    let trust = ["--trust", trusted.to_str().unwrap()];
    let chosen = ["--release", release.reference.as_str()];
    let bin = stage.at("from-bundle");
    let more = [installer_args.as_slice(), &trust, &chosen].concat();
    let outcome = extract(&stage, bundle, &bin, &more).succeeds();
    outcome.stdout_has("mirror settings");
    let found = fs::read(bin.join("openshift-install")).unwrap();
    assert!(found == installer(Some((&pull_spec, "4.18.0-okd-scos.1"))));
    // The release must be named, and the bundle must be signed by a trusted key.
    let more = [installer_args.as_slice(), &trust].concat();
    extract(&stage, bundle, &bin, &more)
        .fails_with(2)
        .stderr_has("--release");
    let more = [installer_args.as_slice(), &chosen].concat();
    extract(&stage, bundle, &bin, &more).fails_with(3);
}

#[test]
fn clients_for_every_machine() {
    let stage = Stage::new();
    let release = publish_release(&stage, "4.18.0", &components());
    for (machine, name, seed) in [
        ("linux", "oc", "linux"),
        ("linux/amd64", "oc", "linux"),
        ("mac", "oc", "mac"),
        ("windows/amd64", "oc.exe", "windows"),
    ] {
        let to = stage.at(&machine.replace('/', "-"));
        let more = ["--command", "oc", "--command-os", machine, UNSIGNED];
        extract(&stage, &release.reference, &to, &more).succeeds();
        let found = fs::read(to.join(name)).unwrap();
        assert!(found == client(seed, Some("4.18.0")), "{machine}");
        assert_eq!(files(&to), [name]);
    }
    let to = stage.at("none");
    for (command, machine, code, said) in [
        ("oc", "plan9", 2, "has no oc for plan9/amd64"),
        ("kubectl", "linux", 2, "Unknown program `kubectl`"),
        ("oc", "linux/arm64", 5, "linux_arm64/oc"),
        ("ccoctl", "linux", 5, "cloud-credential-operator"),
        (
            "openshift-baremetal-install",
            "linux",
            4,
            "_RELEASE_IMAGE_LOCATION_",
        ),
    ] {
        let more = ["--command", command, "--command-os", machine, UNSIGNED];
        let outcome = extract(&stage, &release.reference, &to, &more);
        outcome.fails_with(code).stderr_has(said);
        assert!(!to.exists() || files(&to).is_empty(), "{command}");
    }
    extract(&stage, &release.reference, &to, &["--command", "oc"])
        .fails_with(3)
        .stderr_has("--allow-unsigned-release");
}

#[test]
fn tools_are_the_same_every_time_and_others_can_open_them() {
    let stage = Stage::new();
    let release = publish_release(&stage, "4.18.0", &components());
    let directories: Vec<PathBuf> = ["one", "two"].map(|name| stage.at(name)).into();
    for to in &directories {
        extract(&stage, &release.reference, to, &["--tools", UNSIGNED])
            .succeeds()
            .stderr_has("left out: openshift-install-mac-4.18.0.tar.gz");
    }
    let [one, two] = directories.as_slice() else {
        unreachable!();
    };
    let names = files(one);
    assert_eq!(
        names,
        [
            "openshift-client-linux-4.18.0.tar.gz",
            "openshift-client-linux-amd64-rhel9-4.18.0.tar.gz",
            "openshift-client-mac-4.18.0.tar.gz",
            "openshift-client-windows-4.18.0.zip",
            "openshift-install-linux-4.18.0.tar.gz",
            "release.txt",
            "sha256sum.txt",
        ]
    );
    for name in &names {
        let (a, b) = (fs::read(one.join(name)), fs::read(two.join(name)));
        assert!(a.unwrap() == b.unwrap(), "{name}");
    }
    let sums = fs::read_to_string(one.join("sha256sum.txt")).unwrap();
    let listed: Vec<&str> = sums
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    assert_eq!(listed, &names[..6]);
    let mut check = Command::new("sha256sum");
    run(check
        .args(["--check", "--strict", "sha256sum.txt"])
        .current_dir(one));
    let mut tar = Command::new("tar");
    run(tar
        .args(["-xzf", "openshift-client-linux-4.18.0.tar.gz"])
        .current_dir(one));
    let expected = client("linux", Some("4.18.0"));
    assert!(fs::read(one.join("oc")).unwrap() == expected);
    assert!(fs::read(one.join("kubectl")).unwrap() == expected);
    assert!(
        fs::read_to_string(one.join("README.md"))
            .unwrap()
            .contains("oc")
    );
    let zip = "openshift-client-windows-4.18.0.zip";
    let mut python = Command::new("python3");
    run(python
        .args(["-m", "zipfile", "-e", zip, "zip"])
        .current_dir(one));
    let expected = client("windows", Some("4.18.0"));
    assert!(fs::read(one.join("zip/oc.exe")).unwrap() == expected);
    let text = fs::read_to_string(one.join("release.txt")).unwrap();
    assert!(text.contains(&release.digest), "{text}");
}

#[test]
fn components_are_found_at_mirrors_that_any_document_names() {
    let stage = Stage::new();
    let host = stage.source.host().to_string();
    let components = components();
    for (_, image) in &components {
        publish::push(&host, "mirror/content", None, image);
    }
    let payload = payload("4.18.0", "quay.invalid/okd/content", &components);
    let reference = stage.publish("okd/release", "4.18.0", &payload);
    let policy = |source: &str, mirror: &str| {
        format!(
            "apiVersion: operator.openshift.io/v1alpha1\nkind: ImageContentSourcePolicy\n\
             metadata: {{name: x}}\nspec:\n  repositoryDigestMirrors:\n  - source: {source}\n    \
             mirrors: [{mirror}]\n"
        )
    };
    let text = format!(
        "{}---\n{}",
        policy("quay.invalid/other", "a.invalid/b"),
        policy("quay.invalid/okd", &format!("{host}/mirror"))
    );
    let file = stage.at("icsp.yaml");
    fs::write(&file, text).unwrap();
    let args = ["--command", "oc", "--command-os", "linux", UNSIGNED];
    let icsp = ["--icsp-file", file.to_str().unwrap()];
    let more = [args.as_slice(), &icsp].concat();
    let to = stage.at("bin");
    extract(&stage, &reference, &to, &more).succeeds();
    assert!(fs::read(to.join("oc")).unwrap() == client("linux", Some("4.18.0")));
    let text = format!(
        "apiVersion: config.openshift.io/v1\nkind: ImageDigestMirrorSet\nmetadata: {{name: x}}\n\
         spec:\n  imageDigestMirrors:\n  - source: quay.invalid/okd\n    mirrors: [{host}/mirror]\n"
    );
    let file = stage.at("idms.yaml");
    fs::write(&file, text).unwrap();
    let idms = ["--idms-file", file.to_str().unwrap()];
    let again = stage.at("again");
    extract(
        &stage,
        &reference,
        &again,
        &[args.as_slice(), &idms].concat(),
    )
    .succeeds();
    assert!(fs::read(again.join("oc")).unwrap() == client("linux", Some("4.18.0")));
    let without = [args.as_slice(), &["--retries", "0"]].concat();
    extract(&stage, &reference, &to, &without)
        .fails_with(6)
        .stderr_has("quay.invalid/okd/content");
}

#[test]
fn information_and_differences() {
    let stage = Stage::new();
    let old = publish_release(&stage, "4.17.0", &components());
    let mut changed = components();
    changed.retain(|(name, _)| *name != "cli-artifacts");
    changed.push(("new", Build::docker("new").layer(10).image()));
    if let Some((_, cli)) = changed.iter_mut().find(|(name, _)| *name == "cli") {
        *cli = Build::docker("cli").layer(3000).image();
    }
    changed.sort_by_key(|(name, _)| *name);
    let new = publish_release(&stage, "4.18.0", &changed);
    let info = |more: &[&str]| {
        let mut command = stage.importer.command();
        command.args([
            "release",
            "info",
            &old.reference,
            "--tls-verify=false",
            "--quiet",
        ]);
        command.args(more);
        Outcome::of(command).succeeds()
    };
    let found = info(&["--output", "json"]).json();
    assert_eq!(found["version"], "4.17.0");
    assert_eq!(found["digest"], old.digest.as_str());
    assert_eq!(found["architecture"], "linux/amd64");
    let cli = &found["components"][1];
    let image = &components()[1].1;
    assert_eq!(cli["name"], "cli");
    assert_eq!(cli["digest"], image.digest());
    let layers = image.blobs[1..].iter().map(|blob| blob.bytes.len());
    assert_eq!(cli["size"], layers.sum::<usize>());
    assert_eq!(cli["build"]["commit"], "c0ffee-4.17.0-cli");
    info(&[]).stdout_has("https://example.com/installer");

    let diff = info(&["--diff", &new.reference, "--output", "json"]).json();
    let names = |key: &str| -> Vec<String> {
        let list = diff[key].as_array().unwrap().iter();
        list.map(|item| item["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names("added"), ["new"]);
    assert_eq!(names("removed"), ["cli-artifacts"]);
    assert_eq!(names("changed"), ["cli"]);
    assert_eq!(diff["unchanged"], 2);
    assert_eq!(
        diff["changed"][0]["to"]["build"]["commit"],
        "c0ffee-4.18.0-cli"
    );
    info(&["--diff", &new.reference]).stdout_has("2 images are the same");
}
