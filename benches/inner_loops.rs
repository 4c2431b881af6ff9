//! Benchmarks of the inner loops of export, verify and import, each alone.
//!
//! `cargo bench --bench inner_loops [-- NAME]`. Where a number stands behind the name, it is the
//! number of blobs or images; a group whose times do not grow in proportion to it has a defect.
#![expect(clippy::unwrap_used, reason = "a benchmark")]

use std::hint::black_box;
use std::sync::Arc;

use airferry::bundle::write::lane::{LaneBlob, LaneWriter};
use airferry::bundle::write::{LaneTarget, preview_documents};
use airferry::format::bundle::{decode_inventory, encode_inventory};
use airferry::format::data_chunk::{FrameExpectation, Piece};
use airferry::format::hash::{BlobHasher, FileHasher, sha256};
use airferry::format::{PlacedExtent, tar};
use airferry::model::{
    AttachmentState, BLOCK_SIZE, ChunkId, Digest, ImageEntry, Label, MediaType, PlanId,
    RawManifest, Reference,
};
use airferry::oci;
use airferry::plan::export::{ExportPlan, Options, Resolution, ResolvedBlob, ResolvedManifest};
use airferry::plan::naming::{self, ImageToName, Role, SourceImage};
use airferry::plan::pack::LaneCursor;
use airferry::sys::journal::{Journal, Recovered};
use airferry::sys::media::DirMedia;
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput};

/// Length of the pieces that come from the network, in bytes.
const PIECE: usize = 64 << 10;

/// Number of blobs per image.
const LAYERS: usize = 10;

const SIZES: [usize; 3] = [1_000, 10_000, 100_000];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    hashing(&mut criterion);
    chunk_writing(&mut criterion);
    block_verification(&mut criterion);
    planning(&mut criterion);
    inventory(&mut criterion);
    mapping(&mut criterion);
    criterion.final_summary();
}

fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 56) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Measures all hashes of an export together (SHA-256 of the blob; SHA-256, BLAKE3 and block hashes
/// of the chunk), and SHA-256 and BLAKE3 alone.
fn hashing(criterion: &mut Criterion) {
    let data = noise(8 << 20);
    let mut group = criterion.benchmark_group("hashing");
    group.throughput(Throughput::Bytes(data.len() as u64));
    group.bench_function("tee", |bencher| {
        bencher.iter(|| {
            let (mut blob, mut file) = (BlobHasher::new(), FileHasher::new());
            for piece in data.chunks(PIECE) {
                blob.update(piece);
                file.update(piece);
            }
            (blob.finish(), file.finish())
        });
    });
    group.bench_function("sha256", |bencher| {
        bencher.iter(|| {
            let mut blob = BlobHasher::new();
            data.chunks(PIECE).for_each(|piece| blob.update(piece));
            blob.finish()
        });
    });
    group.bench_function("blake3", |bencher| {
        bencher.iter(|| {
            let mut hasher = blake3::Hasher::new();
            for piece in data.chunks(PIECE) {
                hasher.update(piece);
            }
            hasher.finalize()
        });
    });
    group.finish();
}

fn digest(number: usize) -> Digest {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(
        &(number as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .to_be_bytes(),
    );
    Digest::from_bytes(bytes)
}

/// Measures writing blobs through a lane into a file, fsync included.
fn chunk_writing(criterion: &mut Criterion) {
    let blob = noise(4 << 20);
    let placed = LaneBlob {
        digest: sha256(&blob),
        size: blob.len() as u64,
    };
    let mut group = criterion.benchmark_group("chunk writing");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.throughput(Throughput::Bytes(8 * blob.len() as u64));
    group.bench_function("8 blobs of 4 MiB", |bencher| {
        bencher.iter_batched(
            || tempfile::tempdir().unwrap(),
            |directory| {
                let root = directory.path().join("bundle");
                fs_err::create_dir_all(root.join("chunks")).unwrap();
                let media = DirMedia::open(root).unwrap();
                let plan = PlanId::new(Digest::from_bytes([1; 32]));
                let journal = Journal::create(&media, &plan).unwrap();
                let ground = LaneTarget::new(Arc::new(media), journal).unwrap();
                let cursor = LaneCursor::new(1 << 30, chunk(1), marker as fn(ChunkId) -> u64);
                let mut lane = LaneWriter::new(ground, plan, cursor, Recovered::default());
                for _ in 0..8 {
                    lane.begin_blob(placed).unwrap();
                    blob.chunks(PIECE)
                        .for_each(|piece| lane.write(piece).unwrap());
                    assert!(lane.end_blob().unwrap());
                }
                lane.finish().unwrap();
                directory
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Measures the comparison of a chunk's bytes with its framing, block by block, as `verify` does
/// it.
fn block_verification(criterion: &mut Criterion) {
    let (plan, number) = (PlanId::new(Digest::from_bytes([1; 32])), chunk(1));
    let blob = noise(4 << 20);
    let digest = sha256(&blob);
    let mut bytes = tar::marker(&plan, number);
    let mut extents = Vec::new();
    for _ in 0..4 {
        let name = tar::blob_entry_name(&digest, None);
        let kind = tar::EntryKind::File;
        bytes.extend(tar::header(&name, kind, blob.len() as u64, "").unwrap());
        extents.push(extent(digest, bytes.len() as u64, blob.len() as u64));
        bytes.extend(&blob);
    }
    let frame = FrameExpectation::new(plan, number, extents).unwrap();
    bytes.resize(usize::try_from(frame.length()).unwrap(), 0);
    let mut group = criterion.benchmark_group("block verification");
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("16 MiB", |bencher| {
        bencher.iter(|| {
            let mut comparison = frame.compare();
            let (mut file, mut blobs) = (FileHasher::new(), BlobHasher::new());
            for block in bytes.chunks(usize::try_from(BLOCK_SIZE).unwrap()) {
                file.update(block);
                comparison.feed(block, |piece| {
                    if let Piece::Blob { bytes, .. } = piece {
                        blobs.update(bytes);
                    }
                });
            }
            (file.finish(), blobs.finish())
        });
    });
    group.finish();
}

/// Returns what a registry would answer about `blobs` blobs in images of [`LAYERS`] blobs each.
fn resolution(blobs: usize) -> Resolution {
    let mut resolution = Resolution::default();
    for number in 0..blobs / LAYERS {
        let own = (0..LAYERS).map(|layer| digest(number * LAYERS + layer));
        let requested: Reference = format!("quay.lan/org/app{number}:v1").parse().unwrap();
        let layers: Vec<String> = own
            .clone()
            .map(|digest| {
                format!(
                    r#"{{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{digest}","size":5000000}}"#
                )
            })
            .collect();
        let (config, layers) = layers.split_first().unwrap();
        let text = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{}]}}"#,
            MediaType::OCI_MANIFEST,
            layers.join(",")
        );
        let parsed = oci::parse(text.as_bytes(), None).unwrap();
        let root = sha256(text.as_bytes());
        let raw = RawManifest {
            digest: root,
            media_type: parsed.media_type,
            bytes: text.into_bytes(),
        };
        let manifest = ResolvedManifest::new(raw, &parsed.facts);
        resolution.manifests.insert(root, manifest);
        for digest in own {
            let blob = ResolvedBlob {
                size: 5_000_000,
                from: vec![requested.repository.clone()],
                foreign: None,
            };
            resolution.blobs.insert(digest, blob);
        }
        resolution.images.push(ImageEntry {
            tag: requested.tag.clone(),
            root: Some(root),
            cosign: AttachmentState::NotAsked,
            source: requested.repository.clone(),
            problem: None,
            attached: Vec::new(),
            platforms: Vec::new(),
            referrers: AttachmentState::NotAsked,
            fetched_from: requested.repository.clone(),
            requested,
            standalone: true,
        });
    }
    resolution
}

fn plan(resolution: Resolution) -> ExportPlan {
    let options = Options {
        label: Label::default(),
        chunk_limit: 1 << 30,
        lanes: None,
        request: airferry::model::RequestId::new(digest(0)),
    };
    ExportPlan::new(resolution, None, &[], options).unwrap()
}

fn planning(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("planning");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for blobs in SIZES {
        let known = resolution(blobs);
        group.throughput(Throughput::Elements(blobs as u64));
        group.bench_with_input(
            BenchmarkId::from_parameter(blobs),
            &known,
            |bencher, known| {
                bencher.iter_batched(|| known.clone(), plan, BatchSize::PerIteration);
            },
        );
    }
    group.finish();
}

/// Measures making the inventory of that many blobs for a bundle, and reading it again.
fn inventory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("inventory");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for blobs in SIZES {
        let plan = plan(resolution(blobs));
        let (manifest, inventory) = preview_documents(&plan).unwrap();
        let bytes = encode_inventory(&inventory).unwrap();
        group.throughput(Throughput::Elements(blobs as u64));
        group.bench_function(BenchmarkId::new("assemble", blobs), |bencher| {
            bencher.iter(|| preview_documents(black_box(&plan)).unwrap());
        });
        group.bench_function(BenchmarkId::new("decode", blobs), |bencher| {
            bencher.iter(|| decode_inventory(black_box(&bytes), &manifest).unwrap());
        });
    }
    group.finish();
}

/// Measures naming the images on the target.
fn mapping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mapping");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    let target = "mirror.lan:8443/okd".parse().unwrap();
    for images in SIZES {
        let wanted: Vec<ImageToName> = (0..images)
            .map(|number| {
                let requested: Reference = format!("quay.lan/org{}/app{number}:v1", number % 97)
                    .parse()
                    .unwrap();
                let image = SourceImage {
                    source: requested.repository.clone(),
                    tag: requested.tag.clone(),
                    root: digest(number),
                    requested,
                };
                let role = Role::Plain;
                ImageToName { image, role }
            })
            .collect();
        group.throughput(Throughput::Elements(images as u64));
        group.bench_function(BenchmarkId::from_parameter(images), |bencher| {
            let options = naming::Options::default();
            bencher.iter(|| naming::place(black_box(&wanted), &target, &options).unwrap());
        });
    }
    group.finish();
}

fn chunk(number: u32) -> ChunkId {
    ChunkId::try_from(number).unwrap()
}

fn marker(_: ChunkId) -> u64 {
    tar::MARKER
}

fn extent(digest: Digest, offset: u64, stored: u64) -> PlacedExtent {
    PlacedExtent {
        offset,
        stored,
        digest,
        part: None,
        offset_in_blob: 0,
        is_manifest: false,
    }
}
