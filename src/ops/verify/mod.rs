//! `airferry verify`: checks that every byte of a bundle is as a trusted key signed it.
//!
//! Reports all problems, not only the first. Reads every chunk once, from start to end, with as
//! many threads as there are cores.

mod report;
mod request;

use std::sync::Arc;

pub use report::{MissingImage, Report, TrustedSigner};
pub use request::Request;

use super::context::Context;
use super::release::ReleaseLine;
use super::release::proof;
use crate::bundle::finding::{Finding, FindingKind, worst};
use crate::bundle::open::{Bundle, Scope, UnsignedPolicy, examine};
use crate::bundle::verify::{check_content, count_bytes, list_attributes};
use crate::error::Result;
use crate::model::{BlobEntry, BlobPlace, Inventory, MalformedImage};
use crate::sys::media::{DirMedia, Media};

/// Verifies a bundle.
pub fn verify(request: &Request, context: &Context) -> Result<Report> {
    let media: Arc<dyn Media> = Arc::new(DirMedia::open(&request.bundle)?);
    let unproven = UnsignedPolicy::reported(&request.trust, request.allow_unsigned);
    let trust = &request.trust;
    let mut examination = examine(Arc::clone(&media), trust, Scope::Everything, unproven)?;
    let stopped = examination.stopped;
    let bytes = count_bytes(&examination);
    let mut findings = std::mem::take(&mut examination.findings);
    if !stopped {
        findings.extend(list_attributes(media.as_ref(), &examination.entries));
    }
    let authentication = examination.authentication.clone();
    let (id, complete) = (
        examination.id,
        examination
            .manifest
            .as_ref()
            .map(|manifest| manifest.complete),
    );
    let (mut images, mut blobs, mut attachments_unknown) = (0, 0, 0);
    let (mut releases, mut missing) = (Vec::new(), Vec::new());
    let mut malformed: Vec<MalformedImage> = Vec::new();
    let mut left_out = Vec::new();
    let mut release_proofs = Vec::new();
    if let (Some(id), Some(manifest), Some(inventory)) =
        (examination.id, examination.manifest, examination.inventory)
    {
        images = inventory.images.len();
        let unknown = inventory.images.iter().filter(|image| image.is_unknown());
        attachments_unknown = unknown.count();
        blobs = carried(&inventory);
        releases = ReleaseLine::all(&inventory);
        let lacking = inventory.images.iter();
        missing.extend(lacking.filter_map(|image| MissingImage::of(image, &inventory)));
        left_out.clone_from(&inventory.left_out);
        malformed.extend(inventory.malformed().map(|(_, row)| row.clone()));
        let authentication = examination.authentication;
        let notes = Vec::new();
        let bundle = Arc::new(Bundle {
            media: Arc::clone(&media),
            id,
            manifest,
            inventory,
            authentication,
            notes,
        });
        findings.extend(check_content(
            &bundle,
            request.jobs,
            context.progress.as_ref(),
            &|| context.cancel.is_cancelled(),
        )?);
        // By now, findings explain an unreadable release if the medium or a chunk is damaged.
        let judged = match request.allow_unsigned {
            true => proof::judge_bundle(&bundle, &request.release_keys, context),
            false => proof::judge_for_report(&bundle, &request.release_keys, context),
        };
        match judged {
            Ok(proofs) => release_proofs = proofs,
            Err(error) if worst(&findings).is_some_and(|known| known >= error.class()) => {}
            Err(error) => return Err(error),
        }
        findings.extend(proof::findings(&release_proofs));
    }
    findings.sort();
    findings.dedup();
    let harmless = |finding: &Finding| {
        matches!(
            finding.kind,
            FindingKind::ForeignFile
                | FindingKind::SystemFile
                | FindingKind::ExtendedAttribute
                | FindingKind::Incomplete
                | FindingKind::NotAuthenticated
                | FindingKind::Expired
                | FindingKind::Rejected
                | FindingKind::BadStatement
                | FindingKind::UnsignedRelease
                | FindingKind::ReleaseKeysUnknown
                | FindingKind::ReleaseNotCompared
                | FindingKind::ReleaseNotGenuine
        )
    };
    let mut waived = Vec::new();
    if request.allow_unsigned {
        waived.push(FindingKind::NotAuthenticated);
    }
    if request.allow_incomplete {
        waived.push(FindingKind::Incomplete);
    }
    if request.allow_unsigned_release {
        waived.push(FindingKind::UnsignedRelease);
    }
    Ok(Report {
        bundle: id,
        authenticated: authentication.is_authenticated(),
        signers: authentication
            .vouched
            .iter()
            .map(TrustedSigner::of)
            .collect(),
        claimed: authentication
            .claimed
            .iter()
            .map(ToString::to_string)
            .collect(),
        other_generations: authentication
            .other_generations
            .iter()
            .map(ToString::to_string)
            .collect(),
        unfinished: findings.iter().any(|f| f.kind == FindingKind::Unfinished),
        // A problem found makes the bundle not intact, even if other parts were not checked.
        intact: match findings.iter().all(harmless) {
            true if stopped => None,
            intact => Some(intact),
        },
        stopped,
        complete,
        release_proofs,
        releases,
        images,
        attachments_unknown,
        missing,
        malformed,
        left_out,
        blobs,
        bytes,
        findings,
        strict: request.strict,
        waived,
    })
}

fn carried(inventory: &Inventory) -> usize {
    let is_carried = |blob: &&BlobEntry| matches!(blob.place, BlobPlace::Carried(_));
    inventory.blobs.iter().filter(is_carried).count()
}
