//! Writes and signs the assembled files, in the order of bundle-format.md, section 9.3.

use std::io;

use super::assemble::Assembled;
use super::state::remove_plan;
use crate::bundle::names;
use crate::bundle::sign::{Signer, StatementTerms, bundle_statement, render, write_statement};
use crate::bundle::trust::Trust;
use crate::error::Result;
use crate::format::bundle;
use crate::model::{ChunkKind, LabelText, Limits, Statement, chunk_path};
use crate::sys;
use crate::sys::media::Media;

/// Returns the bytes of the statement and signature that sealing would add.
pub(crate) fn statement_bytes_ahead(
    assembled: &Assembled,
    signer: Option<&Signer>,
    comment: Option<&LabelText>,
) -> Result<u64> {
    let Some(signer) = signer else {
        return Ok(0);
    };
    let text = render(&own_statement(assembled, signer, comment))?;
    Ok(text.len() as u64 + Limits::SIGNATURE)
}

/// Builds the exporter's statement about its bundle.
fn own_statement(assembled: &Assembled, signer: &Signer, comment: Option<&LabelText>) -> Statement {
    bundle_statement(
        &assembled.manifest,
        &assembled.manifest_bytes,
        signer.public(),
        StatementTerms::exporter(comment.cloned()),
        sys::clock::now(),
    )
}

/// Writes all files except data chunks, in an order in which a crash at any point is harmless.
/// Returns the name of the statement if there is a signer.
pub(crate) fn seal(
    media: &dyn Media,
    assembled: &Assembled,
    metadata_chunk: &[u8],
    signer: Option<&Signer>,
    comment: Option<&LabelText>,
) -> Result<Option<String>> {
    let number = assembled.manifest.chunks.last().map(|chunk| chunk.number);
    if let Some(number) = number {
        let path = chunk_path(number, ChunkKind::Metadata);
        media.write_atomically(&path, metadata_chunk)?;
    }
    media.write_pieces_atomically(names::INVENTORY, &mut |out| {
        bundle::write_inventory(&assembled.inventory, out).map_err(io::Error::other)
    })?;
    media.write_atomically(names::SUMS, assembled.texts.sums.as_bytes())?;
    media.write_atomically(names::LABEL, assembled.texts.label.as_bytes())?;
    media.write_atomically(names::MANIFEST, &assembled.manifest_bytes)?;
    let mut stem = None;
    if let Some(signer) = signer {
        let own = Trust {
            exporters: vec![*signer.public()],
            ..Trust::default()
        };
        let before = own.authenticate(media, &assembled.manifest_bytes)?;
        stem = before
            .vouched
            .first()
            .map(|vouched| vouched.stem.to_string());
    }
    if let (Some(signer), None) = (signer, &stem) {
        let statement = own_statement(assembled, signer, comment);
        stem = Some(write_statement(media, &assembled.id, signer, &statement)?.to_string());
    }
    remove_plan(media)?;
    Ok(stem)
}
