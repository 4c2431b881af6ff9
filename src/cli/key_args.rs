//! Arguments for the key that signs: a private key in a file, or a command that has one.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Invocation;
use super::environment::Environment;
use super::passphrase::PassphraseArgs;
use crate::bundle::sign::Signer;
use crate::error::Error;
use crate::format::keys::{self, KeyError, PrivateKey, SigningKey, VerifyingKey};
use crate::model::Limits;
use crate::sys::files::{self, Readers};

/// Treatment of a private key file that other users can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum KeyPermissions {
    /// Refuse the key.
    #[default]
    Refuse,
    /// Use the key, with a warning (for exFAT, which has no permissions, and mounted secrets).
    Warn,
}

/// Arguments for the key that signs; flattened into verbs that sign.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Signing key")]
pub(crate) struct KeyArgs {
    /// Private key that signs (PEM, as `airferry keygen` or `openssl genpkey` write it).
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,

    #[command(flatten)]
    passphrase: PassphraseArgs,

    /// What to do with a private key file that other users can read.
    #[arg(long, value_name = "HOW", default_value = "refuse")]
    key_permissions: KeyPermissions,

    /// Shell command that signs instead (a token, an HSM): reads the statement on its standard
    /// input, writes the 64 bytes of the signature.
    #[arg(
        long,
        value_name = "COMMAND",
        requires = "signer_public",
        conflicts_with = "key"
    )]
    signer_command: Option<String>,

    /// Public key (PEM) of --signer-command.
    #[arg(long, value_name = "FILE", requires = "signer_command")]
    signer_public: Option<PathBuf>,
}

impl KeyArgs {
    /// Loads the key. May prompt for the passphrase, so it must be called before
    /// [`Invocation::context`].
    pub(crate) fn signer(&self, invocation: &Invocation) -> Result<Signer, Error> {
        self.load(&invocation.environment, &|warning| {
            invocation.output.note(warning);
        })
    }

    /// As [`Self::signer`], for verbs that can do without a key.
    pub(crate) fn optional_signer(&self, invocation: &Invocation) -> Result<Option<Signer>, Error> {
        if self.key.is_none() && self.signer_command.is_none() {
            return Ok(None);
        }
        self.signer(invocation).map(Some)
    }

    fn load(&self, environment: &Environment, warn: &dyn Fn(&str)) -> Result<Signer, Error> {
        if let (Some(command), Some(public)) = (&self.signer_command, &self.signer_public) {
            let public = read_public(public)?;
            return Ok(Signer::with_command(public, command.clone()));
        }
        let Some(path) = &self.key else {
            return Err(Error::usage("No key was given").hint("give --key or --signer-command"));
        };
        let file = read_private(path)?;
        self.check_permissions(path, warn)?;
        let key = match keys::parse_private(&file).map_err(|error| unusable(path, error))? {
            PrivateKey::Plain(key) => key,
            PrivateKey::Encrypted(key) => {
                let passphrase = self.passphrase.to_open(path, environment)?;
                key.open(&passphrase)
                    .map_err(|error| unusable(path, error))?
            }
        };
        Ok(Signer::with_key(key))
    }

    fn check_permissions(&self, path: &Path, warn: &dyn Fn(&str)) -> Result<(), Error> {
        let readers = files::readers(path).map_err(|error| unusable(path, error))?;
        if readers == Readers::OwnerOnly {
            return Ok(());
        }
        let name = path.display();
        let message = format!("Others can read the private key `{name}`");
        match self.key_permissions {
            KeyPermissions::Warn => {
                warn(&format!("warning: {message}"));
                Ok(())
            }
            KeyPermissions::Refuse => Err(Error::usage(message)
                .hint(format!("chmod 600 {name}"))
                .hint("on exFAT, or with a mounted secret: --key-permissions=warn")),
        }
    }
}

fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Read one byte more than allowed: the parser has the better message for a file that is no key.
    files::read(path, Limits::KEY_FILE.saturating_add(1))
        .map(Zeroizing::new)
        .map_err(|error| unusable(path, error))
}

/// Reads a public key file.
pub(super) fn read_public(path: &Path) -> Result<VerifyingKey, Error> {
    let file = files::read(path, Limits::KEY_FILE.saturating_add(1))
        .map_err(|error| unusable(path, error))?;
    keys::parse_public(&file).map_err(|error| unusable(path, error))
}

/// Returns a key's fingerprint in groups of 4 digits, in one line.
pub(super) fn in_one_line(key: &VerifyingKey) -> String {
    let groups = keys::spoken(key.fingerprint().as_bytes());
    groups.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Describes a private key file without asking for its passphrase.
pub(super) fn describe_private(path: &Path) -> Result<String, Error> {
    let file = read_private(path)?;
    let name = path.display();
    let found = match keys::parse_private(&file).map_err(|error| unusable(path, error))? {
        PrivateKey::Plain(key) => {
            format!("private, {}", in_one_line(&SigningKey::public(&key)))
        }
        PrivateKey::Encrypted(_) => "private, encrypted (needs the passphrase)".to_owned(),
    };
    match files::readers(path).map_err(|error| unusable(path, error))? {
        Readers::OwnerOnly => Ok(found),
        Readers::Others => Err(
            Error::usage(format!("Others can read the private key `{name}`")).hint(format!(
                "chmod 600 {name}; on exFAT: --key-permissions=warn"
            )),
        ),
    }
}

/// Reads the public half of a public or private key file. An encrypted private key has no readable
/// public half.
pub(super) fn read_either(path: &Path) -> Result<VerifyingKey, Error> {
    let file = read_private(path)?;
    match keys::parse_public(&file) {
        Err(KeyError::PrivateGiven) => match keys::parse_private(&file) {
            Ok(PrivateKey::Plain(key)) => Ok(SigningKey::public(&key)),
            Ok(PrivateKey::Encrypted(_)) => Err(Error::usage(format!(
                "The private key `{}` is encrypted and does not show its fingerprint",
                path.display()
            ))
            .hint("give the public key (`.pub`) instead")),
            Err(error) => Err(unusable(path, error)),
        },
        other => other.map_err(|error| unusable(path, error)),
    }
}

/// Makes the error for an unusable key file, with a hint.
fn unusable(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let any: &(dyn std::error::Error + 'static) = &error;
    let hint = match any.downcast_ref::<KeyError>() {
        None => "check the path",
        Some(KeyError::Passphrase) => {
            "check the passphrase (--passphrase-file, AIRFERRY_PASSPHRASE, or what was typed)"
        }
        Some(KeyError::PublicGiven) => "give the private key (`.pem`, not `.pub`)",
        Some(KeyError::PrivateGiven) => {
            "this is the private key, which stays with its owner; give the public one (`.pub`)"
        }
        Some(_) => "`airferry keygen --out NAME` makes a pair of keys",
    };
    Error::usage(format!("The key `{}` cannot be used", path.display()))
        .caused_by(error)
        .hint(hint)
}

#[cfg(test)]
mod tests;
