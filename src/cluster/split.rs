//! Distributes the entries of a mirror policy over objects of limited length.
//!
//! The object of an entry depends on the entry's source alone, so that one more entry changes one
//! object and not all that follow: each entry goes to the object for which its hash is greatest
//! (rendezvous hashing, Thaler and Ravishankar 1998). When another object becomes necessary,
//! entries move only to that one.

use std::str::FromStr;

use super::{ClusterError, Entry};
use crate::model::{ByteSize, SizeError};

/// The maximum length of one object as YAML, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectSize(usize);

/// Error from reading a size limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectSizeError {
    /// The size is too small or too large.
    #[error(
        "{bytes} bytes is not a limit for objects: they may have from {} to {} bytes",
        ObjectSize::MIN,
        ObjectSize::MAX
    )]
    Range {
        /// The size in bytes.
        bytes: u64,
    },
    /// The text is not a size.
    #[error(transparent)]
    Size(#[from] SizeError),
}

impl ObjectSize {
    /// Below this, a few long names would fill an object.
    pub const MIN: usize = 64 * 1024;
    /// The default, and the maximum of `oc` (docs/oc-compatibility.md, section 4.3); etcd refuses
    /// 1.5 MiB.
    pub const MAX: usize = 250_000;

    /// The limit in bytes.
    pub fn bytes(self) -> usize {
        self.0
    }
}

impl Default for ObjectSize {
    fn default() -> Self {
        Self(Self::MAX)
    }
}

impl TryFrom<ByteSize> for ObjectSize {
    type Error = ObjectSizeError;

    fn try_from(size: ByteSize) -> Result<Self, ObjectSizeError> {
        match usize::try_from(size.0) {
            Ok(bytes) if (Self::MIN..=Self::MAX).contains(&bytes) => Ok(Self(bytes)),
            _ => Err(ObjectSizeError::Range { bytes: size.0 }),
        }
    }
}

impl FromStr for ObjectSize {
    type Err = ObjectSizeError;

    fn from_str(text: &str) -> Result<Self, ObjectSizeError> {
        text.parse::<ByteSize>()?.try_into()
    }
}

/// The number of an object and its entries. Numbers of empty objects are skipped.
pub(super) type Part<'a> = (usize, Vec<&'a Entry>);

/// Distributes entries over the smallest number of objects in which all fit. `frame` is the length
/// in bytes of an object without entries, `length` returns that of an entry.
pub(super) fn split<'a>(
    entries: &'a [Entry],
    limit: ObjectSize,
    frame: usize,
    length: impl Fn(&Entry) -> usize,
) -> Result<Vec<Part<'a>>, ClusterError> {
    let room = limit.bytes().saturating_sub(frame);
    let mut assignments = Vec::with_capacity(entries.len());
    for entry in entries {
        let length = length(entry);
        if length > room {
            return Err(ClusterError::EntryTooLarge {
                location: entry.source.clone(),
                size: frame.saturating_add(length),
                limit: limit.bytes(),
            });
        }
        assignments.push(Assignment {
            entry,
            length,
            number: 0,
            weight: weight(entry, 0),
        });
    }
    let mut count = 1;
    while !fits(&assignments, count, room) {
        for assignment in &mut assignments {
            assignment.consider(count);
        }
        count += 1;
    }
    let mut parts: Vec<Part<'a>> = (0..count).map(|number| (number, Vec::new())).collect();
    for assignment in assignments {
        if let Some((_, entries)) = parts.get_mut(assignment.number) {
            entries.push(assignment.entry);
        }
    }
    parts.retain(|(_, entries)| !entries.is_empty());
    Ok(parts)
}

/// The object that an entry is assigned to, and its hash for that object.
struct Assignment<'a> {
    entry: &'a Entry,
    length: usize,
    number: usize,
    weight: [u8; 32],
}

impl Assignment<'_> {
    /// Moves the entry to another object if its hash for that one is greater.
    fn consider(&mut self, number: usize) {
        let weight = weight(self.entry, number);
        if weight > self.weight {
            self.weight = weight;
            self.number = number;
        }
    }
}

fn weight(entry: &Entry, number: usize) -> [u8; 32] {
    let key = format!("{number} {}", entry.source);
    *blake3::hash(key.as_bytes()).as_bytes()
}

fn fits(assignments: &[Assignment<'_>], count: usize, room: usize) -> bool {
    let mut used = vec![0_usize; count];
    assignments.iter().all(|assignment| {
        used.get_mut(assignment.number).is_some_and(|used| {
            *used = used.saturating_add(assignment.length);
            *used <= room
        })
    })
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn entries(sources: &BTreeSet<u32>) -> Vec<Entry> {
        let entry = |number: &u32| Entry {
            source: format!("quay.io/r{number:010}"),
            mirrors: Vec::new(),
        };
        sources.iter().map(entry).collect()
    }

    fn places(entries: &[Entry], length: usize) -> BTreeMap<String, usize> {
        let limit = ObjectSize::try_from(ByteSize(65_536)).unwrap();
        let parts = split(entries, limit, 536, |_| length).unwrap();
        parts
            .iter()
            .flat_map(|(number, part)| {
                assert!(part.len() * length <= 65_000);
                assert!(part.is_sorted());
                part.iter().map(|entry| (entry.source.clone(), *number))
            })
            .collect()
    }

    proptest! {
        #[test]
        fn one_entry_more_moves_others_only_to_new_objects(
            sources in proptest::collection::btree_set(any::<u32>(), 1..200),
            more in any::<u32>(),
            length in 100_usize..6_000,
        ) {
            let before = places(&entries(&sources), length);
            prop_assert_eq!(before.len(), sources.len());
            let mut grown = sources.clone();
            grown.insert(more);
            let after = places(&entries(&grown), length);
            let count = before.values().max().map_or(0, |last| last + 1);
            for (source, number) in &before {
                let now = after[source];
                prop_assert!(now == *number || now >= count, "{} {} {}", source, number, now);
            }
        }
    }

    #[test]
    fn what_fits_stays_in_one_object() {
        let few = entries(&(0..10).collect());
        assert!(places(&few, 6_500).values().all(|number| *number == 0));
        assert!(places(&few, 6_501).values().any(|number| *number == 1));
    }

    #[test]
    fn an_entry_that_never_fits_is_an_error() {
        let limit = ObjectSize::try_from(ByteSize(65_536)).unwrap();
        let one = entries(&BTreeSet::from([7]));
        assert!(split(&one, limit, 536, |_| 65_000).is_ok());
        assert_eq!(
            split(&one, limit, 536, |_| 65_001),
            Err(ClusterError::EntryTooLarge {
                location: "quay.io/r0000000007".to_owned(),
                size: 65_537,
                limit: 65_536,
            })
        );
    }

    #[test]
    fn limits_have_bounds() {
        assert_eq!("64KiB".parse::<ObjectSize>().unwrap().bytes(), 65_536);
        for bad in ["65535", "250001", "x", "16EiB"] {
            assert!(bad.parse::<ObjectSize>().is_err(), "{bad}");
        }
    }
}
