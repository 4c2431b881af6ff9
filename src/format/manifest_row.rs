//! Compares an OCI manifest's bytes with its row in the inventory (bundle-format.md, R-26).

use std::collections::HashSet;

use super::{Rule, hash};
use crate::model::{
    BlobPlace, Descriptor, Digest, Inventory, ManifestEntry, ManifestFacts, ManifestKind, MediaType,
};
use crate::oci::{self, OciError};

/// The reason why the bytes of an OCI manifest do not fit the inventory.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// The bytes do not have the manifest's digest.
    #[error("The bytes of the OCI manifest `{expected}` have the digest `{found}`")]
    Digest {
        /// The digest that names the manifest.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// The bytes are no OCI manifest.
    #[error("The OCI manifest `{digest}` cannot be read")]
    Unreadable {
        /// Digest of the manifest.
        digest: Digest,
        /// The parser's error.
        #[source]
        source: OciError,
    },
    /// A value of the manifest's row does not follow from the document.
    #[error("The inventory's `{key}` of the OCI manifest `{digest}` is not what the document says")]
    Row {
        /// Digest of the manifest.
        digest: Digest,
        /// Key of the wrong value.
        key: &'static str,
    },
    /// The row of a carried child differs from its descriptor in the index.
    #[error("The OCI manifest `{digest}` and the row of its child `{child}` differ: {fault}")]
    Child {
        /// Digest of the index.
        digest: Digest,
        /// Digest of the child.
        child: Digest,
        /// Description of the difference.
        fault: &'static str,
    },
    /// The row of a blob does not follow from the document.
    #[error(
        "The OCI manifest `{digest}` and the inventory differ about the blob `{blob}`: {fault}"
    )]
    Blob {
        /// Digest of the manifest.
        digest: Digest,
        /// Digest of the blob.
        blob: Digest,
        /// Description of the difference.
        fault: &'static str,
    },
}

impl RowError {
    /// The rule that is broken.
    pub fn rule(&self) -> Rule {
        Rule(26)
    }
}

/// Checks that the bytes have the row's digest, and that the manifest's row and those of its
/// blobs follow from the bytes. Returns the facts that the document states.
///
/// # Errors
///
/// Names the first difference.
pub fn check(
    entry: &ManifestEntry,
    bytes: &[u8],
    inventory: &Inventory,
) -> Result<ManifestFacts, RowError> {
    let digest = entry.digest;
    let found = hash::sha256(bytes);
    if found != digest {
        return Err(RowError::Digest {
            expected: digest,
            found,
        });
    }
    let document = oci::parse(bytes, Some(&entry.media_type))
        .map_err(|source| RowError::Unreadable { digest, source })?;
    let row = |key, right: bool| match right {
        true => Ok(()),
        false => Err(RowError::Row { digest, key }),
    };
    let facts = document.facts;
    row("media_type", document.media_type == entry.media_type)?;
    row("blobs", distinct_digests(&facts.blobs) == entry.blobs)?;
    row(
        "subject",
        facts.subject.as_ref().map(|s| s.digest) == entry.subject,
    )?;
    // Both lists keep the document's order, and every child is in exactly one of them.
    let (mut children, mut omitted) = (entry.children.iter(), entry.omitted.iter());
    let (mut carried, mut left_out) = (children.next(), omitted.next());
    for child in &distinct_digests(&facts.children) {
        if carried == Some(child) {
            carried = children.next();
        } else if left_out == Some(child) {
            left_out = omitted.next();
        } else {
            return row("children", false).map(|()| facts);
        }
    }
    row("children", carried.is_none())?;
    row("omitted", left_out.is_none())?;
    let carried: HashSet<&Digest> = entry.children.iter().collect();
    let mut children = facts.children.iter();
    let wrong = children.find_map(|child| {
        let row = inventory.manifest(&child.digest);
        let row = row.filter(|_| carried.contains(&child.digest))?;
        let fault = child_fault(child, row.extent.decoded, &row.media_type)?;
        Some((child.digest, fault))
    });
    if let Some((child, fault)) = wrong {
        return Err(RowError::Child {
            digest,
            child,
            fault,
        });
    }
    for (place, blob) in facts.blobs.iter().enumerate() {
        let is_layer = place > 0 && facts.kind == ManifestKind::Image;
        if let Some(fault) = blob_fault(blob, is_layer, inventory) {
            let blob = blob.digest;
            return Err(RowError::Blob {
                digest,
                blob,
                fault,
            });
        }
    }
    Ok(facts)
}

/// Returns the difference between a child and its descriptor in an index; clients refuse a child
/// that differs. The media types of Docker and OCI count as equal as long as both are images or
/// both indexes: clients go by the child's own.
pub fn child_fault(
    descriptor: &Descriptor,
    size: u64,
    media_type: &MediaType,
) -> Option<&'static str> {
    if descriptor.size != size {
        return Some("its size differs");
    }
    let kind = descriptor.media_type.manifest_kind();
    (kind != media_type.manifest_kind()).then_some("its media type is of another kind")
}

/// Returns the difference between a blob's row and a descriptor of the blob.
fn blob_fault(blob: &Descriptor, is_layer: bool, inventory: &Inventory) -> Option<&'static str> {
    let Some(row) = inventory.blob(&blob.digest) else {
        return Some("it has no row");
    };
    if row.size != blob.size {
        return Some("its size differs");
    }
    let BlobPlace::Foreign { urls } = &row.place else {
        return None;
    };
    let may_stay = blob.media_type.is_foreign_layer() || !blob.urls.is_empty();
    if !is_layer || !may_stay {
        return Some("the OCI manifest does not mark it as non-distributable (foreign)");
    }
    match blob.urls.iter().all(|url| urls.contains(url)) {
        true => None,
        false => Some("its URLs differ"),
    }
}

/// Collects the URLs that documents give for foreign blobs, and finds rows with other URLs.
#[derive(Debug, Default)]
pub struct ForeignUrls {
    named: std::collections::BTreeMap<Digest, std::collections::BTreeSet<String>>,
}

impl ForeignUrls {
    /// Records the URLs that a document gives for foreign blobs.
    pub fn note(&mut self, facts: &ManifestFacts, inventory: &Inventory) {
        for blob in &facts.blobs {
            let row = inventory.blob(&blob.digest);
            if row.is_some_and(|row| matches!(row.place, BlobPlace::Foreign { .. })) {
                let named = self.named.entry(blob.digest).or_default();
                named.extend(blob.urls.iter().cloned());
            }
        }
    }

    /// Returns the foreign blobs, by ascending digest, whose URLs are not exactly those of all
    /// documents together.
    pub fn wrong(self, inventory: &Inventory) -> Vec<Digest> {
        let wrong = self.named.into_iter().filter(|(digest, named)| {
            match inventory.blob(digest).map(|row| &row.place) {
                Some(BlobPlace::Foreign { urls }) => !urls.iter().eq(named),
                _ => false,
            }
        });
        wrong.map(|(digest, _)| digest).collect()
    }
}

/// Returns the digests of descriptors in their order, each once, as rows list them.
pub fn distinct_digests(descriptors: &[Descriptor]) -> Vec<Digest> {
    let mut seen = std::collections::HashSet::with_capacity(descriptors.len());
    let digests = descriptors.iter().map(|descriptor| descriptor.digest);
    digests.filter(|digest| seen.insert(*digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::sample;
    use super::*;
    use crate::model::BlobEntry;

    #[test]
    fn rows_follow_from_documents() {
        let sample = sample();
        for entry in &sample.inventory.manifests {
            check(entry, &sample.content[&entry.digest], &sample.inventory).unwrap();
        }
        let index = sample
            .inventory
            .manifests
            .iter()
            .find(|m| m.is_sparse())
            .unwrap();
        let bytes = &sample.content[&index.digest];
        let differs = |change: fn(&mut ManifestEntry)| {
            let mut entry = index.clone();
            change(&mut entry);
            match check(&entry, bytes, &sample.inventory) {
                Err(RowError::Row { key, .. }) => key,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            differs(|m| m.media_type = MediaType::new(MediaType::DOCKER_LIST)),
            "media_type"
        );
        assert_eq!(differs(|m| m.blobs.push(m.digest)), "blobs");
        assert_eq!(differs(|m| m.subject = Some(m.digest)), "subject");
        assert_eq!(differs(|m| m.children.clear()), "children");
        assert_eq!(differs(|m| m.omitted.clear()), "children");
        assert_eq!(differs(|m| m.children.push(m.digest)), "children");
        assert_eq!(differs(|m| m.omitted.push(m.digest)), "omitted");
        let mut moved = index.clone();
        moved.omitted.append(&mut moved.children);
        // The left-out child comes first in the document's order, so this is right as well.
        assert!(check(&moved, bytes, &sample.inventory).is_ok());
        moved.omitted.reverse();
        assert!(check(&moved, bytes, &sample.inventory).is_err());
        let error = check(index, b"{}", &sample.inventory).unwrap_err();
        assert!(matches!(error, RowError::Digest { .. }), "{error}");
        let mut nonsense = index.clone();
        nonsense.digest = hash::sha256(b"{}");
        let error = check(&nonsense, b"{}", &sample.inventory).unwrap_err();
        assert!(matches!(error, RowError::Unreadable { .. }), "{error}");
    }
    /// Rows of blobs must agree with the descriptors in the documents.
    #[test]
    fn rows_of_blobs_follow_from_documents() {
        let sample = sample();
        let image = sample.inventory.manifests.iter();
        let image = image.clone().find(|row| row.blobs.len() == 5).unwrap();
        let fault = |change: fn(&mut BlobEntry)| {
            let mut inventory = sample.inventory.clone();
            for blob in &mut inventory.blobs {
                change(blob);
            }
            let checked = check(image, &sample.content[&image.digest], &inventory);
            match checked {
                Ok(_) => None,
                Err(RowError::Blob { fault, .. }) => Some(fault),
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!(fault(|_| {}), None);
        // Blobs of every place: carried, empty, omitted, foreign.
        let other_size = Some("its size differs");
        for size in [2, 1500, 0, 7, 9] {
            let changed = match size {
                2 => fault(|blob| blob.size += u64::from(blob.size == 2)),
                1500 => fault(|blob| blob.size += u64::from(blob.size == 1500)),
                0 => fault(|blob| blob.size += u64::from(blob.size == 0)),
                7 => fault(|blob| blob.size += u64::from(blob.size == 7)),
                _ => fault(|blob| blob.size += u64::from(blob.size == 9)),
            };
            assert_eq!(changed, other_size, "{size}");
        }
        fn foreign(blob: &mut BlobEntry) {
            blob.place = BlobPlace::Foreign { urls: Vec::new() };
        }
        let not_foreign = Some("the OCI manifest does not mark it as non-distributable (foreign)");
        assert_eq!(
            fault(|b| if b.size == 1500 {
                foreign(b)
            }),
            not_foreign
        );
        assert_eq!(
            fault(|b| if b.size == 2 {
                foreign(b)
            }),
            not_foreign
        );
        assert_eq!(
            fault(|b| if b.size == 9 {
                foreign(b)
            }),
            Some("its URLs differ")
        );
    }

    /// Rows of children must agree with the descriptors in their index.
    #[test]
    fn descriptors_of_children_are_those_of_their_rows() {
        let sample = sample();
        let mut rows = sample.inventory.manifests.iter();
        let index = rows.find(|row| row.is_sparse()).unwrap();
        let fault = |change: fn(&mut ManifestEntry)| {
            let mut inventory = sample.inventory.clone();
            let mut rows = inventory.manifests.iter_mut();
            change(rows.find(|row| row.digest == index.children[0]).unwrap());
            match check(index, &sample.content[&index.digest], &inventory) {
                Err(RowError::Child { fault, .. }) => Some(fault),
                Err(other) => panic!("{other}"),
                Ok(_) => None,
            }
        };
        assert_eq!(fault(|_| {}), None);
        let size = fault(|row| row.extent.decoded += 1);
        assert_eq!(size, Some("its size differs"));
        let kind = fault(|row| row.media_type = MediaType::new(MediaType::OCI_INDEX));
        assert_eq!(kind, Some("its media type is of another kind"));
    }

    #[test]
    fn urls_are_those_of_all_documents_and_no_others() {
        let sample = sample();
        let wrong = |urls: &[&str]| {
            let mut inventory = sample.inventory.clone();
            for blob in &mut inventory.blobs {
                if let BlobPlace::Foreign { urls: known } = &mut blob.place {
                    *known = urls.iter().map(|url| (*url).to_owned()).collect();
                }
            }
            let mut found = ForeignUrls::default();
            for row in &inventory.manifests {
                let bytes = &sample.content[&row.digest];
                let facts = oci::parse(bytes, None).unwrap().facts;
                found.note(&facts, &inventory);
            }
            found.wrong(&inventory).len()
        };
        let own = "https://example.com/l";
        assert_eq!(wrong(&[own]), 0);
        assert_eq!(wrong(&[]), 1);
        assert_eq!(wrong(&[own, "https://example.com/m"]), 1);
    }
}
