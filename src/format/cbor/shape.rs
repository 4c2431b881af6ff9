//! Limits on lists and texts of a document, by their place in it (bundle-format.md, section 11).
//!
//! A typed decoder allocates as it reads: a hundred bytes for an element of one byte. Before it
//! runs, this module therefore counts the elements of lists and measures texts, on the bytes.

use super::{Fault, Found, Walker, major};
use crate::model::Limits;

/// The expected structure at one place of a document.
#[derive(Debug)]
pub(in crate::format) enum Shape {
    /// No limit beyond the general one on texts: numbers, ordinary texts, unknown keys.
    Any,
    /// A text or a byte string of at most this many bytes.
    Text(u64),
    /// A list. Its elements are counted together with those of all lists with the same total.
    List(Total, &'static Shape),
    /// A map, by its keys. Keys not listed here are treated as [`Shape::Any`].
    Table(&'static [(&'static str, Shape)]),
    /// A map of which only these keys are checked yet; all others are skipped.
    Some(&'static [(&'static str, Shape)]),
    /// The value of `ext`: a limited number of items of any kind.
    Extension,
}

/// Elements that are counted over a whole document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the format")]
pub(in crate::format) enum Total {
    Features,
    Images,
    Manifests,
    Blobs,
    Extents,
    Edges,
    Attached,
    Platforms,
    Urls,
    Bases,
    BaseRoots,
    Releases,
    Components,
    Keyrings,
    Signatures,
    Catalogs,
    Members,
    Chunks,
}

/// Number of variants of [`Total`].
const TOTALS: usize = Total::Chunks as usize + 1;

impl Total {
    /// Returns the name of the elements, for messages, and their largest allowed number.
    const fn cap(self) -> (&'static str, u64) {
        match self {
            Self::Features => ("required features", Limits::FEATURES),
            Self::Images => ("images", Limits::IMAGES),
            Self::Manifests => ("OCI manifests", Limits::MANIFESTS),
            Self::Blobs => ("blobs", Limits::BLOBS),
            Self::Extents => ("extents", Limits::EXTENTS),
            Self::Edges => ("digests in rows", Limits::EDGES),
            Self::Attached => ("attachments", Limits::ATTACHED),
            Self::Platforms => ("platforms in filters", Limits::PLATFORMS),
            Self::Urls => ("URLs", Limits::URLS),
            Self::Bases => ("bases", Limits::BASES),
            Self::BaseRoots => ("roots of bases", Limits::BASE_ROOTS),
            Self::Releases => ("releases", Limits::CONTENTS),
            Self::Components => ("components", Limits::COMPONENTS),
            Self::Keyrings => ("keyrings", Limits::RELEASE_PROOFS),
            Self::Signatures => ("signatures of releases", Limits::RELEASE_PROOFS),
            Self::Catalogs => ("catalogs", Limits::CONTENTS),
            Self::Members => ("members of catalogs", Limits::MEMBERS),
            Self::Chunks => ("chunks", crate::model::ChunkId::MAX as u64),
        }
    }
}

/// The part of a document that must be checked before its version is known.
pub(in crate::format) const HEAD: Shape = Shape::Some(&[(
    "requires",
    Shape::List(Total::Features, &Shape::Text(Limits::FEATURE_NAME)),
)]);

/// `manifest.cbor` (section 5).
pub(in crate::format) const MANIFEST: Shape = Shape::Table(&[
    ("ext", Shape::Extension),
    ("chunks", Shape::List(Total::Chunks, &CHUNK)),
    (
        "requires",
        Shape::List(Total::Features, &Shape::Text(Limits::FEATURE_NAME)),
    ),
]);

/// `blocks` may be long: the number of hashes follows from the chunk's length.
const CHUNK: Shape = Shape::Table(&[("blocks", Shape::Text(Limits::MANIFEST))]);

/// The digests that a row names.
const EDGES: Shape = Shape::List(Total::Edges, &Shape::Any);

/// `inventory.cbor` (section 6).
pub(in crate::format) const INVENTORY: Shape = Shape::Table(&[
    ("ext", Shape::Extension),
    ("bases", Shape::List(Total::Bases, &BASE)),
    ("blobs", Shape::List(Total::Blobs, &BLOB)),
    ("chunks", Shape::List(Total::Chunks, &Shape::Any)),
    ("images", Shape::List(Total::Images, &IMAGE)),
    ("catalogs", Shape::List(Total::Catalogs, &CATALOG)),
    ("releases", Shape::List(Total::Releases, &RELEASE)),
    ("manifests", Shape::List(Total::Manifests, &ROW)),
]);

const BASE: Shape = Shape::Table(&[("roots", Shape::List(Total::BaseRoots, &Shape::Any))]);

const BLOB: Shape = Shape::Table(&[(
    "place",
    Shape::Table(&[
        (
            "carried",
            Shape::Table(&[
                ("needs", EDGES),
                ("extents", Shape::List(Total::Extents, &Shape::Any)),
            ]),
        ),
        (
            "foreign",
            Shape::Table(&[("urls", Shape::List(Total::Urls, &Shape::Any))]),
        ),
    ]),
)]);

const ROW: Shape = Shape::Table(&[("blobs", EDGES), ("omitted", EDGES), ("children", EDGES)]);

const IMAGE: Shape = Shape::Table(&[
    ("attached", Shape::List(Total::Attached, &Shape::Any)),
    ("platforms", Shape::List(Total::Platforms, &Shape::Any)),
]);

const CATALOG: Shape = Shape::Table(&[
    ("filter", Shape::Text(Limits::FILTER)),
    ("members", Shape::List(Total::Members, &Shape::Any)),
]);

const RELEASE: Shape = Shape::Table(&[
    ("keyrings", Shape::List(Total::Keyrings, &KEYRING)),
    ("components", Shape::List(Total::Components, &Shape::Any)),
    ("signatures", Shape::List(Total::Signatures, &SIGNATURE)),
]);

/// Not limited here beyond the document's own limit: R-30 sets a limit of its own.
const KEYRING: Shape = Shape::Table(&[("data", Shape::Text(Limits::INVENTORY))]);
const SIGNATURE: Shape = Shape::Table(&[("message", Shape::Text(Limits::INVENTORY))]);

/// Checks a document's limits. Its bytes must be canonical.
pub(super) fn check(bytes: &[u8], shape: &'static Shape) -> Found<()> {
    let mut measure = Measure {
        walker: Walker {
            bytes,
            position: 0,
            items: 0,
        },
        counted: [0; TOTALS],
    };
    measure.item(shape, "document")
}

struct Measure<'a> {
    walker: Walker<'a>,
    counted: [u64; TOTALS],
}

impl Measure<'_> {
    /// Walks through the item under `key`. The recursion is limited by the cap on nesting.
    fn item(&mut self, shape: &'static Shape, key: &'static str) -> Found<()> {
        if matches!(shape, Shape::Extension) {
            return self.extension();
        }
        let start = self.walker.position;
        let (kind, argument) = self.walker.head()?;
        match kind {
            major::BYTES | major::TEXT => {
                let cap = match shape {
                    Shape::Text(cap) => *cap,
                    _ => Limits::TEXT,
                };
                if argument > cap {
                    return Err((start, Fault::TooLong { key, cap }));
                }
                self.walker.take(start, argument).map(drop)
            }
            major::ARRAY => {
                let each = match shape {
                    Shape::List(total, each) => {
                        self.count(*total, argument, start)?;
                        each
                    }
                    _ => &Shape::Any,
                };
                for _ in 0..argument {
                    self.item(each, key)?;
                }
                Ok(())
            }
            major::MAP => self.pairs(shape, argument),
            _ => Ok(()),
        }
    }

    fn pairs(&mut self, shape: &'static Shape, pairs: u64) -> Found<()> {
        let (known, some) = match shape {
            Shape::Table(known) => (*known, false),
            Shape::Some(known) => (*known, true),
            _ => (&[][..], false),
        };
        for _ in 0..pairs {
            let start = self.walker.position;
            let (_, length) = self.walker.head()?;
            let key = self.walker.take(start, length)?;
            let found = known.iter().find(|(name, _)| name.as_bytes() == key);
            match found {
                Some((name, shape)) => self.item(shape, name)?,
                None if some => self.skip()?,
                None => self.item(&Shape::Any, shown(key))?,
            }
        }
        Ok(())
    }

    fn count(&mut self, total: Total, more: u64, start: usize) -> Found<()> {
        let (what, cap) = total.cap();
        let Some(counted) = self.counted.get_mut(total as usize) else {
            return Ok(());
        };
        *counted = counted.saturating_add(more);
        match *counted > cap {
            true => Err((start, Fault::TooMany { what, cap })),
            false => Ok(()),
        }
    }

    /// Limits items and bytes below `ext`, which are decoded into a general tree where every item
    /// takes memory.
    fn extension(&mut self) -> Found<()> {
        let (start, items) = (self.walker.position, self.walker.items);
        self.skip()?;
        let (what, cap) = ("items below `ext`", Limits::EXT_ITEMS);
        if self.walker.items - items > cap {
            return Err((start, Fault::TooMany { what, cap }));
        }
        let (key, cap) = ("ext", Limits::EXT);
        if (self.walker.position - start) as u64 > cap {
            return Err((start, Fault::TooLong { key, cap }));
        }
        Ok(())
    }

    /// Walks through an item of any kind.
    fn skip(&mut self) -> Found<()> {
        let start = self.walker.position;
        let (kind, argument) = self.walker.head()?;
        let below = match kind {
            major::BYTES | major::TEXT => return self.walker.take(start, argument).map(drop),
            major::ARRAY => argument,
            major::MAP => argument.saturating_mul(2),
            _ => 0,
        };
        for _ in 0..below {
            self.skip()?;
        }
        Ok(())
    }
}

/// Returns the key's name for messages if it is one of the texts with the general limit.
fn shown(key: &[u8]) -> &'static str {
    let known = [
        "problem",
        "reason",
        "written",
        "requested",
        "reference",
        "title",
        "media_type",
        "image",
    ];
    let found = known.into_iter().find(|name| name.as_bytes() == key);
    found.unwrap_or("another key")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::cbor;

    fn text(head: &[u8], text: &str) -> Vec<u8> {
        [head, text.as_bytes()].concat()
    }

    /// Encodes a map of one key.
    fn under(key: &str, value: &[u8]) -> Vec<u8> {
        let head = [0xa1, 0x60 | u8::try_from(key.len()).unwrap()];
        [&text(&head, key), value].concat()
    }

    fn list(elements: u32, each: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x9a];
        bytes.extend(elements.to_be_bytes());
        bytes.extend(each.repeat(elements as usize));
        bytes
    }

    fn fault(shape: &'static Shape, bytes: &[u8]) -> Option<Fault> {
        cbor::check(bytes, "test").unwrap();
        check(bytes, shape).err().map(|(_, fault)| fault)
    }

    #[test]
    fn lists_are_counted_before_anything_is_made_of_them() {
        let cases: [(&'static Shape, &str, u64); 4] = [
            (&INVENTORY, "images", Limits::IMAGES),
            (&INVENTORY, "blobs", Limits::BLOBS),
            (&INVENTORY, "manifests", Limits::MANIFESTS),
            (&INVENTORY, "bases", 70_000.max(Limits::BASES)),
        ];
        for (shape, key, cap) in cases {
            let many = u32::try_from(cap).unwrap() + 1;
            let found = fault(shape, &under(key, &list(many, &[0])));
            assert!(
                matches!(found, Some(Fault::TooMany { .. })),
                "{key}: {found:?}"
            );
        }
        let most = under(
            "images",
            &list(u32::try_from(Limits::IMAGES).unwrap(), &[0]),
        );
        assert_eq!(fault(&INVENTORY, &most), None);
        // The elements of all rows are counted together.
        let row = under("blobs", &list(100_000, &[0]));
        let few = under("manifests", &[vec![0x8f], row.repeat(15)].concat());
        assert_eq!(fault(&INVENTORY, &few), None);
        let many = under("manifests", &[vec![0x90], row.repeat(16)].concat());
        let what = "digests in rows";
        let cap = Limits::EDGES;
        assert_eq!(fault(&INVENTORY, &many), Some(Fault::TooMany { what, cap }));
    }

    #[test]
    fn texts_and_additions_are_measured() {
        let long = text(&[0x79, 0x10, 0x01], &"x".repeat(4097));
        let cap = Limits::TEXT;
        let found = fault(&INVENTORY, &under("problem", &long));
        assert_eq!(
            found,
            Some(Fault::TooLong {
                key: "problem",
                cap
            })
        );
        let filter = under("filter", &long);
        let filter = under("catalogs", &[vec![0x81], filter].concat());
        assert_eq!(fault(&INVENTORY, &filter), None);
        let long = under("ext", &text(&[0x7a, 0, 1, 0, 0], &"x".repeat(65536)));
        assert!(matches!(
            fault(&MANIFEST, &long),
            Some(Fault::TooLong { key: "ext", .. })
        ));
        let many = fault(&MANIFEST, &under("ext", &list(70_000, &[0])));
        assert!(matches!(many, Some(Fault::TooMany { .. })), "{many:?}");
        let features = under("requires", &list(70_000, &[0x61, b'a']));
        for shape in [&HEAD, &MANIFEST] {
            assert!(matches!(
                fault(shape, &features),
                Some(Fault::TooMany { .. })
            ));
        }
    }
}
