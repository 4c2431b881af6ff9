//! `airferry verify`: checks a bundle, and prints the findings.

use std::path::PathBuf;

use super::jobs_arg::at_least_one;
use super::release_keys_args::{self, ReleaseKeysArgs};
use super::trust_args::TrustArgs;
use super::{Invocation, OutputArgs, left_out_text, release_text};
use crate::bundle::FindingKind;
use crate::error::Error;
use crate::model::{ByteSize, Count, NeededBy};
use crate::ops;
use crate::ops::verify::{self, Report, Request};

/// Maximum number of missing images that are named.
const MAX_MISSING_SHOWN: usize = 20;

const EXAMPLES: &str = "\
Examples:
  airferry verify /media/stick/okd --trust exporter.pub
  airferry verify /media/stick/okd --trust exporter.pub --output json > verified.json

Without --trust it checks integrity, prints NOT AUTHENTICATED and ends with code 3.
With --trust, nothing is read of a bundle that none of these keys has signed, and the code is 3
too; --allow-unsigned checks its integrity all the same.";

/// Checks that a bundle is complete, undamaged, and signed by a trusted key.
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
        let comment = signer
            .comment
            .as_ref()
            .map(|c| format!(": {c}"))
            .unwrap_or_default();
        let (role, key) = (&signer.role, &signer.key);
        line(match (signer.approves, signer.expired) {
            (false, _) => format!("  {role} REJECTS this bundle, key {key}{comment}"),
            (true, false) => format!("  signed as {role} by {key}{comment}"),
            (true, true) => {
                format!("  signed as {role} by {key}, but this approval has expired{comment}")
            }
        });
    }
    for claimed in &report.claimed {
        line(format!(
            "  signature not checked (no --trust key matches): {claimed}"
        ));
    }
    for other in &report.other_generations {
        line(format!(
            "  statement about another manifest.cbor, not checked: {other}"
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
    let missing = report.missing.iter().map(|image| {
        let problem = image.problem.escape_debug();
        let needed_by = NeededBy::clause(&image.needed_by);
        format!("{}: {problem}{needed_by}", image.reference)
    });
    let malformed = report.malformed.iter().map(ToString::to_string);
    missing_lines(missing.chain(malformed)).for_each(&mut line);
    let left_out = left_out_text::lines(&report.left_out);
    left_out.for_each(|text| line(format!("  {text}")));
    for release in &report.releases {
        line(format!(
            "  {}: {}",
            release_text::summary(release),
            release.image
        ));
    }
    for proof in &report.release_proofs {
        line(format!("  {}", release_keys_args::describe_proof(proof)));
    }
    if report.attachments_unknown > 0 {
        line(format!(
            "  unknown whether all signatures and referrers are carried: {}",
            Count::of(report.attachments_unknown, "image")
        ));
    }
    if report.stopped {
        line(
            "NOT AUTHENTICATED: stopped, because no trusted key has a valid statement; without \
             --trust, or with --allow-unsigned, integrity is checked"
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
            (true, _) => "UNFINISHED".to_owned(),
            (false, Some(true)) => "intact".to_owned(),
            (false, _) => format!("DAMAGED{}", missing_files(report)),
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

/// Returns the number of missing files in parentheses, or nothing.
fn missing_files(report: &Report) -> String {
    let findings = report.findings.iter();
    let missing = findings.filter(|finding| finding.kind == FindingKind::MissingFile);
    let count: usize = missing.map(|finding| finding.more_findings.max(1)).sum();
    match count {
        0 => String::new(),
        count => format!(" ({} missing)", Count::of(count, "file")),
    }
}

/// Returns a line for each missing image, and one for those beyond [`MAX_MISSING_SHOWN`].
fn missing_lines(images: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    let mut images = images.fuse();
    let mut shown = 0;
    std::iter::from_fn(move || {
        let image = images.next()?;
        if shown < MAX_MISSING_SHOWN {
            shown += 1;
            return Some(format!("    missing: {image}"));
        }
        let more = images.by_ref().count() + 1;
        Some(format!("    and {more} more (--output json names all)"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_images_beyond_the_limit_are_counted() {
        let lines = |count: usize| -> Vec<String> {
            missing_lines((0..count).map(|n| format!("image {n}"))).collect()
        };
        assert!(lines(0).is_empty());
        assert_eq!(lines(20).len(), 20);
        assert_eq!(lines(20)[19], "    missing: image 19");
        // 25 images and 25 malformed references, for example.
        assert_eq!(lines(50).len(), 21);
        assert_eq!(lines(50)[20], "    and 30 more (--output json names all)");
    }
}
