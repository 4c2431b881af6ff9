//! Releases made by tests: payloads, and throwaway keys that sign them.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::images::{Build, Image};
use super::tools;

/// Path in a payload of the list of its components.
pub const IMAGE_REFERENCES: &str = "release-manifests/image-references";

/// Makes an image stream of components, each with its reference.
pub fn image_references(version: &str, components: &[(&str, &str)]) -> Vec<u8> {
    let tag = |(name, image): &(&str, &str)| {
        json!({
            "name": name,
            "annotations": {
                "io.openshift.build.commit.id": "0123456789abcdef0123456789abcdef01234567",
                "io.openshift.build.source-location": format!("https://example.com/{name}"),
            },
            "from": { "kind": "DockerImage", "name": image },
            "generation": 2,
            "importPolicy": {},
            "referencePolicy": { "type": "Source" },
        })
    };
    let tags: Vec<_> = components.iter().map(tag).collect();
    let stream = json!({
        "kind": "ImageStream",
        "apiVersion": "image.openshift.io/v1",
        "metadata": { "name": version, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "lookupPolicy": { "local": false }, "tags": tags },
    });
    serde_json::to_vec(&stream).expect("plain values")
}

/// Makes a payload: a base layer, and the release's manifests on top.
pub fn payload(platform: &str, files: &[(&str, &[u8])]) -> Image {
    let build = Build::docker("release").platform(platform);
    build.layer(2048).files(files).image()
}

/// A throwaway OpenPGP key.
pub struct Signer {
    home: tempfile::TempDir,
    name: String,
}

impl Signer {
    /// Generates the key.
    #[track_caller]
    pub fn new(name: &str) -> Self {
        tools::require("gpg");
        let signer = Self {
            home: tempfile::tempdir().expect("a temporary directory"),
            name: format!("{name}@example.com"),
        };
        signer.gpg(
            &[
                "--quick-generate-key",
                &signer.name,
                "rsa2048",
                "sign",
                "never",
            ],
            b"",
        );
        signer
    }

    /// Returns the public key, armored.
    #[track_caller]
    pub fn public_key(&self) -> String {
        let key = self.gpg(&["--armor", "--export", &self.name], b"");
        String::from_utf8(key).expect("text")
    }

    /// Returns a signed message over a digest.
    #[track_caller]
    pub fn sign(&self, digest: &str) -> Vec<u8> {
        let body = json!({
            "critical": {
                "type": "atomic container signature",
                "image": { "docker-manifest-digest": digest },
                "identity": { "docker-reference": "example.com/release:1" },
            },
            "optional": { "creator": "test" },
        });
        self.gpg(&["--sign"], body.to_string().as_bytes())
    }

    /// Makes the ConfigMap by which a payload names this key and a store of signatures.
    #[track_caller]
    pub fn config_map(&self, store: &str) -> Vec<u8> {
        let config_map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": "release-verification",
                "namespace": "openshift-config-managed",
                "annotations": { "release.openshift.io/verification-config-map": "" },
            },
            "data": { "verifier-public-key-test": self.public_key(), "store-test": store },
        });
        serde_json::to_vec(&config_map).expect("plain values")
    }

    #[track_caller]
    fn gpg(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        use std::io::Write as _;

        let mut child = Command::new("gpg")
            .env("GNUPGHOME", self.home.path())
            .args([
                "--batch",
                "--quiet",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
            ])
            .args(["--passphrase", "", "--trust-model", "always"])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("gpg runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("gpg listens");
        drop(stdin);
        let output = child.wait_with_output().expect("gpg ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "gpg {args:?}: {said}");
        output.stdout
    }
}

impl Drop for Signer {
    /// Ends the agent that gpg started, which holds the key.
    fn drop(&mut self) {
        let mut command = Command::new("gpgconf");
        command.env("GNUPGHOME", self.home.path());
        let _ = command.args(["--kill", "all"]).output();
    }
}

/// Publishes a signature in a store that is a directory.
pub fn publish_signature(store: &Path, digest: &str, number: u32, message: &[u8]) {
    let directory = store.join(digest.replace(':', "="));
    fs::create_dir_all(&directory).expect("a directory");
    fs::write(directory.join(format!("signature-{number}")), message).expect("a file");
}
