//! Finds out what is in the bundle's directory before an export begins.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use crate::bundle::finding::FindingKind;
use crate::bundle::names;
use crate::bundle::open::{Scope, UnsignedPolicy, examine};
use crate::bundle::sign::{Signer, StatementTerms, document_statement, render};
use crate::bundle::trust::Trust;
use crate::bundle::write::made;
use crate::error::{Class, Error, Result};
use crate::format::hash::sha256;
use crate::format::keys::VerifyingKey;
use crate::format::{bundle, cbor, statement};
use crate::model::{ChunkEntry, ChunkId, FileEntry, Limits, PlanId, StatementType};
use crate::plan::export::{ExportPlan, KnownBundle, tool};
use crate::sys;
use crate::sys::journal;
use crate::sys::media::{EntryKind, Media};

/// State of the bundle's directory.
pub(crate) enum Found {
    /// Nothing that an export could continue.
    Nothing,
    /// An export that is not finished.
    Unfinished(Box<ExportPlan>),
    /// A sealed bundle.
    Sealed(Box<KnownBundle>),
}

/// Determines the state of the directory.
pub(crate) fn find_state(media: &Arc<dyn Media>, signer: Option<&Signer>) -> Result<Found> {
    match read_plan(media.as_ref(), signer)? {
        Some(plan) => Ok(Found::Unfinished(Box::new(plan))),
        None => find_sealed_state(media, signer),
    }
}

/// Determines the state of the directory, ignoring a plan.
pub(crate) fn find_sealed_state(media: &Arc<dyn Media>, signer: Option<&Signer>) -> Result<Found> {
    let entries = media.list()?;
    let has = |path: &str| entries.iter().any(|entry| entry.path == path);
    if has(names::MANIFEST) {
        let trust = Trust {
            exporters: signer.map(|signer| *signer.public()).into_iter().collect(),
            ..Trust::default()
        };
        let mut waived = vec![FindingKind::Incomplete, FindingKind::Unfinished];
        if signer.is_none() {
            waived.push(FindingKind::NotAuthenticated);
        }
        let examination = {
            let unproven = UnsignedPolicy::accepted(signer.is_none());
            examine(Arc::clone(media), &trust, Scope::Everything, unproven)?
        };
        let bundle = examination
            .into_bundle(&waived)
            .map_err(|error| explain_other_key(media.as_ref(), error))?;
        return Ok(Found::Sealed(Box::new(KnownBundle {
            id: bundle.id,
            manifest: bundle.manifest,
            inventory: bundle.inventory,
        })));
    }
    // Chunks without plan and manifest belong to something else, or are what is left of an export
    // whose plan was removed.
    let foreign = entries.iter().find(|entry| {
        matches!(entry.kind, EntryKind::File(_)) && entry.path.starts_with("chunks/")
    });
    match foreign {
        Some(entry) if !has(names::PLAN) => {
            let root = media.root().display();
            let message = format!(
                "`{root}` has `{}` but no plan or manifest: no export can continue there",
                entry.path
            );
            Err(Error::usage(message).hint("export into an empty directory"))
        }
        _ => Ok(Found::Nothing),
    }
}

/// Returns the sealed generation that an interrupted export was completing, if it is still
/// intact. Returns `None` for a first generation, and if sealing the next one had begun: then
/// only continuing leads to a valid bundle.
pub(crate) fn generation_before(
    media: &Arc<dyn Media>,
    plan: &ExportPlan,
    signer: Option<&Signer>,
) -> Option<Box<KnownBundle>> {
    if plan.content.generation == 1 {
        return None;
    }
    match find_sealed_state(media, signer) {
        Ok(Found::Sealed(known))
            if plan.content.generation.checked_sub(1) == Some(known.manifest.generation) =>
        {
            Some(known)
        }
        _ => None,
    }
}

/// Replaces the error for a bundle that the given key has not signed: an export cannot continue
/// from it.
fn explain_other_key(media: &dyn Media, error: Error) -> Error {
    if error.class() != Class::NotAuthenticated {
        return error;
    }
    let root = media.root().display();
    let message = format!("There is a bundle in `{root}` that the key given here has not signed");
    Error::new(Class::NotAuthenticated, message)
        .hint("give the key that made it, or export into another directory")
        .hint("`airferry sign` adds a statement to a bundle that was left unsigned")
}

fn read_plan(media: &dyn Media, signer: Option<&Signer>) -> Result<Option<ExportPlan>> {
    let Some(bytes) = media.read_if_present(names::PLAN, Limits::PLAN)? else {
        return Ok(None);
    };
    let replan = "--replan discards the unfinished export and starts a new one";
    if let Some(signer) = signer {
        let text = media.read_if_present(names::PLAN_STATEMENT, Limits::STATEMENT)?;
        let signature = media.read_if_present(names::PLAN_SIGNATURE, Limits::SIGNATURE)?;
        check_signature(signer.public(), &bytes, text, signature).map_err(|why| {
            let message =
                format!("The unfinished export was not planned with the given key: {why}");
            Error::new(Class::VerificationFailed, message).hint(replan)
        })?;
    }
    let plan: ExportPlan = cbor::decode(&bytes, names::PLAN).map_err(|error| {
        Error::new(
            Class::VerificationFailed,
            "The unfinished export's plan cannot be read",
        )
        .caused_by(error)
        .hint(replan)
    })?;
    if plan.document != ExportPlan::TYPE || plan.tool != tool() {
        let message = format!(
            "The unfinished export was started by {}; {} may write other chunks, so it cannot continue it",
            plan.tool.escape_debug(),
            tool()
        );
        return Err(Error::usage(message)
            .hint("finish it with that version")
            .hint(replan));
    }
    Ok(Some(plan))
}

fn check_signature(
    key: &VerifyingKey,
    plan: &[u8],
    text: Option<Vec<u8>>,
    signature: Option<Vec<u8>>,
) -> std::result::Result<(), String> {
    let (Some(text), Some(signature)) = (text, signature) else {
        return Err("it carries no signature".to_owned());
    };
    let told = |error: &dyn std::error::Error| crate::error::chain(error);
    key.verify(&text, &signature)
        .map_err(|error| told(&error))?;
    let statement = statement::parse(&text).map_err(|error| told(&error))?;
    if statement.subject != StatementType::Plan || statement.key != key.fingerprint() {
        return Err("its statement is about something else".to_owned());
    }
    statement::check_document(&statement, plan).map_err(|error| told(&error))
}

/// Id and file hashes of a plan.
#[derive(Debug, Clone)]
pub(crate) struct PlanDocument {
    /// Digest of the plan's content, which decides the bundle's bytes.
    pub(crate) id: PlanId,
    /// Length and hashes of `export.plan`.
    pub(crate) file: FileEntry,
}

impl PlanDocument {
    pub(crate) fn of(plan: &ExportPlan) -> Result<Self> {
        Ok(Self {
            id: plan_id(plan)?,
            file: cbor::measure(plan, names::PLAN).map_err(unencodable)?,
        })
    }
}

/// Returns the digest of the plan's content, which decides the bundle's bytes.
pub(crate) fn plan_id(plan: &ExportPlan) -> Result<PlanId> {
    let content = cbor::measure(&plan.content, "plan").map_err(unencodable)?;
    Ok(PlanId::new(content.sha256))
}

fn unencodable(error: cbor::CborError) -> Error {
    Error::internal("The plan cannot be written down", error)
}

/// Durably writes the plan, and its statement if there is a signer. `file` has the plan's length
/// and hashes.
pub(crate) fn write_plan(
    media: &dyn Media,
    plan: &ExportPlan,
    file: &FileEntry,
    signer: Option<&Signer>,
) -> Result<()> {
    if let Some(signer) = signer {
        let statement = document_statement(
            StatementType::Plan,
            file,
            signer.public(),
            StatementTerms::exporter(None),
            sys::clock::now(),
        );
        let text = render(&statement)?;
        let signature = signer.sign(text.as_bytes())?;
        media.write_atomically(names::PLAN_STATEMENT, text.as_bytes())?;
        media.write_atomically(names::PLAN_SIGNATURE, &signature)?;
    }
    // Written last: a plan must never exist without its statement.
    media.write_pieces_atomically(names::PLAN, &mut |out| {
        cbor::write(plan, out, names::PLAN).map_err(io::Error::other)
    })?;
    Ok(())
}

/// Removes plan and journal. The plan goes first: its presence is what marks a bundle unfinished.
pub(crate) fn remove_plan(media: &dyn Media) -> Result<()> {
    for path in [
        names::PLAN,
        names::PLAN_STATEMENT,
        names::PLAN_SIGNATURE,
        journal::PATH,
    ] {
        media.remove(path)?;
        media.sync_dir("")?;
    }
    Ok(made::clear(media)?)
}

/// Removes the leftovers of a finished export that was stopped while it removed its own files.
pub(crate) fn clear_leftovers(media: &dyn Media) -> Result<()> {
    let entries = media.list()?;
    let has = |path: &str| entries.iter().any(|entry| entry.path == path);
    if [
        names::PLAN_STATEMENT,
        names::PLAN_SIGNATURE,
        journal::PATH,
        names::MADE,
    ]
    .into_iter()
    .any(has)
    {
        remove_plan(media)?;
    }
    for entry in &entries {
        let whole = entry.path.strip_suffix(".tmp");
        let own = whole.is_some_and(|path| {
            let document = [
                names::MANIFEST,
                names::INVENTORY,
                names::LABEL,
                names::SUMS,
                names::PLAN,
                names::PLAN_STATEMENT,
                names::PLAN_SIGNATURE,
                journal::PATH,
            ];
            document.contains(&path) || path.starts_with("signatures/") || is_chunk(path)
        });
        if own && matches!(entry.kind, EntryKind::File(_)) {
            media.remove(&entry.path)?;
        }
    }
    Ok(())
}

/// Returns true if a chunk may have this path.
fn is_chunk(path: &str) -> bool {
    let name = path.strip_prefix("chunks/").unwrap_or_default();
    let number = name
        .strip_suffix(".tar")
        .or_else(|| name.strip_suffix(".tar.zst"));
    number.is_some_and(|n| {
        n.len() == 6
            && n.bytes().all(|byte| byte.is_ascii_digit())
            && n.parse().is_ok_and(|n: u32| ChunkId::try_from(n).is_ok())
    })
}

/// Removes an unfinished export: plan, journal, and all chunks except those of the sealed
/// generation. Does not read the plan, which may be unreadable or written by someone else.
pub(crate) fn discard(media: &dyn Media) -> Result<()> {
    let sealed: BTreeSet<String> = match media.read_if_present(names::MANIFEST, Limits::MANIFEST)? {
        None => BTreeSet::new(),
        Some(bytes) => {
            let manifest = bundle::decode_manifest(&bytes).map_err(|error| {
                Error::new(Class::VerificationFailed, "The manifest cannot be read")
                    .caused_by(error)
                    .hint("export into an empty directory")
            })?;
            // The sealing of the next generation was interrupted: only the plan can finish it.
            let inventory = media.read_if_present(names::INVENTORY, Limits::INVENTORY)?;
            if inventory.is_none_or(|inventory| sha256(&inventory) != manifest.inventory.sha256) {
                let message = "The unfinished export was being sealed: discarding it now would \
                               destroy the previous generation";
                return Err(Error::usage(message)
                    .hint("run the same command without --replan: it finishes the sealing"));
            }
            manifest.chunks.iter().map(ChunkEntry::path).collect()
        }
    };
    for entry in media.list()? {
        if matches!(entry.kind, EntryKind::File(_))
            && is_chunk(&entry.path)
            && !sealed.contains(&entry.path)
        {
            media.remove(&entry.path)?;
        }
    }
    remove_plan(media)
}

/// Returns true if an export was begun here and is not finished.
pub(crate) fn is_unfinished(media: &dyn Media) -> Result<bool> {
    let entries = media.list()?;
    Ok(entries.iter().any(|entry| entry.path == names::PLAN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_have_six_digits_and_begin_with_one() {
        for path in ["chunks/000001.tar", "chunks/999999.tar.zst"] {
            assert!(is_chunk(path), "{path}");
        }
        for path in [
            "chunks/00001.tar",
            "chunks/1234567.tar",
            "chunks/0000001.tar.zst",
            "chunks/000000.tar",
            "chunks/+00001.tar",
            "chunks/000001.tar.gz",
            "000001.tar",
        ] {
            assert!(!is_chunk(path), "{path}");
        }
    }
}
