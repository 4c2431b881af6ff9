//! Arguments for trust: public keys, and fingerprints that came by another way than the bundle.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::key_args::read_public;
use crate::bundle::Trust;
use crate::error::Error;
use crate::format::keys::VerifyingKey;
use crate::model::{DigestError, KeyFingerprint};
use crate::sys::filesystem::{FileSystem, same_mount};
use crate::sys::{clock, files};

/// A key's fingerprint as people type it: in groups, with colons, in capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TypedFingerprint(KeyFingerprint);

impl FromStr for TypedFingerprint {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let text = text.to_ascii_lowercase();
        let text = text.trim().strip_prefix("sha256:").unwrap_or(&text);
        let digits: String = text
            .chars()
            .filter(|c| !c.is_whitespace() && !matches!(c, ':' | '-'))
            .collect();
        KeyFingerprint::from_hex(&digits).map(Self)
    }
}

/// Arguments for the trusted keys; flattened into verbs that read bundles.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Trust")]
pub(crate) struct TrustArgs {
    /// Public key of a trusted exporter; it must come by another way than the bundle. Repeatable.
    #[arg(long, value_name = "FILE")]
    trust: Vec<PathBuf>,

    /// Fingerprint that a --trust key must have, told by phone or on paper; with it the key
    /// itself may come with the bundle. Spaces, colons and capitals are fine. Repeatable.
    #[arg(long, value_name = "HEX", requires = "trust")]
    trust_fingerprint: Vec<TypedFingerprint>,

    /// Directory besides the bundle with statements about it, as `airferry sign --statements`
    /// makes it. Repeatable.
    #[arg(long, value_name = "DIR")]
    statements: Vec<PathBuf>,

    /// Continue without a statement by a trusted key. Damage is still found; forgery is not.
    #[arg(long)]
    allow_unsigned: bool,
}

impl TrustArgs {
    /// True if a bundle that no trusted key has signed is accepted.
    pub(crate) fn allow_unsigned(&self) -> bool {
        self.allow_unsigned
    }

    /// Loads the keys that are trusted for `bundle`.
    pub(crate) fn trust(&self, bundle: &Path) -> Result<Trust, Error> {
        let mut exporters = Vec::with_capacity(self.trust.len());
        for path in &self.trust {
            exporters.push(read_public(path)?);
        }
        // Checked first, because it is the more serious finding: this is not the key that was
        // announced.
        for wanted in &self.trust_fingerprint {
            if !exporters.iter().any(|key| key.fingerprint() == wanted.0) {
                return Err(no_such_key(wanted.0));
            }
        }
        for (path, key) in self.trust.iter().zip(&exporters) {
            if !self.names(key) {
                refuse_key_from_bundle(path, bundle)?;
            }
        }
        Ok(Trust {
            exporters,
            now: Some(clock::now()),
            statements: self.statements.clone(),
        })
    }

    /// True if `--trust-fingerprint` names this key.
    fn names(&self, key: &VerifyingKey) -> bool {
        let fingerprint = key.fingerprint();
        self.trust_fingerprint
            .iter()
            .any(|typed| typed.0 == fingerprint)
    }
}

/// Refuses a key that came with the bundle. It proves nothing: a forger of the bundle would add
/// their own key.
///
/// The error does not show the key's fingerprint: it would be copied, not compared.
fn refuse_key_from_bundle(path: &Path, bundle: &Path) -> Result<(), Error> {
    let Some(place) = place_with_bundle(path, bundle)? else {
        return Ok(());
    };
    Err(Error::usage(format!(
        "The key `{}` is {place} and proves nothing: someone who changed the bundle could have replaced the key",
        path.display()
    ))
    .hint("use a copy of the key that reached this machine by another way")
    .hint("or ask the exporter to read the key's fingerprint to you, and give what you hear by --trust-fingerprint"))
}

/// Returns where a file that came with the bundle lies; `None` if it did not come with it.
pub(crate) fn place_with_bundle(path: &Path, bundle: &Path) -> Result<Option<&'static str>, Error> {
    let inside = files::resolve(path)?.starts_with(files::resolve(bundle)?);
    Ok(if inside {
        Some("in the bundle's directory")
    } else if same_mount(path, bundle) && FileSystem::of(bundle)?.is_removable_kind() {
        Some("on the bundle's medium")
    } else {
        None
    })
}

fn no_such_key(wanted: KeyFingerprint) -> Error {
    Error::usage(format!(
        "None of the keys given by --trust has the fingerprint {}",
        wanted.hex()
    ))
    .hint("if the fingerprint was heard and typed correctly, this key is not the exporter's: do not import the bundle")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::keys::{SigningKey, spoken};

    fn args(trust: &[&Path], fingerprints: &[&str]) -> TrustArgs {
        TrustArgs {
            trust: trust.iter().map(|path| (*path).to_owned()).collect(),
            trust_fingerprint: fingerprints.iter().map(|t| t.parse().unwrap()).collect(),
            statements: Vec::new(),
            allow_unsigned: false,
        }
    }

    #[test]
    fn fingerprints_are_read_as_people_write_them() {
        let hex = "00ff".repeat(16);
        let wanted = KeyFingerprint::from_hex(&hex).unwrap();
        let colons: Vec<&str> = (0..32).map(|i| &hex[2 * i..2 * i + 2]).collect();
        for text in [
            hex.clone(),
            hex.to_uppercase(),
            colons.join(":"),
            format!("SHA256:{hex}"),
            spoken(wanted.as_bytes()),
        ] {
            assert_eq!(
                text.parse::<TypedFingerprint>().unwrap().0,
                wanted,
                "{text}"
            );
        }
        for bad in ["", "00ff", &format!("{hex}0"), &hex.replace('f', "g")] {
            assert!(bad.parse::<TypedFingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_beside_the_bundle_needs_its_fingerprint() {
        let directory = tempfile::tempdir().unwrap();
        let bundle = directory.path().join("okd");
        fs_err::create_dir_all(bundle.join("signatures")).unwrap();
        let key = SigningKey::from_seed(&[7; 32]);
        let own = directory.path().join("exporter.pub");
        let inside = bundle.join("signatures/exporter.pub");
        let link = directory.path().join("link.pub");
        for path in [&own, &inside] {
            fs_err::write(path, key.public().to_pem()).unwrap();
        }
        fs_err::os::unix::fs::symlink(&inside, &link).unwrap();

        let trust = args(&[&own], &[]).trust(&bundle).unwrap();
        assert_eq!(trust.exporters, [key.public()]);
        for path in [&inside, &link] {
            let error = args(&[path], &[]).trust(&bundle).unwrap_err();
            assert!(error.to_string().contains("proves nothing"), "{error}");
            let shown = format!("{error:?}").replace(' ', "");
            let fingerprint = key.public().fingerprint().hex();
            assert!(!shown.contains(&fingerprint[..16]), "{shown}");
        }
        let fingerprint = key.public().fingerprint().hex();
        let trust = args(&[&inside], &[&fingerprint]).trust(&bundle).unwrap();
        assert_eq!(trust.exporters, [key.public()]);

        let other = "00".repeat(32);
        let error = args(&[&own], &[&other]).trust(&bundle).unwrap_err();
        assert!(error.to_string().contains(&other), "{error}");
    }

    #[test]
    fn a_private_key_is_not_taken_for_a_public_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("exporter.pem");
        let key = SigningKey::from_seed(&[7; 32]);
        fs_err::write(&path, key.to_pem().unwrap()).unwrap();
        let error = args(&[&path], &[]).trust(directory.path()).unwrap_err();
        assert!(error.hints()[0].contains("this is the private key"));
    }
}
