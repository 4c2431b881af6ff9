//! Whose word counts for releases.

use std::path::PathBuf;

use crate::content::release::trust::ReleaseTrust;
use crate::ops::Error;
use crate::ops::release::signatures::Store;
use crate::ops::release::verification::Policy;
use crate::sys::files;

/// Whose word counts for releases; flattened into verbs that fetch or import them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Releases")]
pub(crate) struct ReleaseTrustArgs {
    /// OpenPGP keys, or a line with a fingerprint for each, that may vouch for releases, instead
    /// of the built-in ones of Red Hat and OKD.
    #[arg(long, value_name = "FILE")]
    release_keys: Option<PathBuf>,

    /// Where release signatures are looked for, instead of the stores that the release names.
    /// Repeatable.
    #[arg(long, value_name = "URL|DIR")]
    signature_store: Vec<String>,

    /// Carry releases that nobody vouches for. A signature that is there must be good all the
    /// same.
    #[arg(long)]
    allow_unsigned_release: bool,
}

/// Keyrings and lists of fingerprints are shorter than this, in bytes.
const CAP: u64 = 2 << 20;

impl ReleaseTrustArgs {
    /// What releases must show.
    pub(crate) fn policy(&self) -> Result<Policy, Error> {
        let trust = match &self.release_keys {
            None => ReleaseTrust::built_in(),
            Some(path) => {
                let refused = || {
                    let path = path.display();
                    Error::usage(format!("The release keys in `{path}` cannot be used"))
                };
                let bytes = files::read(path, CAP).map_err(|error| refused().caused_by(error))?;
                ReleaseTrust::from_file(&bytes).map_err(|error| refused().caused_by(error))?
            }
        };
        Ok(Policy {
            trust,
            stores: self
                .signature_store
                .iter()
                .map(|text| Store::named(text))
                .collect(),
            allow_unsigned: self.allow_unsigned_release,
        })
    }
}
