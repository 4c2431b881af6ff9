//! Reads a release payload's configuration of its own verification: the first ConfigMap among its
//! manifests that has the annotation for it (docs/oc-compatibility.md, section 2.4).
//!
//! It is read as `oc` and the cluster's operator read it (`sigs.k8s.io/yaml`, then typed JSON): the
//! last of several equal keys wins (every OpenShift payload since 2020 has duplicates), `null` is
//! an empty string, and a number in the place of a string is refused. Ambiguous documents are
//! harmless here, because signatures cover the digest of the whole payload.
//!
//! This is the payload's claim. It determines where signatures are searched for and how many
//! keyrings must be satisfied; `ReleaseTrust` determines which keys count.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::keyring::{Keyring, KeyringError};
use crate::encoding::yaml::{self, Duplicates, YamlError, YamlLimits};

/// The annotation of the ConfigMap; its value is ignored.
const ANNOTATION: &str = "release.openshift.io/verification-config-map";
/// Prefix of the names of keyrings.
const KEYRING: &str = "verifier-public-key-";
/// Prefix of the names of signature stores.
const STORE: &str = "store-";

/// A payload's verification configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerificationConfig {
    /// Name of the manifest file that has the ConfigMap.
    pub manifest: String,
    /// The keyrings, sorted by name. Each must be satisfied by a signature.
    pub keyrings: Vec<NamedKeyring>,
    /// The places where signatures are published, sorted by name.
    pub stores: Vec<SignatureStore>,
    /// Names of unknown entries, sorted; they have no effect.
    pub unknown: Vec<String>,
}

/// An entry `verifier-public-key-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedKeyring {
    /// Full name of the entry.
    pub name: String,
    /// The value of the entry, as in the payload.
    pub data: Vec<u8>,
    /// The keys; one of them must have signed.
    pub keyring: Keyring,
}

/// An entry `store-*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureStore {
    /// Full name of the entry.
    pub name: String,
    /// Address of the store: a URL with the scheme `http`, `https` or `file`, without credentials,
    /// query and fragment.
    pub url: Url,
}

/// Error from reading a payload's verification ConfigMap.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerificationConfigError {
    /// A manifest that mentions the annotation cannot be read.
    #[error(
        "The payload's manifest `{}` mentions `{ANNOTATION}` and cannot be read: it may be the \
         ConfigMap with the release's signing keys, so the release is refused",
        manifest.escape_debug()
    )]
    Yaml {
        /// Name of the manifest file.
        manifest: String,
        /// The parser's error.
        #[source]
        source: YamlError,
    },
    /// The ConfigMap does not have the shape of one.
    #[error("The verification ConfigMap in `{}` is malformed", manifest.escape_debug())]
    Shape {
        /// Name of the manifest file.
        manifest: String,
        /// The decoder's error.
        #[source]
        source: serde_json::Error,
    },
    /// An entry of the binary data is not base64.
    #[error("The entry `{}` in `{}` is not base64", name.escape_debug(), manifest.escape_debug())]
    Base64 {
        /// Name of the manifest file.
        manifest: String,
        /// Name of the entry.
        name: String,
    },
    /// A keyring cannot be read.
    #[error("The keyring `{}` in `{}` cannot be used", name.escape_debug(), manifest.escape_debug())]
    Keyring {
        /// Name of the manifest file.
        manifest: String,
        /// Name of the entry.
        name: String,
        /// The fault in the keyring.
        #[source]
        source: KeyringError,
    },
    /// The address of a store is not valid.
    #[error(
        "The signature store `{}` in `{}` is not an http, https or file URL without credentials \
         and query",
        name.escape_debug(), manifest.escape_debug()
    )]
    Store {
        /// Name of the manifest file.
        manifest: String,
        /// Name of the entry.
        name: String,
    },
    /// The ConfigMap has no keyring, so that verification would succeed without any signature.
    #[error("The verification ConfigMap in `{}` names no keys", manifest.escape_debug())]
    NoKeyring {
        /// Name of the manifest file.
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
    /// Finds the verification ConfigMap among a payload's manifests, given as file names and
    /// contents, sorted by name. `None` if no manifest is one.
    ///
    /// Manifests that do not contain the annotation's text are not parsed.
    ///
    /// # Errors
    ///
    /// When a manifest that contains the annotation's text cannot be read, and when the ConfigMap
    /// is malformed, has no keyring, or has a keyring or store that cannot be used.
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

/// Parses the address of a store; paths can be appended to it.
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
