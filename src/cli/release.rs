//! `airferry release`: describes releases, and extracts the programs in them.

use std::path::{Path, PathBuf};

use super::release_args::{ReleaseSourceArgs, ReleaseTrustArgs, own_architecture, own_os};
use super::{Invocation, OutputArgs, release_info_text};
use crate::error::Error;
use crate::model::Reference;
use crate::ops;
use crate::ops::release::{SignatureStatus, extract, info};
use crate::programs::tools::Machines;
use crate::sys::files;

const EXTRACT_EXAMPLES: &str = "\
Examples:
  airferry release extract --command openshift-install --to bin \\
    --from mirror.example.com:8443/ocp4/openshift4:4.18.0-x86_64
  airferry release extract --command oc --command-os windows --to bin \\
    --from /media/stick/okd --trust exporter.pub
  airferry release extract --tools --to tools --from quay.io/okd/scos-release:4.18.0-okd-scos.1

The installer installs the release image of --from. What comes out of a bundle installs the image
under its original name: then the cluster needs mirror settings, or --release-image.";

const INFO_EXAMPLES: &str = "\
Examples:
  airferry release info quay.io/okd/scos-release:4.18.0-okd-scos.1
  airferry release info /media/stick/okd --trust exporter.pub --output json
  airferry release info mirror.example.com/okd:4.17.0-x86_64 --diff mirror.example.com/okd:4.18.0-x86_64";

/// Describes releases of OKD and OpenShift, and extracts their programs.
#[derive(Debug, clap::Args)]
pub(crate) struct ReleaseArgs {
    #[command(subcommand)]
    command: ReleaseCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ReleaseCommand {
    Extract(Box<ExtractArgs>),
    Info(Box<InfoArgs>),
}

/// Extracts the programs of a release, with its version and image set in them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXTRACT_EXAMPLES)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["command", "tools"]))]
struct ExtractArgs {
    /// A release image, or the directory of a bundle with a release.
    #[arg(long, value_name = "REF|BUNDLE")]
    from: String,

    /// Directory for the programs; created if it does not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// The program: openshift-install, oc, openshift-baremetal-install, ccoctl...
    #[arg(long, value_name = "NAME")]
    command: Option<String>,

    /// Extract all programs as archives, with sha256sum.txt and release.txt.
    #[arg(long)]
    tools: bool,

    /// Platform of the program: OS, OS/ARCH (default ARCH: amd64), or * for all, as archives.
    /// Default: this machine's; with --tools all.
    #[arg(long, value_name = "OS[/ARCH]")]
    command_os: Option<Machines>,

    /// The image that the installer installs, instead of that of --from.
    #[arg(long, value_name = "PULLSPEC")]
    release_image: Option<Reference>,

    #[command(flatten)]
    vouching: ReleaseTrustArgs,

    #[command(flatten)]
    source: ReleaseSourceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Shows what a release is made of, or what changes from one to another.
#[derive(Debug, clap::Args)]
#[command(after_help = INFO_EXAMPLES)]
struct InfoArgs {
    /// A release image, or the directory of a bundle with a release.
    #[arg(value_name = "REF|BUNDLE")]
    from: String,

    /// Another release, to which it is compared.
    #[arg(long, value_name = "REF|BUNDLE")]
    diff: Option<String>,

    #[command(flatten)]
    source: ReleaseSourceArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: ReleaseArgs, invocation: &Invocation) -> Result<(), Error> {
    match args.command {
        ReleaseCommand::Extract(args) => run_extract(*args, invocation).await,
        ReleaseCommand::Info(args) => run_info(*args, invocation).await,
    }
}

async fn run_extract(args: ExtractArgs, invocation: &Invocation) -> Result<(), Error> {
    let client = args.source.client(invocation)?;
    let own = || match args.tools {
        true => Machines::All,
        false => Machines::One {
            os: own_os().to_owned(),
            arch: own_architecture().to_owned(),
        },
    };
    let bundle = Path::new(&args.from);
    let request = extract::Request {
        from: args.source.from(&args.from, &client)?,
        to: args.to,
        machines: args.command_os.unwrap_or_else(own),
        command: args.command,
        release_image: args.release_image,
        platform: args.source.platform(),
        verification: args
            .vouching
            .verification(&client, files::is_dir(bundle).then_some(bundle))?,
    };
    let context = invocation.context().clone();
    let outcome = ops::blocking(move || extract::extract(request, &context)).await?;
    invocation
        .output
        .outcome(args.output.format, &outcome, extract_text)
}

fn extract_text(outcome: &extract::Outcome) -> String {
    let mut text = String::new();
    for file in &outcome.files {
        text.push_str(&format!("{}\n", file.name.escape_debug()));
    }
    text.push_str(&match &outcome.vouching {
        SignatureStatus::SignedBy(keys) => format!("signed by {}\n", keys.join(", ")),
        SignatureStatus::Unsigned(why) => format!("NOT SIGNED: {why}\n"),
    });
    let (version, image) = (&outcome.version, &outcome.release_image);
    text.push_str(&format!("release {version}, release image {image}\n"));
    if outcome.needs_mirrors {
        text.push_str(
            "that is its original name: in a disconnected network an installer finds it only with \
             mirror settings (imageDigestSources), or with --release-image on a mirror\n",
        );
    }
    text
}

async fn run_info(args: InfoArgs, invocation: &Invocation) -> Result<(), Error> {
    let client = args.source.client(invocation)?;
    let diff = args.diff.as_deref();
    let request = info::Request {
        from: args.source.from(&args.from, &client)?,
        diff: diff
            .map(|diff| args.source.from(diff, &client))
            .transpose()?,
        platform: args.source.platform(),
    };
    let context = invocation.context().clone();
    let outcome = ops::blocking(move || info::info(request, &context)).await?;
    let text = release_info_text::text;
    invocation
        .output
        .outcome(args.output.format, &outcome, text)
}
