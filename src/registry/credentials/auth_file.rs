//! One auth file (containers-auth.json(5)), read as skopeo and Docker read it.
//!
//! An entry is checked only when its registry is asked, so an unusable entry (`null`, a number,
//! `<REDACTED>`) does not affect other registries. The file itself must be a JSON object, and so
//! must the fields that contain entries.

use std::collections::BTreeMap;

use base64::Engine as _;

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::credential::{Credential, Secret};
use super::error::CredentialsError;
use crate::model::Host;
use crate::registry::redact::one_line;

/// Docker's old auth file, with its entries at the top level.
const DOCKERCFG: &str = ".dockercfg";

/// The text of an auth file, with the name for error messages.
#[derive(Clone, Copy)]
pub struct AuthFile<'a> {
    /// The file's name or path. A file called `.dockercfg` has Docker's old format.
    pub name: &'a str,
    /// Its content.
    pub text: &'a str,
}

impl std::fmt::Debug for AuthFile<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AuthFile").field(&self.name).finish()
    }
}

impl AuthFile<'_> {
    /// Parses the file. An empty one counts as one without entries.
    ///
    /// # Errors
    ///
    /// When the file as a whole cannot be parsed; entries are checked when they are needed.
    pub fn parse(self) -> Result<ParsedAuthFile, CredentialsError> {
        ParsedAuthFile::parse(self)
    }
}

impl std::fmt::Debug for ParsedAuthFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ParsedAuthFile").field(&self.name).finish()
    }
}

/// The fields of a JSON object, with their values unparsed.
type Fields<'a> = BTreeMap<String, &'a RawValue>;

/// Value of one key in a file.
#[derive(Clone)]
pub(super) enum Entry {
    Known(Credential),
    /// An entry without credentials; Docker writes these beside a helper.
    Empty,
    /// The key as it is written in the file, for messages.
    Broken(String),
}

/// A parsed auth file.
pub struct ParsedAuthFile {
    name: String,
    auths: BTreeMap<String, Entry>,
    /// Names of helpers by host; `None` if the value is not a name.
    helpers: BTreeMap<String, Option<String>>,
    store: Option<String>,
}

impl ParsedAuthFile {
    fn parse(file: AuthFile<'_>) -> Result<Self, CredentialsError> {
        let text = file.text.trim_start_matches('\u{feff}').trim();
        let text = if text.is_empty() { "{}" } else { text };
        // The parser's own message may quote a value, so only the position is kept.
        let refused = |error: serde_json::Error| CredentialsError::Syntax {
            file: file.name.to_owned(),
            line: error.line(),
            column: error.column(),
        };
        let document: Option<Fields<'_>> = serde_json::from_str(text).map_err(refused)?;
        let document = document.unwrap_or_default();
        let is_old = file.name.rsplit(['/', '\\']).next() == Some(DOCKERCFG);
        let part = |name: &str| -> Result<Fields<'_>, CredentialsError> {
            let Some(raw) = field(&document, name) else {
                return Ok(Fields::new());
            };
            let fields: Option<Fields<'_>> =
                serde_json::from_str(raw.get()).map_err(|_| CredentialsError::NoObject {
                    file: file.name.to_owned(),
                    key: name.to_owned(),
                })?;
            Ok(fields.unwrap_or_default())
        };
        let entries = match is_old {
            true => document.clone(),
            false => part("auths")?,
        };
        let mut auths = BTreeMap::new();
        for (key, raw) in entries {
            let name = normalised(&key, is_old);
            // A key that is already in normal form takes precedence over one that was converted
            // to it.
            if name == key || !auths.contains_key(&name) {
                let broken = || Entry::Broken(one_line(&key, 100));
                auths.insert(name, entry(raw).unwrap_or_else(broken));
            }
        }
        let text_of = |raw: &RawValue| serde_json::from_str::<Option<String>>(raw.get()).ok();
        let (mut helpers, mut store) = (BTreeMap::new(), None);
        if !is_old {
            for (key, raw) in part("credHelpers")? {
                match text_of(raw) {
                    // As in Docker, no helper is asked then.
                    Some(None) => {}
                    Some(Some(helper)) if helper.is_empty() => {}
                    helper => {
                        helpers.insert(normalised(&key, false), helper.flatten());
                    }
                }
            }
            let stored = field(&document, "credsStore");
            store = stored.and_then(text_of).flatten();
        }
        Ok(Self {
            name: file.name.to_owned(),
            auths,
            helpers,
            store: store.filter(|name| !name.is_empty()),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &String> {
        self.auths.keys()
    }

    /// Returns the helper of the first name that has one, or an error if its value is not a name.
    pub(super) fn helper(&self, names: &[String]) -> Option<Result<&str, CredentialsError>> {
        let (name, helper) = names
            .iter()
            .find_map(|name| self.helpers.get(name).map(|helper| (name, helper)))?;
        let no_name = || CredentialsError::HelperValue {
            file: self.name.clone(),
            key: one_line(name, 100),
        };
        Some(helper.as_deref().ok_or_else(no_name))
    }

    /// Returns the entry of the first name that has one.
    pub(super) fn entry(&self, names: &[String]) -> Option<Result<&Credential, CredentialsError>> {
        match names.iter().find_map(|name| self.auths.get(name))? {
            Entry::Known(credential) => Some(Ok(credential)),
            Entry::Empty => None,
            Entry::Broken(key) => Some(Err(CredentialsError::Entry {
                file: self.name.clone(),
                key: one_line(key, 100),
            })),
        }
    }

    pub(super) fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }
}

/// Returns a field. As in Go, a key in another case matches if there is no exact one.
fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    let is_it = |(key, _): &(&String, _)| key.eq_ignore_ascii_case(name);
    let exact = fields.get(name);
    exact
        .or_else(|| fields.iter().find(is_it).map(|(_, raw)| raw))
        .copied()
}

/// Parses an entry; `None` if it is not valid.
fn entry(raw: &RawValue) -> Option<Entry> {
    let fields: Option<Fields<'_>> = serde_json::from_str(raw.get()).ok()?;
    let fields = fields.unwrap_or_default();
    let secret = |name: &str| -> Option<Option<Secret>> {
        let Some(raw) = field(&fields, name) else {
            return Some(None);
        };
        let secret: Option<Secret> = serde_json::from_str(raw.get()).ok()?;
        // The character replaces bytes that are not UTF-8, so the original secret is not known.
        let is_text = |secret: &Secret| !secret.expose().contains(char::REPLACEMENT_CHARACTER);
        if !secret.as_ref().is_none_or(is_text) {
            return None;
        }
        Some(secret.filter(|secret| !secret.expose().is_empty()))
    };
    if let Some(token) = secret("identitytoken")? {
        let beside = secret("auth")?
            .and_then(|auth| decoded(&auth))
            .map(Box::new);
        return Some(Entry::Known(Credential::IdentityToken { token, beside }));
    }
    if let Some(auth) = secret("auth")? {
        return decoded(&auth).map(Entry::Known);
    }
    Some(match (secret("username")?, secret("password")?) {
        (Some(username), Some(password)) => Entry::Known(Credential::Password {
            username: username.expose().to_owned(),
            password,
        }),
        _ => Entry::Empty,
    })
}

/// Decodes `user:password` from base64 in either alphabet, with or without line breaks and
/// padding.
fn decoded(auth: &Secret) -> Option<Credential> {
    let engine = base64::engine::GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        base64::engine::GeneralPurposeConfig::new()
            .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
    );
    let characters = auth.expose().chars().filter(|c| !c.is_ascii_whitespace());
    let characters = characters.map(|c| match c {
        '-' => '+',
        '_' => '/',
        other => other,
    });
    let text = Zeroizing::new(characters.collect::<String>());
    let bytes = Zeroizing::new(engine.decode(text.as_bytes()).ok()?);
    // Some versions of Docker pad the decoded text with zero bytes.
    let text = std::str::from_utf8(&bytes).ok()?.trim_end_matches('\0');
    let (username, password) = text.split_once(':')?;
    Some(Credential::Password {
        username: username.to_owned(),
        password: Secret::new(password),
    })
}

/// Returns the key under which an entry is found: without scheme and API path, and with one name
/// for Docker Hub. In `.dockercfg` every key may have a path.
pub(super) fn normalised(key: &str, is_old: bool) -> String {
    let stripped = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"));
    // Only Docker's URL keys have an API path behind the host.
    let name = match stripped {
        Some(rest) => rest.split('/').next().unwrap_or(rest),
        None if is_old => key.split('/').next().unwrap_or(key),
        None => key.trim_end_matches('/'),
    };
    let (host, path) = match name.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (name, None),
    };
    let host = host.to_ascii_lowercase();
    let host = match host.as_str() {
        "index.docker.io" | "registry-1.docker.io" => Host::DOCKER_HUB,
        other => other,
    };
    match path {
        Some(path) => format!("{host}/{path}"),
        None => host.to_owned(),
    }
}
