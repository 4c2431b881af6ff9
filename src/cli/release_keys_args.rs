//! Whose word counts for the releases of a bundle.

use std::path::PathBuf;

use crate::content::release::trust::ReleaseTrust;
use crate::ops::Error;
use crate::ops::release::proof::{ReleaseKeys, ReleaseProof, ReleaseState};
use crate::sys::files;

/// Keyrings and lists of fingerprints are shorter than this, in bytes.
const CAP: u64 = 2 << 20;

/// Keys that may vouch for releases; flattened into verbs that read bundles.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Releases")]
pub(crate) struct ReleaseKeysArgs {
    /// OpenPGP keys, or a line with a fingerprint for each, that may vouch for releases, instead
    /// of the built-in ones of Red Hat and OKD.
    #[arg(long, value_name = "FILE")]
    release_keys: Option<PathBuf>,
}

impl ReleaseKeysArgs {
    pub(crate) fn keys(&self) -> Result<ReleaseKeys, Error> {
        let Some(path) = &self.release_keys else {
            return Ok(ReleaseKeys::default());
        };
        let refused = || {
            let path = path.display();
            Error::usage(format!("The release keys in `{path}` cannot be used"))
        };
        let bytes = files::read(path, CAP).map_err(|error| refused().caused_by(error))?;
        let trust = ReleaseTrust::from_file(&bytes).map_err(|error| refused().caused_by(error))?;
        Ok(ReleaseKeys {
            trust,
            chosen: true,
        })
    }
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
