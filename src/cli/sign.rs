//! `airferry sign`: adds a signed statement to a finished bundle.

use std::path::PathBuf;
use std::str::FromStr;

use super::key_args::KeyArgs;
use super::{Invocation, OutputArgs};
use crate::bundle::sign::StatementTerms;
use crate::encoding::time::parse_time;
use crate::error::Error;
use crate::model::{LabelText, Role, Timestamp, Verdict};
use crate::ops::sign::{Outcome, Request, sign};

const EXAMPLES: &str = "\
Examples:
  The exporter signs what was exported without --key:
    airferry sign /mnt/stick/okd --key exporter.pem

  A reviewer approves a bundle:
    airferry sign /mnt/stick/okd --key reviewer.pem --role reviewer \\
      --comment 'audit 2026-117'

  A reviewer says that it must not be imported:
    airferry sign /mnt/stick/okd --key reviewer.pem --role reviewer --verdict reject

  The medium is read-only: the statement goes into a directory of its own:
    airferry sign /mnt/dvd/okd --key reviewer.pem --role reviewer --statements ./statements

  The key is in a token:
    airferry sign /mnt/stick/okd --signer-command 'token-sign' --signer-public reviewer.pub

Before signing, everything but the content of chunks is checked; `airferry verify` checks that too.";

/// Adds a signed statement to a finished bundle.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct SignArgs {
    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    bundle: PathBuf,

    #[command(flatten)]
    key: KeyArgs,

    /// Role of the signer: exporter, reviewer, ...
    #[arg(
        long,
        value_name = "ROLE",
        default_value = Role::EXPORTER,
        help_heading = "Statement"
    )]
    role: Role,

    /// The signer's verdict on the bundle.
    #[arg(
        long,
        value_name = "VERDICT",
        default_value = "approve",
        help_heading = "Statement"
    )]
    verdict: VerdictArg,

    /// Comment of the signer, one line.
    #[arg(long, value_name = "TEXT", help_heading = "Statement")]
    comment: Option<LabelText>,

    /// Expiry of the statement, for example 2026-12-31T00:00:00Z.
    #[arg(long, value_name = "TIME", help_heading = "Statement")]
    expires: Option<Expiry>,

    /// Directory for the statement, instead of the bundle itself.
    #[arg(long, value_name = "DIR", help_heading = "Statement")]
    statements: Option<PathBuf>,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum VerdictArg {
    /// It may be imported.
    Approve,
    /// It must not be imported.
    Reject,
}

/// A time in the form that statements use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Expiry(Timestamp);

impl FromStr for Expiry {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_time(text)
            .map(Self)
            .ok_or("write the time in UTC, as 2026-12-31T00:00:00Z")
    }
}

pub(crate) async fn run(args: SignArgs, invocation: &Invocation) -> Result<(), Error> {
    let signer = args.key.signer(invocation)?;
    let request = Request {
        bundle: args.bundle,
        signer,
        opinion: StatementTerms {
            role: args.role,
            verdict: match args.verdict {
                VerdictArg::Approve => Verdict::Approve,
                VerdictArg::Reject => Verdict::Reject,
            },
            comment: args.comment,
            expires: args.expires.map(|expiry| expiry.0),
        },
        statements: args.statements,
    };
    let outcome = sign(request, invocation.context())?;
    invocation
        .output
        .outcome(args.output.format, &outcome, text)
}

fn text(outcome: &Outcome) -> String {
    format!(
        "{}\nSigned. The statement above is in {}\nand its signature in {}\n",
        outcome.text,
        outcome.statement.display(),
        outcome.signature.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_one_form() {
        let expiry: Expiry = "2026-12-31T00:00:00Z".parse().unwrap();
        assert_eq!(expiry.0, Timestamp(1_798_675_200));
        for bad in ["2026-12-31", "tomorrow", "2026-12-31T00:00:00+01:00", ""] {
            assert!(bad.parse::<Expiry>().is_err(), "{bad}");
        }
    }
}
