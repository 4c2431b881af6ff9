//! The content of payloads, and images that are no payloads.

use super::{CONFIG_MAP, Scene, component};
use crate::support::images::{Build, docker_list};
use crate::support::proxy::{Fate, Proxy};
use crate::support::releases::{IMAGE_REFERENCES, image_references, payload};

const UNSIGNED: &str = "--allow-unsigned-release";

#[test]
fn a_release_brings_its_components() {
    let scene = Scene::new();
    let image = scene.payload("linux/amd64", "4.18.0-okd-scos.1");
    scene.sign(&image.digest());
    let reference = scene.publish("v1", &image);

    let planned = scene
        .export("bundle", &["--release", &reference, "--dry-run"])
        .succeeds();
    planned
        .stdout_has(
            "release 4.18.0-okd-scos.1 amd64, 2 components, 1 signature over the release image",
        )
        .stdout_has(&format!("  etcd  {}", scene.pinned(&component("etcd"))));
    scene.nothing_at("bundle");

    let done = scene.export_json("bundle", &["--release", &reference], 0);
    assert_eq!(done["complete"], true);
    assert_eq!(done["images"].as_array().unwrap().len(), 3);
    let release = &done["releases"][0];
    assert_eq!(release["version"], "4.18.0-okd-scos.1");
    assert_eq!(release["architecture"], "amd64");
    assert_eq!(release["signed_over"], "release");
    let names: Vec<_> = release["components"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| &c["name"])
        .collect();
    assert_eq!(names, ["cli", "etcd"]);
    scene
        .verify("bundle")
        .succeeds()
        .stdout_has("release 4.18.0");
    let seen = scene.inspect("bundle");
    assert_eq!(seen["releases"], done["releases"]);

    // The same command finds everything present.
    let again = scene.export_json("bundle", &["--release", &reference], 0);
    assert_eq!(again["state"], "already-complete");
    assert_eq!(again["releases"], done["releases"]);
}

#[test]
fn the_last_layer_decides_and_whiteouts_count() {
    let scene = Scene::new();
    let (old, new) = (scene.references("4.1.0"), scene.references("4.2.0"));
    let lone = image_references("4.3.0", &[("cli", &scene.pinned(&component("cli")))]);
    let export = |name: &str, build: Build| {
        let reference = scene.publish(name, &build.image());
        scene.export(
            name,
            &["--release", &reference, UNSIGNED, "--output", "json"],
        )
    };
    let below = || Build::docker("layers").files(&[(IMAGE_REFERENCES, &old)]);

    let over = export("over", below().files(&[(IMAGE_REFERENCES, &new)]).layer(64));
    assert_eq!(over.succeeds().json()["releases"][0]["version"], "4.2.0");

    let hidden = export(
        "gone",
        below().files(&[("release-manifests/.wh.image-references", b"")]),
    );
    hidden
        .fails_with(4)
        .stderr_has("it has no `release-manifests/image-references`");
    scene.nothing_at("gone");

    let replaced = below().files(&[
        ("release-manifests/.wh..wh..opq", b""),
        (IMAGE_REFERENCES, &lone),
    ]);
    let replaced = export("opaque", replaced).succeeds().json();
    assert_eq!(
        replaced["releases"][0]["components"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[test]
fn what_is_no_release_is_an_error_before_anything_is_written() {
    let scene = Scene::new();
    let host = scene.stage.source.host();
    let tagged = image_references("4.1.0", &[("cli", &format!("{host}/okd/content:cli"))]);
    let nameless = image_references("latest", &[("cli", &scene.pinned(&component("cli")))]);
    let twice = scene.pinned(&component("cli"));
    let twice = image_references("4.1.0", &[("cli", &twice), ("cli", &twice)]);
    for (name, references, says) in [
        (
            "tagged",
            &tagged[..],
            "should only contain pointers to images by digest",
        ),
        ("nameless", &nameless, "does not name the version"),
        ("twice", &twice, "lists `cli` twice"),
        ("empty", b"{}", "not an `ImageStream`"),
        ("list", b"[]", "cannot be read"),
    ] {
        let reference = scene.publish(
            name,
            &payload("linux/amd64", &[(IMAGE_REFERENCES, references)]),
        );
        let failed = scene.export(name, &["--release", &reference, UNSIGNED]);
        failed.fails_with(4).stderr_has(says);
        scene.nothing_at(name);
    }
    let plain = scene.publish("plain", &component("plain"));
    let failed = scene
        .export("plain", &["--release", &plain, UNSIGNED])
        .fails_with(4);
    failed.stderr_has("it has no `release-manifests/image-references`");

    let absent = format!("{host}/okd/release:absent");
    scene
        .export("absent", &["--release", &absent])
        .fails_with(5)
        .stderr_has("cannot be read from its registry");
    scene.nothing_at("absent");
}

/// A refusal by the registry is no failure of the network: running the command again does not help.
#[test]
fn a_release_that_may_not_be_read_is_a_matter_of_credentials() {
    let scene = Scene::new();
    scene.publish("v1", &scene.payload("linux/amd64", "4.18.0"));
    let proxy = Proxy::before(&scene.stage.source.host().to_string());
    proxy.rule(
        |_, target| match target.contains("okd/release/manifests/") {
            true => Fate::Answer(403, "DENIED"),
            false => Fate::Pass,
        },
    );
    let reference = format!("{}/okd/release:v1", proxy.host());
    scene
        .export("denied", &["--release", &reference])
        .fails_with(5)
        .stderr_has("hint: log in with `podman login")
        .hides("when the network is back");
}

#[test]
fn a_component_that_is_gone_leaves_an_incomplete_bundle_that_can_be_completed() {
    let scene = Scene::new();
    let late = component("late");
    let (cli, gone) = (scene.pinned(&component("cli")), scene.pinned(&late));
    let references = image_references("4.1.0", &[("cli", &cli), ("late", &gone)]);
    let config_map = scene.config_map();
    let image = payload(
        "linux/amd64",
        &[(IMAGE_REFERENCES, &references), (CONFIG_MAP, &config_map)],
    );
    scene.sign(&image.digest());
    let reference = scene.publish("v1", &image);
    let done = scene
        .export("bundle", &["--release", &reference])
        .fails_with(5);
    done.stderr_has(&gone);
    let seen = scene.inspect("bundle");
    assert_eq!(seen["complete"], false);
    assert_eq!(seen["releases"][0]["components"][1]["missing"], true);

    // The release was settled in the first run: neither the payload nor a signature is fetched
    // again.
    scene.stage.publish("okd/content", "late", &late);
    std::fs::remove_dir_all(scene.store()).unwrap();
    let other = scene.payload("linux/amd64", "4.2.0");
    scene.publish("v1", &other);
    let completed = scene.export_json("bundle", &["--release", &reference], 0);
    assert_eq!(completed["complete"], true);
    assert_eq!(completed["generation"], 2);
    assert_eq!(completed["releases"][0]["version"], "4.1.0");
    assert_eq!(completed["releases"][0]["signatures"], 1);
    assert_eq!(completed["releases"][0]["components"][1]["missing"], false);
    scene.verify("bundle").succeeds();
}

#[test]
fn a_list_brings_all_architectures() {
    let scene = Scene::new();
    let build =
        |name: &str, platform: &str| Build::docker(name).platform(platform).layer(512).image();
    let both = docker_list([&build("both", "linux/amd64"), &build("both", "linux/arm64")]);
    scene.stage.publish("okd/content", "both", &both);
    let references = image_references("4.1.0", &[("both", &scene.pinned(&both))]);
    let image = |platform: &str| payload(platform, &[(IMAGE_REFERENCES, &references)]);
    let list = docker_list([&image("linux/amd64"), &image("linux/arm64")]);
    let reference = scene.publish("multi", &list);
    let done = scene.export_json("bundle", &["--release", &reference, UNSIGNED], 0);
    assert_eq!(done["releases"][0]["architecture"], "multi");
    assert_eq!(done["images"].as_array().unwrap().len(), 2);
    assert_eq!(done["manifests"], 6);

    let other = image_references("4.1.0", &[("cli", &scene.pinned(&component("cli")))]);
    let other = payload("linux/arm64", &[(IMAGE_REFERENCES, &other)]);
    let reference = scene.publish("torn", &docker_list([&image("linux/amd64"), &other]));
    let failed = scene
        .export("torn", &["--release", &reference, UNSIGNED])
        .fails_with(4);
    failed.stderr_has("differ in version");
    scene.nothing_at("torn");
    // Of a list, only the requested platforms count.
    let one = [
        "--release",
        &reference,
        UNSIGNED,
        "--platform",
        "linux/amd64",
    ];
    let done = scene.export_json("one", &one, 0);
    assert_eq!(done["releases"][0]["architecture"], "multi");
    assert_eq!(done["manifests"], 4);
}
