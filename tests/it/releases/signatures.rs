//! Signatures of releases: no image is copied before they are checked.

use super::{CONFIG_MAP, Scene};
use crate::support::command::Outcome;
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::docker_list;
use crate::support::releases::{IMAGE_REFERENCES, Signer, payload, publish_signature};

const UNSIGNED: &str = "--allow-unsigned-release";

#[test]
fn an_unsigned_release_needs_a_word_and_is_called_so() {
    let scene = Scene::new();
    let references = scene.references("4.1.0");
    let without = scene.publish(
        "without",
        &payload("linux/amd64", &[(IMAGE_REFERENCES, &references)]),
    );
    let unsigned = scene.publish("unsigned", &scene.payload("linux/amd64", "4.1.0"));
    for (name, reference, why) in [
        ("without", without, "contains no signing keys"),
        ("unsigned", unsigned, "no store has a signature"),
    ] {
        let failed = scene.export(name, &["--release", &reference]).fails_with(3);
        failed.stderr_has(why).stderr_has(UNSIGNED);
        scene.nothing_at(name);
        let done = scene
            .export(name, &["--release", &reference, UNSIGNED])
            .succeeds();
        done.stdout_has("UNSIGNED").stderr_has("is UNSIGNED");
        let seen = scene.inspect(name);
        assert_eq!(seen["releases"][0]["signed_over"], "nothing");
        scene
            .stage
            .verify(&scene.at(name), &[UNSIGNED])
            .succeeds()
            .stdout_has("UNSIGNED");
    }
}

/// In every OpenShift payload since 2020, the last key of the ConfigMap stands twice.
#[test]
fn a_config_map_with_a_key_twice_is_read_as_the_cluster_reads_it() {
    let scene = Scene::new();
    let key: String = scene
        .signer
        .public_key()
        .lines()
        .fold(String::new(), |text, line| text + &format!("    {line}\n"));
    let store = scene.store();
    let config_map = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  annotations:\n    \
         release.openshift.io/verification-config-map: \"\"\n  creationTimestamp: null\n  \
         name: release-verification\n  namespace: openshift-config-managed\n  \
         namespace: openshift-config-managed\ndata:\n  store-test: file:///nowhere\n  \
         store-test: file://{}\n  verifier-public-key-test: |\n{key}",
        store.display()
    );
    let references = scene.references("4.18.0");
    let files = [
        (IMAGE_REFERENCES, &references[..]),
        (CONFIG_MAP, config_map.as_bytes()),
    ];
    let image = payload("linux/amd64", &files);
    let reference = scene.publish("4.18.0", &image);
    let release = ["--release", &reference];
    let unsigned = scene.export("unsigned", &release).fails_with(3);
    unsigned.stderr_has("no store has a signature");
    let waived = [&release[..], &[UNSIGNED]].concat();
    scene
        .export("waived", &waived)
        .succeeds()
        .stdout_has("UNSIGNED");

    scene.sign(&image.digest());
    scene.export("signed", &release).succeeds();
    scene.verify("signed").succeeds();
    scene.extract(&reference, "bin", &[]).succeeds();
    scene.has_client("bin", "4.18.0");
    let mut info = scene.stage.importer.command();
    info.args(["release", "info", &reference, "--tls-verify=false"]);
    Outcome::of(info).succeeds().stdout_has("4.18.0");

    let keys = scene.keys();
    let trusting = ["--release-keys", keys.to_str().unwrap()];
    let target = DockerRegistry::start();
    let to = format!("{}/okd", target.host());
    let done = scene.stage.import(&scene.at("signed"), &to, &trusting);
    done.succeeds().stdout_has("signed by ");
}

#[test]
fn a_wrong_signature_is_never_waived() {
    let scene = Scene::new();
    let stranger = Signer::new("stranger");
    let image = scene.payload("linux/amd64", "4.1.0");
    let digest = image.digest();
    let reference = scene.publish("v1", &image);
    let mut flipped = scene.signer.sign(&digest);
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let other = format!("sha256:{}", "1".repeat(64));
    for (name, message) in [
        ("flipped", flipped),
        ("stranger", stranger.sign(&digest)),
        ("other", scene.signer.sign(&other)),
        ("cut", scene.signer.sign(&digest)[..60].to_vec()),
        ("nothing", Vec::new()),
    ] {
        publish_signature(&scene.store(), &digest, 1, &message);
        for more in [&[][..], &[UNSIGNED]] {
            let args = [&["--release", &reference][..], more].concat();
            scene.export(name, &args).fails_with(3);
            scene.nothing_at(name);
        }
    }
    // A good signature beside a bad one is enough.
    publish_signature(&scene.store(), &digest, 2, &scene.signer.sign(&digest));
    scene.export("good", &["--release", &reference]).succeeds();
}

#[test]
fn keys_of_the_payload_alone_prove_nothing() {
    let scene = Scene::new();
    let image = scene.payload("linux/amd64", "4.1.0");
    scene.sign(&image.digest());
    let reference = scene.publish("v1", &image);
    let release = ["--release", &reference];
    // Without --release-keys only the built-in keys are trusted, and this key is not one of them.
    for more in [&[][..], &[UNSIGNED]] {
        let failed = scene
            .stage
            .try_export("built-in", &[], &[&release[..], more].concat());
        failed
            .fails_with(3)
            .stderr_has("is trusted")
            .stderr_has("--release-keys");
        scene.nothing_at("built-in");
    }
}

#[test]
fn another_store_can_be_named() {
    let scene = Scene::new();
    let references = scene.references("4.1.0");
    let config_map = scene.signer.config_map("file:///nowhere/at/all");
    let files = [
        (IMAGE_REFERENCES, &references[..]),
        (CONFIG_MAP, &config_map),
    ];
    let image = payload("linux/amd64", &files);
    scene.sign(&image.digest());
    let reference = scene.publish("v1", &image);
    scene
        .export("bundle", &["--release", &reference])
        .fails_with(3);
    let store = scene.store();
    let store = [
        "--release",
        &reference,
        "--signature-store",
        store.to_str().unwrap(),
    ];
    scene.export("bundle", &store).succeeds();
}

#[test]
fn a_store_that_does_not_answer_is_not_a_missing_signature() {
    let scene = Scene::new();
    let reference = scene.publish("v1", &scene.payload("linux/amd64", "4.1.0"));
    let store = ["--signature-store", "http://127.0.0.1:9/", "--retries", "0"];
    let args = [&["--release", &reference, UNSIGNED][..], &store].concat();
    scene.export("bundle", &args).fails_with(6);
    scene.nothing_at("bundle");
}

#[test]
fn a_list_is_signed_as_such_or_image_by_image() {
    let scene = Scene::new();
    let (amd, arm) = (
        scene.payload("linux/amd64", "4.1.0"),
        scene.payload("linux/arm64", "4.1.0"),
    );
    let list = docker_list([&amd, &arm]);
    let reference = scene.publish("multi", &list);
    let release = ["--release", reference.as_str()];
    scene.sign(&amd.digest());
    for more in [&[][..], &[UNSIGNED]] {
        let failed = scene
            .export("half", &[&release[..], more].concat())
            .fails_with(3);
        failed.stderr_has(&arm.digest());
        scene.nothing_at("half");
    }
    scene.sign(&arm.digest());
    let done = scene.export_json("each", &release, 0);
    assert_eq!(done["releases"][0]["signed_over"], "each-image");
    assert_eq!(done["releases"][0]["signatures"], 2);
    scene.sign(&list.digest());
    let done = scene.export_json("list", &release, 0);
    assert_eq!(done["releases"][0]["signed_over"], "release");
    assert_eq!(done["releases"][0]["signatures"], 1);
}
