//! `airferry keygen`: makes a pair of keys for signing bundles.

use std::path::{Path, PathBuf};

use serde::Serialize;
use zeroize::Zeroizing;

use super::context::Context;
use crate::error::{Error, Result};
use crate::format::keys::{KeyError, SigningKey};
use crate::model::KeyFingerprint;
use crate::sys::entropy;
use crate::sys::files::{self, Readers};

/// The request of `airferry keygen`.
#[derive(Debug)]
pub struct Request {
    /// Path of both files, without `.pem` and `.pub`.
    pub out: PathBuf,
    /// Passphrase to encrypt the private key; `None` leaves it unencrypted.
    pub passphrase: Option<Zeroizing<Vec<u8>>>,
}

/// The key pair that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Path of the private key.
    pub private_key: PathBuf,
    /// Path of the public key.
    pub public_key: PathBuf,
    /// Fingerprint of the public key.
    pub fingerprint: KeyFingerprint,
    /// True if the private key needs a passphrase.
    pub encrypted: bool,
}

/// Makes a pair of Ed25519 keys. Fails if one of the files exists, and does not change it.
pub fn keygen(request: Request, context: &Context) -> Result<Outcome> {
    let private_key = with_ending(&request.out, ".pem");
    let public_key = with_ending(&request.out, ".pub");
    for path in [&private_key, &public_key] {
        if files::exists(path) {
            return Err(
                Error::usage(format!("There is a file `{}` already", path.display()))
                    .hint("choose another name with --out, or move the old keys away"),
            );
        }
    }
    let key = SigningKey::from_seed(&*random()?);
    let pem = match &request.passphrase {
        Some(passphrase) => key.to_encrypted_pem(passphrase, &*random()?),
        None => key.to_pem(),
    };
    let pem = pem.map_err(write_error)?;
    files::write_new(&private_key, pem.as_bytes(), 0o600)?;
    if let Err(error) = files::write_new(&public_key, key.public().to_pem().as_bytes(), 0o644) {
        // A private key left alone would make the next attempt fail.
        let _ = files::remove(&private_key);
        return Err(error.into());
    }
    if files::readers(&private_key)? == Readers::Others && request.passphrase.is_none() {
        context.warn(format!(
            "`{}` is on a file system without permissions: others can read the private key",
            private_key.display()
        ));
    }
    Ok(Outcome {
        fingerprint: key.public().fingerprint(),
        encrypted: request.passphrase.is_some(),
        private_key,
        public_key,
    })
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    entropy::random()
        .map(Zeroizing::new)
        .map_err(|error| Error::internal("The operating system gives no random numbers", error))
}

fn write_error(error: KeyError) -> Error {
    Error::internal("The private key cannot be written", error)
}

/// Adds an ending to the path. An ending `.pem` or `.pub` in `out` is removed before.
fn with_ending(out: &Path, ending: &str) -> PathBuf {
    let is_key = |out: &&Path| out.extension().is_some_and(|e| e == "pem" || e == "pub");
    let stem = Some(out).filter(is_key).map(|out| out.with_extension(""));
    let mut name = stem.unwrap_or_else(|| out.to_owned()).into_os_string();
    name.push(ending);
    name.into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::format::keys;
    use crate::progress::NoProgress;

    #[test]
    fn neither_file_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("exporter");
        let context = Context::new(Arc::new(NoProgress));
        let run = || {
            let (out, passphrase) = (out.clone(), None);
            keygen(Request { out, passphrase }, &context)
        };
        let made = run().unwrap();
        let text = fs_err::read(&made.public_key).unwrap();
        let public = keys::parse_public(&text).unwrap();
        assert_eq!(public.fingerprint(), made.fingerprint);

        for (kept, gone) in [
            (&made.private_key, &made.public_key),
            (&made.public_key, &made.private_key),
        ] {
            fs_err::write(kept, "old").unwrap();
            let _ = fs_err::remove_file(gone);
            let error = run().unwrap_err();
            assert!(error.to_string().contains("already"), "{error}");
            assert_eq!(fs_err::read(kept).unwrap(), b"old");
            assert!(!gone.exists());
        }
    }

    #[test]
    fn endings_are_added_to_any_name() {
        for (out, expected) in [
            ("exporter", "exporter.pem"),
            ("a/b.c", "a/b.c.pem"),
            ("exporter.pem", "exporter.pem"),
            ("exporter.pub", "exporter.pem"),
        ] {
            assert_eq!(with_ending(Path::new(out), ".pem"), Path::new(expected));
        }
    }
}
