//! How cluster objects are written.

use crate::cluster::{MirrorSourcePolicy, NamePrefix, ObjectSize, Options, Scope};

/// Shape of cluster objects; flattened into verbs that write them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Cluster resources")]
pub(crate) struct ResourcesArgs {
    /// Whether nodes may fall back to the source registry (IDMS and ITMS).
    #[arg(long, value_name = "POLICY")]
    mirror_source_policy: Option<Policy>,

    /// How wide an entry may reach; wider ones only where everything below was mirrored alike.
    #[arg(long, value_name = "SCOPE", default_value = "repository")]
    scope: Reach,

    /// What object names begin with.
    #[arg(long, value_name = "NAME")]
    resource_name: Option<NamePrefix>,

    /// Greatest length of one object in bytes.
    #[arg(long, value_name = "BYTES")]
    max_object_size: Option<ObjectSize>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Policy {
    /// Never ask the source.
    NeverContactSource,
    /// Ask the source when no mirror has it.
    AllowContactingSource,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Reach {
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
                Reach::Repository => Scope::Repository,
                Reach::Namespace => Scope::Namespace,
                Reach::Registry => Scope::Registry,
            },
            ..Options::default()
        };
        if let Some(name) = &self.resource_name {
            options.name = name.clone();
        }
        if let Some(size) = self.max_object_size {
            options.object_size = size;
        }
        options
    }
}
