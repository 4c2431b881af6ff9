//! Tags that are made for images without a tag.

use std::borrow::Cow;

use crate::model::{Digest, Host, NameError, Tag};

/// Returns `sha256-<64 hex>`: the tag of an image that was requested by digest
/// (docs/oc-compatibility.md, section 5.4). The referrers fallback of the OCI distribution-spec
/// uses the same tag.
pub fn digest_tag(root: &Digest) -> Result<Tag, NameError> {
    format!("{}-{}", Digest::ALGORITHM, root.hex()).parse()
}

/// Returns `sha256-<64 hex>-root`: the tag of such an image if the fallback index of its
/// referrers has the other tag.
pub fn root_tag(root: &Digest) -> Result<Tag, NameError> {
    format!("{}-{}-root", Digest::ALGORITHM, root.hex()).parse()
}

/// Returns the tag that `oc adm catalog mirror` gives to a reference by digest: 32-bit FNV-1a of
/// the reference as written, in lower-case hexadecimal without padding (docs/oc-compatibility.md,
/// section 4.2).
pub fn fnv_tag(reference: &str) -> Result<Tag, NameError> {
    let reference = with_library(reference);
    format!("{:x}", fnv1a(reference.as_bytes())).parse()
}

/// Adds the namespace `library` to a reference on Docker Hub that has none, as `oc` does if the
/// registry is written. `oc` changes nothing else in a reference.
fn with_library(reference: &str) -> Cow<'_, str> {
    for hub in Host::DOCKER_HUB_NAMES {
        let name = reference.strip_prefix(hub);
        if let Some(name) = name.and_then(|rest| rest.strip_prefix('/'))
            && !name.contains('/')
        {
            return Cow::Owned(format!("{hub}/library/{name}"));
        }
    }
    Cow::Borrowed(reference)
}

/// Computes FNV-1a, 32 bit (RFC 9923, section 2).
fn fnv1a(bytes: &[u8]) -> u32 {
    const OFFSET_BASIS: u32 = 0x811c_9dc5;
    const PRIME: u32 = 0x0100_0193;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(PRIME)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_matches_published_values() {
        for (text, expected) in [
            ("", 0x811c_9dc5),
            ("a", 0xe40c_292c),
            ("foobar", 0xbf9c_f968),
        ] {
            assert_eq!(fnv1a(text.as_bytes()), expected);
        }
    }

    #[test]
    fn docker_hub_s_namespace_is_a_part_of_the_reference() {
        let tag = |text: &str| fnv_tag(text).unwrap();
        assert_eq!(
            tag("docker.io/etcd@sha256:00"),
            tag("docker.io/library/etcd@sha256:00")
        );
        assert_ne!(
            tag("etcd@sha256:00"),
            tag("docker.io/library/etcd@sha256:00")
        );
        assert_ne!(
            tag("quay.io/etcd@sha256:00"),
            tag("quay.io/library/etcd@sha256:00")
        );
    }

    #[test]
    fn fnv_tags_are_not_padded() {
        let text = format!("quay.io/okd/operator@sha256:{}", "2f".repeat(32));
        assert_eq!(fnv_tag(&text).unwrap().as_str(), "5454f62");
    }

    #[test]
    fn digest_tags_are_those_of_the_fallback_scheme() {
        let digest = Digest::from_bytes([0x0a; 32]);
        let hex = "0a".repeat(32);
        assert_eq!(
            digest_tag(&digest).unwrap().as_str(),
            format!("sha256-{hex}")
        );
        assert_eq!(
            root_tag(&digest).unwrap().as_str(),
            format!("sha256-{hex}-root")
        );
    }
}
