//! Compares an OCI manifest's bytes with its row in the inventory (bundle-format.md, R-24).

use super::oci::{self, OciError};
use super::{Rule, hash};
use crate::model::{Descriptor, Digest, ManifestEntry};

/// Why the bytes of an OCI manifest are not what the inventory says of them.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RowError {
    /// Other bytes than those that the digest names.
    #[error("The bytes of the OCI manifest `{expected}` have the digest `{found}`")]
    Digest {
        /// The digest that names the manifest.
        expected: Digest,
        /// The digest of the bytes.
        found: Digest,
    },
    /// Bytes that are no manifest.
    #[error("The OCI manifest `{digest}` cannot be read")]
    Unreadable {
        /// The manifest.
        digest: Digest,
        /// What is wrong with it.
        #[source]
        source: OciError,
    },
    /// A row that does not follow from the document.
    #[error("The inventory's `{key}` of the OCI manifest `{digest}` is not what the document says")]
    Row {
        /// The manifest.
        digest: Digest,
        /// The row's key.
        key: &'static str,
    },
}

impl RowError {
    /// The requirement that is broken.
    pub fn rule(&self) -> Rule {
        Rule(24)
    }
}

/// Checks that the bytes have the row's digest, and that the row follows from them.
///
/// # Errors
///
/// Names the first difference.
pub fn check(entry: &ManifestEntry, bytes: &[u8]) -> Result<(), RowError> {
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
    let facts = &document.facts;
    row("media_type", document.media_type == entry.media_type)?;
    row("blobs", each_once(&facts.blobs) == entry.blobs)?;
    row(
        "subject",
        facts.subject.as_ref().map(|s| s.digest) == entry.subject,
    )?;
    // Both lists keep the document's order, and every child stands in one of them.
    let (mut children, mut omitted) = (entry.children.iter(), entry.omitted.iter());
    let (mut carried, mut left_out) = (children.next(), omitted.next());
    for child in &each_once(&facts.children) {
        if carried == Some(child) {
            carried = children.next();
        } else if left_out == Some(child) {
            left_out = omitted.next();
        } else {
            return row("children", false);
        }
    }
    row("children", carried.is_none())?;
    row("omitted", left_out.is_none())
}

/// The digests of descriptors in their order, each once: as rows list them.
pub fn each_once(descriptors: &[Descriptor]) -> Vec<Digest> {
    let mut seen = std::collections::HashSet::with_capacity(descriptors.len());
    let digests = descriptors.iter().map(|descriptor| descriptor.digest);
    digests.filter(|digest| seen.insert(*digest)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::sample;
    use super::*;
    use crate::model::MediaType;

    #[test]
    fn rows_follow_from_documents() {
        let sample = sample();
        for entry in &sample.inventory.manifests {
            check(entry, &sample.content[&entry.digest]).unwrap();
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
            match check(&entry, bytes) {
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
        // In the document's order the left-out child comes first, so this is right as well.
        assert!(check(&moved, bytes).is_ok());
        moved.omitted.reverse();
        assert!(check(&moved, bytes).is_err());
        let error = check(index, b"{}").unwrap_err();
        assert!(matches!(error, RowError::Digest { .. }), "{error}");
        let mut nonsense = index.clone();
        nonsense.digest = hash::sha256(b"{}");
        let error = check(&nonsense, b"{}").unwrap_err();
        assert!(matches!(error, RowError::Unreadable { .. }), "{error}");
    }
}
