//! A small bundle in memory for the tests of this module.

use std::collections::BTreeMap;

use super::{hash, tar};
use crate::model::*;

/// The documents of a bundle, and the content that they describe.
pub(super) struct Sample {
    pub(super) manifest: BundleManifest,
    pub(super) inventory: Inventory,
    /// Bytes of blobs and OCI manifests, by digest.
    pub(super) content: BTreeMap<Digest, Vec<u8>>,
}

pub(super) fn chunk_id(number: u32) -> ChunkId {
    ChunkId::try_from(number).unwrap()
}

fn oci_manifest(config: &Digest, layers: &[(Digest, u64)], extra: &str) -> Vec<u8> {
    let layers: Vec<String> = layers
        .iter()
        .map(|(digest, size)| {
            // The layer of 9 bytes is non-distributable (foreign).
            let (kind, urls) = match size {
                9 => ("nondistributable.v1.tar", r#","urls":["https://example.com/l"]"#),
                _ => ("v1.tar", ""),
            };
            format!(
                r#"{{"mediaType":"application/vnd.oci.image.layer.{kind}","digest":"{digest}","size":{size}{urls}}}"#
            )
        })
        .collect();
    let text = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}","size":2}},"layers":[{}]{extra}}}"#,
        MediaType::OCI_MANIFEST,
        layers.join(",")
    );
    text.into_bytes()
}

/// Builds three chunks of one generation: a blob in one piece, a blob in two, an empty one, one
/// that a base has, a foreign one; an index with one child carried and one left out; a signature.
pub(super) fn sample() -> Sample {
    let (one, two) = (chunk_id(1), chunk_id(2));
    let meta = chunk_id(3);
    let mut content = BTreeMap::new();
    let mut add = |bytes: Vec<u8>| {
        let digest = hash::sha256(&bytes);
        content.insert(digest, bytes);
        digest
    };
    let whole = add(b"{}".to_vec());
    let cut = add((0..1500u32).map(|i| i as u8).collect());
    let empty = add(Vec::new());
    let omitted = hash::sha256(b"omitted");
    let foreign = hash::sha256(b"foreign");
    let left_out = hash::sha256(b"left out");
    let layers = [(cut, 1500), (empty, 0), (omitted, 7), (foreign, 9)];
    let image = add(oci_manifest(&whole, &layers, ""));
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{m}","digest":"{left_out}","size":1,"platform":{{"architecture":"arm64","os":"linux"}}}},{{"mediaType":"{m}","digest":"{image}","size":{}}}]}}"#,
        MediaType::OCI_INDEX,
        content_len(&content, &image),
        m = MediaType::OCI_MANIFEST,
    );
    let index = insert(&mut content, index.into_bytes());
    let signature = oci_manifest(
        &whole,
        &[(whole, 2)],
        &format!(
            r#","subject":{{"mediaType":"{}","digest":"{index}","size":{}}}"#,
            MediaType::OCI_INDEX,
            content_len(&content, &index),
        ),
    );
    let signature = insert(&mut content, signature);

    // Chunk 1 has `whole`, then the first 1000 bytes of `cut`; chunk 2 has its other 500 bytes.
    let raw = |extents: Vec<Extent>| BlobPlace::Carried(Carried::raw(extents));
    let piece = |chunk, offset, stored| Extent {
        chunk,
        offset,
        stored,
        decoded: stored,
    };
    let mut blobs = vec![
        blob(whole, 2, raw(vec![piece(one, 1536, 2)])),
        blob(
            cut,
            1500,
            raw(vec![piece(one, 2560, 1000), piece(two, 1536, 500)]),
        ),
        blob(empty, 0, raw(vec![])),
        blob(
            omitted,
            7,
            BlobPlace::Omitted {
                origin: BundleId::new(hash::sha256(b"base")),
            },
        ),
        blob(
            foreign,
            9,
            BlobPlace::Foreign {
                urls: vec!["https://example.com/l".to_owned()],
            },
        ),
    ];
    blobs.sort_by_key(|blob| blob.digest);

    let entry = |digest, blobs: Vec<Digest>, media_type: &str| ManifestEntry {
        blobs,
        extent: piece(meta, 0, content_len(&content, &digest)),
        children: vec![],
        digest,
        omitted: vec![],
        subject: None,
        platform: None,
        media_type: MediaType::new(media_type),
    };
    let mut manifests = vec![
        ManifestEntry {
            platform: Some("linux/amd64".parse().unwrap()),
            ..entry(
                image,
                vec![whole, cut, empty, omitted, foreign],
                MediaType::OCI_MANIFEST,
            )
        },
        ManifestEntry {
            children: vec![image],
            omitted: vec![left_out],
            ..entry(index, vec![], MediaType::OCI_INDEX)
        },
        ManifestEntry {
            subject: Some(index),
            ..entry(signature, vec![whole], MediaType::OCI_MANIFEST)
        },
    ];
    manifests.sort_by_key(|manifest| manifest.digest);
    let mut offset = tar::MARKER;
    for manifest in &mut manifests {
        manifest.extent.offset = offset + tar::UNIT;
        offset = tar::end_of_data(manifest.extent.offset, manifest.extent.stored).unwrap();
    }

    let source: Repository = "quay.io/okd/scos".parse().unwrap();
    let tag: Tag = "4.18".parse().unwrap();
    let images = vec![ImageEntry {
        root: Some(index),
        tag: Some(tag.clone()),
        cosign: AttachmentState::Carried,
        source: source.clone(),
        attached: vec![Attachment {
            by: AttachedBy::CosignTag,
            tag: Some(format!("sha256-{}.sig", index.hex()).parse().unwrap()),
            root: signature,
            subject: index,
        }],
        problem: None,
        platforms: vec!["linux/amd64".parse().unwrap()],
        referrers: AttachmentState::Absent,
        requested: source.tagged(tag.clone()),
        standalone: false,
        fetched_from: source.clone(),
    }];
    let plan = PlanId::new(hash::sha256(b"plan"));
    let origin = |number, decoded| ChunkOrigin {
        plan,
        decoded,
        number,
        generation: 1,
    };
    let metadata_length = offset + tar::TRAILER;
    let inventory = Inventory {
        ext: None,
        document: Inventory::TYPE.to_owned(),
        bases: vec![BaseEntry {
            id: BundleId::new(hash::sha256(b"base")),
            roots: vec![BaseRoot {
                root: hash::sha256(b"base root"),
                reference: source.tagged(tag),
            }],
            title: None,
        }],
        blobs,
        chunks: vec![
            origin(one, 4608),
            origin(two, 3072),
            origin(meta, metadata_length),
        ],
        format: FORMAT_VERSION,
        images,
        request: RequestId::new(hash::sha256(b"request")),
        catalogs: vec![],
        left_out: vec![],
        releases: vec![],
        manifests,
    };
    let chunk = |number, kind, length| ChunkEntry {
        kind,
        blake3: hash::blake3(b"chunk"),
        blocks: BlockHashes(vec![hash::blake3(b"chunk")]),
        length,
        number,
        sha256: hash::sha256(b"chunk"),
    };
    let bytes = super::cbor::encode(&inventory, "inventory").unwrap();
    let manifest = BundleManifest {
        ext: None,
        document: BundleManifest::TYPE.to_owned(),
        label: Label {
            owner: None,
            title: Some("A sample".parse().unwrap()),
            marking: None,
        },
        chunks: vec![
            chunk(one, ChunkKind::Data, 4608),
            chunk(two, ChunkKind::Data, 3072),
            chunk(meta, ChunkKind::Metadata, 700),
        ],
        format: FORMAT_VERSION,
        complete: true,
        requires: vec![],
        inventory: hash::file_entry(&bytes),
        block_size: BLOCK_SIZE,
        generation: 1,
        chunk_limit: 4608,
    };
    Sample {
        manifest,
        inventory,
        content,
    }
}

fn content_len(content: &BTreeMap<Digest, Vec<u8>>, digest: &Digest) -> u64 {
    content[digest].len() as u64
}

fn insert(content: &mut BTreeMap<Digest, Vec<u8>>, bytes: Vec<u8>) -> Digest {
    let digest = hash::sha256(&bytes);
    content.insert(digest, bytes);
    digest
}

fn blob(digest: Digest, size: u64, place: BlobPlace) -> BlobEntry {
    BlobEntry {
        size,
        place,
        digest,
    }
}
