//! `airferry cluster-resources`.

use std::path::PathBuf;

use super::naming_args::NamingArgs;
use super::resources_args::ResourcesArgs;
use super::trust_args::TrustArgs;
use super::{Environment, OutputArgs};
use crate::ops::import::ResourcesRequest;
use crate::ops::{self, Error, resources};

const EXAMPLES: &str = "\
Examples:
  airferry cluster-resources /media/stick/okd --to mirror.example.com:8443 \\
    --trust exporter.pub --resources out

Contacts nothing: neither the target nor any source.";

/// Writes the cluster objects for a bundle again, without importing it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClusterResourcesArgs {
    /// The bundle's directory.
    #[arg(value_name = "DIR")]
    bundle: PathBuf,

    #[command(flatten)]
    naming: NamingArgs,

    #[command(flatten)]
    trust: TrustArgs,

    /// Write them for the images that are whole of an incomplete bundle.
    #[arg(long)]
    allow_incomplete: bool,

    /// Directory to write to.
    #[arg(long, value_name = "DIR", help_heading = "Cluster resources")]
    resources: PathBuf,

    #[command(flatten)]
    resources_args: ResourcesArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(
    args: ClusterResourcesArgs,
    environment: &Environment,
) -> Result<(), Error> {
    let request = resources::Request {
        trust: args.trust.trust(&args.bundle)?,
        bundle: args.bundle.clone(),
        allow_unsigned: args.trust.allow_unsigned(),
        allow_incomplete: args.allow_incomplete,
        target: args.naming.target.clone(),
        naming: args.naming.options()?,
        resources: ResourcesRequest {
            directory: args.resources.clone(),
            options: args.resources_args.options(),
        },
    };
    let context = environment.context().clone();
    let written = ops::blocking(move || resources::write(&request, &context)).await?;
    environment
        .output
        .outcome(args.output.format, &written, |written| {
            written
                .files
                .iter()
                .map(|path| format!("{}\n", path.display()))
                .collect()
        })
}
