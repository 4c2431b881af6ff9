//! Arguments that select the releases to export.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::str::FromStr;

use url::Url;

use crate::content::graph::Channel;
use crate::content::update_service::{Architecture, Product};
use crate::content::version::SemanticVersion;
use crate::error::Error;
use crate::model::Reference;
use crate::ops::release::selection::{ByVersion, GraphSource};
use crate::plan::upgrade::VersionRequest;

/// Value of `--release`.
#[derive(Debug, Clone)]
enum ReleaseArg {
    /// A pull spec.
    Payload(Reference),
    /// A version, `latest`, or a range.
    Version(VersionRequest),
}

impl FromStr for ReleaseArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(wanted) = text.parse() {
            return Ok(Self::Version(wanted));
        }
        if !text.contains('/') {
            return Err(
                "it is neither a pull spec, nor a version, `latest` or MIN..MAX".to_owned(),
            );
        }
        let reference = text.parse::<Reference>();
        reference
            .map(Self::Payload)
            .map_err(|error| error.to_string())
    }
}

/// Product among whose releases a version is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ReleaseType {
    Ocp,
    Okd,
}

/// Releases of OKD and OpenShift; flattened into verbs that fetch them.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Releases")]
pub(crate) struct ReleaseSelectionArgs {
    /// Release to carry with all its components: a pull spec with tag or digest; or, with
    /// --channel, a version, `latest`, or a range MIN..MAX (an end may be left out). Repeatable.
    #[arg(long, value_name = "PULLSPEC|VERSION")]
    release: Vec<ReleaseArg>,

    /// Update channel in which versions are looked up, for example stable-4.18; without --release
    /// its highest version is selected.
    #[arg(long, value_name = "NAME")]
    channel: Option<Channel>,

    /// Architecture of releases looked up by version: amd64, arm64, ppc64le, s390x, or multi.
    /// Repeatable. [default: amd64]
    #[arg(long, value_name = "ARCH", requires = "channel", value_delimiter = ',')]
    arch: Vec<Architecture>,

    /// Carry every release on the shortest update path from this version on, itself included.
    #[arg(long, value_name = "VERSION", requires = "channel")]
    from_version: Option<SemanticVersion>,

    /// Product whose update service is asked.
    #[arg(long, value_name = "TYPE", requires = "channel", default_value = "ocp")]
    release_type: ReleaseType,

    /// Address of another update service.
    #[arg(
        long,
        value_name = "URL",
        requires = "channel",
        conflicts_with = "release_type"
    )]
    update_service: Option<Url>,

    /// Saved answer of an update service, instead of asking one.
    #[arg(
        long,
        value_name = "FILE",
        requires = "channel",
        conflicts_with_all = ["update_service", "release_type"]
    )]
    graph: Option<PathBuf>,
}

/// The requested releases.
pub(crate) struct NamedReleases {
    /// Releases given by pull spec.
    pub(crate) payloads: BTreeSet<Reference>,
    /// Releases given by version.
    pub(crate) by_version: Option<ByVersion>,
}

impl ReleaseSelectionArgs {
    /// Returns the requested releases.
    pub(crate) fn named(&self) -> Result<NamedReleases, Error> {
        let mut payloads = BTreeSet::new();
        let mut wanted = Vec::new();
        for release in &self.release {
            match release {
                ReleaseArg::Payload(reference) => {
                    payloads.insert(reference.clone());
                }
                ReleaseArg::Version(version) if !wanted.contains(version) => {
                    wanted.push(version.clone());
                }
                ReleaseArg::Version(_) => {}
            }
        }
        let Some(channel) = self.channel.clone() else {
            return match wanted.first() {
                None => Ok(NamedReleases {
                    payloads,
                    by_version: None,
                }),
                Some(version) => Err(Error::usage(format!(
                    "--release {version} is a version, and no channel is given"
                ))
                .hint("add --channel, for example --channel stable-4.18")
                .hint("or give the release's pull spec, as its release page names it")),
            };
        };
        if wanted.is_empty() {
            if !payloads.is_empty() {
                let message = "--channel is for releases by version, and none is requested";
                return Err(Error::usage(message)
                    .hint("add --release latest to carry the channel's highest version too"));
            }
            wanted.push(VersionRequest::One(None));
        }
        let mut architectures: BTreeSet<Architecture> = self.arch.iter().cloned().collect();
        if architectures.is_empty() {
            architectures.insert(Architecture::default());
        }
        let graph = match &self.graph {
            Some(_) if architectures.len() > 1 => {
                let message = "A saved graph is of one architecture, and several are requested";
                return Err(Error::usage(message).hint("export once for each architecture"));
            }
            Some(path) => GraphSource::Saved(path.clone()),
            None => GraphSource::Service(self.service()?),
        };
        Ok(NamedReleases {
            payloads,
            by_version: Some(ByVersion {
                wanted,
                channel,
                architectures,
                from: self.from_version.clone(),
                graph,
            }),
        })
    }

    fn service(&self) -> Result<Url, Error> {
        if let Some(url) = &self.update_service {
            return match url.scheme() {
                "http" | "https" => Ok(url.clone()),
                scheme => {
                    let message = format!("--update-service cannot be a `{scheme}` URL");
                    Err(Error::usage(message).hint("--graph takes a saved answer"))
                }
            };
        }
        let product = match self.release_type {
            ReleaseType::Ocp => Product::Ocp,
            ReleaseType::Okd => Product::Okd,
        };
        Url::parse(product.endpoint())
            .map_err(|error| Error::internal("The update service has no address", error))
    }
}
