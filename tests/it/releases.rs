//! Releases in the built program, from a real registry and with real signatures.

mod by_version;
mod content;
mod extract;
mod far_side;
mod genuine;
mod real_graph;
mod resume;
mod signatures;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::command::Outcome;
use crate::support::images::{Build, Image};
use crate::support::releases::{
    IMAGE_REFERENCES, Signer, image_references, payload, publish_signature,
};
use crate::support::stage::Stage;

/// Path of the verification ConfigMap in payloads.
const CONFIG_MAP: &str = "release-manifests/0000_90_keys_configmap.yaml";

/// Both sides of the gap, a registry with the images of releases, and a key that signs them.
struct Scene {
    stage: Stage,
    signer: Signer,
}

impl Scene {
    /// Makes a scene whose registry holds the components `cli` and `etcd`.
    #[track_caller]
    fn new() -> Self {
        let scene = Self {
            stage: Stage::new(),
            signer: Signer::new("releases"),
        };
        fs::write(scene.keys(), scene.signer.public_key()).unwrap();
        for name in ["cli", "etcd"] {
            scene.stage.publish("okd/content", name, &component(name));
        }
        scene
    }

    /// Returns the path of the file with the signer's public key.
    fn keys(&self) -> PathBuf {
        self.stage.exporter.path("keys.asc")
    }

    /// Returns the path of the directory with signatures.
    fn store(&self) -> PathBuf {
        self.stage.exporter.path("store")
    }

    /// Returns a component's reference by digest.
    fn pinned(&self, image: &Image) -> String {
        format!(
            "{}/okd/content@{}",
            self.stage.source.host(),
            image.digest()
        )
    }

    /// Returns the list of the two components, as a payload has it.
    fn references(&self, version: &str) -> Vec<u8> {
        let (cli, etcd) = (
            self.pinned(&component("cli")),
            self.pinned(&component("etcd")),
        );
        image_references(version, &[("etcd", &etcd), ("cli", &cli)])
    }

    /// Returns the ConfigMap that names the signer's key and store.
    fn config_map(&self) -> Vec<u8> {
        let store = self.store();
        self.signer
            .config_map(&format!("file://{}", store.display()))
    }

    /// Makes a payload of the two components with a ConfigMap; it is not signed yet.
    fn payload(&self, platform: &str, version: &str) -> Image {
        let (references, config_map) = (self.references(version), self.config_map());
        payload(
            platform,
            &[(IMAGE_REFERENCES, &references), (CONFIG_MAP, &config_map)],
        )
    }

    /// Publishes a payload; returns its reference.
    fn publish(&self, tag: &str, payload: &Image) -> String {
        self.stage.publish("okd/release", tag, payload)
    }

    /// Signs a digest, and puts the signature into the store.
    fn sign(&self, digest: &str) {
        publish_signature(&self.store(), digest, 1, &self.signer.sign(digest));
    }

    /// Exports with the signer's key as the trusted one.
    fn export(&self, bundle: &str, more: &[&str]) -> Outcome {
        let keys = self.keys();
        let trust = ["--release-keys", keys.to_str().unwrap()];
        self.stage
            .try_export(bundle, &[], &[&trust[..], more].concat())
    }

    /// Verifies a bundle strictly, with the signer's key as the trusted one. Releases without
    /// signatures are accepted.
    fn verify(&self, bundle: &str) -> Outcome {
        let keys = self.keys();
        let more = [
            "--strict",
            "--allow-unsigned-release",
            "--release-keys",
            keys.to_str().unwrap(),
        ];
        self.stage.verify(&self.at(bundle), &more)
    }

    /// Exports, asserts the exit code, and returns the JSON result.
    #[track_caller]
    fn export_json(&self, bundle: &str, more: &[&str], code: i32) -> Value {
        let json = ["--output", "json"];
        self.export(bundle, &[more, &json[..]].concat())
            .fails_with(code)
            .json()
    }

    /// Returns the JSON result of `inspect`.
    #[track_caller]
    fn inspect(&self, bundle: &str) -> Value {
        let mut command = self.stage.importer.command();
        command
            .arg("inspect")
            .arg(self.at(bundle))
            .args(["--output", "json"]);
        Outcome::of(command).succeeds().json()
    }

    fn at(&self, bundle: &str) -> PathBuf {
        self.stage.at(bundle)
    }

    #[track_caller]
    fn nothing_at(&self, bundle: &str) {
        let path = self.at(bundle);
        let left: Vec<_> = entries(&path);
        assert!(left.is_empty(), "{left:?}");
    }
}

fn entries(directory: &Path) -> Vec<String> {
    match directory.exists() {
        true => crate::support::stage::files(directory),
        false => Vec::new(),
    }
}

/// Builds a component's image.
fn component(name: &str) -> Image {
    let build = Build::docker(name).layer(4096);
    match name {
        "cli" => build.files_layer(false, &[("usr/bin/oc", &oc(None))]),
        _ => build,
    }
    .image()
}

/// Returns a client, as it is built or as it is extracted from a release of this version.
fn oc(version: Option<&str>) -> Vec<u8> {
    let mut place = format!("\0_RELEASE_VERSION_LOCATION_\0{}\0", "X".repeat(64)).into_bytes();
    if let Some(version) = version {
        place[..version.len()].copy_from_slice(version.as_bytes());
        place[version.len()] = 0;
    }
    [b"a client", &place[..], b"and its end"].concat()
}
