//! Which blob is written by which lane.

use std::cmp::Reverse;
use std::num::NonZeroUsize;

use super::PackBlob;

/// The most lanes that are taken without being asked.
const MAX_LANES: u64 = 4;

/// A lane more for each so many bytes: a lane hashes on one core, so that even bundles of some
/// hundred MiB are worth several.
const BYTES_PER_LANE: u64 = 64 << 20;

/// The number of lanes that this much content is worth.
fn default_lanes(total: u128) -> usize {
    let worth = total / u128::from(BYTES_PER_LANE);
    let lanes = worth.clamp(1, u128::from(MAX_LANES));
    usize::try_from(lanes).unwrap_or(1)
}

/// Gives each blob to the lane that has least so far, the largest blobs first (longest
/// processing time first, Graham 1969). Inside a lane the given order stays. Lanes that get
/// nothing are left out.
pub(super) fn assign(blobs: &[PackBlob], lanes: Option<NonZeroUsize>) -> Vec<Vec<usize>> {
    let total: u128 = blobs.iter().map(|blob| u128::from(blob.size)).sum();
    let count = lanes.map_or_else(|| default_lanes(total), NonZeroUsize::get);
    // More lanes than blobs would stay empty anyway.
    let mut lanes: Vec<Lane> = vec![Lane::default(); count.min(blobs.len())];

    let mut by_size: Vec<(usize, &PackBlob)> = blobs.iter().enumerate().collect();
    by_size.sort_by_key(|(index, blob)| (Reverse(blob.size), blob.digest, *index));
    for (index, blob) in by_size {
        // `min_by_key` takes the first of equals: the lowest lane.
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
            // Descending digests, so that ties do not follow the given order by chance.
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
            // 7, then 6 5, then 4 to the 7, then 3 to the 11 of the first, 1 to the second.
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
