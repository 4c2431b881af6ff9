//! Where images go on the target, and under which names.

use crate::plan::naming::{MaxComponents, Options, Profile, Target};

/// Names on the target; flattened into verbs that need them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Target")]
pub(crate) struct NamingArgs {
    /// The registry, and a namespace below which everything goes.
    #[arg(long = "to", value_name = "HOST[:PORT][/NAMESPACE]")]
    pub(crate) target: Target,

    /// Whose naming habits to follow.
    #[arg(long, value_name = "WHOSE", default_value = "plain")]
    profile: Habits,

    /// Most path components on the target; what is deeper is joined with hyphens. 0: any depth.
    #[arg(long, value_name = "N")]
    max_components: Option<MaxComponents>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Habits {
    /// The source's path at any depth.
    Plain,
    /// As `oc adm catalog mirror`.
    Oc,
    /// As oc-mirror v2.
    OcMirror,
}

impl NamingArgs {
    pub(crate) fn options(&self) -> Options {
        Options {
            profile: match self.profile {
                Habits::Plain => Profile::Plain,
                Habits::Oc => Profile::Oc,
                Habits::OcMirror => Profile::OcMirror,
            },
            max_components: self.max_components,
        }
    }
}
