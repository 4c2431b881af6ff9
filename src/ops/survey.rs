//! `airferry codec survey`: detects the compressors that made the layers of images, and estimates
//! what recompressing would save. Reads only the beginnings of layers, so results are estimates.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::context::Context;
use super::export::{Selection, resolve};
use crate::codec::{Caps, Sampled, sample};
use crate::error::{Error, Result, chain};
use crate::image::blocking_reader;
use crate::model::{Digest, Platform, Reference};
use crate::plan::export::{Resolution, ResolvedBlob};
use crate::progress::{Event, Phase};
use crate::registry::Client;

/// Number of layers that are sampled at the same time. Each needs memory for one compressor per
/// level.
const JOBS: usize = 2;

/// The request of `airferry codec survey`.
#[derive(Debug)]
pub struct Request {
    /// Images to sample.
    pub references: BTreeSet<Reference>,
    /// Platforms of indexes to sample; empty means all.
    pub platforms: Vec<Platform>,
    /// Bytes of each layer to sample, decompressed.
    pub sample_bytes: u64,
    /// Levels of zstd to try.
    pub levels: Vec<i32>,
    /// Client of the registries.
    pub client: Client,
}

/// Layers of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Share {
    /// Number of layers.
    pub layers: u64,
    /// Compressed bytes, as registries store them.
    pub bytes: u64,
    /// Estimated bytes by level of zstd.
    pub zstd: BTreeMap<i32, u64>,
}

impl Share {
    fn add(&mut self, other: &Share) {
        self.layers += other.layers;
        self.bytes += other.bytes;
        for (level, bytes) in &other.zstd {
            *self.zstd.entry(*level).or_default() += bytes;
        }
    }
}

/// Report of `airferry codec survey`.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Layers by the encoder that made them, named as in `airferry codec encode`; `raw: REASON`
    /// for layers that would be carried unchanged.
    pub encoders: BTreeMap<String, Share>,
    /// All layers together.
    pub total: Share,
    /// Images and layers that could not be sampled, with the reason.
    pub problems: Vec<String>,
}

/// Resolves images and samples their layers.
pub async fn survey(request: &Request, context: &Context) -> Result<Report> {
    let selection = Selection {
        platforms: request.platforms.clone(),
        ..Selection::default()
    };
    let resolution = resolve(&request.client, &request.references, &selection, context).await?;
    let layers = layers(&resolution);
    let mut report = Report::default();
    for image in &resolution.images {
        if let Some(problem) = &image.problem {
            report
                .problems
                .push(format!("{}: {problem}", image.requested));
        }
    }
    let phase = Phase::Download;
    context.emit(Event::PhaseStarted {
        phase,
        items: layers.len() as u64,
        bytes: 0,
    });
    let mut samples =
        stream::iter(layers)
            .map(|(digest, blob)| async move {
                (digest, blob, sample_layer(request, digest, blob).await)
            })
            .buffer_unordered(JOBS);
    loop {
        let next = tokio::select! {
            next = samples.next() => next,
            () = context.cancel.cancelled() => return Err(Error::interrupted()),
        };
        let Some((digest, blob, sample)) = next else {
            break;
        };
        let (item, ok) = (digest.to_string().into(), sample.is_ok());
        context.emit(Event::ItemFinished { phase, item, ok });
        match sample {
            Ok(sampled) => report.count(blob.size, &sampled),
            Err(problem) => report.problems.push(format!("{digest}: {problem}")),
        }
    }
    context.emit(Event::PhaseFinished { phase });
    report.problems.sort();
    Ok(report)
}

/// Returns every layer once. The first blob of a manifest, its config, is skipped: it is small and
/// not compressed.
fn layers(resolution: &Resolution) -> Vec<(Digest, &ResolvedBlob)> {
    let mut digests = BTreeSet::new();
    for manifest in resolution.manifests.values() {
        digests.extend(manifest.blobs.iter().skip(1));
    }
    let known = |digest: Digest| Some((digest, resolution.blobs.get(&digest)?));
    digests.into_iter().filter_map(known).collect()
}

/// Samples the beginning of a layer.
async fn sample_layer(
    request: &Request,
    digest: Digest,
    blob: &ResolvedBlob,
) -> std::result::Result<Sampled, String> {
    let repository = blob
        .from
        .first()
        .ok_or("no repository is known to have it")?;
    let (send, receive) = mpsc::channel::<std::result::Result<_, String>>(2);
    let (levels, plain) = (request.levels.clone(), request.sample_bytes);
    let reader = blocking_reader(Handle::current(), receive);
    let sampling =
        tokio::task::spawn_blocking(move || sample(reader, plain, &levels, Caps::DEFAULT));
    let mut download = request
        .client
        .blob(repository, digest, blob.size, 0)
        .await
        .map_err(|error| chain(&error))?;
    let failed = loop {
        match download.next().await {
            Ok(Some(bytes)) => {
                // The sampler has read enough and dropped the reader.
                if send.send(Ok(bytes)).await.is_err() {
                    break None;
                }
            }
            Ok(None) => break None,
            Err(error) => {
                let failed = chain(&error);
                let _ = send.send(Err(failed.clone())).await;
                break Some(failed);
            }
        }
    };
    drop(send);
    let sampled = sampling.await.map_err(|join| join.to_string())?;
    match failed {
        Some(failed) => Err(failed),
        None => sampled.map_err(|error| error.to_string()),
    }
}

impl Report {
    fn count(&mut self, size: u64, sampled: &Sampled) {
        let mut share = Share {
            layers: 1,
            bytes: size,
            zstd: BTreeMap::new(),
        };
        let name = match sampled {
            Sampled::Sample(sample) => {
                for zstd in &sample.zstd {
                    let seen = u128::from(sample.blob_bytes.max(1));
                    let whole = u128::from(zstd.bytes) * u128::from(size) / seen;
                    share
                        .zstd
                        .insert(zstd.level, u64::try_from(whole).unwrap_or(u64::MAX));
                }
                match &sample.encoder {
                    Some(encoder) => encoder.to_string(),
                    None => "raw: no known encoder".to_owned(),
                }
            }
            Sampled::Raw(reason) => format!("raw: {}", reason.name()),
        };
        self.encoders.entry(name).or_default().add(&share);
        self.total.add(&share);
    }
}
