//! Arguments for the form of cluster objects.

use crate::cluster::{ChosenName, MirrorSourcePolicy, NamePrefix, ObjectSize, Options, Scope};
use crate::model::Reference;

/// Arguments for the form of cluster objects; flattened into verbs that write them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Cluster resources")]
pub(crate) struct ResourcesArgs {
    /// mirrorSourcePolicy of IDMS and ITMS: may nodes fall back to the source registry?
    #[arg(long, value_name = "POLICY")]
    mirror_source_policy: Option<Policy>,

    /// Scope of a mirror entry. A wider scope is used only if all images below it have the same
    /// mirror.
    #[arg(long, value_name = "SCOPE", default_value = "repository")]
    scope: ScopeArg,

    /// Prefix of the names of all objects but UpdateServices. Default: names that follow from the
    /// content, or with --profile oc-mirror those of oc-mirror.
    #[arg(long, value_name = "NAME")]
    resource_name: Option<NamePrefix>,

    /// Name of a catalog's CatalogSource and ClusterCatalog; repeatable. CATALOG may be left out if
    /// there is one only.
    #[arg(long, value_name = "[CATALOG=]NAME")]
    catalog_source_name: Vec<ChosenName>,

    /// Maximum length of one object in bytes, from 65536 to 250000.
    #[arg(long, value_name = "BYTES")]
    max_object_size: Option<ObjectSize>,

    /// Write an UpdateService for the releases.
    #[arg(long, requires = "graph_data_image")]
    update_service: bool,

    /// Image of update graph data for the UpdateService.
    #[arg(long, value_name = "REF", requires = "update_service")]
    graph_data_image: Option<Reference>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Policy {
    /// Never ask the source.
    NeverContactSource,
    /// Ask the source when no mirror has it.
    AllowContactingSource,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ScopeArg {
    Repository,
    Namespace,
    Registry,
}

impl ResourcesArgs {
    pub(crate) fn options(&self) -> Options {
        let mut options = Options {
            policy: self.mirror_source_policy.map(|policy| match policy {
                Policy::NeverContactSource => MirrorSourcePolicy::NeverContactSource,
                Policy::AllowContactingSource => MirrorSourcePolicy::AllowContactingSource,
            }),
            scope: match self.scope {
                ScopeArg::Repository => Scope::Repository,
                ScopeArg::Namespace => Scope::Namespace,
                ScopeArg::Registry => Scope::Registry,
            },
            ..Options::default()
        };
        options.name.clone_from(&self.resource_name);
        options.catalog_names.clone_from(&self.catalog_source_name);
        options.graph_data.clone_from(&self.graph_data_image);
        if let Some(size) = self.max_object_size {
            options.object_size = size;
        }
        options
    }
}
