//! Finds, reads and verifies the releases of a request, before anything of them is copied.

use std::collections::BTreeMap;

use super::super::request::Request;
use crate::content::release::contents::Contents;
use crate::content::release::judgement::Signed;
use crate::error::{Class, Error, Result};
use crate::image::Source;
use crate::image::release::PayloadReader;
use crate::model::{
    Component, Descriptor, Digest, Keyring, Reference, ReleaseEntry, ReleaseSignature,
};
use crate::ops::blocking;
use crate::ops::context::Context;
use crate::ops::release::selection::{self, Selected};
use crate::ops::release::{Accepted, Release};
use crate::ops::source_error::of_source;
use crate::registry::Selector;

/// The releases of a request.
#[derive(Debug, Default)]
pub(super) struct GatheredReleases {
    /// Results of requests by version.
    pub(super) selected: Vec<Selected>,
    /// The releases, in the order of their references.
    pub(super) entries: Vec<ReleaseEntry>,
    /// Digests to which their references resolved when they were read and verified.
    pub(super) pinned: BTreeMap<Reference, Digest>,
}

/// Version and architecture of a payload according to the update service.
#[derive(Debug, Clone)]
struct Expected {
    version: String,
    architecture: String,
}

/// Finds, reads and verifies the releases that a request names.
pub(super) async fn gather(request: &Request, context: &Context) -> Result<GatheredReleases> {
    let releases = &request.releases;
    let mut found = GatheredReleases::default();
    let mut wanted: BTreeMap<Reference, Option<Expected>> = BTreeMap::new();
    for reference in &releases.payloads {
        wanted.insert(reference.clone(), None);
    }
    if let Some(by_version) = &releases.by_version {
        found.selected = tokio::select! {
            selected = selection::select(by_version, &request.client) => selected?,
            () = context.cancel.cancelled() => return Err(Error::interrupted()),
        };
        for selected in &found.selected {
            for release in &selected.releases {
                let expected = Expected {
                    version: release.version.clone(),
                    architecture: selected.architecture.clone(),
                };
                wanted.insert(release.payload.clone(), Some(expected));
            }
        }
    }
    for (reference, expected) in wanted {
        let payload = read(request, &reference, context).await?;
        if let Some(expected) = expected {
            as_expected(&reference, &payload, &expected)?;
        }
        let skipped = &payload.references.skipped;
        if !skipped.is_empty() {
            let names: Vec<&str> = skipped.iter().map(|name| name.as_str()).collect();
            let names = names.join(", ");
            context.warn(format!(
                "{reference}: these entries are not images and are left out: {names}"
            ));
        }
        let entry = verified(request, &reference, &payload, context).await?;
        found.pinned.insert(reference, payload.root);
        found.entries.push(entry);
    }
    Ok(found)
}

async fn read(request: &Request, reference: &Reference, context: &Context) -> Result<Contents> {
    let client = request.client.clone();
    let selector = Selector::of(reference);
    let raw = tokio::select! {
        raw = client.manifest(&reference.repository, &selector) => raw,
        () = context.cancel.cancelled() => return Err(Error::interrupted()),
    };
    let raw = raw.map_err(|error| {
        let message = format!("The release `{reference}` cannot be read from its registry");
        of_source(message, error)
    })?;
    let source = Source::registry(client, reference.repository.clone(), context.cancel.clone());
    let (name, platforms) = (reference.to_string(), request.selection.platforms.clone());
    let wanted = move |child: &Descriptor| {
        child.platform.as_ref().is_none_or(|platform| {
            let mut filters = platforms.iter();
            platforms.is_empty() || filters.any(|filter| filter.selects(platform))
        })
    };
    blocking(move || {
        let reader = PayloadReader {
            source: &source,
            name: &name,
        };
        reader.payload(&raw.value.digest, wanted)
    })
    .await
}

/// Checks that version and architecture of a payload are those that the update service named.
fn as_expected(reference: &Reference, payload: &Contents, expected: &Expected) -> Result<()> {
    let found = (
        payload.references.version.as_str(),
        payload.architecture.as_str(),
    );
    if found == (expected.version.as_str(), expected.architecture.as_str()) {
        return Ok(());
    }
    let message = format!(
        "The update service lists {reference} as {} for {}, but the image is {} for {}",
        expected.version, expected.architecture, found.0, found.1
    );
    Err(Error::new(Class::VerificationFailed, message))
}

fn signatures(signed: Signed) -> impl Iterator<Item = ReleaseSignature> {
    let over = signed.over;
    let messages = signed.messages.into_iter();
    messages.map(move |message| ReleaseSignature { over, message })
}

async fn verified(
    request: &Request,
    reference: &Reference,
    payload: &Contents,
    context: &Context,
) -> Result<ReleaseEntry> {
    let release = Release {
        name: reference,
        subject: payload.subject(),
        config: payload.verification.as_ref(),
        carried: None,
    };
    let verification = &request.releases.verification;
    let signatures = match verification.verify(&release, context).await? {
        Accepted::Signed(signed) => signed.into_iter().flat_map(signatures).collect(),
        Accepted::Unsigned(_) => Vec::new(),
    };
    let keyrings = payload
        .verification
        .iter()
        .flat_map(|config| &config.keyrings);
    let keyrings = keyrings.map(|keyring| Keyring {
        data: keyring.data.clone(),
        name: keyring.name.clone(),
    });
    let components = payload.references.components.iter();
    let components = components.map(|component| Component {
        name: component.name.to_string(),
        image: component.image.clone(),
    });
    Ok(ReleaseEntry {
        image: reference.clone(),
        version: payload.references.version.clone(),
        keyrings: keyrings.collect(),
        unsigned: signatures.is_empty(),
        components: components.collect(),
        signatures,
        architecture: payload.architecture.clone(),
    })
}
