//! `airferry cluster-resources`: writes cluster objects without importing anything.

use std::path::PathBuf;

use super::catalog::IndexArgs;
use super::naming_args::NamingArgs;
use super::registry_args::RegistryArgs;
use super::release_keys_args::ReleaseKeysArgs;
use super::resources_args::ResourcesArgs;
use super::trust_args::TrustArgs;
use super::{Invocation, OutputArgs};
use crate::error::Error;
use crate::model::Reference;
use crate::ops::cluster_files::ResourcesRequest;
use crate::ops::{self, catalog, cluster_resources};

const EXAMPLES: &str = "\
Examples:
  airferry cluster-resources /media/stick/okd --to mirror.example.com:8443 \\
    --trust exporter.pub --resources out
  airferry cluster-resources --catalog quay.io/operatorhubio/catalog:latest \\
    --to mirror.example.com:8443/olm --profile oc --resources out

With a bundle no registry is contacted, neither the target nor a source. With --catalog only the
catalog's image is read, as `oc adm catalog mirror --manifests-only` does.";

/// Writes the cluster objects for a bundle, or for a catalog, without importing anything.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ClusterResourcesArgs {
    /// The bundle's directory.
    #[arg(
        value_name = "DIR",
        required_unless_present = "catalog",
        conflicts_with = "catalog"
    )]
    bundle: Option<PathBuf>,

    /// Catalog in a registry, instead of a bundle. Only the catalog's image is read.
    #[arg(long, value_name = "REF", help_heading = "Catalogs")]
    catalog: Option<Reference>,

    #[command(flatten)]
    index: IndexArgs,

    #[command(flatten)]
    naming: NamingArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    release_keys: ReleaseKeysArgs,

    /// Accept an incomplete bundle: write them for the images that are complete.
    #[arg(long)]
    allow_incomplete: bool,

    /// Directory to write to.
    #[arg(long, value_name = "DIR", help_heading = "Cluster resources")]
    resources: PathBuf,

    #[command(flatten)]
    resources_args: ResourcesArgs,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    output: OutputArgs,
}

pub(crate) async fn run(args: ClusterResourcesArgs, invocation: &Invocation) -> Result<(), Error> {
    let resources = ResourcesRequest {
        directory: args.resources.clone(),
        options: args.resources_args.options(),
    };
    let written = match (&args.catalog, &args.bundle) {
        (Some(reference), _) => {
            let request = catalog::resources::Request {
                reference: reference.clone(),
                client: args.registry.client(invocation)?,
                filter: args.index.filter(),
                target: args.naming.target.clone(),
                naming: args.naming.options()?,
                resources,
            };
            catalog::resources::write(request, invocation.context()).await?
        }
        (None, Some(bundle)) => {
            let request = cluster_resources::Request {
                trust: args.trust.trust(bundle)?,
                release_keys: args.release_keys.keys(Some(bundle))?,
                allow_unsigned_release: args.release_keys.allow_unsigned(),
                bundle: bundle.clone(),
                allow_unsigned: args.trust.allow_unsigned(),
                allow_incomplete: args.allow_incomplete,
                target: args.naming.target.clone(),
                naming: args.naming.options()?,
                resources,
            };
            let context = invocation.context().clone();
            ops::blocking(move || cluster_resources::write(&request, &context)).await?
        }
        (None, None) => return Err(Error::usage("Name a bundle, or a catalog with --catalog")),
    };
    invocation
        .output
        .outcome(args.output.format, &written, |written| {
            written
                .files
                .iter()
                .map(|path| format!("{}\n", path.display()))
                .collect()
        })
}
