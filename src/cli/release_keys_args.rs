//! Whose word counts for the releases of a bundle.

use std::path::{Path, PathBuf};

use crate::content::release::trust::{ExpiredKeys, ReleaseTrust};
use crate::ops::Error;
use crate::ops::release::proof::{ReleaseKeys, ReleaseProof, ReleaseState};
use crate::sys::files;

/// Keyrings and lists of fingerprints are shorter than this, in bytes.
const CAP: u64 = 2 << 20;

/// Keys that may vouch for releases; flattened into verbs that read bundles.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Releases")]
pub(crate) struct ReleaseKeysArgs {
    /// OpenPGP keys that may vouch for releases, or a list of their fingerprints, instead of
    /// the built-in ones of Red Hat and of OpenShift's CI.
    #[arg(long, value_name = "FILE")]
    release_keys: Option<PathBuf>,

    /// Accept signatures from before their key expired.
    #[arg(long)]
    accept_expired_release_keys: bool,
}

impl ReleaseKeysArgs {
    /// The keys that count.
    pub(crate) fn keys(&self) -> Result<ReleaseKeys, Error> {
        let mut keys = match &self.release_keys {
            None => ReleaseKeys::default(),
            Some(path) => ReleaseKeys {
                trust: read(path)?,
                chosen: true,
            },
        };
        if self.accept_expired_release_keys {
            keys.trust.expired_keys = ExpiredKeys::AcceptEarlierSignatures;
        }
        Ok(keys)
    }
}

fn read(path: &Path) -> Result<ReleaseTrust, Error> {
    let refused = || {
        let path = path.display();
        Error::usage(format!("The release keys in `{path}` cannot be used"))
    };
    let bytes = files::read(path, CAP).map_err(|error| refused().caused_by(error))?;
    ReleaseTrust::from_file(&bytes).map_err(|error| refused().caused_by(error))
}

/// Who vouches for a release, in one line.
pub(crate) fn sentence(proof: &ReleaseProof) -> String {
    let state = match proof.state {
        ReleaseState::Genuine => "genuine",
        ReleaseState::Unsigned => "UNSIGNED",
        ReleaseState::KeysUnknown => "signed by keys that are not known",
        ReleaseState::NotGenuine => "NOT GENUINE",
    };
    let mut text = format!("release {} {}: {state}", proof.version, proof.image);
    for signer in &proof.signers {
        let name = signer
            .name
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        text.push_str(&format!(
            ", signed by {}{name} {}",
            signer.key, signer.signed_at
        ));
    }
    text
}
