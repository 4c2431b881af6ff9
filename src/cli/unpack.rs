//! `airferry unpack`.

use std::path::PathBuf;

use super::trust_args::TrustArgs;
use super::{Environment, OutputArgs};
use crate::model::{ByteSize, Count};
use crate::ops::unpack::{self, Layout, Outcome, Request};
use crate::ops::{self, Error};

const EXAMPLES: &str = "\
Examples:
  airferry unpack /media/stick/okd --to tree --trust exporter.pub
  oc image mirror --from-dir=tree 'file://okd/scos-release:4.18*' mirror.example.com/okd/release

  airferry unpack /media/stick/okd --to layout --as oci --trust exporter.pub
  skopeo copy oci:layout:quay.io/okd/scos-release:4.18.0 docker://mirror.example.com/okd/release";

/// Writes a bundle's images as a tree that `oc`, `skopeo` and others read.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct UnpackArgs {
    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    bundle: PathBuf,

    /// An empty or new directory.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// Which tree.
    #[arg(long = "as", value_name = "LAYOUT", default_value = "v2")]
    layout: Tree,

    #[command(flatten)]
    trust: TrustArgs,

    /// Unpack the images that are whole of an incomplete bundle.
    #[arg(long)]
    allow_incomplete: bool,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Tree {
    /// What `oc image mirror --from-dir` reads.
    V2,
    /// An OCI image layout.
    Oci,
}

pub(crate) async fn run(args: UnpackArgs, environment: &Environment) -> Result<(), Error> {
    let request = Request {
        trust: args.trust.trust(&args.bundle)?,
        bundle: args.bundle,
        allow_unsigned: args.trust.allow_unsigned(),
        allow_incomplete: args.allow_incomplete,
        to: args.to,
        layout: match args.layout {
            Tree::V2 => Layout::V2,
            Tree::Oci => Layout::Oci,
        },
    };
    let context = environment.context().clone();
    let outcome = ops::blocking(move || unpack::unpack(&request, &context)).await?;
    environment
        .output
        .outcome(args.output.format, &outcome, text)?;
    outcome.failure(args.allow_incomplete).map_or(Ok(()), Err)
}

fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for image in &outcome.images {
        text.push_str(&format!("{image}\n"));
    }
    for image in &outcome.left_out {
        text.push_str(&format!("left out: {}\n", image.escape_debug()));
    }
    text.push_str(&format!(
        "{}, {}, {}\n",
        Count::of(outcome.images.len(), "image"),
        Count::of(outcome.blobs, "blob"),
        ByteSize(outcome.bytes)
    ));
    text
}
