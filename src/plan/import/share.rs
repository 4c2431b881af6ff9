//! The blobs that one of several importers uploads.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use super::ImportPlan;
use crate::model::{BlobPlace, Digest, Inventory, Repository};

/// One of several importers of the same bundle.
///
/// Numbers are taken modulo the number of shards: `0/4` and `4/4` are the same shard. So counting
/// from 0, as Kubernetes does, and counting from 1, as people do, both name every shard once.
#[derive(Debug, Clone, Copy)]
pub struct Shard {
    /// The number as given: from 0 to `of`.
    number: u16,
    of: NonZeroU16,
}

impl Shard {
    /// Returns the shard's index, from 0 to `of - 1`.
    fn index(self) -> u16 {
        self.number % self.of
    }

    /// Returns a name for a file or directory that belongs to this shard.
    pub fn file_name(self) -> String {
        format!("shard-{}-of-{}", self.number, self.of)
    }
}

impl PartialEq for Shard {
    fn eq(&self, other: &Self) -> bool {
        (self.index(), self.of) == (other.index(), other.of)
    }
}

impl Eq for Shard {}

/// The error for a text that is not a shard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a shard: write I/N with I from 1 to N (0/N is the same as N/N)", .0.escape_debug())]
pub struct ShardError(String);

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let parsed = text.split_once('/').and_then(|(index, of)| {
            let (number, of): (u16, NonZeroU16) = (index.parse().ok()?, of.parse().ok()?);
            (number <= of.get()).then_some(Self { number, of })
        });
        parsed.ok_or_else(|| ShardError(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

/// A blob that a shard uploads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedBlob {
    /// Digest of the blob.
    pub digest: Digest,
    /// Size in bytes.
    pub size: u64,
    /// The repositories that need it. It is sent to the first one and mounted into the others.
    pub repositories: Vec<Repository>,
}

impl ImportPlan {
    /// Returns the carried blobs that one shard uploads, in the order in which the bundle holds
    /// them.
    ///
    /// All shards together upload each blob once, and about the same number of bytes each: blobs
    /// are assigned by descending size, each to the shard with the lowest load so far (Graham
    /// 1969).
    pub fn share(&self, inventory: &Inventory, shard: Shard) -> Vec<SharedBlob> {
        let needed = self.carried_blobs(inventory);
        let mut by_size: Vec<&SharedBlob> = needed.iter().collect();
        by_size.sort_by_key(|blob| (Reverse(blob.size), blob.digest));
        // Load and index of each shard. The first entry is the shard with the lowest load, of
        // several the one with the lowest index.
        let mut loads: BTreeSet<(u128, u16)> =
            (0..shard.of.get()).map(|index| (0, index)).collect();
        let mut own = BTreeSet::new();
        for blob in by_size {
            let Some((load, index)) = loads.pop_first() else {
                break;
            };
            // An empty blob counts as one byte, because it costs a request.
            loads.insert((load + u128::from(blob.size).max(1), index));
            if index == shard.index() {
                own.insert(blob.digest);
            }
        }
        let is_own = |blob: &SharedBlob| own.contains(&blob.digest);
        needed.into_iter().filter(is_own).collect()
    }

    /// Returns each carried blob once, in the order of first need, with its repositories in this
    /// order.
    fn carried_blobs(&self, inventory: &Inventory) -> Vec<SharedBlob> {
        let mut blobs: Vec<SharedBlob> = Vec::new();
        let mut places: BTreeMap<Digest, (usize, BTreeSet<&Repository>)> = BTreeMap::new();
        for image in &self.images {
            for digest in &image.blobs {
                let Some(blob) = inventory.blob(digest) else {
                    continue;
                };
                if !matches!(blob.place, BlobPlace::Carried(_)) {
                    continue;
                }
                let (index, seen) = places.entry(*digest).or_insert_with(|| {
                    blobs.push(SharedBlob {
                        digest: *digest,
                        size: blob.size,
                        repositories: Vec::new(),
                    });
                    (blobs.len() - 1, BTreeSet::new())
                });
                if seen.insert(image.repository())
                    && let Some(blob) = blobs.get_mut(*index)
                {
                    blob.repositories.push(image.repository().clone());
                }
            }
        }
        blobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{BlobEntry, Carried, Codec};
    use crate::plan::import::tests::{inventory, plan};

    #[test]
    fn numbers_count_round() {
        let shard = |text: &str| text.parse::<Shard>();
        assert_eq!(shard("0/4"), shard("4/4"));
        assert_eq!(shard("3/4").unwrap().to_string(), "3/4");
        assert_eq!(shard("1/1").unwrap().to_string(), "1/1");
        assert_ne!(shard("1/4"), shard("2/4"));
        for bad in [
            "", "1", "5/4", "1/0", "-1/4", "a/b", "1/4/2", "1/ 4", "1/65536",
        ] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }

    /// Adds blobs of 0 to 99 bytes, each needed by at most two images, and one that is missing.
    fn with_blobs() -> (ImportPlan, Inventory) {
        let mut inventory = inventory();
        let mut plan = plan(&inventory);
        let images = plan.images.len();
        for number in 0..=100u8 {
            let digest = Digest::from_bytes([number; 32]);
            let carried = BlobPlace::Carried(Carried {
                codec: Codec::Raw,
                needs: Vec::new(),
                memory: 0,
                extents: Vec::new(),
                scratch: 0,
            });
            let lacking = BlobPlace::Missing {
                reason: "gone".to_owned(),
            };
            inventory.blobs.push(BlobEntry {
                size: number.into(),
                place: if number < 100 { carried } else { lacking },
                digest,
            });
            for image in [0, usize::from(number) % images] {
                plan.images[image].blobs.push(digest);
            }
        }
        (plan, inventory)
    }

    #[test]
    fn all_shards_together_send_each_carried_blob_once() {
        let (plan, inventory) = with_blobs();
        for of in [1, 2, 3, 7, 200] {
            let shards = (0..of).map(|index| format!("{index}/{of}").parse().unwrap());
            let shares: Vec<_> = shards.map(|shard| plan.share(&inventory, shard)).collect();
            let mut digests: Vec<Digest> = shares.iter().flatten().map(|b| b.digest).collect();
            digests.sort();
            let carried: Vec<Digest> = (0..100).map(|n: u8| Digest::from_bytes([n; 32])).collect();
            assert_eq!(digests, carried, "{of}");
            // The loads of two shards differ by at most the size of the largest blob.
            let loads = shares
                .iter()
                .map(|share| share.iter().map(|b| b.size).sum());
            let loads: Vec<u64> = loads.collect();
            let spread = loads.iter().max().unwrap() - loads.iter().min().unwrap();
            assert!(spread <= 99, "{of}: {loads:?}");
        }
    }

    #[test]
    fn a_blob_goes_wherever_it_is_needed() {
        let (plan, inventory) = with_blobs();
        let share = plan.share(&inventory, "0/1".parse().unwrap());
        let one = share
            .iter()
            .find(|blob| blob.digest == Digest::from_bytes([1; 32]))
            .unwrap();
        let expected = [&plan.images[0], &plan.images[1]].map(|image| image.repository().clone());
        assert_eq!(one.repositories, expected);
        assert_eq!(
            share[0].digest,
            Digest::from_bytes([0; 32]),
            "the bundle's order"
        );
    }
}
