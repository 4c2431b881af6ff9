//! Selects releases by version in the graph of an update service.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::Serialize;
use url::Url;

use crate::content::graph::{Channel, ConditionalUpdate, Graph, LIMIT};
use crate::content::update_service::{Architecture, graph_url};
use crate::content::version::SemanticVersion;
use crate::error::{Class, Error, Result};
use crate::model::Reference;
use crate::ops::blocking;
use crate::plan::upgrade::{self, Choice, Release, UpgradeError, VersionRequest};
use crate::registry::{Client, DocumentRequest, RedactedUrl};
use crate::sys::files;

/// Origin of the update graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphSource {
    /// The update service at this address.
    Service(Url),
    /// A saved answer of the update service.
    Saved(PathBuf),
}

/// Releases requested by version.
#[derive(Debug, Clone)]
pub struct ByVersion {
    /// Requested versions; never empty.
    pub wanted: Vec<VersionRequest>,
    /// Channel of the versions.
    pub channel: Channel,
    /// Architectures; never empty.
    pub architectures: BTreeSet<Architecture>,
    /// Version to update from: every step of the shortest update path is selected.
    pub from: Option<SemanticVersion>,
    /// Origin of the update graph.
    pub graph: GraphSource,
}

/// A selected release, as described by the update service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChosenRelease {
    /// Its version.
    pub version: String,
    /// Pull spec of its payload.
    pub payload: Reference,
}

/// Result of a request by version, for one architecture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Selected {
    /// The requested version.
    pub wanted: String,
    /// Channel in which it was selected.
    pub channel: Channel,
    /// Architecture.
    pub architecture: String,
    /// Version at which the update path begins; absent without path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The releases, in the order of installation.
    pub releases: Vec<ChosenRelease>,
    /// Updates with known risks that would make the path shorter, and were avoided.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub avoided: Vec<Avoided>,
}

/// An update that was avoided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Avoided {
    /// Version before the update.
    pub from: String,
    /// Version after the update.
    pub to: String,
    /// Names of its risks.
    pub risks: Vec<String>,
}

impl From<&ConditionalUpdate> for Avoided {
    fn from(update: &ConditionalUpdate) -> Self {
        Self {
            from: update.from.to_string(),
            to: update.to.to_string(),
            risks: update.risks.to_vec(),
        }
    }
}

impl From<&Release> for ChosenRelease {
    fn from(release: &Release) -> Self {
        Self {
            version: release.version.to_string(),
            payload: release.payload.clone(),
        }
    }
}

/// Asks the update service once for each architecture, and selects the releases.
pub(crate) async fn select(by: &ByVersion, client: &Client) -> Result<Vec<Selected>> {
    let mut selected = Vec::new();
    for architecture in &by.architectures {
        let graph = graph(by, architecture, client).await?;
        for wanted in &by.wanted {
            let choice = upgrade::select(&graph, &by.channel, wanted, by.from.as_ref())
                .map_err(|error| no_release(by, architecture, error))?;
            selected.push(line(by, architecture, wanted, &choice));
        }
    }
    Ok(selected)
}

fn line(
    by: &ByVersion,
    architecture: &Architecture,
    wanted: &VersionRequest,
    choice: &Choice,
) -> Selected {
    Selected {
        wanted: wanted.to_string(),
        channel: by.channel.clone(),
        architecture: architecture.to_string(),
        from: by.from.as_ref().map(ToString::to_string),
        releases: choice.releases.iter().map(ChosenRelease::from).collect(),
        avoided: choice.avoided.iter().map(Avoided::from).collect(),
    }
}

fn no_release(by: &ByVersion, architecture: &Architecture, error: UpgradeError) -> Error {
    let error_is_channel = matches!(
        error,
        UpgradeError::EmptyChannel { .. }
            | UpgradeError::NotInChannel { .. }
            | UpgradeError::UnknownVersion { .. }
    );
    let channel = &by.channel;
    let message = format!("No release for {architecture} matches the request");
    let refused = Error::usage(message).caused_by(error);
    match error_is_channel {
        true => refused.hint(format!(
            "check --channel ({channel}), --arch ({architecture}) and --release-type"
        )),
        false => refused.hint("ask for another version, or give the pull spec to --release"),
    }
}

async fn graph(by: &ByVersion, architecture: &Architecture, client: &Client) -> Result<Graph> {
    let (bytes, from, class) = match &by.graph {
        GraphSource::Service(service) => {
            let url = graph_url(service, &by.channel, architecture);
            let name = RedactedUrl::from(&url).to_string();
            (fetch(client, &url).await?, name, Class::Network)
        }
        GraphSource::Saved(path) => {
            let (name, path) = (path.display().to_string(), path.clone());
            let bytes = blocking(move || {
                let refused = format!("The update graph `{}` cannot be read", path.display());
                files::read(&path, LIMIT).map_err(|error| Error::usage(refused).caused_by(error))
            });
            (bytes.await?, name, Class::Usage)
        }
    };
    Graph::parse(&bytes).map_err(|error| {
        Error::new(class, format!("`{from}` is not an update graph")).caused_by(error)
    })
}

async fn fetch(client: &Client, url: &Url) -> Result<Vec<u8>> {
    let shown = RedactedUrl::from(url);
    let request = DocumentRequest {
        url,
        accept: Some("application/json"),
        limit: LIMIT,
        has_alternative: false,
    };
    let hint = "--graph takes a saved answer, --release a pull spec: both need no update service";
    match client.document(request).await {
        Ok(Some(bytes)) => Ok(bytes),
        Ok(None) => {
            let message = format!("There is no update graph at {shown}");
            Err(Error::new(Class::Network, message).hint(hint))
        }
        Err(error) => {
            let message = format!("The update service at {shown} does not answer");
            Err(Error::new(Class::Network, message)
                .caused_by(error)
                .hint(hint))
        }
    }
}
