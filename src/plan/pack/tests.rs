use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const MARKER: u64 = 512;

/// Length of the marker's header and text: the position of a chunk's first other header.
const FIRST: u64 = TAR_BLOCK + MARKER;

fn marker(_chunk: ChunkId) -> u64 {
    MARKER
}

fn id(number: u32) -> ChunkId {
    ChunkId::try_from(number).unwrap()
}

fn blobs(sizes: &[u64]) -> Vec<PackBlob> {
    let blob = |(index, size): (usize, &u64)| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&(index as u64).to_be_bytes());
        PackBlob {
            digest: Digest::from_bytes(bytes),
            size: *size,
        }
    };
    sizes.iter().enumerate().map(blob).collect()
}

fn layout(chunk_limit: u64, lanes: usize) -> Layout {
    Layout {
        chunk_limit,
        lanes: NonZeroUsize::new(lanes),
        first_chunk: id(1),
    }
}

/// Returns `(chunk, offset, length)` of each piece.
fn pieces(extents: &[Extent]) -> Vec<(u32, u64, u64)> {
    let piece = |e: &Extent| (e.chunk.number(), e.offset, e.stored);
    extents.iter().map(piece).collect()
}

#[test]
fn small_blobs_stand_one_behind_the_other() {
    let packing = pack(&blobs(&[100, 0, 513]), &layout(1 << 20, 1), marker).unwrap();
    assert_eq!(pieces(&packing.extents[0]), [(1, 1536, 100)]);
    assert_eq!(pieces(&packing.extents[1]), []);
    assert_eq!(pieces(&packing.extents[2]), [(1, 2560, 513)]);
    let length = 2560 + 1024 + 1024;
    let chunk = PlannedChunk {
        number: id(1),
        length,
    };
    assert_eq!(packing.chunks, [chunk]);
    assert_eq!(packing.total, length);
    assert_eq!(
        packing.lanes,
        [LanePlan {
            first_chunk: id(1),
            chunks: 1,
            blobs: vec![0, 1, 2]
        }]
    );
}

#[test]
fn nothing_to_store_makes_no_chunk() {
    for sizes in [&[][..], &[0], &[0, 0]] {
        let packing = pack(&blobs(sizes), &layout(1 << 20, 2), marker).unwrap();
        assert_eq!(packing.chunks, []);
        assert_eq!(packing.total, 0);
        let members: usize = packing.lanes.iter().map(|lane| lane.blobs.len()).sum();
        assert_eq!(members, sizes.len());
        assert!(packing.lanes.iter().all(|lane| lane.chunks == 0));
    }
}

#[test]
fn a_blob_that_does_not_fit_is_cut_or_moved_by_its_size() {
    const LIMIT: u64 = 16 * 1024;
    // Leaves room for a header and two blocks in the first chunk.
    let filler = LIMIT - TAR_TRAILER - FIRST - TAR_BLOCK - 3 * TAR_BLOCK;
    for (size, expected) in [
        // A blob that fits stays in the chunk, up to its last byte.
        (1024, vec![(1, LIMIT - TAR_TRAILER - 1024, 1024)]),
        // A blob of an eighth of the limit goes into the next chunk; one byte more, and it is
        // cut.
        (2048, vec![(2, FIRST + TAR_BLOCK, 2048)]),
        (
            2049,
            vec![
                (1, LIMIT - TAR_TRAILER - 1024, 1024),
                (2, FIRST + TAR_BLOCK, 1025),
            ],
        ),
    ] {
        let packing = pack(&blobs(&[filler, size]), &layout(LIMIT, 1), marker).unwrap();
        assert_eq!(pieces(&packing.extents[1]), expected, "{size}");
        assert!(packing.chunks.iter().all(|chunk| chunk.length <= LIMIT));
    }
}

#[test]
fn no_header_is_written_for_nothing() {
    const LIMIT: u64 = 16 * 1024;
    // One block is left: room for a header, but not for data after it.
    let filler = LIMIT - TAR_TRAILER - FIRST - 2 * TAR_BLOCK;
    let packing = pack(&blobs(&[filler, 4096]), &layout(LIMIT, 1), marker).unwrap();
    assert_eq!(pieces(&packing.extents[1]), [(2, FIRST + TAR_BLOCK, 4096)]);
}

#[test]
fn extents_stay_below_eight_gibibytes() {
    let size = 2 * MAX_EXTENT + 1;
    let packing = pack(&blobs(&[size]), &layout(1 << 40, 1), marker).unwrap();
    let stored: Vec<u64> = packing.extents[0].iter().map(|e| e.stored).collect();
    assert_eq!(stored, [MAX_EXTENT, MAX_EXTENT, 1]);
    assert!(stored.iter().all(|length| *length < 8 << 30));
    assert_eq!(
        packing.total,
        FIRST + 3 * TAR_BLOCK + 2 * MAX_EXTENT + TAR_BLOCK + TAR_TRAILER
    );
}

/// Only a limit above 64 GiB allows a blob that needs two headers and is not cut.
#[test]
fn every_header_of_a_blob_counts() {
    const LIMIT: u64 = 1 << 37;
    let size = MAX_EXTENT + 512;
    for (room, chunk) in [(size + 512, 2), (size + 1024, 1)] {
        let used = LIMIT - TAR_TRAILER - FIRST - room;
        // A full extent and its header take 8 GiB.
        let filler = used - 512 * used.div_ceil(8 << 30);
        let packing = pack(&blobs(&[filler, size]), &layout(LIMIT, 1), marker).unwrap();
        let chunks: Vec<u32> = packing.extents[1]
            .iter()
            .map(|extent| extent.chunk.number())
            .collect();
        assert_eq!(chunks, [chunk, chunk]);
    }
}

#[test]
fn lanes_number_their_chunks_one_after_the_other() {
    let mut layout = layout(4096, 2);
    layout.first_chunk = id(7);
    // 4096 bytes hold a marker, a header and 1536 bytes.
    let packing = pack(&blobs(&[4000, 2000]), &layout, marker).unwrap();
    let lanes: Vec<(u32, u32)> = packing
        .lanes
        .iter()
        .map(|lane| (lane.first_chunk.number(), lane.chunks))
        .collect();
    assert_eq!(lanes, [(7, 3), (10, 2)]);
    let numbers: Vec<u32> = packing.chunks.iter().map(|c| c.number.number()).collect();
    assert_eq!(numbers, [7, 8, 9, 10, 11]);
}

#[test]
fn impossible_layouts_are_errors() {
    let smallest = FIRST + 2 * TAR_BLOCK + TAR_TRAILER;
    assert!(pack(&blobs(&[1]), &layout(smallest, 1), marker).is_ok());
    for limit in [0, 1024, smallest - 1] {
        assert_eq!(
            pack(&blobs(&[1]), &layout(limit, 1), marker),
            Err(PackError::ChunkTooSmall {
                limit,
                needed: smallest
            })
        );
    }
    let last = Layout {
        first_chunk: id(ChunkId::MAX),
        ..layout(smallest, 1)
    };
    assert!(pack(&blobs(&[512]), &last, marker).is_ok());
    assert_eq!(
        pack(&blobs(&[513]), &last, marker),
        Err(PackError::TooManyChunks)
    );
    let parts = |count: u64| pack(&blobs(&[count * 512]), &layout(smallest, 1), marker);
    assert_eq!(parts(9999).unwrap().chunks.len(), 9999);
    let size = 10_000 * 512;
    assert_eq!(parts(10_000), Err(PackError::TooManyParts { size }));
    let size = u64::MAX;
    assert_eq!(
        pack(&blobs(&[size]), &layout(u64::MAX, 1), |_| u64::MAX).unwrap_err(),
        PackError::ChunkTooSmall {
            limit: u64::MAX,
            needed: u64::MAX
        }
    );
    assert_eq!(
        pack(&blobs(&[size, size]), &layout(u64::MAX, 1), marker).unwrap_err(),
        PackError::TooManyParts { size }
    );
}

#[test]
fn a_clone_is_a_place_to_go_back_to() {
    let mut cursor = LaneCursor::new(4096, id(1), marker);
    cursor.place(100).unwrap();
    let before = cursor.clone();
    let gone = cursor.place(5000).unwrap();
    assert!(gone.len() > 1);
    let mut cursor = before;
    assert_eq!(pieces(&cursor.place(7).unwrap()), [(1, FIRST + 1536, 7)]);
    // An error does not change the cursor.
    let mut expected = cursor.clone();
    assert!(cursor.place(u64::MAX).is_err());
    assert_eq!(cursor.place(7), expected.place(7));
}

/// Generates sizes around the limits of the layout.
fn any_size() -> impl Strategy<Value = u64> {
    prop_oneof![
        0_u64..20_000,
        0_u64..1_200,
        (0_u64..40).prop_map(|n| n * 512)
    ]
}

/// A marker whose length depends on the chunk.
fn uneven(chunk: ChunkId) -> u64 {
    512 * (1 + u64::from(chunk.number() % 3))
}

/// Checks everything on which a reader relies, from the extents alone.
fn check(packing: &Packing, sizes: &[u64], limit: u64) -> Result<(), TestCaseError> {
    let mut by_chunk: BTreeMap<u32, Vec<(u64, u64)>> = BTreeMap::new();
    for (extents, size) in packing.extents.iter().zip(sizes) {
        prop_assert_eq!(extents.iter().map(|e| e.stored).sum::<u64>(), *size);
        for (index, extent) in extents.iter().enumerate() {
            prop_assert!(extent.stored > 0 && extent.stored == extent.decoded);
            let is_end = index + 1 == extents.len();
            prop_assert!(is_end || extent.stored % 512 == 0);
            let pieces = by_chunk.entry(extent.chunk.number()).or_default();
            pieces.push((extent.offset, extent.stored));
        }
    }
    prop_assert_eq!(by_chunk.len(), packing.chunks.len());
    for (chunk, (number, mut pieces)) in packing.chunks.iter().zip(by_chunk) {
        prop_assert_eq!(chunk.number.number(), number);
        prop_assert!(chunk.length <= limit);
        pieces.sort_unstable();
        // The tar, built again entry by entry, has neither gaps nor overlaps.
        let mut end = 512 + uneven(chunk.number);
        for (offset, stored) in pieces {
            prop_assert_eq!(offset, end + 512);
            end = offset + stored.next_multiple_of(512);
        }
        prop_assert_eq!(chunk.length, end + 1024);
    }
    let total: u64 = packing.chunks.iter().map(|chunk| chunk.length).sum();
    prop_assert_eq!(packing.total, total);
    Ok(())
}

proptest! {
    #[test]
    fn every_byte_has_one_place_and_no_chunk_is_too_long(
        sizes in proptest::collection::vec(any_size(), 0..40),
        limit in 4_608_u64..40_000,
        lanes in 1_usize..6,
    ) {
        let packing = pack(&blobs(&sizes), &layout(limit, lanes), uneven).unwrap();
        check(&packing, &sizes, limit)?;
        prop_assert_eq!(&packing, &pack(&blobs(&sizes), &layout(limit, lanes), uneven).unwrap());

        // Lanes share neither blobs nor chunks, and together they have all of them.
        let mut seen = vec![0; sizes.len()];
        let mut next = 1;
        for lane in &packing.lanes {
            prop_assert!(lane.blobs.is_sorted());
            prop_assert_eq!(lane.first_chunk.number(), next);
            let own = next..next + lane.chunks;
            next += lane.chunks;
            for &index in &lane.blobs {
                seen[index] += 1;
                for extent in &packing.extents[index] {
                    prop_assert!(own.contains(&extent.chunk.number()));
                }
            }
        }
        prop_assert!(seen.iter().all(|count| *count == 1));
        prop_assert_eq!(next as usize, packing.chunks.len() + 1);
    }

    /// Lanes rely on this: they drop failed blobs, and do not use chunk numbers of other lanes.
    #[test]
    fn leaving_out_blobs_never_needs_more_chunks(
        blobs in proptest::collection::vec((any_size(), any::<bool>()), 0..40),
        limit in 4_608_u64..40_000,
    ) {
        let mut all = LaneCursor::new(limit, id(1), uneven as fn(ChunkId) -> u64);
        let mut some = all.clone();
        for (size, kept) in blobs {
            all.place(size).unwrap();
            if kept {
                some.place(size).unwrap();
            }
            // Returns the position of the next byte.
            let place = |cursor: &LaneCursor<fn(ChunkId) -> u64>| {
                let extents = cursor.clone().place(1).unwrap();
                extents.first().map(|extent| (extent.chunk, extent.offset))
            };
            prop_assert!(place(&some) <= place(&all));
        }
    }
}

/// A large catalog: planning must not take noticeable time. The test's own time shows whether it
/// is fast enough; here only the result is checked.
#[test]
fn a_hundred_thousand_blobs_are_packed() {
    let sizes: Vec<u64> = (0..100_000_u64).map(|n| (n * 7_919) % 5_000_000).collect();
    let layout = Layout {
        lanes: None,
        ..layout(1 << 30, 1)
    };
    let packing = pack(&blobs(&sizes), &layout, uneven).unwrap();
    assert_eq!(packing.lanes.len(), 4);
    check(&packing, &sizes, 1 << 30).unwrap();
}
