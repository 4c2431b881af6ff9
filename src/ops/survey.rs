//! `airferry codec survey`: which compressors made the layers of images, and what recompressing
//! them would save. Looks at the beginnings of layers only; nothing is proved.

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

/// Layers that are looked at at the same time: each holds a compressor for every level.
const JOBS: usize = 2;

/// What `airferry codec survey` is asked for.
#[derive(Debug)]
pub struct Request {
    /// Images.
    pub references: BTreeSet<Reference>,
    /// Platforms of indexes to look at; empty: all.
    pub platforms: Vec<Platform>,
    /// Plain bytes of each layer that are looked at.
    pub sample_bytes: u64,
    /// Levels of zstd to try.
    pub levels: Vec<i32>,
    /// Talks to the registries.
    pub client: Client,
}

/// Layers of one kind.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Share {
    /// How many layers.
    pub layers: u64,
    /// Their bytes, as registries hold them.
    pub bytes: u64,
    /// Their bytes by level of zstd, estimated from the samples.
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

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Layers by the encoder that made them, as `airferry codec encode` names it; `raw: REASON`
    /// for those that would travel as they are.
    pub encoders: BTreeMap<String, Share>,
    /// All layers together.
    pub total: Share,
    /// Images and layers that could not be looked at, with the reason.
    pub problems: Vec<String>,
}

/// Looks at images.
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
    let mut looks = stream::iter(layers)
        .map(|(digest, blob)| async move { (digest, blob, look(request, digest, blob).await) })
        .buffer_unordered(JOBS);
    loop {
        let next = tokio::select! {
            next = looks.next() => next,
            () = context.cancel.cancelled() => return Err(Error::interrupted()),
        };
        let Some((digest, blob, look)) = next else {
            break;
        };
        let (item, ok) = (digest.to_string(), look.is_ok());
        context.emit(Event::ItemFinished { phase, item, ok });
        match look {
            Ok(sampled) => report.count(blob.size, &sampled),
            Err(problem) => report.problems.push(format!("{digest}: {problem}")),
        }
    }
    context.emit(Event::PhaseFinished { phase });
    report.problems.sort();
    Ok(report)
}

/// Every layer once. Configs are small and not compressed.
fn layers(resolution: &Resolution) -> Vec<(Digest, &ResolvedBlob)> {
    let mut digests = BTreeSet::new();
    for manifest in resolution.manifests.values() {
        digests.extend(manifest.blobs.iter().skip(1));
    }
    let known = |digest: Digest| Some((digest, resolution.blobs.get(&digest)?));
    digests.into_iter().filter_map(known).collect()
}

/// Reads the beginning of a layer.
async fn look(
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
                // The sampler has seen enough and listens no more.
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
