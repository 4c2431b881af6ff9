//! Credentials for each registry: auth files and credential helpers.
//!
//! The format is containers-auth.json(5), which is Docker's `config.json` with more specific
//! keys; OpenShift's pull secrets are the same.
//!
//! This module works on texts and runs helpers. It must not depend on HTTP, challenges or tokens:
//! `auth` sends what is found here.

mod auth_file;
mod credential;
mod error;
mod helper;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex};

use self::auth_file::normalised;
pub use self::auth_file::{AuthFile, ParsedAuthFile};
pub use self::credential::{Credential, Secret};
pub use self::error::CredentialsError;
use crate::error::chain;
use crate::model::{Host, RepositoryPath};
use crate::registry::locks::lock;

/// The key of Docker Hub's credentials in Docker's auth files.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";

/// The name of the auth files in `credential-helpers` of `registries.conf`.
const AUTH_FILES: &str = "containers-auth.json";

/// The user name that marks a helper's secret as an identity token.
const IDENTITY_TOKEN_USER: &str = "<token>";

/// Credentials for each registry. Cheap to clone.
#[derive(Clone, Default)]
pub struct Credentials {
    inner: Arc<Inner>,
    /// Where credentials are looked for, for messages.
    places: Arc<[String]>,
    /// `credential-helpers` of `registries.conf`; `None`: only the auth files.
    helpers: Option<Arc<[String]>>,
}

#[derive(Default)]
struct Inner {
    files: Vec<ParsedAuthFile>,
    /// Answers of helpers, by helper and server.
    helper_answers: tokio::sync::Mutex<HashMap<(String, String), Option<Credential>>>,
    /// Failures of helpers that were passed over because another place had credentials.
    passed_over: Mutex<PassedOver>,
}

/// Failures that are to be reported, and the texts of all earlier ones.
#[derive(Default)]
struct PassedOver {
    waiting: Vec<String>,
    told: HashSet<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.inner.files.iter().flat_map(ParsedAuthFile::keys);
        f.debug_list().entries(keys).finish()
    }
}

impl Credentials {
    /// Parses auth files, the most important first. An empty file counts as one without entries.
    ///
    /// # Errors
    ///
    /// When a file as a whole cannot be parsed; entries are checked when they are needed.
    pub fn parse<'a>(
        files: impl IntoIterator<Item = AuthFile<'a>>,
    ) -> Result<Self, CredentialsError> {
        let parsed = files.into_iter().map(AuthFile::parse);
        Ok(Self::of(parsed.collect::<Result<_, _>>()?))
    }

    /// Returns the credentials of parsed auth files, the most important first.
    pub fn of(files: Vec<ParsedAuthFile>) -> Self {
        let places = files.iter().map(|file| file.name().to_owned()).collect();
        Self {
            inner: Arc::new(Inner {
                files,
                helper_answers: tokio::sync::Mutex::default(),
                passed_over: Mutex::default(),
            }),
            places,
            helpers: None,
        }
    }

    /// Sets the list of places that are named in messages: all of them, with a note on those that
    /// have nothing.
    #[must_use]
    pub fn looked_at(mut self, places: Vec<String>) -> Self {
        self.places = places.into();
        self
    }

    /// Uses these credential helpers for all registries, in this order; `containers-auth.json`
    /// stands for the auth files.
    #[must_use]
    pub fn with_helpers(mut self, helpers: &[String]) -> Self {
        self.helpers = (!helpers.is_empty()).then(|| helpers.into());
        self
    }

    /// Returns the places where credentials are looked for.
    pub(super) fn places(&self) -> &[String] {
        &self.places
    }

    /// Returns the credentials for `path` at `host`. The first file that has any decides; within
    /// a file, a helper for the name comes first, then the most specific entry, then the general
    /// helper.
    ///
    /// # Errors
    ///
    /// When an entry for this host, or its helper, cannot be used and no later place has
    /// credentials. If a later one has, `take_passed_over` returns the failure.
    pub async fn lookup(
        &self,
        host: &Host,
        path: Option<&RepositoryPath>,
    ) -> Result<Option<Credential>, CredentialsError> {
        let mut failed = None;
        let files = [AUTH_FILES.to_owned()];
        for helper in self.helpers.as_deref().unwrap_or(&files) {
            let found = match helper.as_str() {
                AUTH_FILES => self.in_files(host, path).await,
                helper => self.ask_helper(helper, host).await,
            };
            match found {
                Ok(None) => {}
                Ok(found) => {
                    self.pass_over(failed.iter());
                    return Ok(found);
                }
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Returns the failures of helpers since the last call, each once: another place had
    /// credentials, perhaps of another account.
    pub(super) fn take_passed_over(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.inner.passed_over).waiting)
    }

    fn pass_over<'a>(&self, failed: impl Iterator<Item = &'a CredentialsError>) {
        let mut passed = lock(&self.inner.passed_over);
        for error in failed.filter(|error| !error.is_of_one_entry()) {
            let text = chain(error);
            if passed.told.insert(text.clone()) {
                passed.waiting.push(text);
            }
        }
    }

    async fn in_files(
        &self,
        host: &Host,
        path: Option<&RepositoryPath>,
    ) -> Result<Option<Credential>, CredentialsError> {
        let names = lookup_names(host, path);
        let mut broken = None;
        for source in &self.inner.files {
            match self.in_file(source, &names, host).await {
                Ok(None) => {}
                Ok(found) => {
                    self.pass_over(broken.iter());
                    return Ok(found);
                }
                // A later file may have a valid one.
                Err(error) => broken = broken.or(Some(error)),
            }
        }
        broken.map_or(Ok(None), Err)
    }

    async fn in_file(
        &self,
        source: &ParsedAuthFile,
        names: &[String],
        host: &Host,
    ) -> Result<Option<Credential>, CredentialsError> {
        let helper = source.helper(names).transpose()?;
        if let Some(helper) = helper
            && let Some(found) = self.ask_helper(helper, host).await?
        {
            return Ok(Some(found));
        }
        if let Some(found) = source.entry(names).transpose()? {
            return Ok(Some(found.clone()));
        }
        match source.store().filter(|_| helper.is_none()) {
            Some(store) => self.ask_helper(store, host).await,
            None => Ok(None),
        }
    }

    async fn ask_helper(
        &self,
        name: &str,
        host: &Host,
    ) -> Result<Option<Credential>, CredentialsError> {
        let server = match normalised(host.as_str(), false).as_str() {
            Host::DOCKER_HUB => DOCKER_HUB_KEY.to_owned(),
            _ => host.to_string(),
        };
        // Held while the helper runs: it may ask the user for a passphrase, and once is enough.
        let mut answers = self.inner.helper_answers.lock().await;
        let key = (name.to_owned(), server);
        if let Some(known) = answers.get(&key) {
            return Ok(known.clone());
        }
        let found = helper::get(&key.0, &key.1).await?;
        let credential = found.map(|(username, secret)| match username.as_str() {
            IDENTITY_TOKEN_USER => Credential::IdentityToken {
                token: secret,
                beside: None,
            },
            _ => Credential::Password {
                username,
                password: secret,
            },
        });
        answers.insert(key, credential.clone());
        Ok(credential)
    }
}

/// Returns `host/ns/repo`, `host/ns`, `host`: the most specific first.
fn lookup_names(host: &Host, path: Option<&RepositoryPath>) -> Vec<String> {
    let host = normalised(host.as_str(), false);
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

#[cfg(test)]
mod tests;
