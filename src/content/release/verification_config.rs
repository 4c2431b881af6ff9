//! What a release payload says about its own verification: the first ConfigMap among its
//! manifests that carries the annotation for it (docs/oc-compatibility.md, section 2.4).
//!
//! Read as `oc` and the cluster's operator read it (`sigs.k8s.io/yaml`, then typed JSON): of a key
//! twice the last counts, as in every OpenShift payload since 2020; `null` is an empty text; a
//! number where a text belongs is refused. What can be read in two ways does no harm here: the
//! digest of the whole payload is what is signed.
//!
//! This is the payload's claim. It decides where signatures are looked for, and how many must
//! agree; which keys count is decided by `ReleaseTrust`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::keyring::{Keyring, KeyringError};
use crate::encoding::yaml::{self, Duplicates, YamlError, YamlLimits};

/// What marks the ConfigMap; the value does not matter.
const ANNOTATION: &str = "release.openshift.io/verification-config-map";
/// What the names of keyrings begin with.
const KEYRING: &str = "verifier-public-key-";
/// What the names of signature stores begin with.
const STORE: &str = "store-";

/// How a payload asks to be verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationConfig {
    /// The manifest in which it was found.
    pub manifest: String,
    /// The keyrings, in the order of their names. Each must be satisfied by a signature.
    pub keyrings: Vec<NamedKeyring>,
    /// Where signatures are published, in the order of their names.
    pub stores: Vec<SignatureStore>,
    /// Names of entries whose meaning is not known, in order; they have no effect.
    pub unknown: Vec<String>,
}

/// An entry `verifier-public-key-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKeyring {
    /// The entry's whole name.
    pub name: String,
    /// The entry's value, as the payload has it.
    pub data: Vec<u8>,
    /// Its keys, one of which must have signed.
    pub keyring: Keyring,
}

/// An entry `store-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureStore {
    /// The entry's whole name.
    pub name: String,
    /// Where it is: a URL of the scheme `http`, `https` or `file`, without credentials, query
    /// and fragment.
    pub url: Url,
}

/// Why a payload's verification ConfigMap cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerificationConfigError {
    /// The manifest that mentions the annotation is not readable.
    #[error(
        "The payload's manifest `{}` mentions `{ANNOTATION}` and cannot be read: it may be the \
         ConfigMap that says how the release is to be verified, so nothing is assumed",
        manifest.escape_debug()
    )]
    Yaml {
        /// The manifest.
        manifest: String,
        /// Why.
        #[source]
        source: YamlError,
    },
    /// The ConfigMap does not have the form of one.
    #[error("The verification ConfigMap in `{}` is malformed", manifest.escape_debug())]
    Shape {
        /// The manifest.
        manifest: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// Binary data is not base64.
    #[error("The entry `{}` in `{}` is not base64", name.escape_debug(), manifest.escape_debug())]
    Base64 {
        /// The manifest.
        manifest: String,
        /// The entry.
        name: String,
    },
    /// A keyring cannot be read.
    #[error("The keyring `{}` in `{}` cannot be used", name.escape_debug(), manifest.escape_debug())]
    Keyring {
        /// The manifest.
        manifest: String,
        /// The entry.
        name: String,
        /// Why.
        #[source]
        source: KeyringError,
    },
    /// A store's address is not one.
    #[error(
        "The signature store `{}` in `{}` is no http, https or file URL without credentials and query",
        name.escape_debug(), manifest.escape_debug()
    )]
    Store {
        /// The manifest.
        manifest: String,
        /// The entry.
        name: String,
    },
    /// Without a keyring everything would be verified.
    #[error("The verification ConfigMap in `{}` names no keys", manifest.escape_debug())]
    NoKeyring {
        /// The manifest.
        manifest: String,
    },
}

#[derive(Deserialize)]
struct ConfigMap {
    #[serde(default)]
    data: Option<BTreeMap<String, Option<String>>>,
    #[serde(default, rename = "binaryData")]
    binary_data: Option<BTreeMap<String, Option<String>>>,
}

impl VerificationConfig {
    /// Finds the verification ConfigMap among a payload's manifests, given as file names with
    /// their contents in the order of the names. `None` when no manifest is one.
    ///
    /// Manifests that do not even mention the annotation are not parsed.
    ///
    /// # Errors
    ///
    /// When a manifest that mentions it cannot be read, and when the ConfigMap is malformed,
    /// has no keyring, or a keyring or store that cannot be used.
    pub fn find<'a>(
        manifests: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<Option<Self>, VerificationConfigError> {
        for (manifest, bytes) in manifests {
            let mentioned = bytes
                .windows(ANNOTATION.len())
                .any(|window| window == ANNOTATION.as_bytes());
            if !mentioned {
                continue;
            }
            let documents: Vec<Value> =
                yaml::documents(bytes, &YamlLimits::MANIFEST, Duplicates::LastCounts).map_err(
                    |source| VerificationConfigError::Yaml {
                        manifest: manifest.to_owned(),
                        source,
                    },
                )?;
            if let Some(document) = documents.into_iter().find(is_verification_config) {
                return Self::read(manifest, document).map(Some);
            }
        }
        Ok(None)
    }

    fn read(manifest: &str, document: Value) -> Result<Self, VerificationConfigError> {
        let manifest = manifest.to_owned();
        let object: ConfigMap = match serde_json::from_value(document) {
            Ok(object) => object,
            Err(source) => return Err(VerificationConfigError::Shape { manifest, source }),
        };
        let mut entries: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (name, text) in object.data.unwrap_or_default() {
            entries.insert(name, text.unwrap_or_default().into_bytes());
        }
        for (name, text) in object.binary_data.unwrap_or_default() {
            match STANDARD.decode(text.unwrap_or_default()) {
                Ok(bytes) => entries.insert(name, bytes),
                Err(_) => return Err(VerificationConfigError::Base64 { manifest, name }),
            };
        }
        let mut config = Self {
            manifest,
            keyrings: Vec::new(),
            stores: Vec::new(),
            unknown: Vec::new(),
        };
        for (name, value) in entries {
            config.add(name, &value)?;
        }
        if config.keyrings.is_empty() {
            return Err(VerificationConfigError::NoKeyring {
                manifest: config.manifest,
            });
        }
        Ok(config)
    }

    fn add(&mut self, name: String, value: &[u8]) -> Result<(), VerificationConfigError> {
        if name.starts_with(KEYRING) {
            match Keyring::of_payload(value) {
                Ok(keyring) => {
                    let data = value.to_vec();
                    self.keyrings.push(NamedKeyring {
                        name,
                        data,
                        keyring,
                    });
                }
                Err(source) => {
                    return Err(VerificationConfigError::Keyring {
                        manifest: self.manifest.clone(),
                        name,
                        source,
                    });
                }
            }
        } else if name.starts_with(STORE) {
            match store_url(value) {
                Some(url) => self.stores.push(SignatureStore { name, url }),
                None => {
                    return Err(VerificationConfigError::Store {
                        manifest: self.manifest.clone(),
                        name,
                    });
                }
            }
        } else {
            self.unknown.push(name);
        }
        Ok(())
    }
}

fn is_verification_config(document: &Value) -> bool {
    document.get("apiVersion").and_then(Value::as_str) == Some("v1")
        && document.get("kind").and_then(Value::as_str) == Some("ConfigMap")
        && document
            .pointer("/metadata/annotations")
            .and_then(Value::as_object)
            .is_some_and(|annotations| annotations.contains_key(ANNOTATION))
}

/// The address of a store, to which paths can be added.
fn store_url(value: &[u8]) -> Option<Url> {
    let url = Url::parse(std::str::from_utf8(value).ok()?.trim()).ok()?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    (plain && matches!(url.scheme(), "http" | "https" | "file")).then_some(url)
}

#[cfg(test)]
mod tests;
