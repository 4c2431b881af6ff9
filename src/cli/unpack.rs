//! `airferry unpack`: writes a bundle's images as a directory tree for other tools.

use std::path::{Path, PathBuf};

use super::release_keys_args::{self, ReleaseKeysArgs};
use super::trust_args::TrustArgs;
use super::{Invocation, OutputArgs};
use crate::error::Error;
use crate::model::{ByteSize, Count};
use crate::ops;
use crate::ops::unpack::{self, Layout, Outcome, Request};

const EXAMPLES: &str = "\
Examples:
  airferry unpack /media/stick/okd --to tree --trust exporter.pub
  oc image mirror --from-dir=tree 'file://okd/scos-release:4.18*' mirror.example.com/okd/release

  airferry unpack /media/stick/okd --to tree --as oc-release --trust exporter.pub
  oc image mirror --from-dir=tree 'file://openshift/release:4.18*' mirror.example.com/okd/release

  airferry unpack /media/stick/tools --to layout --as oci --trust exporter.pub
  skopeo copy --all oci:layout:ghcr.io/team/app:v1 docker://mirror.example.com/team/app:v1

In an OCI layout skopeo and podman find only images of OCI's own types by name. Images of
Docker's types (schema 2, among them those of OKD releases) are there, too, but they find one
of these only when it is the layout's only image, without a name: oci:layout. `airferry import`
and the tree for `oc` take all types.";

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

    /// Layout of the tree.
    #[arg(
        long = "as",
        visible_alias = "layout",
        value_name = "LAYOUT",
        default_value = "v2"
    )]
    layout: Tree,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    release_keys: ReleaseKeysArgs,

    /// Accept an incomplete bundle: unpack the images that are complete.
    #[arg(long)]
    allow_incomplete: bool,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Tree {
    /// Tree for `oc image mirror --from-dir`.
    V2,
    /// The same with all of a release below openshift/release, as `oc adm release mirror
    /// --to-dir` writes it.
    OcRelease,
    /// An OCI image layout.
    Oci,
}

pub(crate) async fn run(args: UnpackArgs, invocation: &Invocation) -> Result<(), Error> {
    let request = Request {
        trust: args.trust.trust(&args.bundle)?,
        release_keys: args.release_keys.keys(Some(&args.bundle))?,
        allow_unsigned_release: args.release_keys.allow_unsigned(),
        bundle: args.bundle,
        allow_unsigned: args.trust.allow_unsigned(),
        allow_incomplete: args.allow_incomplete,
        to: args.to,
        layout: match args.layout {
            Tree::V2 => Layout::V2,
            Tree::OcRelease => Layout::OcRelease,
            Tree::Oci => Layout::Oci,
        },
    };
    let to = request.to.clone();
    let context = invocation.context().clone();
    let outcome = ops::blocking(move || unpack::unpack(&request, &context)).await?;
    invocation
        .output
        .outcome(args.output.format, &outcome, |outcome| {
            format!("{}{}", text(outcome, args.layout), upload(outcome, &to))
        })?;
    outcome.failure(args.allow_incomplete).map_or(Ok(()), Err)
}

/// Returns the upload commands that `oc adm release mirror --to-dir` prints at its end
/// (docs/oc-compatibility.md, section 2.3).
fn upload(outcome: &Outcome, to: &Path) -> String {
    let mut text = String::new();
    for release in &outcome.releases {
        // Without this flag, oc copies the images of one platform only, under other digests.
        let list = match release.ends_with("-multi") {
            true => " --keep-manifest-list",
            false => "",
        };
        text.push_str(&format!(
            "\nTo upload local images to a registry, run:\n\n    oc image mirror --from-dir={}{list} \
             'file://openshift/release:{release}*' REGISTRY/REPOSITORY\n\n",
            to.display()
        ));
    }
    text
}

fn text(outcome: &Outcome, layout: Tree) -> String {
    let mut text = String::new();
    for image in &outcome.images {
        text.push_str(&format!("{image}\n"));
    }
    for proof in &outcome.release_proofs {
        text.push_str(&format!("{}\n", release_keys_args::describe_proof(proof)));
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
    if let (Tree::Oci, 1..) = (layout, outcome.docker_images) {
        let count = Count::of(outcome.docker_images, "image");
        let is = count.is();
        text.push_str(&format!(
            "{count} {is} of Docker's types: skopeo does not find these by name in an OCI layout\n"
        ));
    }
    text
}
