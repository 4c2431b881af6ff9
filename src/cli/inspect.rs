//! `airferry inspect`: shows the content of a bundle.

use std::path::PathBuf;

use super::trust_args::TrustArgs;
use super::{Invocation, OutputArgs, catalog_text, left_out_text, release_text};
use crate::error::Error;
use crate::model::{AttachmentState, ByteSize, Count, NeededBy};
use crate::ops;
use crate::ops::inspect::{self, Depth, ImageDetail, Report, Request};

const EXAMPLES: &str = "\
Examples:
  airferry inspect /media/stick/okd
  airferry inspect /media/stick/okd --trust exporter.pub
  airferry inspect /media/stick/okd --output json | jq '.images[].reference'

Reads only documents and small image configs; `airferry verify` reads everything.
With --trust, nothing is read of a bundle that none of these keys has signed (code 3).";

/// Shows what is in a bundle, as far as it can be read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct InspectArgs {
    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    bundle: PathBuf,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: InspectArgs, invocation: &Invocation) -> Result<(), Error> {
    let trust = args.trust.trust(&args.bundle)?;
    let request = Request {
        bundle: args.bundle.clone(),
        trust,
        allow_unsigned: args.trust.allow_unsigned(),
    };
    let context = invocation.context().clone();
    let report = ops::blocking(move || inspect::inspect(&request, &context)).await?;
    invocation
        .output
        .outcome(args.output.format, &report, text)?;
    match report.stopped {
        true => Err(report.refusal()),
        false => Ok(()),
    }
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
    line(format!("bundle      {bundle}"));
    let label = &report.label;
    for (name, value) in [
        ("title", &label.title),
        ("owner", &label.owner),
        ("marking", &label.marking),
    ] {
        if let Some(value) = value {
            line(format!("{name:<12}{}", value.as_str()));
        }
    }
    if report.depth != Depth::Nothing {
        let complete = if report.complete {
            "complete"
        } else {
            "INCOMPLETE"
        };
        line(format!("generation  {}, {complete}", report.generation));
    }
    for signer in &report.signers {
        let verified = if signer.verified {
            "verified"
        } else {
            "not checked: no --trust key matches"
        };
        let role = signer
            .role
            .as_ref()
            .map(|role| format!(" {role}"))
            .unwrap_or_default();
        let comment = signer
            .comment
            .as_ref()
            .map(|c| format!(": {c}"))
            .unwrap_or_default();
        line(format!(
            "statement   {} ({verified}{role}){comment}",
            signer.name
        ));
    }
    let (chunks, bytes) = (report.chunks.len(), ByteSize(report.chunk_bytes));
    line(format!(
        "chunks      {chunks}, {bytes} ({} bytes)",
        report.chunk_bytes
    ));
    if report.depth == Depth::Inventory {
        let (content, shared) = (
            ByteSize(report.content_bytes),
            ByteSize(report.shared_bytes),
        );
        line(format!(
            "content     {content} in blobs, {shared} of them shared by several images"
        ));
    }
    for base in &report.bases {
        let title = base
            .title
            .as_ref()
            .map(|title| format!(" \"{title}\""))
            .unwrap_or_default();
        line(format!(
            "base        {}{title}: {}, {} left out",
            base.id.hex(),
            Count::of(base.omitted_blobs, "blob"),
            ByteSize(base.omitted_bytes)
        ));
    }
    for release in &report.releases {
        line(format!(
            "{}: {}",
            release_text::summary(release),
            release.image
        ));
    }
    for catalog in &report.catalogs {
        catalog_text::lines(catalog).into_iter().for_each(&mut line);
    }
    left_out_text::lines(&report.left_out).for_each(&mut line);
    if !report.images.is_empty() {
        line(String::new());
    }
    for image in &report.images {
        image_lines(image, &mut line);
    }
    for (digest, urls) in &report.foreign_blobs {
        let urls: Vec<String> = urls
            .iter()
            .map(|url| url.escape_debug().to_string())
            .collect();
        line(format!(
            "not carried, may not be distributed: {digest} {}",
            urls.join(" ")
        ));
    }
    for (digest, reason) in &report.missing_blobs {
        line(format!("missing: {digest}: {}", reason.escape_debug()));
    }
    if !report.findings.is_empty() {
        line(String::new());
    }
    for finding in &report.findings {
        line(format!("! {finding}"));
    }
    match report.depth {
        Depth::Inventory => {}
        Depth::Manifest => line("the inventory cannot be read: no images can be listed".into()),
        Depth::Nothing if report.stopped => line(
            "nothing was read, because no trusted key has a valid statement: --allow-unsigned, or \
             leaving out --trust, shows the content all the same"
                .into(),
        ),
        Depth::Nothing => line("the manifest cannot be read: nothing can be shown".into()),
    }
    text
}

fn image_lines(image: &ImageDetail, line: &mut impl FnMut(String)) {
    line(image.reference.to_string());
    if let Some(digest) = image.digest {
        line(format!("  digest     {digest}"));
    }
    let platforms: Vec<String> = image.platforms.iter().map(ToString::to_string).collect();
    if !platforms.is_empty() {
        let sparse = if image.sparse {
            " (sparse index: others are left out)"
        } else {
            ""
        };
        line(format!("  platforms  {}{sparse}", platforms.join(", ")));
    }
    let bytes = image.bytes.map(|bytes| ByteSize(bytes).to_string());
    line(format!(
        "  size       {}, {} of them only in this image",
        bytes.as_deref().unwrap_or("unknown"),
        ByteSize(image.unique_bytes)
    ));
    let state = |state: AttachmentState| match state {
        AttachmentState::Carried => "carried",
        AttachmentState::Absent => "absent",
        AttachmentState::NotAsked => "not requested",
        AttachmentState::Unknown => "unknown",
    };
    line(format!(
        "  attached   {} (cosign tags {}, referrers {})",
        image.attached,
        state(image.cosign),
        state(image.referrers)
    ));
    if let Some(problem) = &image.problem {
        let needed_by = NeededBy::clause(&image.needed_by);
        line(format!(
            "  missing    {}{needed_by}",
            problem.escape_debug()
        ));
    }
}
