use super::super::testing::{chunk_id, sample};
use super::*;
use crate::model::*;

#[test]
fn documents_round_trip() {
    let sample = sample();
    let bytes = encode_manifest(&sample.manifest).unwrap();
    assert_eq!(decode_manifest(&bytes).unwrap(), sample.manifest);
    let bytes = encode_inventory(&sample.inventory).unwrap();
    assert_eq!(
        open_inventory(&bytes, &sample.manifest).unwrap(),
        sample.inventory
    );
}

#[test]
fn an_inventory_that_the_manifest_does_not_name_is_refused() {
    let mut sample = sample();
    let bytes = encode_inventory(&sample.inventory).unwrap();
    let right = sample.manifest.inventory.clone();
    for change in [
        |entry: &mut FileEntry| entry.length += 1,
        |entry: &mut FileEntry| entry.sha256 = hash::sha256(b""),
        |entry: &mut FileEntry| entry.blake3 = hash::blake3(b""),
    ] {
        sample.manifest.inventory = right.clone();
        change(&mut sample.manifest.inventory);
        let error = open_inventory(&bytes, &sample.manifest).unwrap_err();
        assert!(matches!(error, DocumentError::NotNamed { .. }), "{error}");
        assert!(decode_inventory(&bytes, &sample.manifest).is_ok());
    }
}

/// Encodes without the checks of `encode_manifest`, so that the reader's checks are tested.
fn manifest_rule(change: impl Fn(&mut BundleManifest)) -> Option<Rule> {
    let mut manifest = sample().manifest;
    change(&mut manifest);
    let bytes = cbor::encode(&manifest, MANIFEST).unwrap();
    let rule = decode_manifest(&bytes).err().map(|error| error.rule());
    assert_eq!(
        encode_manifest(&manifest).err().map(|error| error.rule()),
        rule
    );
    rule
}

#[test]
fn manifests_that_break_a_rule_are_refused() {
    type Change = fn(&mut BundleManifest);
    let cases: &[(u8, Change)] = &[
        (13, |m| m.document = Inventory::TYPE.to_owned()),
        (13, |m| m.format = 2),
        (13, |m| m.requires = vec!["parity".to_owned()]),
        (14, |m| m.block_size = 1 << 20),
        (14, |m| m.generation = 0),
        (14, |m| m.chunks.swap(0, 1)),
        (14, |m| m.chunks[1].number = chunk_id(1)),
        (15, |m| m.chunks[2].length = 0),
        (15, |m| m.chunks[0].length += 1),
        (15, |m| m.chunks[0].length += 512),
        (15, |m| m.chunks[0].blocks.0.clear()),
        (15, |m| m.chunks[0].blocks.0.push(hash::blake3(b"x"))),
        (15, |m| m.chunks[2].length = BLOCK_SIZE + 1),
    ];
    for (number, (rule, change)) in cases.iter().enumerate() {
        assert_eq!(manifest_rule(change), Some(Rule(*rule)), "case {number}");
    }
    assert_eq!(manifest_rule(|_| {}), None);
    assert_eq!(manifest_rule(|m| m.chunks[2].length = BLOCK_SIZE), None);
}

#[test]
fn what_decides_how_to_read_comes_first() {
    // A document of a later version may have other tables; it must not be called malformed.
    for (text, needle) in [
        (
            r#"{"type": "airferry-manifest", "format": 2, "new": 1}"#,
            "format version 2",
        ),
        (
            r#"{"type": "airferry-manifest", "format": 1, "requires": ["parity"]}"#,
            "feature `parity`",
        ),
        (r#"{"type": "x\n", "format": 1}"#, r"type is `x\n`"),
    ] {
        let mut value: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(text).unwrap();
        let mut pairs: Vec<_> = std::mem::take(&mut value).into_iter().collect();
        pairs.sort_by_key(|(key, _)| (key.len(), key.clone()));
        let map = pairs
            .into_iter()
            .map(|(k, v)| (k.into(), ciborium::Value::serialized(&v).unwrap()))
            .collect();
        let bytes = cbor::encode(&ciborium::Value::Map(map), "test").unwrap();
        let error = decode_manifest(&bytes).unwrap_err();
        assert!(error.to_string().contains(needle), "{error}");
    }
}

fn inventory_rule(change: impl Fn(&mut Inventory, &mut BundleManifest)) -> Option<Rule> {
    let mut sample = sample();
    change(&mut sample.inventory, &mut sample.manifest);
    let bytes = encode_inventory(&sample.inventory).unwrap();
    let result = decode_inventory(&bytes, &sample.manifest);
    result.err().map(|error| error.rule())
}

/// Returns the sample's blob whose place is of this kind.
fn find(inventory: &mut Inventory, wanted: fn(&BlobPlace) -> bool) -> &mut BlobEntry {
    let mut found = inventory
        .blobs
        .iter_mut()
        .filter(|blob| wanted(&blob.place));
    found.next().unwrap()
}

fn carried(inventory: &mut Inventory, extents: usize) -> &mut Carried {
    inventory
        .blobs
        .iter_mut()
        .find_map(|blob| match &mut blob.place {
            BlobPlace::Carried(carried) if carried.extents.len() == extents => Some(carried),
            _ => None,
        })
        .unwrap()
}

fn index(inventory: &mut Inventory) -> &mut ManifestEntry {
    let mut found = inventory.manifests.iter_mut().filter(|m| m.is_sparse());
    found.next().unwrap()
}

fn make_missing(inventory: &mut Inventory) {
    find(inventory, |place| {
        matches!(place, BlobPlace::Foreign { .. })
    })
    .place = BlobPlace::Missing {
        reason: "gone".to_owned(),
    };
}

#[test]
fn inventories_that_break_a_rule_are_refused() {
    type Change = fn(&mut Inventory, &mut BundleManifest);
    let cases: &[(u8, Change)] = &[
        (13, |i, _| i.document = BundleManifest::TYPE.to_owned()),
        (13, |i, _| i.format = 0),
        (14, |i, _| i.blobs.swap(0, 1)),
        (14, |i, _| i.manifests.swap(0, 1)),
        (14, |i, _| i.bases.push(i.bases[0].clone())),
        (14, |i, _| {
            let again = i.bases[0].roots[0].clone();
            i.bases[0].roots.push(again);
        }),
        (14, |i, _| i.images.push(i.images[0].clone())),
        (14, |i, _| {
            let again = i.images[0].attached[0].clone();
            i.images[0].attached.push(again);
        }),
        (14, |i, _| {
            i.images[0]
                .platforms
                .insert(0, "windows/amd64".parse().unwrap());
        }),
        (21, |i, _| carried(i, 1).extents[0].offset = 1537),
        (21, |i, _| carried(i, 1).extents[0].offset = 512),
        (21, |i, _| carried(i, 1).extents[0].stored = 0),
        (21, |i, _| carried(i, 1).extents[0].stored += 1),
        (22, |i, _| carried(i, 1).memory = 1),
        (22, |i, _| carried(i, 1).scratch = 1),
        (22, |i, _| carried(i, 1).needs = vec![hash::sha256(b"x")]),
        (23, |i, _| {
            find(i, |place| {
                *place == BlobPlace::Carried(Carried::raw(vec![]))
            })
            .size = 1
        }),
        (23, |i, _| {
            carried(i, 2).extents.pop();
        }),
        (24, |i, _| carried(i, 1).extents[0].offset += 512),
        (24, |i, _| carried(i, 1).extents[0].chunk = chunk_id(3)),
        (24, |i, _| carried(i, 1).extents[0].chunk = chunk_id(4)),
        (24, |i, m| {
            i.chunks[0].decoded += 512;
            m.chunks[0].length += 512;
        }),
        (24, |i, _| i.chunks[2].decoded -= 512),
        (24, |i, _| index(i).extent.chunk = chunk_id(2)),
        (26, |i, _| index(i).omitted.push(hash::sha256(b"left out"))),
        (26, |i, _| {
            let child = index(i).children[0];
            index(i).omitted.push(child);
        }),
        (26, |i, _| {
            let child = index(i).children[0];
            index(i).subject = Some(child);
        }),
        (26, |i, _| index(i).blobs.push(hash::sha256(b"no row"))),
        (26, |i, _| index(i).children.push(hash::sha256(b"no row"))),
        (26, |i, _| {
            i.blobs.push(BlobEntry {
                size: 1,
                place: BlobPlace::Missing {
                    reason: "no manifest names it".to_owned(),
                },
                digest: Digest::from_bytes([255; 32]),
            });
        }),
        (26, |i, _| {
            let entry = index(i);
            entry.extent.stored = Limits::OCI_MANIFEST + 1;
            entry.extent.decoded = entry.extent.stored;
        }),
        (27, |i, _| i.images[0].root = Some(hash::sha256(b"no row"))),
        (27, |i, _| i.images[0].root = None),
        (27, |i, _| {
            i.images[0].attached[0].root = hash::sha256(b"no row")
        }),
        (27, |i, _| i.images[0].attached[0].tag = None),
        (27, |i, _| i.images[0].attached.clear()),
        (27, |i, _| make_missing(i)),
        (27, |i, _| {
            // A cycle of indexes.
            let top = i.images[0].root.unwrap();
            let child = index(i).children[0];
            let row = i.manifests.iter_mut().find(|m| m.digest == child).unwrap();
            row.children.push(top);
        }),
        (28, |_, m| m.complete = false),
        (28, |i, _| {
            make_missing(i);
            i.images[0].problem = Some("a layer is gone".to_owned());
        }),
        (29, |i, _| {
            i.chunks.pop();
        }),
        (29, |i, _| i.chunks[1].number = chunk_id(4)),
        (29, |i, _| i.chunks[0].decoded += 512),
        (29, |i, _| i.chunks[2].decoded += 1),
        (29, |i, _| i.chunks[2].decoded = Limits::METADATA + 512),
        (29, |_, m| m.chunks[2].length = Limits::METADATA + 1),
        (29, |i, _| i.chunks[2].generation = 2),
        (29, |i, _| i.chunks[0].generation = 0),
        (29, |_, m| m.generation = 2),
        (29, |_, m| m.chunks[1].kind = ChunkKind::Metadata),
        (25, |i, _| i.bases.clear()),
    ];
    for (number, (rule, change)) in cases.iter().enumerate() {
        assert_eq!(inventory_rule(change), Some(Rule(*rule)), "case {number}");
    }
    assert_eq!(inventory_rule(|_, _| {}), None);
    let incomplete = |i: &mut Inventory, m: &mut BundleManifest| {
        make_missing(i);
        i.images[0].problem = Some("a layer is gone".to_owned());
        m.complete = false;
    };
    assert_eq!(inventory_rule(incomplete), None);
}

#[test]
fn another_codec_is_named() {
    let sample = sample();
    let bytes = encode_inventory(&sample.inventory).unwrap();
    let at = bytes
        .windows(4)
        .position(|window| window == b"\x63raw")
        .unwrap();
    let mut other = bytes.clone();
    other[at..at + 4].copy_from_slice(b"\x63zst");
    let error = decode_inventory(&other, &sample.manifest).unwrap_err();
    assert_eq!(error.rule(), Rule(22));
    assert!(
        error.to_string().contains("codec `zst` is unknown"),
        "{error}"
    );
}

#[test]
fn short_forms_of_names_are_refused() {
    let sample = sample();
    let bytes = encode_inventory(&sample.inventory).unwrap();
    // This has 21 characters like `quay.io/okd/scos:4.18`, and is short for docker.io/....
    let at = bytes
        .windows(21)
        .position(|w| w == b"quay.io/okd/scos:4.18")
        .unwrap();
    let mut other = bytes;
    other[at..at + 21].copy_from_slice(b"quay-io/okd/scos:4.18");
    let error = decode_inventory(&other, &sample.manifest).unwrap_err();
    assert_eq!(error.rule(), Rule(12));
}

#[test]
fn every_changed_byte_is_refused_or_round_trips() {
    let sample = sample();
    let bytes = encode_inventory(&sample.inventory).unwrap();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0x80, 0xff] {
            let mut other = bytes.clone();
            other[at] ^= flip;
            if let Ok(inventory) = decode_inventory(&other, &sample.manifest) {
                assert_eq!(encode_inventory(&inventory).unwrap(), other);
            }
        }
    }
    for length in 0..bytes.len() {
        let error = decode_inventory(&bytes[..length], &sample.manifest).unwrap_err();
        assert_eq!(error.rule(), Rule(10), "cut to {length}: {error}");
    }
}

#[test]
fn what_is_written_piece_by_piece_is_what_is_encoded() {
    let inventory = sample().inventory;
    let encoded = encode_inventory(&inventory).unwrap();
    let mut written = Vec::new();
    write_inventory(&inventory, &mut written).unwrap();
    assert_eq!(written, encoded);
    let measured = measure_inventory(&inventory).unwrap();
    assert_eq!(measured, hash::file_entry(&encoded));
}
