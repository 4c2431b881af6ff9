//! `airferry sign`: adds a statement to a sealed bundle.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::Context;
use crate::bundle::finding::FindingKind;
use crate::bundle::names;
use crate::bundle::open::{Scope, UnsignedPolicy, examine};
use crate::bundle::sign::{Signer, StatementTerms, bundle_statement, render, write_statement};
use crate::bundle::trust::Trust;
use crate::error::{Class, Error, Result};
use crate::format::hash::sha256;
use crate::model::{BundleId, Limits};
use crate::sys;
use crate::sys::media::{DirMedia, Media};

/// The request of `airferry sign`.
#[derive(Debug)]
pub struct Request {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Signer of the statement.
    pub signer: Signer,
    /// Content of the statement: role, verdict, comment, expiry.
    pub opinion: StatementTerms,
    /// Directory for the statement instead of the bundle's, for example for a read-only medium.
    pub statements: Option<PathBuf>,
}

/// Result of `airferry sign`.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Outcome {
    /// Id of the bundle.
    pub bundle: BundleId,
    /// Path of the statement.
    pub statement: PathBuf,
    /// Path of the signature.
    pub signature: PathBuf,
    /// Text of the statement.
    pub text: String,
}

/// Adds a statement to a sealed bundle, after checking everything but the chunks' content.
pub fn sign(request: Request, _context: &Context) -> Result<Outcome> {
    let media: Arc<dyn Media> = Arc::new(DirMedia::open(&request.bundle)?);
    // Other signatures do not matter here, but documents and files must agree.
    let waived = [FindingKind::NotAuthenticated, FindingKind::Incomplete];
    let bundle = examine(
        Arc::clone(&media),
        &Trust::default(),
        Scope::Everything,
        UnsignedPolicy::GoOn,
    )?
    .into_bundle(&waived)?;
    let bytes = media.read(names::MANIFEST, Limits::MANIFEST)?;
    if BundleId::new(sha256(&bytes)) != bundle.id {
        let message = "`manifest.cbor` changed between two reads: the medium is unreliable";
        return Err(Error::new(Class::Media, message));
    }
    let statement = bundle_statement(
        &bundle.manifest,
        &bytes,
        request.signer.public(),
        request.opinion,
        sys::clock::now(),
    );
    let (media, root): (Arc<dyn Media>, &Path) = match &request.statements {
        Some(directory) => (Arc::new(DirMedia::create(directory)?), directory),
        None => (media, &request.bundle),
    };
    let stem = write_statement(media.as_ref(), &bundle.id, &request.signer, &statement)?;
    Ok(Outcome {
        bundle: bundle.id,
        statement: root.join(stem.statement_path()),
        signature: root.join(stem.signature_path()),
        text: render(&statement)?,
    })
}
