//! Makes the documents of an image that adds layers to another image.
//!
//! Members that need no change are kept, and keys are in alphabetical order: the same original and
//! the same additions give the same bytes, so the same digest. No clock is read: new history
//! entries get the original's creation time.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::model::{Digest, ManifestKind, MediaType};

/// A layer to add on top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLayer {
    /// SHA-256 of the tar.
    pub diff_id: Digest,
    /// SHA-256 of the gzip file.
    pub digest: Digest,
    /// Bytes of the gzip file.
    pub size: u64,
    /// `created_by` of the layer's entry in the image's history.
    pub created_by: String,
}

/// Error from changing a document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("The image's document is malformed: {why}")]
pub struct DeriveError {
    why: String,
}

type Result<T> = std::result::Result<T, DeriveError>;

fn wrong<T>(why: impl Into<String>) -> Result<T> {
    Err(DeriveError { why: why.into() })
}

fn object(bytes: &[u8]) -> Result<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => wrong("it is not a JSON object"),
        Err(error) => wrong(error.to_string()),
    }
}

/// The value under a key; `empty` if the key is absent or `null`.
fn member<'a>(object: &'a mut Map<String, Value>, key: &str, empty: Value) -> &'a mut Value {
    let member = object.entry(key).or_insert(Value::Null);
    if member.is_null() {
        *member = empty;
    }
    member
}

fn list<'a>(object: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Vec<Value>> {
    match member(object, key, json!([])) {
        Value::Array(list) => Ok(list),
        _ => wrong(format!("`{key}` is not a list")),
    }
}

fn map<'a>(object: &'a mut Map<String, Value>, key: &str) -> Result<&'a mut Map<String, Value>> {
    match member(object, key, json!({})) {
        Value::Object(map) => Ok(map),
        _ => wrong(format!("`{key}` is not an object")),
    }
}

fn bytes(object: Map<String, Value>) -> Vec<u8> {
    Value::Object(object).to_string().into_bytes()
}

/// The command that a container runs: the image's entry point and its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Command {
    /// `Entrypoint`.
    pub entrypoint: Vec<String>,
    /// `Cmd`.
    pub arguments: Vec<String>,
}

impl Command {
    /// Reads the command from an image's config (OCI image-spec, config.md).
    ///
    /// # Errors
    ///
    /// When the config is not a JSON object, or the command is not a list of strings.
    pub fn of(config: &[u8]) -> Result<Self> {
        let mut config = object(config)?;
        let config = map(&mut config, "config")?;
        let mut texts = |key: &str| {
            let texts = list(config, key)?.iter().map(|text| match text {
                Value::String(text) => Ok(text.clone()),
                _ => wrong(format!("`{key}` is not a list of strings")),
            });
            texts.collect::<Result<Vec<String>>>()
        };
        Ok(Self {
            entrypoint: texts("Entrypoint")?,
            arguments: texts("Cmd")?,
        })
    }
}

/// Makes the config of an image with more layers (OCI image-spec, config.md).
///
/// # Errors
///
/// When the original is not an image config with a list of layers.
pub fn config(
    original: &[u8],
    layers: &[NewLayer],
    command: &Command,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut image = object(original)?;
    let created = match image.get("created") {
        Some(Value::String(created)) => created.clone(),
        _ => "1970-01-01T00:00:00Z".to_owned(),
    };
    if !image.contains_key("rootfs") {
        return wrong("it has no `rootfs`");
    }
    let config = map(&mut image, "config")?;
    if !command.entrypoint.is_empty() {
        config.insert("Entrypoint".to_owned(), json!(command.entrypoint));
    }
    config.insert("Cmd".to_owned(), json!(command.arguments));
    let own = map(config, "Labels")?;
    own.extend(
        labels
            .iter()
            .map(|(key, value)| (key.clone(), json!(value))),
    );
    let diff_ids = list(map(&mut image, "rootfs")?, "diff_ids")?;
    diff_ids.extend(layers.iter().map(|layer| json!(layer.diff_id.to_string())));
    let history = list(&mut image, "history")?;
    history.extend(
        layers
            .iter()
            .map(|layer| json!({"created": created, "created_by": layer.created_by})),
    );
    Ok(bytes(image))
}

/// Makes the manifest of an image with another config and more layers, without `subject`. The media
/// types of the new layers are Docker's or OCI's, like the manifest's.
///
/// # Errors
///
/// When the original is not an image manifest.
pub fn manifest(
    original: &[u8],
    media_type: &MediaType,
    config: (Digest, u64),
    layers: &[NewLayer],
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let layer_type = match media_type.as_str() {
        MediaType::DOCKER_MANIFEST => "application/vnd.docker.image.rootfs.diff.tar.gzip",
        _ => "application/vnd.oci.image.layer.v1.tar+gzip",
    };
    let mut manifest = object(original)?;
    if !manifest.contains_key("config") || !manifest.contains_key("layers") {
        return wrong("it has no `config` or no `layers`");
    }
    let descriptor = map(&mut manifest, "config")?;
    replace(descriptor, config);
    list(&mut manifest, "layers")?.extend(layers.iter().map(|layer| {
        json!({
            "digest": layer.digest.to_string(),
            "mediaType": layer_type,
            "size": layer.size,
        })
    }));
    annotate(&mut manifest, media_type, annotations)?;
    Ok(bytes(manifest))
}

/// Replaces the children of an index; children without a replacement are removed.
///
/// # Errors
///
/// When the original is not an index.
pub fn index(
    original: &[u8],
    media_type: &MediaType,
    children: &BTreeMap<Digest, (Digest, u64)>,
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut index = object(original)?;
    if media_type.manifest_kind() != Some(ManifestKind::Index) || !index.contains_key("manifests") {
        return wrong("it is not an index");
    }
    let mut kept = Vec::new();
    let mut seen = BTreeSet::new();
    for child in list(&mut index, "manifests")? {
        let Value::Object(child) = child else {
            return wrong("`manifests` is not a list of objects");
        };
        let digest = child.get("digest").and_then(Value::as_str);
        let digest: Option<Digest> = digest.and_then(|text| text.parse().ok());
        if let Some(new) = digest.and_then(|digest| children.get(&digest)) {
            let mut child = child.clone();
            replace(&mut child, *new);
            if seen.insert(Value::Object(child.clone()).to_string()) {
                kept.push(Value::Object(child));
            }
        }
    }
    index.insert("manifests".to_owned(), Value::Array(kept));
    annotate(&mut index, media_type, annotations)?;
    Ok(bytes(index))
}

/// Points a descriptor to other content of the same media type.
fn replace(descriptor: &mut Map<String, Value>, (digest, size): (Digest, u64)) {
    descriptor.insert("digest".to_owned(), json!(digest.to_string()));
    descriptor.insert("size".to_owned(), json!(size));
    // They describe the previous content.
    descriptor.remove("data");
    descriptor.remove("urls");
}

/// Removes `subject` and adds annotations; Docker's documents have no annotations.
fn annotate(
    document: &mut Map<String, Value>,
    media_type: &MediaType,
    annotations: &BTreeMap<String, String>,
) -> Result<()> {
    document.remove("subject");
    if matches!(
        media_type.as_str(),
        MediaType::DOCKER_MANIFEST | MediaType::DOCKER_LIST
    ) {
        return Ok(());
    }
    let own = map(document, "annotations")?;
    own.extend(
        annotations
            .iter()
            .map(|(key, value)| (key.clone(), json!(value))),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(byte: u8) -> Digest {
        Digest::from_bytes([byte; 32])
    }

    fn layer() -> NewLayer {
        NewLayer {
            diff_id: digest(1),
            digest: digest(2),
            size: 7,
            created_by: "us".to_owned(),
        }
    }

    fn notes() -> BTreeMap<String, String> {
        [("base".to_owned(), "x".to_owned())].into()
    }

    fn json(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn a_config_keeps_what_it_says() {
        let original = br#"{"os":"linux","created":"2024-01-02T03:04:05Z","variant":"v8",
            "config":{"User":"1001","Entrypoint":["/bin/opm"],"Cmd":["serve"],"Labels":{"a":"b"}},
            "rootfs":{"type":"layers","diff_ids":["sha256:aa"]},"history":[{"created_by":"them"}]}"#;
        let command = Command::of(original).unwrap();
        assert_eq!(command.entrypoint, ["/bin/opm"]);
        let command = Command {
            arguments: vec!["serve".to_owned(), "/configs".to_owned()],
            ..command
        };
        let derived = config(original, &[layer()], &command, &notes()).unwrap();
        assert_eq!(
            json(&derived),
            json!({
                "os": "linux", "created": "2024-01-02T03:04:05Z", "variant": "v8",
                "config": {
                    "User": "1001", "Entrypoint": ["/bin/opm"], "Cmd": ["serve", "/configs"],
                    "Labels": {"a": "b", "base": "x"},
                },
                "rootfs": {"type": "layers", "diff_ids": ["sha256:aa", digest(1).to_string()]},
                "history": [
                    {"created_by": "them"},
                    {"created": "2024-01-02T03:04:05Z", "created_by": "us"},
                ],
            })
        );
        let again = config(original, &[layer()], &command, &notes()).unwrap();
        assert_eq!(derived, again);
    }

    #[test]
    fn manifests_stay_of_their_kind() {
        for (media_type, layer_type, annotated) in [
            (
                MediaType::OCI_MANIFEST,
                "application/vnd.oci.image.layer.v1.tar+gzip",
                true,
            ),
            (
                MediaType::DOCKER_MANIFEST,
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
                false,
            ),
        ] {
            let original = json!({
                "mediaType": media_type, "schemaVersion": 2,
                "config": {"mediaType": "c", "digest": "old", "size": 1, "data": "eA=="},
                "layers": [{"digest": "first"}],
                "subject": {"digest": "s"},
            });
            let media_type = MediaType::new(media_type);
            let original = original.to_string();
            let config = (digest(3), 9);
            let derived = manifest(
                original.as_bytes(),
                &media_type,
                config,
                &[layer()],
                &notes(),
            );
            let mut expected = json!({
                "mediaType": media_type.as_str(), "schemaVersion": 2,
                "config": {"mediaType": "c", "digest": digest(3).to_string(), "size": 9},
                "layers": [
                    {"digest": "first"},
                    {"mediaType": layer_type, "digest": digest(2).to_string(), "size": 7},
                ],
            });
            if annotated {
                expected["annotations"] = json!({"base": "x"});
            }
            assert_eq!(json(&derived.unwrap()), expected);
        }
    }

    #[test]
    fn an_index_points_to_the_replacements() {
        let original = json!({
            "schemaVersion": 2,
            "manifests": [
                {"digest": digest(1).to_string(), "size": 1, "platform": {"os": "linux"}},
                {"digest": digest(2).to_string(), "size": 1},
            ],
        });
        let media_type = MediaType::new(MediaType::OCI_INDEX);
        let children = [(digest(1), (digest(5), 6))].into();
        let derived = index(
            original.to_string().as_bytes(),
            &media_type,
            &children,
            &notes(),
        );
        assert_eq!(
            json(&derived.unwrap()),
            json!({
                "schemaVersion": 2,
                "annotations": {"base": "x"},
                "manifests": [
                    {"digest": digest(5).to_string(), "size": 6, "platform": {"os": "linux"}},
                ],
            })
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        let oci = MediaType::new(MediaType::OCI_MANIFEST);
        let command = Command::default();
        assert!(config(b"[]", &[], &command, &notes()).is_err());
        assert!(config(b"{}", &[], &command, &notes()).is_err());
        assert!(config(br#"{"rootfs":[]}"#, &[], &command, &notes()).is_err());
        assert!(manifest(b"{}", &oci, (digest(1), 1), &[], &notes()).is_err());
        assert!(index(b"{}", &oci, &BTreeMap::new(), &notes()).is_err());
        assert!(Command::of(br#"{"config":{"Cmd":"serve"}}"#).is_err());
    }
}
