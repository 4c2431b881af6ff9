//! `airferry release info`: describes a release, or compares two.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;

use serde::Serialize;

use super::payload::{Payload, ReleaseOrigin};
use crate::content::release::ReleaseMetadata;
use crate::content::release::image_references::BuildFacts;
use crate::error::{Error, Result};
use crate::image::release::Parts;
use crate::model::{Digest, Platform};
use crate::ops::context::Context;

/// Number of components that are requested at the same time.
const JOBS: usize = 16;

/// The request of `airferry release info`.
#[derive(Debug)]
pub struct Request {
    /// Registry or bundle with the release.
    pub from: ReleaseOrigin,
    /// Another release to compare it with.
    pub diff: Option<ReleaseOrigin>,
    /// Platform whose image of the release is read, if the release is a list.
    pub platform: Platform,
}

/// Description of a release.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseInfo {
    /// Its version.
    pub version: String,
    /// Pull spec of its image, as clusters use it.
    pub pull_spec: String,
    /// Digest of its top manifest: of the list, if there is one.
    pub digest: Digest,
    /// Digest of the image for the platform, if it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// Creation time of the image, as its config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Its architectures, as its installer shows them.
    pub architecture: String,
    /// Total size of the payload's layers in bytes.
    pub size: u64,
    /// Its metadata, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ReleaseMetadata>,
    /// Versions of its software, by name, for example `kubernetes`.
    pub versions: BTreeMap<String, String>,
    /// Its components, sorted by name.
    pub components: Vec<ComponentInfo>,
}

/// Description of a component.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentInfo {
    /// Its name.
    pub name: String,
    /// Its pull spec.
    pub image: String,
    /// Its digest.
    pub digest: Digest,
    /// Total size of its layers for the platform, in bytes; absent if it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Reason why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Facts about its build.
    pub build: BuildFacts,
}

/// Differences between two releases.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// The first release.
    pub from: Side,
    /// The second release.
    pub to: Side,
    /// Components only in the second release.
    pub added: Vec<ComponentInfo>,
    /// Components only in the first release.
    pub removed: Vec<ComponentInfo>,
    /// Components with different digests.
    pub changed: Vec<Change>,
    /// Number of components with equal digests.
    pub unchanged: usize,
}

/// One of two compared releases.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
    /// Creation time of its image, as the config says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

/// A component with different digests in two releases.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// The component in the first release.
    pub from: ComponentInfo,
    /// The component in the second release.
    pub to: ComponentInfo,
}

/// Result of `airferry release info`.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// Description of one release.
    One(Box<ReleaseInfo>),
    /// Comparison of two releases.
    Two(Box<Diff>),
}

/// Describes or compares releases. Blocks.
pub fn info(request: Request, context: &Context) -> Result<Outcome> {
    let one = Payload::open(request.from, Parts::Lists, &request.platform, context)?;
    let one = describe(&one, context)?;
    let Some(other) = request.diff else {
        return Ok(Outcome::One(Box::new(one)));
    };
    let other = Payload::open(other, Parts::Lists, &request.platform, context)?;
    let other = describe(&other, context)?;
    Ok(Outcome::Two(Box::new(compare(one, other))))
}

/// Describes a payload, and requests every component for its size.
fn describe(payload: &Payload, context: &Context) -> Result<ReleaseInfo> {
    let measured = measure(payload, context)?;
    let mut versions = BTreeMap::new();
    let components = payload
        .contents
        .references
        .components
        .iter()
        .map(|component| {
            for (name, version) in &component.build.versions {
                let name = component.build.display_names.get(name).unwrap_or(name);
                versions.insert(name.clone(), version.clone());
            }
            let (size, problem) = match measured.get(component.name.as_str()) {
                Some(Ok(size)) => (Some(*size), None),
                Some(Err(problem)) => (None, Some(problem.clone())),
                None => (None, None),
            };
            ComponentInfo {
                name: component.name.to_string(),
                image: component.image.to_string(),
                digest: component.digest,
                size,
                problem,
                build: component.build.clone(),
            }
        });
    let components = components.collect();
    let (own, digest) = (payload.image.digest, payload.digest());
    Ok(ReleaseInfo {
        version: payload.version(),
        pull_spec: payload.pull_spec.to_string(),
        digest,
        image_digest: (own != digest).then_some(own),
        created: payload.contents.created.clone(),
        architecture: payload.architectures(),
        size: payload.image.size(),
        metadata: payload.contents.metadata.clone(),
        versions,
        components,
    })
}

/// Sizes of components in bytes, or the reasons why they cannot be read, by name.
type Measured<'a> = BTreeMap<&'a str, std::result::Result<u64, String>>;

/// Requests every component's manifest for its size.
fn measure<'a>(payload: &'a Payload, context: &Context) -> Result<Measured<'a>> {
    let queue = Mutex::new(payload.contents.references.components.iter());
    let measured = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..JOBS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some(component) = next.filter(|_| !context.cancel.is_cancelled()) else {
                        return;
                    };
                    let found = payload.component(component);
                    let found = found.map(|(_, image)| image.size());
                    let found = found.map_err(|error| crate::error::chain(&error));
                    measured
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(component.name.as_str(), found);
                }
            });
        }
    });
    if context.cancel.is_cancelled() {
        return Err(Error::interrupted());
    }
    Ok(measured
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner))
}

/// Compares two releases.
fn compare(from: ReleaseInfo, to: ReleaseInfo) -> Diff {
    let side = |info: &ReleaseInfo| Side {
        version: info.version.clone(),
        digest: info.digest,
        created: info.created.clone(),
    };
    let (from_side, to_side) = (side(&from), side(&to));
    let by_name = |info: ReleaseInfo| -> BTreeMap<String, ComponentInfo> {
        let components = info.components.into_iter();
        components.map(|c| (c.name.clone(), c)).collect()
    };
    let (mut from, mut to) = (by_name(from), by_name(to));
    let names: BTreeSet<String> = from.keys().chain(to.keys()).cloned().collect();
    let mut diff = Diff {
        from: from_side,
        to: to_side,
        added: Vec::new(),
        removed: Vec::new(),
        changed: Vec::new(),
        unchanged: 0,
    };
    for name in names {
        match (from.remove(&name), to.remove(&name)) {
            (Some(from), Some(to)) if from.digest == to.digest => diff.unchanged += 1,
            (Some(from), Some(to)) => diff.changed.push(Change { name, from, to }),
            (None, Some(to)) => diff.added.push(to),
            (Some(from), None) => diff.removed.push(from),
            (None, None) => {}
        }
    }
    diff
}
