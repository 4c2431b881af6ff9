use super::super::{BlobEntry, Extent, ManifestEntry, MediaType, RequestId};
use super::*;

fn digest(number: u32) -> Digest {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    Digest::from_bytes(bytes)
}

/// Builds an inventory from rows of manifest number, numbers of its children, numbers of its
/// blobs.
fn inventory(rows: &[(u32, Vec<u32>, Vec<u32>)], missing: &[u32]) -> Inventory {
    let row = |(number, children, blobs): &(u32, Vec<u32>, Vec<u32>)| ManifestEntry {
        blobs: blobs.iter().map(|n| digest(*n)).collect(),
        digest: digest(*number),
        extent: Extent {
            chunk: 1u32.try_into().unwrap(),
            offset: 0,
            stored: 1,
            decoded: 1,
        },
        omitted: Vec::new(),
        subject: None,
        children: children.iter().map(|n| digest(*n)).collect(),
        platform: None,
        media_type: MediaType::new(MediaType::OCI_INDEX),
    };
    let mut blobs: Vec<u32> = rows.iter().flat_map(|row| row.2.clone()).collect();
    blobs.sort_unstable();
    blobs.dedup();
    let blob = |number: u32| BlobEntry {
        size: 1,
        place: match missing.contains(&number) {
            true => BlobPlace::Missing {
                reason: "gone".to_owned(),
            },
            false => BlobPlace::Foreign { urls: Vec::new() },
        },
        digest: digest(number),
    };
    Inventory {
        ext: None,
        document: Inventory::TYPE.to_owned(),
        bases: Vec::new(),
        blobs: blobs.into_iter().map(blob).collect(),
        chunks: Vec::new(),
        format: 1,
        images: Vec::new(),
        request: RequestId::new(digest(0)),
        catalogs: Vec::new(),
        left_out: Vec::new(),
        releases: Vec::new(),
        manifests: rows.iter().map(row).collect(),
    }
}

/// Builds `depth` levels of `width` indexes; each index has all indexes of the next level as
/// children.
fn levels(depth: u32, width: u32) -> Inventory {
    let mut rows = Vec::new();
    for level in 0..depth {
        for place in 0..width {
            let below = (level + 1) * width..(level + 2) * width;
            let children = if level + 1 < depth {
                below.collect()
            } else {
                Vec::new()
            };
            let blobs = if level + 1 < depth {
                Vec::new()
            } else {
                vec![place]
            };
            rows.push((level * width + place, children, blobs));
        }
    }
    inventory(&rows, &[0])
}

#[test]
fn what_is_below_is_known_from_the_bottom_up() {
    let inventory = inventory(
        &[
            (1, vec![2, 3], vec![]),
            (2, vec![3], vec![10]),
            (3, vec![], vec![11]),
            (4, vec![5], vec![]),
            (5, vec![4], vec![]),
            (6, vec![4], vec![]),
        ],
        &[11],
    );
    let graph = Graph::new(&inventory);
    let below = graph.below();
    let levels: Vec<u32> = below.iter().map(|below| below.levels).collect();
    assert_eq!(levels, [3, 2, 1, u32::MAX, u32::MAX, u32::MAX]);
    let missing: Vec<bool> = below.iter().map(|below| below.missing).collect();
    assert_eq!(missing, [true, true, true, false, false, false]);
    let parents = graph.parents();
    assert_eq!(parents.of_manifest(2), [0, 1]);
    assert_eq!(parents.of_blob(0), [1]);
    let mut walk = Walk::new(&graph);
    for _ in 0..2 {
        let reached = walk.reach(&[0]);
        assert_eq!(reached.manifests, [0, 1, 2]);
        assert_eq!(reached.blobs, [0, 1]);
    }
    assert_eq!(walk.reach(&[3]).manifests, [3, 4]);
}

/// Eight levels of a hundred indexes have 100^8 paths and 70 000 edges.
#[test]
fn a_walk_takes_a_step_for_each_row_and_each_digest() {
    let inventory = levels(8, 100);
    let graph = Graph::new(&inventory);
    let below = graph.below();
    assert_eq!(below.first().map(|below| below.levels), Some(8));
    assert!(below.iter().take(700).all(|below| below.missing));
    let mut walk = Walk::new(&graph);
    let roots: Vec<u32> = (0..100).collect();
    assert_eq!(walk.reach(&roots).manifests.len(), 800);
    let rows = inventory.manifests.iter();
    let digests: usize = rows
        .map(|row| row.children.len() + row.blobs.len() + 1)
        .sum();
    assert_eq!(walk.steps(), digests);
}
