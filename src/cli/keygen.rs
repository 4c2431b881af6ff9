//! `airferry keygen`: makes a pair of keys, or shows the fingerprint of a key.

use std::path::PathBuf;

use serde::Serialize;

use super::key_args::read_either;
use super::passphrase::PassphraseArgs;
use super::{Invocation, OutputArgs};
use crate::error::Error;
use crate::format::keys::spoken;
use crate::model::KeyFingerprint;
use crate::ops::keygen::{Outcome, Request, keygen};

const EXAMPLES: &str = "\
Examples:
  Make exporter.pem (private) and exporter.pub (public):
    airferry keygen --out exporter

  The same, with a passphrase that is asked for:
    airferry keygen --out exporter --passphrase

  Show a key's fingerprint, to compare it over the phone:
    airferry keygen --show exporter.pub

Keys are Ed25519 in PEM, as `openssl genpkey -algorithm ed25519` makes them.";

/// Makes a pair of keys that sign bundles, or shows a key's fingerprint.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct KeygenArgs {
    /// Name of both files without .pem and .pub. Existing files are never overwritten.
    #[arg(long, value_name = "NAME", group = "what", help_heading = "New keys")]
    out: Option<PathBuf>,

    /// Encrypts the private key with a passphrase.
    #[arg(long, conflicts_with = "show", help_heading = "New keys")]
    passphrase: bool,

    #[command(flatten, next_help_heading = "New keys")]
    source: PassphraseArgs,

    /// Prints the fingerprint of a key instead of making one.
    #[arg(
        long,
        value_name = "FILE",
        group = "what",
        help_heading = "Existing keys"
    )]
    show: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: KeygenArgs, invocation: &Invocation) -> Result<(), Error> {
    let output = &invocation.output;
    if let Some(path) = &args.show {
        let fingerprint = read_either(path)?.fingerprint();
        return output.outcome(args.output.format, &Shown { fingerprint }, |shown| {
            spoken(shown.fingerprint.as_bytes())
        });
    }
    let Some(out) = args.out else {
        return Err(Error::usage("No name was given for the keys").hint("give --out"));
    };
    let asked = args.passphrase || args.source.passphrase_file.is_some();
    let passphrase = asked
        .then(|| args.source.for_new_key(&invocation.environment))
        .transpose()?;
    let outcome = keygen(Request { out, passphrase }, invocation.context())?;
    output.outcome(args.output.format, &outcome, text)
}

#[derive(Serialize)]
struct Shown {
    fingerprint: KeyFingerprint,
}

fn text(outcome: &Outcome) -> String {
    let Outcome {
        private_key,
        public_key,
        fingerprint,
        encrypted,
    } = outcome;
    let (private, public) = (private_key.display(), public_key.display());
    let lock = if *encrypted {
        "encrypted; needs the passphrase"
    } else {
        "not encrypted; anyone who has this file can sign as you"
    };
    let fingerprint: String = spoken(fingerprint.as_bytes())
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    format!(
        "\
Private key  {private} ({lock})
Public key   {public}

Fingerprint, to read aloud over the phone:
{fingerprint}
Next: bring {public} to the other side once, by another way than the bundles, and compare
its fingerprint there (airferry keygen --show {public}). Then:
  airferry export REF... --to DIR --key {private}
  airferry verify DIR --trust {public}
"
    )
}
