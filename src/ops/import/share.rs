//! `airferry import --shard`: one of several parallel importers. It sends its share of the blobs
//! and makes nothing visible; a normal import afterwards finds them and does the rest.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;

use super::blob_uploader::{BlobUploader, Expect};
use super::failure::Failure;
use super::prepare::{Ready, prepare};
use super::request::Request;
use crate::error::{Class, Error, Result};
use crate::model::{BundleId, Count};
use crate::ops::context::Context;
use crate::plan::import::{Shard, SharedBlob};
use crate::progress::{Event, Phase};

/// Number of blobs that are handled at the same time. `BlobUploader` limits the uploads.
const BLOBS: usize = 32;

/// Report of one shard.
#[derive(Debug, Clone, Serialize)]
pub struct ShareReport {
    /// Always `airferry-import-share-v1`.
    #[serde(rename = "type")]
    pub document: &'static str,
    /// Id of the bundle.
    pub bundle: BundleId,
    /// True if a trusted key signed the bundle.
    pub authenticated: bool,
    /// The shard, in the form of the option's value.
    pub shard: String,
    /// Number of blobs of this share.
    pub blobs: usize,
    /// Bytes that were sent.
    pub bytes_uploaded: u64,
    /// Bytes of blobs that were there already, or were mounted.
    pub bytes_reused: u64,
}

/// Sends one share of a bundle's blobs to the target, each to every repository that needs it.
///
/// # Errors
///
/// Any error that prevents an import from starting. If blobs fail, the error lists them, after all
/// others were sent.
pub async fn share(request: Request, shard: Shard, context: &Context) -> Result<ShareReport> {
    let request = Arc::new(request);
    let ready = prepare(&request, Some(shard), context).await?;
    let Ready {
        opened,
        plan,
        facts,
        sessions,
        ..
    } = &ready;
    let sessions = sessions.clone();
    let uploader = BlobUploader::new(&request, opened, facts, sessions, context.clone());
    let blobs = plan.share(&opened.bundle.inventory, shard);
    let phase = Phase::Upload;
    let repositories = |blob: &SharedBlob| blob.repositories.len() as u64;
    context.emit(Event::PhaseStarted {
        phase,
        items: blobs.iter().map(repositories).sum(),
        bytes: blobs.iter().map(|b| b.size * repositories(b)).sum(),
    });
    let failures = tokio::select! {
        failures = send(&uploader, &blobs) => failures,
        () = context.cancel.cancelled() => return Err(Error::interrupted()),
    };
    context.emit(Event::PhaseFinished { phase });
    if let Some(error) = failed(shard, &blobs, &failures) {
        return Err(error);
    }
    Ok(ShareReport {
        document: "airferry-import-share-v1",
        bundle: opened.bundle.id,
        authenticated: opened.bundle.authentication.is_authenticated(),
        shard: shard.to_string(),
        blobs: blobs.len(),
        bytes_uploaded: uploader.counters.uploaded.load(Ordering::Relaxed),
        bytes_reused: uploader.counters.reused.load(Ordering::Relaxed),
    })
}

/// Sends all blobs. If one fails, the others are still sent.
async fn send(uploader: &BlobUploader, blobs: &[SharedBlob]) -> Vec<Failure> {
    let sent = stream::iter(blobs).map(|blob| async move {
        for repository in &blob.repositories {
            let ensured = uploader
                .ensure(repository, &blob.digest, Expect::Absent)
                .await;
            ensured.map_err(|error| Failure::of_blob(&blob.digest, error))?;
        }
        Ok(())
    });
    let failures = sent
        .buffer_unordered(BLOBS)
        .filter_map(|sent: std::result::Result<(), Failure>| async { sent.err() });
    failures.collect().await
}

fn failed(shard: Shard, blobs: &[SharedBlob], failures: &[Failure]) -> Option<Error> {
    let class = failures.iter().map(|failure| failure.class).max()?;
    let mut message = format!(
        "{} of {} of shard {shard} {} not on the target:",
        failures.len(),
        Count::of(blobs.len(), "blob"),
        Count::of(failures.len(), "blob").is()
    );
    for failure in failures {
        message.push_str(&format!("\n  - {}", failure.reason));
    }
    let error = Error::new(class, message);
    Some(match class {
        Class::VerificationFailed => {
            error.hint("run `airferry verify` to see what is damaged, then copy the bundle again")
        }
        _ => error.hint("run the same command again: it does not send again what the target has"),
    })
}
