//! Passphrases: from a file, an environment variable, or a terminal; never from the command line.

use std::io::{IsTerminal as _, stdin};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::environment::Environment;
use crate::error::Error;
use crate::sys::files;

/// The environment variable that may hold the passphrase.
const VARIABLE: &str = "AIRFERRY_PASSPHRASE";

/// Limit for the length of a passphrase file, in bytes.
const CAP: u64 = 4096;

/// A passphrase; wiped from memory when dropped.
pub(super) type Passphrase = Zeroizing<Vec<u8>>;

/// Argument for the source of the passphrase.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PassphraseArgs {
    /// File with the key's passphrase (its first line). Without it: the variable
    /// AIRFERRY_PASSPHRASE, then a prompt.
    #[arg(long, value_name = "FILE")]
    pub(super) passphrase_file: Option<PathBuf>,
}

impl PassphraseArgs {
    /// Returns the passphrase from the file or the variable, if one is given.
    pub(super) fn given(&self, environment: &Environment) -> Result<Option<Passphrase>, Error> {
        if let Some(path) = &self.passphrase_file {
            return read(path).map(Some);
        }
        let value = environment.variable(VARIABLE);
        Ok(value.map(|value| Zeroizing::new(value.into_encoded_bytes())))
    }

    /// Returns the passphrase that opens `key`; prompts for it if it is not given and stdin is a
    /// terminal.
    pub(super) fn to_open(
        &self,
        key: &Path,
        environment: &Environment,
    ) -> Result<Passphrase, Error> {
        match self.given(environment)? {
            Some(passphrase) => Ok(passphrase),
            None => ask(&format!("Passphrase for {}: ", key.display())),
        }
    }

    /// Returns the passphrase for a new key; a prompt asks for it twice.
    pub(super) fn for_new_key(&self, environment: &Environment) -> Result<Passphrase, Error> {
        let passphrase = match self.given(environment)? {
            Some(passphrase) => passphrase,
            None => {
                let first = ask("Passphrase for the new key: ")?;
                if ask("Repeat the passphrase: ")? != first {
                    return Err(Error::usage("The two passphrases are not the same"));
                }
                first
            }
        };
        if passphrase.is_empty() {
            return Err(Error::usage("The passphrase is empty")
                .hint("leave out --passphrase for a key without one"));
        }
        Ok(passphrase)
    }
}

fn read(path: &Path) -> Result<Passphrase, Error> {
    let refused = || {
        Error::usage("The passphrase cannot be read").hint("check the path after --passphrase-file")
    };
    let bytes = files::read(path, CAP).map_err(|error| refused().caused_by(error))?;
    let bytes = Zeroizing::new(bytes);
    let line = bytes
        .split(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Ok(Zeroizing::new(line.to_vec()))
}

fn ask(prompt: &str) -> Result<Passphrase, Error> {
    let nobody = || {
        Error::usage("The key has a passphrase, and there is no terminal to ask for it")
            .hint(format!("give --passphrase-file, or set {VARIABLE}"))
    };
    if !stdin().is_terminal() {
        return Err(nobody());
    }
    let answer = rpassword::prompt_password(prompt).map_err(|error| nobody().caused_by(error))?;
    Ok(Zeroizing::new(answer.into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_comes_before_the_variable() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pass");
        fs_err::write(&file, "from the file\r\nnot this\n").unwrap();
        let around = Environment::of(directory.path(), &[(VARIABLE, Path::new("from env"))]);
        let nothing = Environment::of(directory.path(), &[(VARIABLE, Path::new(""))]);
        let mut args = PassphraseArgs {
            passphrase_file: None,
        };
        assert_eq!(args.given(&nothing).unwrap(), None);
        assert_eq!(
            args.given(&around).unwrap().unwrap().as_slice(),
            b"from env"
        );
        args.passphrase_file = Some(file);
        let given = args.given(&around).unwrap().unwrap();
        assert_eq!(given.as_slice(), b"from the file");
        args.passphrase_file = Some(directory.path().join("missing"));
        assert!(args.given(&around).is_err());
    }

    #[test]
    fn a_new_key_has_no_empty_passphrase() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("pass");
        fs_err::write(&file, "\n").unwrap();
        let args = PassphraseArgs {
            passphrase_file: Some(file),
        };
        let around = Environment::of(directory.path(), &[]);
        let error = args.for_new_key(&around).unwrap_err();
        assert_eq!(error.to_string(), "The passphrase is empty");
    }
}
