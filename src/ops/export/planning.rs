//! Makes the plan of a request: reads bases, resolves references, assigns places to all blobs.

use std::sync::Arc;

use super::request::Request;
use super::selection::CatalogSelection;
use super::{completion, content, missing, resolve};
use crate::bundle::finding::FindingKind;
use crate::bundle::open::{Scope, UnsignedPolicy, examine};
use crate::bundle::trust::Trust;
use crate::bundle::write::made::MadeBlob;
use crate::error::{Class, Error, Result};
use crate::model::RequestId;
use crate::ops::context::Context;
use crate::ops::release::selection::Selected;
use crate::ops::source_error::of_source;
use crate::plan::export::{self as plan, ExportPlan, KnownBundle, Resolution};
use crate::registry::Client;
use crate::sys::media::DirMedia;

/// A plan, with results that only the run that makes it has.
pub(super) struct Planned {
    pub(super) plan: ExportPlan,
    /// Blobs that were made for the plan.
    pub(super) made: Vec<MadeBlob>,
    /// Packages kept of filtered catalogs, with the reason for each.
    pub(super) selections: Vec<CatalogSelection>,
    /// Results of requests for releases by version.
    pub(super) selected: Vec<Selected>,
}

impl Planned {
    /// Wraps a plan of an earlier run; its made blobs are on the medium.
    pub(super) fn again(plan: ExportPlan) -> Self {
        Self {
            plan,
            made: Vec::new(),
            selections: Vec::new(),
            selected: Vec::new(),
        }
    }
}

/// Reads the bases' documents. If keys are trusted, refuses bases that none of them signed.
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
        let unproven = UnsignedPolicy::accepted(trust.exporters.is_empty());
        let examination = examine(media, &trust, Scope::Documents, unproven)?;
        let bundle = examination.into_bundle(&waived).map_err(|e| {
            Error::new(e.class(), format!("`{}` cannot be a base", path.display()))
                .hint("a base is a bundle, or a copy of its manifest.cbor, inventory.cbor and signatures/")
                .hint("`--base-trust FILE` names the public key of the base's exporter")
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

/// Resolves the request, or the missing part of a known bundle, and makes the plan.
pub(super) async fn make_plan(
    request: &Request,
    id: RequestId,
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
            let mut found = require_any_image(client, found).await?;
            content::add_to(&mut found, gathered, &request.references);
            found
        }
        Some(known) => completion::resolve(request, known, context).await?,
    };
    let options = plan::Options {
        label: request.label.clone(),
        chunk_limit: request.chunk_limit,
        lanes: None,
        request: id,
    };
    let plan = ExportPlan::new(resolution, known, bases, options)
        .map_err(|error| Error::usage("The content does not fit into chunks").caused_by(error))?;
    let made = made.into_iter().flat_map(|made| made.image.blobs);
    Ok(Planned {
        plan,
        made: made.collect(),
        selections,
        selected,
    })
}

/// Fails if no image could be resolved: no bundle is written then.
async fn require_any_image(client: &Client, resolution: Resolution) -> Result<Resolution> {
    let images = &resolution.images;
    if images.iter().any(|image| image.root.is_some()) {
        return Ok(resolution);
    }
    let mut message = String::from("None of the images is available, so nothing was written:");
    let missing = images.iter().map(|image| {
        let problem = image.problem.as_deref().unwrap_or_default();
        (&image.requested, problem, String::new())
    });
    message.push_str(&missing::list(&missing.collect::<Vec<_>>()));
    // A registry that answers does not have the images; look for one that does not answer.
    let sources = images.iter().map(|image| &image.source);
    if let Some(error) = client.first_unreachable(sources).await {
        return Err(of_source(message, error));
    }
    let hint = "check the references, --platform and the credentials";
    Err(Error::new(Class::Incomplete, message).hint(hint))
}
