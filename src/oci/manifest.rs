//! Parses OCI and Docker manifests and indexes (OCI image-spec, manifest.md and image-index.md;
//! Docker image manifest version 2, schema 2).
//!
//! The bytes are never rewritten. Other tools read them after us, most of them written in Go, whose
//! JSON decoder accepts keys in any case and lets the last of two equal keys win. A document that
//! could be read in two ways is refused, so that all tools see the same content.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::{
    Descriptor, Digest, DigestError, Limits, ManifestFacts, ManifestKind, MediaType, Platform,
    is_deceptive,
};

/// Error for a document that cannot be carried as a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// The document is longer than registries must accept.
    #[error(
        "The manifest has {length} bytes, more than the {} that registries take",
        Limits::OCI_MANIFEST
    )]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// Objects and arrays are nested deeper than any client needs.
    #[error(
        "The manifest nests objects and arrays deeper than {} levels",
        Limits::JSON_DEPTH
    )]
    Nesting,
    /// The document has Docker's first image format.
    #[error(
        "The manifest is a Docker schema 1 manifest, which registries no longer take; push the image again with a current tool"
    )]
    Schema1,
    /// The media type is not that of a known manifest format.
    #[error("The manifest has the media type `{}`, which is not an image manifest or index", media_type.escape_debug())]
    MediaType {
        /// The media type, shortened.
        media_type: String,
    },
    /// The document is not JSON, or not an object.
    #[error("The manifest is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// A key has a value of the wrong type.
    #[error("The manifest's `{at}` has the wrong type")]
    Value {
        /// Path of the key in the document.
        at: String,
        /// The decoder's error.
        #[source]
        source: serde_json::Error,
    },
    /// A digest is malformed, or of an unsupported algorithm.
    #[error("The manifest's `{at}` is not a supported digest")]
    Digest {
        /// Path of the digest in the document.
        at: String,
        /// The fault in the digest.
        #[source]
        source: DigestError,
    },
    /// A required key is missing.
    #[error("The manifest has no `{at}`")]
    Absent {
        /// Path of the key in the document.
        at: String,
    },
    /// The document could be read in two ways.
    #[error("The manifest is ambiguous: {why}")]
    Ambiguous {
        /// The reason, as a clause.
        why: String,
    },
    /// A media type is empty, too long or not printable ASCII, or a URL has deceptive characters.
    #[error("The manifest's `{at}` is empty, too long, or has characters that are not allowed")]
    Text {
        /// Path of the string in the document.
        at: String,
    },
}

/// A manifest or index that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciDocument {
    /// The media type under which to push it.
    pub media_type: MediaType,
    /// The content that it points to: config, layers, children, subject.
    pub facts: ManifestFacts,
}

/// Reads an image manifest or index.
///
/// `content_type` is the one that the registry sent. It counts only if the document does not state
/// its own type; if both are absent, the type is derived from the content by the rules of `oc` and
/// `skopeo`.
///
/// # Errors
///
/// When the document is not a manifest or index, is Docker schema 1, has a digest of another
/// algorithm than SHA-256, or could be read in two ways.
pub fn parse(bytes: &[u8], content_type: Option<&MediaType>) -> Result<OciDocument, OciError> {
    if bytes.len() as u64 > Limits::OCI_MANIFEST {
        return Err(OciError::TooLong {
            length: bytes.len(),
        });
    }
    if !nests_within(bytes, Limits::JSON_DEPTH) {
        return Err(OciError::Nesting);
    }
    let members: Members = serde_json::from_slice(bytes).map_err(OciError::Json)?;
    let object = Object { at: "", members };
    object.refuse_ambiguous(&TOP_KEYS)?;
    let config = object.object("config", "config")?;
    let config = match &config {
        Some(config) => Some(descriptor(config)?),
        None => None,
    };
    let layers = object.descriptors("layers")?;
    let manifests = object.descriptors("manifests")?;
    if manifests.is_some() && (object.has("config") || object.has("layers")) {
        return Err(OciError::Ambiguous {
            why: "it has `manifests` like an index, and `config` or `layers` like an image"
                .to_owned(),
        });
    }
    let media_type = media_type(&object, config.as_ref(), content_type)?;
    let subject = match &object.object("subject", "subject")? {
        Some(subject) => Some(descriptor(subject)?),
        None => None,
    };
    let own_artifact_type = object.text("artifactType")?.filter(|text| !text.is_empty());
    let absent = |at: &str| OciError::Absent { at: at.to_owned() };
    let facts = match media_type.manifest_kind() {
        Some(ManifestKind::Index) => ManifestFacts {
            kind: ManifestKind::Index,
            children: manifests.ok_or_else(|| absent("manifests"))?,
            blobs: Vec::new(),
            subject,
            artifact_type: own_artifact_type,
        },
        _ => {
            let config = config.ok_or_else(|| absent("config"))?;
            let layers = layers.ok_or_else(|| absent("layers"))?;
            // distribution-spec, "Listing Referrers": without `artifactType`, use the config's
            // media type.
            let stand_in = || config.media_type.as_str().to_owned();
            let artifact_type = Some(own_artifact_type.unwrap_or_else(stand_in));
            ManifestFacts {
                kind: ManifestKind::Image,
                children: Vec::new(),
                blobs: std::iter::once(config).chain(layers).collect(),
                subject,
                artifact_type,
            }
        }
    };
    Ok(OciDocument { media_type, facts })
}

/// Reads the platform of an image from its config (OCI image-spec, config.md). `None` if the bytes
/// are not an image config or name no platform.
pub fn config_platform(bytes: &[u8]) -> Option<Platform> {
    let members: Members<'_> = serde_json::from_slice(bytes).ok()?;
    platform(&Object { at: "", members }).ok()?
}

/// True if no value of a JSON text lies in more than `limit` objects and arrays.
fn nests_within(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => depth += 1,
            b'}' | b']' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > limit {
            return false;
        }
    }
    true
}

/// Keys of a manifest or index that registries or clients interpret.
const TOP_KEYS: [&str; 9] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "config",
    "layers",
    "manifests",
    "subject",
    "fsLayers",
    "signatures",
];

/// Keys of a descriptor that registries or clients interpret.
const DESCRIPTOR_KEYS: [&str; 7] = [
    "mediaType",
    "digest",
    "size",
    "urls",
    "platform",
    "annotations",
    "data",
];

/// Keys of a platform that decide whether a filter selects it.
const PLATFORM_KEYS: [&str; 3] = ["os", "architecture", "variant"];

/// Annotation in which buildx names the manifest that an attestation describes.
const DESCRIBES: &str = "vnd.docker.reference.digest";

/// Determines the media type under which the document is pushed (as containers/image guesses it).
fn media_type(
    object: &Object<'_>,
    config: Option<&Descriptor>,
    content_type: Option<&MediaType>,
) -> Result<MediaType, OciError> {
    let version: Option<u64> = object.value("schemaVersion")?;
    let own = object
        .text("mediaType")?
        .filter(|text| !text.is_empty())
        .map(MediaType::new);
    let own_kind = own.as_ref().map(MediaType::manifest_kind);
    if version == Some(1) || own_kind == Some(Some(ManifestKind::Schema1)) {
        return Err(OciError::Schema1);
    }
    if object.has("fsLayers") {
        return Err(OciError::Ambiguous {
            why: "it has `fsLayers` like Docker schema 1, but another schema version".to_owned(),
        });
    }
    if let Some(own) = own {
        return match own_kind {
            Some(Some(_)) => Ok(own),
            _ => Err(OciError::MediaType {
                media_type: own.as_str().chars().take(100).collect(),
            }),
        };
    }
    if version != Some(2) {
        return Err(OciError::Absent {
            at: "mediaType` or `schemaVersion: 2".to_owned(),
        });
    }
    let declared = content_type.and_then(|declared| Some((declared, declared.manifest_kind()?)));
    match declared {
        Some((_, ManifestKind::Schema1)) => return Err(OciError::Schema1),
        Some((declared, _)) => return Ok(declared.clone()),
        None => {}
    }
    let guessed = match config.map(|config| config.media_type.as_str()) {
        Some("application/vnd.docker.container.image.v1+json") => MediaType::DOCKER_MANIFEST,
        None if object.has("manifests") => MediaType::OCI_INDEX,
        _ => MediaType::OCI_MANIFEST,
    };
    Ok(MediaType::new(guessed))
}

fn descriptor(object: &Object<'_>) -> Result<Descriptor, OciError> {
    object.refuse_ambiguous(&DESCRIPTOR_KEYS)?;
    let digest: Digest = {
        let text = object.required_text("digest")?;
        text.parse().map_err(|source| OciError::Digest {
            at: object.path("digest"),
            source,
        })?
    };
    let media_type = object.required_text("mediaType")?;
    let plain = media_type.len() <= 255 && media_type.bytes().all(|b| (0x20..0x7f).contains(&b));
    if media_type.is_empty() || !plain {
        return Err(OciError::Text {
            at: object.path("mediaType"),
        });
    }
    let size = object.value("size")?.ok_or_else(|| OciError::Absent {
        at: object.path("size"),
    })?;
    let urls: Vec<String> = object.value("urls")?.unwrap_or_default();
    if urls.iter().any(|url| url.chars().any(is_deceptive)) {
        return Err(OciError::Text {
            at: object.path("urls"),
        });
    }
    let at = object.path("platform");
    let platform = match object.object("platform", &at)? {
        Some(object) => platform(&object)?,
        None => None,
    };
    Ok(Descriptor {
        digest,
        size,
        media_type: MediaType::new(media_type),
        platform,
        urls,
        describes: described(object)?,
    })
}

/// Returns the manifest that an attestation entry of an index describes
/// (`vnd.docker.reference.digest`). It only decides which manifests are kept together, so
/// unreadable annotations count as absent; the same annotation twice is refused.
fn described(object: &Object<'_>) -> Result<Option<Digest>, OciError> {
    let at = object.path("annotations");
    let Ok(Some(annotations)) = object.object("annotations", &at) else {
        return Ok(None);
    };
    let names = annotations.members.0.iter().map(|(name, _)| name);
    if names.filter(|name| *name == DESCRIBES).count() > 1 {
        let why = format!("it has `{}` twice", annotations.path(DESCRIBES));
        return Err(OciError::Ambiguous { why });
    }
    let text = annotations.text(DESCRIBES).ok().flatten();
    Ok(text.and_then(|text| text.parse().ok()))
}

/// Returns the platform in an object; `None` if there is none, or it is not valid.
fn platform(object: &Object<'_>) -> Result<Option<Platform>, OciError> {
    object.refuse_ambiguous(&PLATFORM_KEYS)?;
    let text = |key| object.text(key).ok().flatten();
    let (Some(os), Some(architecture)) = (text("os"), text("architecture")) else {
        return Ok(None);
    };
    let written = match text("variant").filter(|variant| !variant.is_empty()) {
        Some(variant) => format!("{os}/{architecture}/{variant}"),
        None => format!("{os}/{architecture}"),
    };
    Ok(written.parse().ok())
}

/// The members of a JSON object in order, with duplicates; values are not decoded yet.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;

        impl<'de> Visitor<'de> for Pairs {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                // Owned, because a key with an escape cannot be borrowed.
                while let Some(key) = map.next_key::<String>()? {
                    members.push((Cow::Owned(key), map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// A JSON object and its path in the document.
struct Object<'a> {
    at: &'a str,
    members: Members<'a>,
}

impl<'a> Object<'a> {
    fn path(&self, key: &str) -> String {
        match self.at {
            "" => key.to_owned(),
            at => format!("{at}.{key}"),
        }
    }

    /// Refuses a known key that occurs twice, or is written in another case.
    fn refuse_ambiguous(&self, known: &[&str]) -> Result<(), OciError> {
        for key in known {
            let like = |(name, _): &&(Cow<'a, str>, &RawValue)| folded_equal(name, key);
            let mut found = self.members.0.iter().filter(like);
            let why = match (found.next(), found.next()) {
                (_, Some(_)) => format!("it has `{}` twice", self.path(key)),
                (Some((name, _)), None) if name != key => {
                    format!("it has `{}` in another case", self.path(key))
                }
                _ => continue,
            };
            return Err(OciError::Ambiguous { why });
        }
        Ok(())
    }

    /// The member's raw value; `None` if it is absent or `null`.
    fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let mut members = self.members.0.iter();
        let found = members.find_map(|(name, value)| (name == key).then_some(*value));
        found.filter(|value| value.get() != "null")
    }

    /// True if the key is present, even with `null`.
    fn has(&self, key: &str) -> bool {
        self.members.0.iter().any(|(name, _)| name == key)
    }

    fn value<T: Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, OciError> {
        let value = self.raw(key).map(|raw| serde_json::from_str(raw.get()));
        value.transpose().map_err(|source| OciError::Value {
            at: self.path(key),
            source,
        })
    }

    fn text(&self, key: &str) -> Result<Option<String>, OciError> {
        self.value(key)
    }

    fn required_text(&self, key: &str) -> Result<String, OciError> {
        self.text(key)?
            .ok_or_else(|| OciError::Absent { at: self.path(key) })
    }

    fn object<'b>(&self, key: &str, at: &'b str) -> Result<Option<Object<'b>>, OciError>
    where
        'a: 'b,
    {
        let members = self.value::<Members<'a>>(key)?;
        Ok(members.map(|members| Object { at, members }))
    }

    /// The descriptors of an array. `null` counts as an empty array, since Go writes a nil slice as
    /// `null`.
    fn descriptors(&self, key: &str) -> Result<Option<Vec<Descriptor>>, OciError> {
        if !self.has(key) {
            return Ok(None);
        }
        let list: Vec<Members<'a>> = self.value(key)?.unwrap_or_default();
        let mut descriptors = Vec::with_capacity(list.len());
        for (index, members) in list.into_iter().enumerate() {
            let at = format!("{key}[{index}]");
            descriptors.push(descriptor(&Object { at: &at, members })?);
        }
        Ok(Some(descriptors))
    }
}

/// True if Go's JSON decoder might match the keys: it uses simple case folding, in which U+212A
/// equals `k` and U+017F equals `s`. Full case mapping, as used here, equates a little more.
fn folded_equal(a: &str, b: &str) -> bool {
    let fold = |c: char| c.to_uppercase().flat_map(char::to_lowercase);
    a.chars().flat_map(fold).eq(b.chars().flat_map(fold))
}

#[cfg(test)]
mod tests;
