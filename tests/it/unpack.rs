//! `airferry unpack`: the trees that `oc` and `skopeo` read.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::export::site::Site;
use crate::support::amend::{amend, claim, release};
use crate::support::command::Outcome;
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::{Build, Image, digest_of, docker_list, index};
use crate::support::releases::{IMAGE_REFERENCES, Signer, image_references, payload};
use crate::support::stage::{Stage, files, flip};
use crate::support::tools::run;

fn unpack(stage: &Stage, bundle: &Path, to: &Path, more: &[&str]) -> Outcome {
    let mut command = stage.importer.command();
    command.arg("unpack").arg(bundle).arg("--to").arg(to);
    command.arg("--trust").arg(stage.trusted());
    command.arg("--quiet").args(more);
    Outcome::of(command)
}

/// Exports a bundle with an image of several platforms and one that shares a layer with it; also
/// returns the images.
fn bundle(stage: &Stage) -> (PathBuf, Image, Image) {
    let amd = Build::docker("multi").shared_layer("base", 5000).image();
    let arm = Build::docker("multi")
        .platform("linux/arm64")
        .layer(300)
        .image();
    let multi = docker_list([&amd, &arm]);
    let single = Build::docker("single")
        .shared_layer("base", 5000)
        .layer(30_000)
        .image();
    let references = [
        stage.publish("okd/multi", "4.18", &multi),
        stage.publish("okd/deep/single", "v1", &single),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let path = stage.export("bundle", &references, &["--chunk-size", "16KiB"]);
    (path, multi, single)
}

#[test]
fn the_tree_is_the_one_that_oc_reads() {
    let stage = Stage::new();
    let (bundle, multi, single) = bundle(&stage);
    let to = stage.at("tree");
    unpack(&stage, &bundle, &to, &[]).succeeds();
    let mut wanted = Vec::new();
    for (repository, tag, image) in [
        ("okd/multi", "4.18", &multi),
        ("okd/deep/single", "v1", &single),
    ] {
        let base = to.join("v2").join(repository);
        let link = base.join("manifests").join(tag);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(
            fs::read_link(&link).unwrap().to_str(),
            Some(image.digest().as_str())
        );
        wanted.push(format!("v2/{repository}/manifests/{tag}"));
        for part in image.walk() {
            wanted.push(format!("v2/{repository}/manifests/{}", part.digest()));
            wanted.push(format!("v2/{repository}/blobs/{}", part.digest()));
            for blob in &part.blobs {
                wanted.push(format!("v2/{repository}/blobs/{}", blob.digest()));
            }
        }
    }
    wanted.sort();
    wanted.dedup();
    assert_eq!(files(&to), wanted);
    for file in wanted.iter().filter(|file| file.contains("sha256:")) {
        let path = to.join(file);
        assert!(path.symlink_metadata().unwrap().is_file(), "{file}");
        let content = fs::read(&path).unwrap();
        assert!(file.ends_with(&digest_of(&content)), "{file}");
    }
}

/// A directory has no referrers API, so the referrers of an image are listed under the fallback
/// tag.
#[test]
fn referrers_are_listed_under_the_fallback_tag() {
    let site = Site::new();
    site.with_referrers();
    let image = Build::oci("app").layer(600).image();
    let sbom = Build::artifact("application/spdx+json")
        .file(b"{}")
        .annotation("made.by", "test")
        .subject(&image);
    let sbom = sbom.image();
    let note = Build::artifact("text/plain").file(b"note").subject(&image);
    let note = note.image();
    let about_sbom = Build::artifact("text/x-about").file(b"x").subject(&sbom);
    let about_sbom = about_sbom.image();
    let plain = Build::docker("plain").layer(70).image();
    for artifact in [&sbom, &note, &about_sbom] {
        site.put("team/app", &artifact.digest()[7..20], artifact);
    }
    let references = [
        site.put("team/app", "v1", &image),
        site.put("team/app", "also", &image),
        site.put("team/plain", "v1", &plain),
    ];
    let args: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = site.path("bundle");
    site.export(&bundle, &args).succeeds();
    let to = site.path("tree");
    let unpack = |to: &Path| {
        let mut args: Vec<OsString> = vec!["unpack".into(), bundle.clone().into()];
        args.extend(["--trust", "exporter.pub", "--to"].map(OsString::from));
        args.push(to.into());
        site.run(args).succeeds();
    };
    unpack(&to);

    let manifests = to.join("v2/team/app/manifests");
    let listed = |subject: &Image| {
        let tag = manifests.join(subject.fallback_tag());
        let name = fs::read_link(tag).unwrap();
        let bytes = fs::read(manifests.join(&name)).unwrap();
        assert_eq!(name.to_str().unwrap(), digest_of(&bytes));
        let blob = to.join("v2/team/app/blobs").join(&name);
        assert_eq!(fs::read(blob).unwrap(), bytes);
        let index: Value = serde_json::from_slice(&bytes).unwrap();
        let oci_index = "application/vnd.oci.image.index.v1+json";
        assert_eq!(
            (&index["schemaVersion"], &index["mediaType"]),
            (&json!(2), &json!(oci_index))
        );
        index["manifests"].as_array().unwrap().clone()
    };
    let wanted = |image: &Image, kind: &str| {
        let (digest, size) = (image.digest(), image.bytes.len());
        json!({ "mediaType": image.media_type, "digest": digest, "size": size, "artifactType": kind })
    };
    let mut of_sbom = wanted(&sbom, "application/spdx+json");
    of_sbom["annotations"] = json!({ "made.by": "test" });
    let mut both = vec![of_sbom, wanted(&note, "text/plain")];
    both.sort_by_key(|entry| entry["digest"].to_string());
    assert_eq!(listed(&image), both);
    assert_eq!(listed(&sbom), [wanted(&about_sbom, "text/x-about")]);
    // This image has no referrers.
    let plain = to
        .join("v2/team/plain/manifests")
        .join(plain.fallback_tag());
    assert!(plain.symlink_metadata().is_err());

    // A list that the bundle brought under that name is kept.
    let list = index([&note]);
    let own = site.put("team/app", &image.fallback_tag(), &list);
    let bundle = site.path("with-list");
    site.export(&bundle, &[&*references[0], &own]).succeeds();
    let to = site.path("tree-with-list");
    let mut args: Vec<OsString> = vec!["unpack".into(), bundle.into(), "--to".into()];
    args.push(to.clone().into());
    args.extend(["--trust", "exporter.pub"].map(OsString::from));
    site.run(args).succeeds();
    let link = to.join("v2/team/app/manifests").join(image.fallback_tag());
    assert_eq!(
        fs::read_link(link).unwrap().to_str().unwrap(),
        list.digest()
    );
}

#[test]
fn one_name_for_two_images_is_refused() {
    let stage = Stage::new();
    let other = DockerRegistry::start();
    let host = other.host().to_string();
    let (one, two) = (
        Build::oci("one").layer(10).image(),
        Build::oci("two").layer(10).image(),
    );
    crate::support::images::publish::push(&host, "app", Some("v1"), &two);
    let first = stage.publish("app", "v1", &one);
    let second = format!("{host}/app:v1");
    let bundle = stage.export("bundle", &[&first, &second], &[]);
    let to = stage.at("tree");
    unpack(&stage, &bundle, &to, &[])
        .fails_with(2)
        .stderr_has("app:v1");
    assert!(!to.join("v2").exists());
    unpack(&stage, &bundle, &stage.at("layout"), &["--as", "oci"]).succeeds();
}

#[test]
fn skopeo_reads_the_layout() {
    let stage = Stage::new();
    let oci = Build::oci("oci").layer(3000).zstd_layer(500).image();
    let index = index([
        &oci,
        &Build::oci("oci").platform("linux/arm64").layer(9).image(),
    ]);
    let references = [
        stage.publish("a/oci", "v1", &oci),
        stage.publish("index", "v1", &index),
    ];
    let refs: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &refs, &[]);
    let to = stage.at("layout");
    unpack(&stage, &bundle, &to, &["--as", "oci"]).succeeds();
    let target = DockerRegistry::start();
    for (reference, image, repository) in [(refs[0], &oci, "a/oci"), (refs[1], &index, "index")] {
        let source = format!("oci:{}:{reference}", to.display());
        let raw = run(Command::new("skopeo").args(["inspect", "--raw", &source]));
        assert_eq!(digest_of(raw.as_bytes()), image.digest());
        let destination = format!("docker://{}/{repository}:v1", target.host());
        let flags = [
            "copy",
            "--all",
            "--preserve-digests",
            "--dest-tls-verify=false",
        ];
        run(Command::new("skopeo")
            .args(flags)
            .args([&source, &destination]));
        let raw = run(Command::new("skopeo").args([
            "inspect",
            "--raw",
            "--tls-verify=false",
            &destination,
        ]));
        assert_eq!(digest_of(raw.as_bytes()), image.digest());
    }
}

/// In a layout, skopeo finds images of Docker's types only without a name; the output says so.
#[test]
fn docker_images_in_a_layout_are_announced() {
    let stage = Stage::new();
    let image = Build::docker("docker").layer(3000).image();
    let reference = stage.publish("a/docker", "v1", &image);
    let bundle = stage.export("bundle", &[&reference], &[]);
    let to = stage.at("layout");
    let outcome = unpack(&stage, &bundle, &to, &["--as", "oci"]).succeeds();
    outcome.stdout_has("1 image is of Docker's types: skopeo does not find these by name");
    let raw =
        run(Command::new("skopeo").args(["inspect", "--raw", &format!("oci:{}", to.display())]));
    assert_eq!(digest_of(raw.as_bytes()), image.digest());
    let by_name = Command::new("skopeo")
        .args(["inspect", "--raw"])
        .arg(format!("oci:{}:{reference}", to.display()))
        .output()
        .unwrap();
    assert!(
        !by_name.status.success(),
        "skopeo has learnt it: say so in the help"
    );
    let tree = unpack(&stage, &bundle, &stage.at("tree"), &[]).succeeds();
    assert!(!tree.stdout.contains("Docker's types"), "{tree}");
}

#[test]
fn a_directory_in_use_and_damage_are_refused() {
    let stage = Stage::new();
    let (bundle, _, single) = bundle(&stage);
    let to = stage.at("used");
    fs::create_dir(&to).unwrap();
    fs::write(to.join("mine"), "x").unwrap();
    for layout in ["v2", "oci"] {
        unpack(&stage, &bundle, &to, &["--as", layout])
            .fails_with(2)
            .stderr_has("not empty");
    }
    assert_eq!(files(&to), ["mine"]);

    let largest = files(&bundle.join("chunks"))
        .into_iter()
        .max_by_key(|name| {
            fs::metadata(bundle.join("chunks").join(name))
                .unwrap()
                .len()
        })
        .unwrap();
    flip(&bundle.join("chunks").join(largest), 9000, 2);
    for layout in ["v2", "oci"] {
        let to = stage.at(layout);
        unpack(&stage, &bundle, &to, &["--as", layout]).fails_with(4);
        for file in files(&to) {
            let content = fs::read(to.join(&file)).unwrap_or_default();
            let name = file.rsplit(['/', ':']).next().unwrap();
            if name.len() == 64 {
                assert!(digest_of(&content).ends_with(name), "{file}");
            }
        }
        assert!(!to.join("oci-layout").exists());
    }
    drop(single);
}

#[test]
fn a_release_is_unpacked_as_oc_lays_it_out() {
    let stage = Stage::new();
    let cli = Build::docker("cli").layer(900).image();
    let host = stage.source.host().to_string();
    stage.publish("okd/content", "any", &cli);
    let component = format!("{host}/okd/content@{}", cli.digest());
    let signer = Signer::new("releases");
    let config_map = signer.config_map("file:///nowhere");
    let list = image_references("4.17.3", &[("cli", &component)]);
    let keys_path = "release-manifests/keys.yaml";
    let manifests = [(IMAGE_REFERENCES, &list[..]), (keys_path, &config_map)];
    let payload = payload("linux/amd64", &manifests);
    let image = stage.publish("okd/release", "4.17.3", &payload);
    let bundle = stage.export("bundle", &[&image, &component], &[]);
    let to = stage.at("tree");
    unpack(&stage, &bundle, &to, &["--layout", "oc-release"])
        .fails_with(2)
        .stderr_has("no release");
    amend(&stage, &bundle, |inventory| {
        let mut release = release(&image, "4.17.3", &[("cli", &component)]);
        release.keyrings = vec![airferry::model::Keyring {
            data: signer.public_key().into_bytes(),
            name: "verifier-public-key-test".to_owned(),
        }];
        inventory.releases = vec![release];
    });
    let keys = stage.importer.path("keys.asc");
    fs::write(&keys, signer.public_key()).unwrap();
    let keys = ["--release-keys", keys.to_str().unwrap()];
    let unsigned = ["--allow-unsigned-release"];
    let with = |name: &str, more: &[&str]| {
        let args = [&["--as", "oc-release"], more].concat();
        unpack(&stage, &bundle, &stage.at(name), &args)
    };
    with("unsigned", &keys)
        .fails_with(3)
        .stderr_has("it is unsigned");
    with("accepted", &[&keys[..], &unsigned].concat())
        .succeeds()
        .stderr_has("UNSIGNED");
    let message = signer.sign(&payload.digest());
    amend(&stage, &bundle, |inventory| {
        let mut signature = claim(inventory, &image);
        signature.message = b"no OpenPGP".to_vec();
        inventory.releases[0].unsigned = false;
        inventory.releases[0].signatures = vec![signature];
    });
    with("wrong", &[&keys[..], &unsigned].concat()).fails_with(3);
    amend(&stage, &bundle, |inventory| {
        inventory.releases[0].signatures[0].message = message.clone();
    });
    with("unknown", &unsigned).fails_with(3);
    assert!(!stage.at("unknown").exists());
    let to = stage.at("tree2");
    with("tree2", &keys)
        .succeeds()
        .stdout_has("genuine, signed by")
        .stdout_has("'file://openshift/release:4.17.3-x86_64*' REGISTRY/REPOSITORY");
    let base = to.join("v2/openshift/release");
    for (tag, image) in [("4.17.3-x86_64", &payload), ("4.17.3-x86_64-cli", &cli)] {
        let link = fs::read_link(base.join("manifests").join(tag)).unwrap();
        assert_eq!(link.to_str(), Some(image.digest().as_str()));
        for blob in &image.blobs {
            let bytes = fs::read(base.join("blobs").join(blob.digest())).unwrap();
            assert_eq!(bytes, blob.bytes);
        }
    }
    let all = files(&to);
    assert!(
        all.iter()
            .all(|file| file.starts_with("v2/openshift/release/") || file.starts_with("config/")),
        "{all:?}"
    );
    let name = format!("signature-sha256-{}.json", &payload.digest()[7..23]);
    let text = fs::read_to_string(to.join("config").join(name)).unwrap();
    let object: serde_json::Value = serde_json::from_str(&text).unwrap();
    let key = format!("{}-1", payload.digest().replace(':', "-"));
    let base64 = object["binaryData"][key].as_str().unwrap();
    assert_eq!(STANDARD.decode(base64).unwrap(), message);
}
