//! From a request to a plan: bases are read, references resolved, and everything gets its place.

use std::sync::Arc;

use super::request::Request;
use super::selection::CatalogSelection;
use super::{content, earlier, resolve};
use crate::bundle::finding::FindingKind;
use crate::bundle::open::{Scope, Unproven, examine};
use crate::bundle::trust::Trust;
use crate::bundle::write::made::MadeBlob;
use crate::error::{Class, Error, Result};
use crate::model::Digest;
use crate::ops::context::Context;
use crate::ops::release::selection::Selected;
use crate::ops::source_error::of_source;
use crate::plan::export::{self as plan, ExportPlan, KnownBundle, Resolution};
use crate::registry::Client;
use crate::sys::media::DirMedia;

/// A plan, with what only the run that makes it has.
pub(super) struct Planned {
    pub(super) plan: ExportPlan,
    /// Blobs that were made for it.
    pub(super) made: Vec<MadeBlob>,
    /// What was kept of catalogs, and why.
    pub(super) selections: Vec<CatalogSelection>,
    /// What releases asked for by version are.
    pub(super) selected: Vec<Selected>,
}

impl Planned {
    /// A plan that an earlier run made: what it made lies beside it.
    pub(super) fn again(plan: ExportPlan) -> Self {
        Self {
            plan,
            made: Vec::new(),
            selections: Vec::new(),
            selected: Vec::new(),
        }
    }
}

/// Reads the bases' documents; what they say is believed only under a trusted signature.
pub(super) fn read_bases(request: &Request) -> Result<Vec<KnownBundle>> {
    let own = request.signer.as_ref().map(|signer| *signer.public());
    let trust = Trust {
        exporters: own.into_iter().chain(request.base_trust.clone()).collect(),
        ..Trust::default()
    };
    let mut bases = Vec::new();
    for path in &request.bases {
        let media = Arc::new(DirMedia::open(path)?);
        let mut waived = vec![FindingKind::Incomplete];
        if trust.exporters.is_empty() {
            waived.push(FindingKind::NotAuthenticated);
        }
        let unproven = Unproven::accepted(trust.exporters.is_empty());
        let examination = examine(media, &trust, Scope::Documents, unproven)?;
        let bundle = examination.into_bundle(&waived).map_err(|e| {
            Error::new(e.class(), format!("`{}` cannot be a base", path.display()))
                .hint("a base is a bundle, or a copy of its manifest.cbor, inventory.cbor and signatures/")
                .hint("--base-trust names the key of whoever made it")
                .caused_by(e)
        })?;
        bases.push(KnownBundle {
            id: bundle.id,
            manifest: bundle.manifest,
            inventory: bundle.inventory,
        });
    }
    Ok(bases)
}

/// Resolves what has to be resolved, and plans.
pub(super) async fn make_plan(
    request: &Request,
    digest: Digest,
    known: Option<&KnownBundle>,
    bases: &[KnownBundle],
    context: &Context,
) -> Result<Planned> {
    let (mut made, mut selections, mut selected) = (Vec::new(), Vec::new(), Vec::new());
    let resolution = match known {
        None => {
            let client = &request.client;
            let mut gathered = content::gather(request, context).await?;
            made = std::mem::take(&mut gathered.made);
            selections = std::mem::take(&mut gathered.selections);
            selected = std::mem::take(&mut gathered.selected);
            let wanted = &gathered.references;
            let mut found =
                resolve::resolve_pinned(client, wanted, &request.selection, context).await?;
            content::add_made(&mut found, &made)?;
            let mut found = something_was_found(client, found).await?;
            content::add_to(&mut found, gathered, &request.references);
            found
        }
        Some(known) => earlier::resolve(request, known, context).await?,
    };
    let options = plan::Options {
        label: request.label.clone(),
        chunk_limit: request.chunk_limit,
        lanes: None,
        request: digest,
    };
    let plan = ExportPlan::new(resolution, known, bases, options)
        .map_err(|error| Error::usage("The content cannot be laid out").caused_by(error))?;
    let made = made.into_iter().flat_map(|made| made.image.blobs);
    Ok(Planned {
        plan,
        made: made.collect(),
        selections,
        selected,
    })
}

/// A bundle without a single image helps nobody: then there is no bundle.
async fn something_was_found(client: &Client, resolution: Resolution) -> Result<Resolution> {
    let images = &resolution.images;
    if images.iter().any(|image| image.root.is_some()) {
        return Ok(resolution);
    }
    let mut message = String::from("Not one image could be had, and nothing was written:");
    for image in images {
        let problem = image.problem.as_deref().unwrap_or_default();
        message.push_str(&format!("\n  - {}: {problem}", image.requested));
    }
    // Registries that answer have said that they lack the images; others are out of reach.
    let sources = images.iter().map(|image| &image.source);
    if let Some(error) = client.first_unreachable(sources).await {
        return Err(of_source(message, error));
    }
    let hint = "check the references, --platform and the credentials";
    Err(Error::new(Class::Incomplete, message).hint(hint))
}
