//! Arguments for the keys that must have signed the releases of a bundle.

use std::path::{Path, PathBuf};

use super::shell::quoted;
use super::trust_args::place_with_bundle;
use crate::content::release::ExpiredKeys;
use crate::content::release::trust::ReleaseTrust;
use crate::error::Error;
use crate::ops::release::proof::{ReleaseKeys, ReleaseProof, ReleaseState};
use crate::sys::files;

/// Limit for the length of a keyring or a list of fingerprints, in bytes.
const CAP: u64 = 2 << 20;

/// Keys that may vouch for releases; flattened into verbs that read bundles.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Releases")]
pub(crate) struct ReleaseKeysArgs {
    /// OpenPGP keys that are trusted to sign releases, or a list of their fingerprints, instead of
    /// the built-in ones of Red Hat and of OpenShift's CI.
    #[arg(long, value_name = "FILE")]
    release_keys: Option<PathBuf>,

    /// Accept signatures from before their key expired.
    #[arg(long)]
    accept_expired_release_keys: bool,

    /// Accept releases without a signature, as some of OKD are. If there is a signature, it must be
    /// valid all the same.
    #[arg(long)]
    allow_unsigned_release: bool,
}

impl ReleaseKeysArgs {
    /// Returns these flags as they were given, to be repeated in a command that airferry suggests.
    pub(crate) fn flags_as_given(&self) -> String {
        let mut again = String::new();
        if let Some(path) = &self.release_keys {
            again.push_str(&format!(" --release-keys {}", quoted(path)));
        }
        if self.accept_expired_release_keys {
            again.push_str(" --accept-expired-release-keys");
        }
        if self.allow_unsigned_release {
            again.push_str(" --allow-unsigned-release");
        }
        again
    }

    /// True if releases without signatures are accepted.
    pub(crate) fn allow_unsigned(&self) -> bool {
        self.allow_unsigned_release
    }

    /// Returns the keys that may vouch for releases. A key file that came with `bundle` is refused.
    pub(crate) fn keys(&self, bundle: Option<&Path>) -> Result<ReleaseKeys, Error> {
        let mut keys = match &self.release_keys {
            None => ReleaseKeys::default(),
            Some(path) => {
                if let Some(bundle) = bundle {
                    refuse_key_from_bundle(path, bundle)?;
                }
                let trust = read(path)?;
                ReleaseKeys { trust }
            }
        };
        if self.accept_expired_release_keys {
            keys.trust.expired_keys = ExpiredKeys::AcceptEarlierSignatures;
        }
        Ok(keys)
    }
}

/// Refuses keys that came with the bundle. They prove nothing: a forger of the release would add
/// their own keys.
fn refuse_key_from_bundle(path: &Path, bundle: &Path) -> Result<(), Error> {
    let Some(place) = place_with_bundle(path, bundle)? else {
        return Ok(());
    };
    Err(Error::usage(format!(
        "The release keys `{}` are {place} and prove nothing: someone who changed the bundle could have replaced them",
        path.display()
    ))
    .hint("use a copy that reached this machine by another way"))
}

fn read(path: &Path) -> Result<ReleaseTrust, Error> {
    let refused = || {
        let path = path.display();
        Error::usage(format!("The release keys in `{path}` cannot be used"))
    };
    let bytes = files::read(path, CAP).map_err(|error| refused().caused_by(error))?;
    ReleaseTrust::from_file(&bytes).map_err(|error| refused().caused_by(error))
}

/// Describes in one line by which keys a release is signed.
pub(crate) fn describe_proof(proof: &ReleaseProof) -> String {
    let state = match proof.state {
        ReleaseState::Genuine => "genuine",
        ReleaseState::NotCompared => "signed",
        ReleaseState::Unsigned => "UNSIGNED",
        ReleaseState::KeysUnknown => "signed by unknown keys",
        ReleaseState::NotGenuine => "NOT GENUINE",
        ReleaseState::Unreadable => "NOT READABLE",
    };
    let mut text = format!("release {} {}: {state}", proof.version, proof.image);
    for signer in &proof.signers {
        let at = &signer.signed_at;
        text.push_str(&format!(", signed by {signer} {at}"));
    }
    if !proof.compared && proof.state != ReleaseState::Unreadable && !is_not_genuine(proof) {
        text.push_str("; not compared with its image, whose layers are in a base bundle");
    }
    text
}

/// True if the release is already known not to be genuine.
fn is_not_genuine(proof: &ReleaseProof) -> bool {
    proof.state == ReleaseState::NotGenuine
}
