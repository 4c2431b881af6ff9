//! `airferry release info`: what a release is made of, and what another one changes.

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

/// Components that are asked for at the same time.
const JOBS: usize = 16;

/// What `airferry release info` is asked for.
#[derive(Debug)]
pub struct Request {
    /// Where the release is.
    pub from: ReleaseOrigin,
    /// Another release, to which it is compared.
    pub diff: Option<ReleaseOrigin>,
    /// The machine whose image of the release is read, where there are several.
    pub platform: Platform,
}

/// What a release is.
#[derive(Debug, Clone, Serialize)]
pub struct ReleaseInfo {
    /// Its version.
    pub version: String,
    /// What clusters call its image.
    pub pull_spec: String,
    /// Its digest: the list's where there is one.
    pub digest: Digest,
    /// Digest of the image for the machine, where that is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// When the image was made, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// For which machines it is.
    pub architecture: String,
    /// Bytes of the payload's layers.
    pub size: u64,
    /// What its metadata says, where it has some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<ReleaseMetadata>,
    /// Versions of what is inside, for example `kubernetes`.
    pub versions: BTreeMap<String, String>,
    /// Its components, sorted by name.
    pub components: Vec<ComponentInfo>,
}

/// What a component is.
#[derive(Debug, Clone, Serialize)]
pub struct ComponentInfo {
    /// Its name.
    pub name: String,
    /// Its pull spec.
    pub image: String,
    /// Its digest.
    pub digest: Digest,
    /// Bytes of its layers for the machine; absent where it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// Why it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What it was built from.
    pub build: BuildFacts,
}

/// What changes from one release to another.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// Version and digest of the one.
    pub from: Side,
    /// Version and digest of the other.
    pub to: Side,
    /// Components that the other has and the one has not.
    pub added: Vec<ComponentInfo>,
    /// Components that the one has and the other has not.
    pub removed: Vec<ComponentInfo>,
    /// Components that differ.
    pub changed: Vec<Change>,
    /// How many are the same.
    pub unchanged: usize,
}

/// One of two releases.
#[derive(Debug, Clone, Serialize)]
pub struct Side {
    /// Its version.
    pub version: String,
    /// Its digest.
    pub digest: Digest,
    /// When it was made, as it says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

/// A component that differs.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// It in the one release.
    pub from: ComponentInfo,
    /// It in the other.
    pub to: ComponentInfo,
}

/// What was found out.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Outcome {
    /// About one release.
    One(Box<ReleaseInfo>),
    /// About two.
    Two(Box<Diff>),
}

/// Reads what a release is. Blocks.
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

/// Describes a payload; every component is asked for.
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

/// Sizes of components, or why they cannot be read, by name.
type Measured<'a> = BTreeMap<&'a str, std::result::Result<u64, String>>;

/// Asks for every component's manifest.
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
