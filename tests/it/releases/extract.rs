//! `airferry release extract` with signed and unsigned releases.

use super::*;
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::docker_list;
use crate::support::proxy::{Fate, Proxy};

const UNSIGNED: &str = "--allow-unsigned-release";

impl Scene {
    /// Extracts the client, with the signer's key as the trusted one.
    pub(super) fn extract(&self, from: &str, to: &str, more: &[&str]) -> Outcome {
        let keys = self.keys();
        let trust = ["--release-keys", keys.to_str().unwrap()];
        self.extract_trusting(from, to, &[&trust[..], more].concat())
    }

    fn extract_trusting(&self, from: &str, to: &str, more: &[&str]) -> Outcome {
        let mut command = self.stage.importer.command();
        command.args(["release", "extract", "--command", "oc"]);
        command.args(["--command-os", "linux", "--platform", "linux/amd64"]);
        command.args(["--from", from, "--to"]).arg(self.at(to));
        command.args(["--tls-verify=false", "--quiet"]).args(more);
        Outcome::of(command)
    }

    #[track_caller]
    pub(super) fn has_client(&self, to: &str, version: &str) {
        let found = fs::read(self.at(to).join("oc")).unwrap();
        assert!(found == oc(Some(version)));
    }
}

#[test]
fn the_signer_is_named() {
    let scene = Scene::new();
    let payload = scene.payload("linux/amd64", "4.18.0");
    let reference = scene.publish("4.18.0", &payload);
    scene.sign(&payload.digest());
    // The flag that accepts unsigned releases makes no difference for a signed one.
    for more in [&[][..], &[UNSIGNED]] {
        let done = scene.extract(&reference, "bin", more).succeeds();
        done.stdout_has("signed by ");
        assert!(!done.stdout.contains("NOT SIGNED"), "{done}");
        scene.has_client("bin", "4.18.0");
    }
}

/// Some registries answer 403 for content that they do not have. The component is then read from
/// its own repository.
#[test]
fn a_repository_that_refuses_a_component_does_not_end_the_search() {
    let scene = Scene::new();
    let payload = scene.payload("linux/amd64", "4.18.0");
    scene.publish("4.18.0", &payload);
    scene.sign(&payload.digest());
    let proxy = Proxy::before(&scene.stage.source.host().to_string());
    let component = format!("okd/release/manifests/{}", component("cli").digest());
    proxy.rule(move |_, target| match target.contains(&component) {
        true => Fate::Answer(403, "DENIED"),
        false => Fate::Pass,
    });
    let reference = format!("{}/okd/release:4.18.0", proxy.host());
    scene.extract(&reference, "bin", &[]).succeeds();
    scene.has_client("bin", "4.18.0");
    let asked = proxy.take();
    assert!(
        asked
            .iter()
            .any(|p| p.target.contains("okd/release/manifests/sha256:")),
        "{asked:?}"
    );
}

/// A misspelled path of a store is an error, and does not mean that there are no signatures.
#[test]
fn a_store_that_is_not_there_is_refused() {
    let scene = Scene::new();
    let payload = scene.payload("linux/amd64", "4.18.0");
    let reference = scene.publish("4.18.0", &payload);
    scene.sign(&payload.digest());
    let misspelt = [UNSIGNED, "--signature-store", "/stroe"];
    let failed = scene.extract(&reference, "bin", &misspelt).fails_with(2);
    failed.stderr_has("no directory `/stroe`");
    scene.nothing_at("bin");
}

#[test]
fn only_absence_is_waived() {
    let scene = Scene::new();
    let payload = scene.payload("linux/amd64", "4.18.0");
    let reference = scene.publish("4.18.0", &payload);
    let failed = scene.extract(&reference, "bin", &[]).fails_with(3);
    failed
        .stderr_has("no store has a signature")
        .stderr_has(UNSIGNED);
    scene.nothing_at("bin");
    let done = scene.extract(&reference, "bin", &[UNSIGNED]).succeeds();
    done.stdout_has("NOT SIGNED").stderr_has("is UNSIGNED");
    fs::remove_dir_all(scene.at("bin")).unwrap();

    let digest = payload.digest();
    let good = scene.signer.sign(&digest);
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let other = format!("sha256:{}", "1".repeat(64));
    for message in [
        flipped,
        Signer::new("stranger").sign(&digest),
        scene.signer.sign(&other),
        good[..60].to_vec(),
        b"<html>".to_vec(),
        Vec::new(),
    ] {
        publish_signature(&scene.store(), &digest, 1, &message);
        let store = scene.store();
        let named = [UNSIGNED, "--signature-store", store.to_str().unwrap()];
        for more in [&[][..], &[UNSIGNED], &named] {
            let failed = scene.extract(&reference, "bin", more).fails_with(3);
            assert!(!failed.stderr.contains(UNSIGNED), "{failed}");
            scene.nothing_at("bin");
        }
    }
    // A good signature beside a bad one is enough.
    publish_signature(&scene.store(), &digest, 2, &good);
    scene.extract(&reference, "bin", &[]).succeeds();
}

#[test]
fn what_is_not_known_is_not_absent() {
    let scene = Scene::new();
    let payload = scene.payload("linux/amd64", "4.18.0");
    let reference = scene.publish("4.18.0", &payload);
    scene.sign(&payload.digest());
    let dead = ["--signature-store", "http://127.0.0.1:9/", "--retries", "0"];
    let more = [&dead[..], &[UNSIGNED]].concat();
    let failed = scene.extract(&reference, "bin", &more).fails_with(6);
    failed.stderr_has("--signature-store");
    // The key in the payload is not pinned.
    for more in [&[][..], &[UNSIGNED]] {
        let failed = scene.extract_trusting(&reference, "bin", more);
        failed.fails_with(3).stderr_has("--release-keys");
    }
    // If the ConfigMap cannot be read, it is unknown whether there are signatures.
    let references = scene.references("4.18.0");
    let config_map = scene.config_map();
    let broken = String::from_utf8(config_map).unwrap();
    let broken = broken.replace("BEGIN PGP PUBLIC KEY BLOCK", "BEGIN NOTHING");
    let files = [
        (IMAGE_REFERENCES, &references[..]),
        (CONFIG_MAP, broken.as_bytes()),
    ];
    let reference = scene.publish("broken", &super::payload("linux/amd64", &files));
    scene.extract(&reference, "bin", &[UNSIGNED]).fails_with(4);
    scene.nothing_at("bin");
}

#[test]
fn a_payload_has_one_version() {
    let scene = Scene::new();
    let references = scene.references("4.18.0");
    let metadata = br#"{"kind": "cincinnati-metadata-v0", "version": "4.18.1"}"#;
    let files = [
        (IMAGE_REFERENCES, &references[..]),
        ("release-manifests/release-metadata", metadata),
    ];
    let reference = scene.publish("two", &super::payload("linux/amd64", &files));
    for failed in [
        scene.extract(&reference, "bin", &[UNSIGNED]),
        scene.export("bundle", &["--release", &reference, UNSIGNED]),
    ] {
        failed
            .fails_with(4)
            .stderr_has("4.18.0")
            .stderr_has("4.18.1");
    }
}

#[test]
fn what_was_imported_is_extracted_where_no_store_can_be_reached() {
    let scene = Scene::new();
    let (references, config_map) = (
        scene.references("4.18.0"),
        scene.signer.config_map("http://127.0.0.1:9/"),
    );
    let files = [
        (IMAGE_REFERENCES, &references[..]),
        (CONFIG_MAP, &config_map),
    ];
    let payload = super::payload("linux/amd64", &files);
    let reference = scene.publish("4.18.0", &payload);
    scene.sign(&payload.digest());
    let store = scene.store();
    let store = ["--signature-store", store.to_str().unwrap()];
    let export = [&["--release", reference.as_str()][..], &store].concat();
    scene.export("bundle", &export).succeeds();

    // From the bundle, which carries the signature.
    let bundle = scene.at("bundle");
    let (bundle, trusted) = (bundle.to_str().unwrap(), scene.stage.trusted());
    let trust = ["--trust", trusted.to_str().unwrap()];
    let done = scene.extract(bundle, "from-bundle", &trust).succeeds();
    done.stdout_has("signed by ");
    scene.has_client("from-bundle", "4.18.0");
    let more = [&trust[..], &[UNSIGNED]].concat();
    scene
        .extract_trusting(bundle, "unpinned", &more)
        .fails_with(3);
    scene.nothing_at("unpinned");

    // From the mirror, with the signatures that its import wrote.
    let target = DockerRegistry::start();
    let to = format!("{}/okd", target.host());
    let (out, keys) = (scene.at("out"), scene.keys());
    let out = out.to_str().unwrap();
    let more = ["--resources", out, "--release-keys", keys.to_str().unwrap()];
    let done = scene
        .stage
        .import(&scene.at("bundle"), &to, &more)
        .succeeds();
    done.stdout_has(&format!("--signature-store {out} --release-keys "));
    done.stdout_has(" --tls-verify=false --to .");
    let mirror = format!("{to}:4.18.0-x86_64");
    scene
        .extract(&mirror, "cut-off", &["--retries", "0"])
        .fails_with(6)
        .stderr_has("--signature-store");
    let hex = payload.digest().replace("sha256:", "");
    let file = format!("{out}/apply/signature-sha256-{}.json", &hex[..16]);
    for store in [out, &file] {
        let done = scene.extract(&mirror, "from-mirror", &["--signature-store", store]);
        done.succeeds().stdout_has("signed by ");
        scene.has_client("from-mirror", "4.18.0");
    }
}

#[test]
fn a_list_is_signed_or_the_image_that_is_read() {
    let scene = Scene::new();
    let (amd, arm) = (
        scene.payload("linux/amd64", "4.18.0"),
        scene.payload("linux/arm64", "4.18.0"),
    );
    let list = docker_list([&amd, &arm]);
    let reference = scene.publish("multi", &list);
    scene.sign(&arm.digest());
    scene.extract(&reference, "bin", &[]).fails_with(3);
    scene.sign(&amd.digest());
    scene.extract(&reference, "bin", &[]).succeeds();
    fs::remove_dir_all(scene.store()).unwrap();
    scene.sign(&list.digest());
    scene.extract(&reference, "bin", &[]).succeeds();
    // A good signature of the image does not make up for a bad one of its list.
    scene.sign(&amd.digest());
    let bad = scene.signer.sign(&amd.digest());
    publish_signature(&scene.store(), &list.digest(), 1, &bad);
    scene.extract(&reference, "bin", &[]).fails_with(3);
}
