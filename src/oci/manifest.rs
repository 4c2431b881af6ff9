//! OCI and Docker manifests and indexes: bytes to facts (OCI image-spec, manifest.md and
//! image-index.md; Docker image manifest version 2, schema 2).
//!
//! The bytes are never written again. Other tools will read them after us, most of them written
//! in Go, whose JSON decoder takes keys in any case and lets the last of two equal keys win. A
//! document that could be read in two ways is refused, so that what we carry is what they see.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::model::{
    Descriptor, Digest, DigestError, Limits, ManifestFacts, ManifestKind, MediaType, Platform,
    is_deceptive,
};

/// Why a document is not a manifest that can be carried.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OciError {
    /// Longer than any registry must take.
    #[error(
        "The manifest has {length} bytes, more than the {} that registries take",
        Limits::OCI_MANIFEST
    )]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Docker's first image format.
    #[error(
        "The manifest is a Docker schema 1 manifest, which registries no longer take; push the image again with a current tool"
    )]
    Schema1,
    /// A media type that names no manifest format that we know.
    #[error("The manifest has the media type `{}`, which is no image manifest or index", media_type.escape_debug())]
    MediaType {
        /// The media type, shortened.
        media_type: String,
    },
    /// Not JSON, or not an object.
    #[error("The manifest is not a JSON object")]
    Json(#[source] serde_json::Error),
    /// A key has a value of another kind than it should.
    #[error("The manifest's `{at}` is not what it should be")]
    Value {
        /// Where in the document.
        at: String,
        /// What the decoder says.
        #[source]
        source: serde_json::Error,
    },
    /// A digest of another algorithm, or none.
    #[error("The manifest's `{at}` cannot be carried")]
    Digest {
        /// Where in the document.
        at: String,
        /// What is wrong with it.
        #[source]
        source: DigestError,
    },
    /// A key that must be there is not.
    #[error("The manifest has no `{at}`")]
    Absent {
        /// Where in the document.
        at: String,
    },
    /// The document could be read in two ways.
    #[error("The manifest is ambiguous: {why}")]
    Ambiguous {
        /// In which ways.
        why: String,
    },
    /// A text holds characters that may deceive.
    #[error("The manifest's `{at}` holds characters that do not belong there")]
    Text {
        /// Where in the document.
        at: String,
    },
}

/// A manifest or index that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciDocument {
    /// The media type under which to push it.
    pub media_type: MediaType,
    /// What it points to.
    pub facts: ManifestFacts,
}

/// Reads an image manifest or index.
///
/// `content_type`, the registry's word, decides where the document does not say its own type;
/// without it the type follows from the content, by the rules that `oc` and `skopeo` use.
///
/// # Errors
///
/// When it is Docker schema 1, has a digest of another algorithm than SHA-256, or could be read
/// in two ways.
pub fn parse(bytes: &[u8], content_type: Option<&MediaType>) -> Result<OciDocument, OciError> {
    if bytes.len() as u64 > Limits::OCI_MANIFEST {
        return Err(OciError::TooLong {
            length: bytes.len(),
        });
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
            // distribution-spec, "Listing Referrers": the config's type stands in.
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

/// Reads the platform of an image from its config (OCI image-spec, config.md). `None` when the
/// bytes are no image config or name no platform.
pub fn config_platform(bytes: &[u8]) -> Option<Platform> {
    let members: Members<'_> = serde_json::from_slice(bytes).ok()?;
    platform(&Object { at: "", members })
}

/// Keys of a manifest or index that somebody acts on.
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

/// Keys of a descriptor that somebody acts on.
const DESCRIPTOR_KEYS: [&str; 6] = ["mediaType", "digest", "size", "urls", "platform", "data"];

/// Decides under which type the document is pushed (reference: containers/image, guessing).
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
            why: "it has `fsLayers` like Docker schema 1, and is none".to_owned(),
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
    let platform = object.object("platform", &at)?.as_ref().and_then(platform);
    Ok(Descriptor {
        digest,
        size,
        media_type: MediaType::new(media_type),
        platform,
        urls,
        describes: described(object),
    })
}

/// The manifest that an index's entry describes. It decides only what travels with what, so that
/// annotations which cannot be read are none.
fn described(object: &Object<'_>) -> Option<Digest> {
    let annotations = object.object("annotations", "annotations").ok()??;
    let digest = annotations.text("vnd.docker.reference.digest").ok()??;
    digest.parse().ok()
}

/// The platform that an object names; `None` when it names none that can be written down.
fn platform(object: &Object<'_>) -> Option<Platform> {
    let text = |key| object.text(key).ok().flatten();
    let (os, architecture) = (text("os")?, text("architecture")?);
    match text("variant").filter(|variant| !variant.is_empty()) {
        Some(variant) => format!("{os}/{architecture}/{variant}").parse().ok(),
        None => format!("{os}/{architecture}").parse().ok(),
    }
}

/// The members of a JSON object in their order, duplicates kept, values not yet read.
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
                // A key with an escape cannot be borrowed.
                while let Some(key) = map.next_key::<String>()? {
                    members.push((Cow::Owned(key), map.next_value()?));
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Pairs)
    }
}

/// A JSON object and where it is in the document.
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

    /// Refuses a known key twice, or in another case.
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

    /// The member's text, or `None` when it is absent or `null`.
    fn raw(&self, key: &str) -> Option<&'a RawValue> {
        let mut members = self.members.0.iter();
        let found = members.find_map(|(name, value)| (name == key).then_some(*value));
        found.filter(|value| value.get() != "null")
    }

    /// Whether the key is there, be it with `null`.
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

    /// The descriptors of an array. `null` is an empty array, as Go writes it.
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

/// Whether Go's JSON decoder takes one key for the other: simple case folding, by which U+212A
/// is a `k` and U+017F an `s`.
fn folded_equal(a: &str, b: &str) -> bool {
    let fold = |c: char| c.to_uppercase().flat_map(char::to_lowercase);
    a.chars().flat_map(fold).eq(b.chars().flat_map(fold))
}

#[cfg(test)]
mod tests;
