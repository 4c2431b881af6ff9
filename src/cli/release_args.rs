//! Arguments for the source of a release and for the keys that must have signed it; flattened into
//! verbs about releases.

use std::path::{Path, PathBuf};

use super::Invocation;
use super::registry_args::RegistryArgs;
use super::release_keys_args::ReleaseKeysArgs;
use super::trust_args::TrustArgs;
use crate::content::mirror_policy;
use crate::error::Error;
use crate::model::{Platform, Reference};
use crate::ops::release::signatures::Store;
use crate::ops::release::{ReleaseOrigin, Verification};
use crate::registry::{Client, Mirrors};
use crate::sys::{clock, files};

/// Limit for the length of a file with mirror policies, in bytes.
const CAP: u64 = 4 << 20;

/// Mirror policies, in the form in which clusters get them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct PolicyArgs {
    /// File with ImageContentSourcePolicies: images named by digest are read from their mirrors
    /// first. All documents of the file count. Repeatable.
    #[arg(long, value_name = "FILE")]
    icsp_file: Vec<PathBuf>,

    /// The same with ImageDigestMirrorSets.
    #[arg(long, value_name = "FILE")]
    idms_file: Vec<PathBuf>,
}

impl PolicyArgs {
    /// Returns the mirrors of all files.
    pub(crate) fn mirrors(&self) -> Result<Mirrors, Error> {
        let mut text = Vec::new();
        let paths: Vec<&PathBuf> = self.icsp_file.iter().chain(&self.idms_file).collect();
        if paths.is_empty() {
            return Ok(Mirrors::default());
        }
        let shown: Vec<String> = paths
            .iter()
            .map(|path| format!("`{}`", path.display()))
            .collect();
        let refused = || {
            Error::usage(format!(
                "The mirrors in {} cannot be used",
                shown.join(", ")
            ))
        };
        for path in paths {
            // Parsed as one stream, so that policies of several files are combined.
            text.extend_from_slice(b"\n---\n");
            let read = files::read(path, CAP).map_err(|error| refused().caused_by(error))?;
            text.extend_from_slice(&read);
        }
        let policies = mirror_policy::parse(&text).map_err(|error| refused().caused_by(error))?;
        let mut mirrors = Mirrors::default();
        for policy in policies {
            let rule = Mirrors::by_digest(&policy.source, &policy.mirrors, policy.ask_source);
            let rule = rule.map_err(|error| refused().caused_by(error))?;
            mirrors = mirrors.overridden_by(rule);
        }
        Ok(mirrors)
    }
}

/// Arguments for the source of a release.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct ReleaseSourceArgs {
    /// Which release of a bundle: its version, or its image as it was requested. Needed if the
    /// bundle carries several.
    #[arg(long, value_name = "VERSION|REF")]
    release: Option<String>,

    /// Platform of the image to read from a multi-architecture release. Default: this machine's, if
    /// present.
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    policies: PolicyArgs,

    #[command(flatten)]
    registry: RegistryArgs,
}

impl ReleaseSourceArgs {
    /// Makes the client, with the mirrors of the policies.
    pub(crate) fn client(&self, invocation: &Invocation) -> Result<Client, Error> {
        let mirrors = self.policies.mirrors()?;
        self.registry.client_with(invocation, mirrors)
    }

    /// Returns the release that a directory or an image reference names.
    pub(crate) fn from(&self, text: &str, client: &Client) -> Result<ReleaseOrigin, Error> {
        let path = Path::new(text);
        if files::is_dir(path) {
            return Ok(ReleaseOrigin::Bundle {
                trust: self.trust.trust(path)?,
                allow_unsigned: self.trust.allow_unsigned(),
                release: self.release.clone(),
                path: path.to_owned(),
            });
        }
        let reference: Reference = text.parse().map_err(|error| {
            let text = text.escape_debug();
            Error::usage(format!("`{text}` is neither a directory nor an image")).caused_by(error)
        })?;
        // A name without slash, tag and digest is more likely a misspelled path than an image.
        if reference.tag.is_none() && reference.digest.is_none() && !text.contains('/') {
            let text = text.escape_debug();
            return Err(Error::usage(format!("There is no directory `{text}`"))
                .hint("an image is named with its tag or digest"));
        }
        let client = client.clone();
        Ok(ReleaseOrigin::Registry { client, reference })
    }

    /// Returns the platform whose image is read.
    pub(crate) fn platform(&self) -> Platform {
        self.platform.clone().unwrap_or_else(|| Platform {
            os: "linux".to_owned(),
            architecture: own_architecture().to_owned(),
            variant: None,
        })
    }
}

/// Arguments for the verification of releases.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct ReleaseTrustArgs {
    #[command(flatten)]
    keys: ReleaseKeysArgs,

    /// Signature store to use instead of those that the release names: a URL, or a directory, also
    /// one that `airferry import --resources` wrote. Repeatable.
    #[arg(long, value_name = "URL|DIR")]
    signature_store: Vec<String>,
}

impl ReleaseTrustArgs {
    /// Returns what verification needs: keys, stores, options, and `client`, which fetches
    /// signatures. Keys that came with `bundle` are refused.
    pub(crate) fn verification(
        &self,
        client: &Client,
        bundle: Option<&Path>,
    ) -> Result<Verification, Error> {
        let stores = self.signature_store.iter().map(|text| named_store(text));
        let stores: Result<Vec<Store>, Error> = stores.collect();
        Ok(Verification {
            trust: self.keys.keys(bundle)?.trust,
            stores: stores?,
            allow_unsigned: self.keys.allow_unsigned(),
            client: client.clone(),
            now: clock::now(),
        })
    }
}

/// Returns the store that `--signature-store` names. A directory must exist: a misspelled path must
/// not look like a release without signatures.
fn named_store(text: &str) -> Result<Store, Error> {
    let store = Store::named(text);
    match &store {
        Store::Directory(path) if !files::exists(path) => {
            let message = format!("There is no directory `{}` with signatures", path.display());
            Err(Error::usage(message).hint("check the path given by --signature-store"))
        }
        _ => Ok(store),
    }
}

/// Returns this machine's operating system by its name in Go.
pub(crate) fn own_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    }
}

/// Returns this machine's architecture by its name in Go.
pub(crate) fn own_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        other => other,
    }
}
