//! Who we are, for each registry: auth files and credential helpers.
//!
//! The format is containers-auth.json(5), which is Docker's `config.json` with more specific
//! keys; OpenShift's pull secrets are the same.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::helper;
use super::redact::one_line;
use crate::model::{Host, RepositoryPath};

/// The key under which Docker keeps the credentials of Docker Hub.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The user name that marks a helper's secret as an identity token.
const IDENTITY_TOKEN_USER: &str = "<token>";

/// A text that is never shown, and overwritten when it is no longer needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// What we show to a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Credential {
    /// A user and a password.
    Password {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that the registry's token service exchanges for short-lived ones.
    IdentityToken(Secret),
}

/// Why credentials cannot be had. None of these quotes an auth file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// A file is not JSON of the expected shape.
    #[error("Auth file `{file}` is not valid at line {line}, column {column}")]
    Syntax {
        /// The file's name.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// An entry is not base64 of `user:password`.
    #[error("Auth file `{file}` has an entry for `{key}` that is not base64 of `user:password`")]
    Entry {
        /// The file's name.
        file: String,
        /// The entry's key.
        key: String,
    },
    /// A helper's name would not be found where helpers are.
    #[error("Credential helper `{name}` is not a plain name")]
    HelperName {
        /// The name, as the file has it.
        name: String,
    },
    /// A helper cannot be started or spoken to.
    #[error("Credential helper `{program}` cannot be run")]
    HelperStart {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// A helper ended with an error.
    #[error("Credential helper `{program}` failed: {message}")]
    HelperFailed {
        /// The program.
        program: String,
        /// Its words, made fit for one line.
        message: String,
    },
    /// A helper gave no answer in time.
    #[error("Credential helper `{program}` gave no answer within {seconds} seconds")]
    HelperTimedOut {
        /// The program.
        program: String,
        /// How long we waited.
        seconds: u64,
    },
    /// A helper's answer is not what the protocol says.
    #[error("Credential helper `{program}` gave an answer that is not understood")]
    HelperAnswer {
        /// The program.
        program: String,
    },
}

/// The text of an auth file, with the name that errors give it.
#[derive(Clone, Copy)]
pub struct AuthFile<'a> {
    /// The file's name.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
}

impl fmt::Debug for AuthFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuthFile").field(&self.name).finish()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    auths: Option<BTreeMap<String, Entry>>,
    cred_helpers: Option<BTreeMap<String, String>>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
}

/// One parsed auth file.
struct Source {
    auths: BTreeMap<String, Credential>,
    helpers: BTreeMap<String, String>,
    store: Option<String>,
}

/// Who we are, for each registry. Cheap to clone.
#[derive(Clone, Default)]
pub struct Credentials {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    sources: Vec<Source>,
    /// What helpers said, by helper and server.
    helped: tokio::sync::Mutex<HashMap<(String, String), Option<Credential>>>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.inner.sources.iter().flat_map(|s| s.auths.keys());
        f.debug_list().entries(keys).finish()
    }
}

impl Credentials {
    /// Parses auth files, the most important first. An empty file counts as one without entries.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = AuthFile<'a>>,
    ) -> Result<Self, CredentialsError> {
        let sources = files
            .into_iter()
            .map(Source::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let helped = tokio::sync::Mutex::default();
        Ok(Self {
            inner: Arc::new(Inner { sources, helped }),
        })
    }

    /// What to show to `host` for `path`: the first file that knows anything decides; in it a
    /// helper for the name, then the most specific entry, then the general helper.
    pub async fn lookup(
        &self,
        host: &Host,
        path: Option<&RepositoryPath>,
    ) -> Result<Option<Credential>, CredentialsError> {
        let names = lookup_names(host, path);
        for source in &self.inner.sources {
            let helper = names.iter().find_map(|name| source.helpers.get(name));
            if let Some(helper) = helper
                && let Some(found) = self.helped(helper, host).await?
            {
                return Ok(Some(found));
            }
            if let Some(found) = names.iter().find_map(|name| source.auths.get(name)) {
                return Ok(Some(found.clone()));
            }
            if helper.is_none()
                && let Some(store) = &source.store
                && let Some(found) = self.helped(store, host).await?
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    async fn helped(
        &self,
        name: &str,
        host: &Host,
    ) -> Result<Option<Credential>, CredentialsError> {
        let server = match normalised(host.as_str()).as_str() {
            Host::DOCKER_HUB => DOCKER_HUB_KEY.to_owned(),
            _ => host.to_string(),
        };
        // Held while the helper runs: it may ask a person, once is enough.
        let mut helped = self.inner.helped.lock().await;
        let key = (name.to_owned(), server);
        if let Some(known) = helped.get(&key) {
            return Ok(known.clone());
        }
        let found = helper::get(&key.0, &key.1).await?;
        let credential = found.map(|(username, secret)| match username.as_str() {
            IDENTITY_TOKEN_USER => Credential::IdentityToken(secret),
            _ => Credential::Password {
                username,
                password: secret,
            },
        });
        helped.insert(key, credential.clone());
        Ok(credential)
    }
}

/// `host/ns/repo`, `host/ns`, `host`: the most specific first.
fn lookup_names(host: &Host, path: Option<&RepositoryPath>) -> Vec<String> {
    let host = normalised(host.as_str());
    let mut names = Vec::new();
    if let Some(path) = path {
        let mut name = format!("{host}/{path}");
        while name.len() > host.len() {
            names.push(name.clone());
            let end = name.rfind('/').unwrap_or(0);
            name.truncate(end);
        }
    }
    names.push(host);
    names
}

/// The key under which an entry is found: without scheme and API path, and with one name for
/// Docker Hub.
fn normalised(key: &str) -> String {
    let legacy = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    // Only Docker's URL keys have an API path behind the host.
    let name = match legacy {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None => key.trim_end_matches('/'),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (name, None),
    };
    let host = match host {
        "index.docker.io" | "registry-1.docker.io" => Host::DOCKER_HUB,
        other => other,
    };
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host.to_owned(),
    }
}

impl Source {
    fn parse(file: AuthFile<'_>) -> Result<Self, CredentialsError> {
        let text = match file.text.trim() {
            "" => "{}",
            text => text,
        };
        // The parser's own message may quote a value, so only the place is kept.
        let document: Document =
            serde_json::from_str(text).map_err(|error| CredentialsError::Syntax {
                file: file.name.to_owned(),
                line: error.line(),
                column: error.column(),
            })?;
        let mut auths = BTreeMap::new();
        for (key, entry) in document.auths.unwrap_or_default() {
            let credential = entry.credential().map_err(|()| CredentialsError::Entry {
                file: file.name.to_owned(),
                key: one_line(&key, 100),
            })?;
            if let Some(credential) = credential {
                let name = normalised(&key);
                // A key that is the name itself says more than one that was converted to it.
                if name == key || !auths.contains_key(&name) {
                    auths.insert(name, credential);
                }
            }
        }
        let helpers = document.cred_helpers.unwrap_or_default();
        Ok(Self {
            auths,
            helpers: helpers
                .into_iter()
                .map(|(key, helper)| (normalised(&key), helper))
                .collect(),
            store: document.creds_store.filter(|name| !name.is_empty()),
        })
    }
}

impl Entry {
    /// `Ok(None)` for the empty entries that Docker leaves beside a helper.
    fn credential(self) -> Result<Option<Credential>, ()> {
        let given = |secret: &Secret| !secret.expose().is_empty();
        if let Some(token) = self.identitytoken.filter(given) {
            return Ok(Some(Credential::IdentityToken(token)));
        }
        if let Some(auth) = self.auth.filter(given) {
            let engine = base64::engine::GeneralPurpose::new(
                &base64::alphabet::STANDARD,
                base64::engine::GeneralPurposeConfig::new()
                    .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
            );
            let bytes = Zeroizing::new(engine.decode(auth.expose().trim()).map_err(|_| ())?);
            // Some versions of Docker pad the decoded text with zero bytes.
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| ())?
                .trim_end_matches('\0');
            let (username, password) = text.split_once(':').ok_or(())?;
            return Ok(Some(Credential::Password {
                username: username.to_owned(),
                password: Secret::new(password),
            }));
        }
        Ok(match (self.username, self.password) {
            (Some(username), Some(password)) if !username.is_empty() => {
                Some(Credential::Password { username, password })
            }
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
