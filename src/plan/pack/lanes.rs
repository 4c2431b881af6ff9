//! Assigns blobs to lanes.

use std::cmp::Reverse;
use std::num::NonZeroUsize;

use super::PackBlob;

/// Upper limit of the default number of lanes.
const MAX_LANES: u64 = 4;

/// Bytes of content for each lane, by default. A lane hashes on one core, so that several lanes
/// pay off even for bundles of some hundred MiB.
const BYTES_PER_LANE: u64 = 64 << 20;

/// Returns the default number of lanes for this many bytes.
fn default_lanes(total: u128) -> usize {
    let worth = total / u128::from(BYTES_PER_LANE);
    let lanes = worth.clamp(1, u128::from(MAX_LANES));
    usize::try_from(lanes).unwrap_or(1)
}

/// Gives each blob to the lane with the lowest load so far, the largest blobs first (longest
/// processing time first, Graham 1969). Within a lane the given order is kept. Lanes without
/// blobs are left out.
pub(super) fn assign(blobs: &[PackBlob], lanes: Option<NonZeroUsize>) -> Vec<Vec<usize>> {
    let total: u128 = blobs.iter().map(|blob| u128::from(blob.size)).sum();
    let count = lanes.map_or_else(|| default_lanes(total), NonZeroUsize::get);
    // More lanes than blobs would stay empty.
    let mut lanes: Vec<Lane> = vec![Lane::default(); count.min(blobs.len())];

    let mut by_size: Vec<(usize, &PackBlob)> = blobs.iter().enumerate().collect();
    by_size.sort_by_key(|(index, blob)| (Reverse(blob.size), blob.digest, *index));
    for (index, blob) in by_size {
        // `min_by_key` returns the first of equal lanes: the one with the lowest number.
        if let Some(lane) = lanes.iter_mut().min_by_key(|lane| lane.load) {
            lane.load += u128::from(blob.size);
            lane.blobs.push(index);
        }
    }
    lanes
        .into_iter()
        .map(|lane| {
            let mut blobs = lane.blobs;
            blobs.sort_unstable();
            blobs
        })
        .filter(|blobs| !blobs.is_empty())
        .collect()
}

#[derive(Clone, Default)]
struct Lane {
    load: u128,
    blobs: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    fn blobs(sizes: &[u64]) -> Vec<PackBlob> {
        let blob = |(index, size): (usize, &u64)| PackBlob {
            // Digests descend, so that ties cannot follow the given order by chance.
            digest: Digest::from_bytes([200 - u8::try_from(index).unwrap(); 32]),
            size: *size,
        };
        sizes.iter().enumerate().map(blob).collect()
    }

    #[test]
    fn the_amount_of_data_decides_how_many_lanes() {
        const ONE: u128 = 64 << 20;
        for (total, lanes) in [
            (0, 1),
            (2 * ONE - 1, 1),
            (2 * ONE, 2),
            (4 * ONE - 1, 3),
            (4 * ONE, 4),
            (u128::MAX, 4),
        ] {
            assert_eq!(default_lanes(total), lanes);
        }
        assert_eq!(assign(&blobs(&[64 << 20; 3]), None).len(), 3);
    }

    #[test]
    fn the_largest_blobs_go_first_and_order_stays() {
        let sizes = [1, 7, 5, 4, 3, 6];
        assert_eq!(
            assign(&blobs(&sizes), NonZeroUsize::new(2)),
            // By size: 7 to lane 0; 6 and 5 to lane 1; 4 and 3 to lane 0; 1 to lane 1.
            [vec![1, 3, 4], vec![0, 2, 5]]
        );
    }

    #[test]
    fn equal_sizes_go_by_digest_and_equal_loads_to_the_lowest_lane() {
        assert_eq!(
            assign(&blobs(&[5, 5]), NonZeroUsize::new(2)),
            [vec![1], vec![0]]
        );
        assert_eq!(
            assign(&blobs(&[5, 5, 5]), NonZeroUsize::new(2)),
            [vec![0, 2], vec![1]]
        );
    }

    #[test]
    fn lanes_without_blobs_are_left_out() {
        assert!(assign(&[], NonZeroUsize::new(9)).is_empty());
        assert_eq!(assign(&blobs(&[3]), NonZeroUsize::new(usize::MAX)), [[0]]);
    }
}
