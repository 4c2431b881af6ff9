//! Images made from a seed alone: the same calls give the same bytes on every machine.
//!
//! ```ignore
//! let amd64 = Build::oci("app").layer(64 * 1024).zstd_layer(1024).image();
//! let arm64 = Build::oci("app").platform("linux/arm64").layer(64 * 1024).image();
//! let app = index([&amd64, &arm64]);
//! let sbom = Build::artifact("application/spdx+json").file(b"{}").subject(&app).image();
//! publish::push("127.0.0.1:5000", "team/app", Some("v1"), &app);
//! ```
//!
//! Independent of the code under test, except for parsing platforms: a bug there cannot hide here.

pub mod publish;

use std::io::Write;

use airferry::model::Platform;
use serde_json::{Value, json};
use sha2::Digest as _;

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
const OCI_EMPTY: &str = "application/vnd.oci.empty.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";

/// Bytes with their media type: a layer or a configuration.
#[derive(Debug, Clone)]
pub struct Blob {
    pub media_type: String,
    pub bytes: Vec<u8>,
    /// URLs of a foreign layer; such a layer is in no registry.
    pub urls: Vec<String>,
}

/// A manifest with everything that it names: an image, an artifact, or an index with its children.
#[derive(Debug, Clone)]
pub struct Image {
    pub media_type: &'static str,
    /// Bytes of the manifest, as it is stored.
    pub bytes: Vec<u8>,
    /// Configuration and layers; none for an index.
    pub blobs: Vec<Blob>,
    /// Images that an index lists.
    pub children: Vec<Image>,
    platform: Option<Platform>,
    artifact_type: Option<String>,
}

/// Returns `sha256:<hex>` of some bytes.
pub fn digest_of(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(sha2::Sha256::digest(bytes)))
}

/// Returns bytes that depend on the seed alone and do not compress.
pub fn noise(seed: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut hasher = blake3::Hasher::new();
    hasher.update(seed.as_bytes());
    hasher.finalize_xof().fill(&mut bytes);
    bytes
}

impl Blob {
    /// Returns the blob's digest.
    pub fn digest(&self) -> String {
        digest_of(&self.bytes)
    }

    fn descriptor(&self) -> Value {
        let mut descriptor = descriptor(&self.media_type, &self.bytes);
        if !self.urls.is_empty() {
            descriptor["urls"] = json!(self.urls);
        }
        descriptor
    }
}

impl Image {
    /// Returns the manifest's digest.
    pub fn digest(&self) -> String {
        digest_of(&self.bytes)
    }

    /// Returns the tag by which older versions of cosign find what belongs to this image:
    /// `sha256-<hex>.sig`, `.att` or `.sbom`.
    pub fn cosign_tag(&self, ending: &str) -> String {
        format!("{}.{ending}", self.fallback_tag())
    }

    /// Returns the tag of the referrers list in registries without the referrers API (OCI
    /// distribution-spec, "Referrers Tag Schema").
    pub fn fallback_tag(&self) -> String {
        self.digest().replace(':', "-")
    }

    /// Returns this image and everything below it, children first.
    pub fn walk(&self) -> Vec<&Image> {
        let below = self.children.iter().flat_map(Image::walk);
        below.chain([self]).collect()
    }

    /// Returns the number of bytes of all distinct blobs and manifests that a registry stores for
    /// it.
    pub fn stored_bytes(&self) -> u64 {
        let mut seen = std::collections::BTreeMap::new();
        for image in self.walk() {
            seen.insert(image.digest(), image.bytes.len() as u64);
            for blob in image.blobs.iter().filter(|blob| blob.urls.is_empty()) {
                seen.insert(blob.digest(), blob.bytes.len() as u64);
            }
        }
        seen.values().sum()
    }

    fn descriptor(&self) -> Value {
        let mut descriptor = descriptor(self.media_type, &self.bytes);
        if let Some(platform) = &self.platform {
            let mut value = json!({ "os": platform.os, "architecture": platform.architecture });
            if let Some(variant) = &platform.variant {
                value["variant"] = json!(variant);
            }
            descriptor["platform"] = value;
        }
        if let Some(kind) = &self.artifact_type {
            descriptor["artifactType"] = json!(kind);
        }
        descriptor
    }
}

/// Makes an OCI index of images, artifacts or further indexes.
pub fn index<'a>(children: impl IntoIterator<Item = &'a Image>) -> Image {
    list(OCI_INDEX, children)
}

/// Makes a Docker manifest list.
pub fn docker_list<'a>(children: impl IntoIterator<Item = &'a Image>) -> Image {
    list(DOCKER_LIST, children)
}

/// Makes many images of one tiny layer each, like those of a release.
pub fn many(seed: &str, count: usize) -> Vec<Image> {
    (0..count)
        .map(|number| Build::docker(&format!("{seed} {number}")).layer(64).image())
        .collect()
}

fn list<'a>(media_type: &'static str, children: impl IntoIterator<Item = &'a Image>) -> Image {
    let children: Vec<Image> = children.into_iter().cloned().collect();
    let manifests: Vec<Value> = children.iter().map(Image::descriptor).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "manifests": manifests,
    });
    Image {
        media_type,
        bytes: json_bytes(&manifest),
        blobs: Vec::new(),
        children,
        platform: None,
        artifact_type: None,
    }
}

/// Kind of the manifest that is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Oci,
    Docker,
    Artifact,
}

/// Builds an image or an artifact, layer by layer.
#[derive(Debug, Clone)]
pub struct Build {
    style: Style,
    seed: String,
    platform: Platform,
    layers: Vec<Blob>,
    diff_ids: Vec<String>,
    annotations: serde_json::Map<String, Value>,
    labels: serde_json::Map<String, Value>,
    settings: serde_json::Map<String, Value>,
    subject: Option<Value>,
}

impl Build {
    /// Begins an OCI image for linux/amd64. Images with different seeds have different content.
    pub fn oci(seed: &str) -> Self {
        Self::new(Style::Oci, seed)
    }

    /// Begins a Docker image (version 2, schema 2) for linux/amd64.
    pub fn docker(seed: &str) -> Self {
        Self::new(Style::Docker, seed)
    }

    /// Begins an OCI artifact of a type; its files are layers, stored unchanged.
    pub fn artifact(kind: &str) -> Self {
        Self::new(Style::Artifact, kind)
    }

    fn new(style: Style, seed: &str) -> Self {
        Self {
            style,
            seed: seed.to_owned(),
            platform: "linux/amd64".parse().expect("a platform"),
            layers: Vec::new(),
            diff_ids: Vec::new(),
            annotations: serde_json::Map::new(),
            labels: serde_json::Map::new(),
            settings: serde_json::Map::new(),
            subject: None,
        }
    }

    /// Sets the platform, which is part of the seed too.
    #[must_use]
    pub fn platform(mut self, platform: &str) -> Self {
        self.platform = platform.parse().expect("a platform");
        self
    }

    /// Adds an annotation.
    #[must_use]
    pub fn annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), json!(value));
        self
    }

    /// Adds a label to the config.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), json!(value));
        self
    }

    /// Sets a field of the configuration's `config` object, such as `Cmd` or `Labels`.
    #[must_use]
    pub fn setting(mut self, key: &str, value: Value) -> Self {
        self.settings.insert(key.to_owned(), value);
        self
    }

    /// Sets the subject: the image to which this belongs (OCI image-spec, manifest.md, "subject").
    #[must_use]
    pub fn subject(mut self, image: &Image) -> Self {
        self.subject = Some(descriptor(image.media_type, &image.bytes));
        self
    }

    /// Adds a gzip layer of about `bytes` bytes before compression.
    #[must_use]
    pub fn layer(self, bytes: usize) -> Self {
        let tar = self.tar(bytes);
        let media_type = match self.style {
            Style::Docker => DOCKER_LAYER.to_owned(),
            _ => format!("{OCI_LAYER}+gzip"),
        };
        self.push(media_type, gzip(&tar), &tar, None)
    }

    /// Adds a gzip layer that depends only on the given seed and length, so that images can share
    /// it.
    #[must_use]
    pub fn shared_layer(self, seed: &str, bytes: usize) -> Self {
        let other = Self::new(self.style, seed).layer(bytes);
        let (layer, diff_id) = (other.layers[0].clone(), other.diff_ids[0].clone());
        self.add(layer, diff_id)
    }

    /// Adds a zstd layer of about `bytes` bytes before compression.
    #[must_use]
    pub fn zstd_layer(self, bytes: usize) -> Self {
        let tar = self.tar(bytes);
        let packed = zstd::encode_all(tar.as_slice(), 3).expect("in memory");
        self.push(format!("{OCI_LAYER}+zstd"), packed, &tar, None)
    }

    /// Adds a layer that is a plain tar of about `bytes` bytes.
    #[must_use]
    pub fn plain_layer(self, bytes: usize) -> Self {
        let tar = self.tar(bytes);
        self.push(OCI_LAYER.to_owned(), tar.clone(), &tar, None)
    }

    /// Adds a layer with these files, compressed with zstd or gzip: a path with its content or, if
    /// the path ends with `@`, a symbolic link with its target.
    #[must_use]
    pub fn files_layer(self, zstd: bool, files: &[(&str, &[u8])]) -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o755);
            header.set_mtime(0);
            header.set_size(0);
            if let Some(path) = path.strip_suffix('@') {
                let target = std::str::from_utf8(content).expect("a path");
                header.set_entry_type(tar::EntryType::Symlink);
                tar.append_link(&mut header, path, target)
                    .expect("in memory");
            } else {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, *content)
                    .expect("in memory");
            }
        }
        let tar = tar.into_inner().expect("in memory");
        if zstd {
            let packed = zstd::encode_all(tar.as_slice(), 3).expect("in memory");
            return self.push(format!("{OCI_LAYER}+zstd"), packed, &tar, None);
        }
        let media_type = match self.style {
            Style::Docker => DOCKER_LAYER.to_owned(),
            _ => format!("{OCI_LAYER}+gzip"),
        };
        self.push(media_type, gzip(&tar), &tar, None)
    }

    /// Adds a layer that changes nothing: an empty tar.
    #[must_use]
    pub fn empty_layer(self) -> Self {
        let tar = vec![0; 1024];
        let media_type = match self.style {
            Style::Docker => DOCKER_LAYER.to_owned(),
            _ => format!("{OCI_LAYER}+gzip"),
        };
        self.push(media_type, gzip(&tar), &tar, None)
    }

    /// Adds a foreign layer, which is available only at `url`.
    #[must_use]
    pub fn foreign_layer(self, bytes: usize, url: &str) -> Self {
        let tar = self.tar(bytes);
        let media_type = match self.style {
            Style::Docker => DOCKER_FOREIGN,
            _ => OCI_FOREIGN,
        };
        self.push(media_type.to_owned(), gzip(&tar), &tar, Some(url))
    }

    /// Adds a gzip layer with these files, in this order.
    #[must_use]
    pub fn files(self, files: &[(&str, &[u8])]) -> Self {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            tar.append_data(&mut header, path, *content)
                .expect("in memory");
        }
        let tar = tar.into_inner().expect("in memory");
        let media_type = match self.style {
            Style::Docker => DOCKER_LAYER.to_owned(),
            _ => format!("{OCI_LAYER}+gzip"),
        };
        self.push(media_type, gzip(&tar), &tar, None)
    }

    /// Adds a file unchanged; for artifacts.
    #[must_use]
    pub fn file(self, bytes: &[u8]) -> Self {
        self.typed_file("application/octet-stream", bytes)
    }

    /// Adds a file unchanged, with its media type; for artifacts.
    #[must_use]
    pub fn typed_file(self, media_type: &str, bytes: &[u8]) -> Self {
        self.push(media_type.to_owned(), bytes.to_vec(), bytes, None)
    }

    /// Finishes the manifest.
    pub fn image(self) -> Image {
        let (media_type, config) = match self.style {
            Style::Oci => (OCI_MANIFEST, self.config(OCI_CONFIG)),
            Style::Docker => (DOCKER_MANIFEST, self.config(DOCKER_CONFIG)),
            Style::Artifact => (OCI_MANIFEST, blob(OCI_EMPTY, b"{}".to_vec())),
        };
        let layers: Vec<Value> = self.layers.iter().map(Blob::descriptor).collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": config.descriptor(),
            "layers": layers,
        });
        let artifact = self.style == Style::Artifact;
        if artifact {
            manifest["artifactType"] = json!(self.seed);
        }
        if !self.annotations.is_empty() {
            manifest["annotations"] = Value::Object(self.annotations);
        }
        if let Some(subject) = self.subject {
            manifest["subject"] = subject;
        }
        Image {
            media_type,
            bytes: json_bytes(&manifest),
            blobs: [config].into_iter().chain(self.layers).collect(),
            children: Vec::new(),
            platform: (!artifact).then_some(self.platform),
            artifact_type: artifact.then_some(self.seed),
        }
    }

    fn push(self, media_type: String, bytes: Vec<u8>, tar: &[u8], url: Option<&str>) -> Self {
        let urls = url.map(str::to_owned).into_iter().collect();
        let layer = Blob {
            media_type,
            bytes,
            urls,
        };
        let diff_id = digest_of(tar);
        self.add(layer, diff_id)
    }

    fn add(mut self, layer: Blob, diff_id: String) -> Self {
        self.layers.push(layer);
        self.diff_ids.push(diff_id);
        self
    }

    /// Makes a tar with one file of noise, one of text, and a directory.
    fn tar(&self, bytes: usize) -> Vec<u8> {
        let number = self.layers.len();
        let seed = format!("{} {} {number}", self.seed, self.platform);
        let noise = noise(&seed, bytes.div_ceil(2));
        let text: Vec<u8> = seed.bytes().cycle().take(bytes / 2).collect();
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(0o755);
        header.set_mtime(0);
        header.set_size(0);
        tar.append_data(&mut header, format!("layer{number}/"), &[][..])
            .expect("in memory");
        for (name, content) in [("noise", &noise), ("text", &text)] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_mtime(0);
            header.set_size(content.len() as u64);
            let path = format!("layer{number}/{name}");
            tar.append_data(&mut header, path, content.as_slice())
                .expect("in memory");
        }
        tar.into_inner().expect("in memory")
    }

    fn config(&self, media_type: &str) -> Blob {
        let mut config = json!({
            "created": "1970-01-01T00:00:00Z",
            "os": self.platform.os,
            "architecture": self.platform.architecture,
            "config": { "Labels": { "seed": self.seed } },
            "rootfs": { "type": "layers", "diff_ids": self.diff_ids },
        });
        for (key, value) in &self.settings {
            config["config"][key] = value.clone();
        }
        for (key, value) in &self.labels {
            config["config"]["Labels"][key] = value.clone();
        }
        if let Some(variant) = &self.platform.variant {
            config["variant"] = json!(variant);
        }
        blob(media_type, json_bytes(&config))
    }
}

fn blob(media_type: &str, bytes: Vec<u8>) -> Blob {
    Blob {
        media_type: media_type.to_owned(),
        bytes,
        urls: Vec::new(),
    }
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "digest": digest_of(bytes), "size": bytes.len() })
}

fn json_bytes(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("plain values")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let level = flate2::Compression::new(6);
    let mut encoder = flate2::GzBuilder::new().mtime(0).write(Vec::new(), level);
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}
