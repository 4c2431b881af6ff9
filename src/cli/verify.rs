//! `airferry verify`: checks a bundle, and prints the findings.

use std::path::PathBuf;

use super::jobs_arg::at_least_one;
use super::release_keys_args::{self, ReleaseKeysArgs};
use super::trust_args::TrustArgs;
use super::{Invocation, OutputArgs, release_text};
use crate::bundle::FindingKind;
use crate::error::Error;
use crate::model::{ByteSize, Count, NeededBy};
use crate::ops;
use crate::ops::verify::{self, Report, Request};

/// Maximum number of missing images that are named.
const SHOWN: usize = 20;

const EXAMPLES: &str = "\
Examples:
  airferry verify /media/stick/okd --trust exporter.pub
  airferry verify /media/stick/okd --trust exporter.pub --output json > verified.json

Without --trust it checks integrity, prints NOT AUTHENTICATED and ends with code 3.
With --trust, nothing is read of a bundle that none of these keys has signed, and the code is 3 as
well; --allow-unsigned checks its integrity.";

/// Checks that a bundle is whole, unchanged, and made by somebody who is trusted.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct VerifyArgs {
    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    bundle: PathBuf,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    release_keys: ReleaseKeysArgs,

    /// Accept that images are missing, if the manifest says so.
    #[arg(long)]
    allow_incomplete: bool,

    /// Fail also on files that do not belong to the bundle (code 9), and on a release that could
    /// not be compared with its image, because a base carried that (code 3).
    #[arg(long)]
    strict: bool,

    /// Threads [default: one for each core].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<std::num::NonZeroUsize>,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: VerifyArgs, invocation: &Invocation) -> Result<(), Error> {
    let request = Request {
        trust: args.trust.trust(&args.bundle)?,
        bundle: args.bundle.clone(),
        allow_unsigned: args.trust.allow_unsigned(),
        allow_incomplete: args.allow_incomplete,
        strict: args.strict,
        release_keys: args.release_keys.keys(Some(&args.bundle))?,
        allow_unsigned_release: args.release_keys.allow_unsigned(),
        jobs: args.jobs.map(usize::from),
    };
    let context = invocation.context().clone();
    let report = ops::blocking(move || verify::verify(&request, &context)).await?;
    invocation
        .output
        .outcome(args.output.format, &report, text)?;
    report.failure().map_or(Ok(()), Err)
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    let bundle = report
        .bundle
        .map_or_else(|| "without manifest".to_owned(), |id| id.hex());
    line(format!("bundle {bundle}"));
    for signer in &report.signers {
        let verdict = match (signer.approves, signer.expired) {
            (false, _) => "REJECTS",
            (true, false) => "approves",
            (true, true) => "approved, but this approval has expired",
        };
        let comment = signer
            .comment
            .as_ref()
            .map(|c| format!(": {c}"))
            .unwrap_or_default();
        line(format!(
            "  {} {verdict}, key {}{comment}",
            signer.role, signer.key
        ));
    }
    for claimed in &report.claimed {
        line(format!("  claimed, unverified: {claimed}"));
    }
    for other in &report.other_generations {
        line(format!(
            "  about another manifest.cbor, unverified: {other}"
        ));
    }
    for finding in &report.findings {
        match finding.kind {
            // The missing images are listed below, with reasons.
            FindingKind::Incomplete
                if !report.missing.is_empty() || !report.malformed.is_empty() =>
            {
                line(format!("  {}", finding.message));
            }
            _ => line(format!("  {finding}")),
        }
    }
    for image in report.missing.iter().take(SHOWN) {
        let problem = image.problem.escape_debug();
        let needed_by = NeededBy::clause(&image.needed_by);
        line(format!(
            "    lacks {}: {problem}{needed_by}",
            image.reference
        ));
    }
    for malformed in report.malformed.iter().take(SHOWN) {
        line(format!("    lacks {malformed}"));
    }
    let lacks = report.missing.len().max(report.malformed.len());
    if let Some(more) = lacks.checked_sub(SHOWN + 1) {
        line(format!(
            "    and {} more (--output json names all)",
            more + 1
        ));
    }
    for release in &report.releases {
        line(format!(
            "  {}: {}",
            release_text::summary(release),
            release.image
        ));
    }
    for proof in &report.release_proofs {
        line(format!("  {}", release_keys_args::sentence(proof)));
    }
    if report.attachments_unknown > 0 {
        line(format!(
            "  unknown whether all signatures and referrers are carried: {}",
            Count::of(report.attachments_unknown, "image")
        ));
    }
    if report.stopped {
        line(
            "NOT AUTHENTICATED: stopped here, because no statement by a trusted key counts; \
             without --trust, or with --allow-unsigned, integrity is checked"
                .to_owned(),
        );
        return text;
    }
    let bytes = &report.bytes;
    line(format!(
        "bytes: content {}, framing {}, metadata {}, documents {}, statements {}, foreign {}, \
         unaccounted {}",
        bytes.content,
        bytes.framing,
        bytes.metadata,
        bytes.documents,
        bytes.statements,
        bytes.foreign,
        bytes.unaccounted,
    ));
    let total = ByteSize(bytes.content + bytes.framing + bytes.metadata);
    line(format!(
        "{}, {}, {}{}: {}, {}, {total}",
        if report.authenticated {
            "authenticated"
        } else {
            "NOT AUTHENTICATED"
        },
        match (report.unfinished, report.intact) {
            (true, _) => "UNFINISHED",
            (false, Some(true)) => "intact",
            (false, _) => "DAMAGED",
        },
        match report.complete {
            Some(true) => "complete",
            Some(false) => "INCOMPLETE",
            None => "completeness unknown",
        },
        if report.releases_accepted() {
            ""
        } else {
            ", releases NOT ACCEPTED"
        },
        Count::of(report.images, "image"),
        Count::of(report.blobs, "blob"),
    ));
    text
}
