//! UpdateService (`updateservice.operator.openshift.io/v1`), which serves the update graph to
//! clusters without internet access (docs/oc-compatibility.md, section 6.5).

use std::collections::{BTreeMap, BTreeSet};

use super::object::Object;
use super::yaml::Node;
use super::{ClusterError, Content, Release, Warning};
use crate::model::{Reference, Repository};

/// Name of the object. It becomes part of a host name, so it is short.
const NAME: &str = "update-service-airferry";

/// Warns if the repository of the releases also holds other images.
pub(super) fn warning(content: &Content) -> Option<Warning> {
    let repository = &content.releases.first()?.image.repository;
    let is_release = |image: &Reference| content.releases.iter().any(|r| r.image == *image);
    let targets = content.mapping.iter().map(|mapping| &mapping.target);
    let others: BTreeSet<&Reference> = targets
        .filter(|target| target.repository == *repository && !is_release(target))
        .collect();
    (!others.is_empty()).then(|| Warning::UpdateService {
        repository: repository.clone(),
        others: others.len(),
    })
}

/// Renders the object; an empty text if there is no release.
pub(super) fn render(releases: &[Release], graph_data: &Reference) -> Result<String, ClusterError> {
    let repositories: BTreeSet<&Repository> = releases
        .iter()
        .map(|release| &release.image.repository)
        .collect();
    let repository = match repositories.len() {
        0 => return Ok(String::new()),
        1 => repositories.first(),
        _ => None,
    };
    let repository = repository.ok_or_else(|| ClusterError::ReleaseRepositories {
        repositories: repositories.iter().map(ToString::to_string).collect(),
    })?;
    let object = Object {
        api_version: "updateservice.operator.openshift.io/v1",
        kind: "UpdateService",
        name: NAME.to_owned(),
        namespace: Some("openshift-update-service"),
        labels: &BTreeMap::new(),
        spec: Node::map([
            ("graphDataImage", Node::text(graph_data)),
            ("releases", Node::text(repository)),
            ("replicas", Node::Number(2)),
        ]),
    };
    Ok(object.into_yaml())
}
