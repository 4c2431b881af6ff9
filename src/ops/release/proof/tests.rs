use super::*;
use crate::content::release::testing::{signed, vector};
use crate::encoding::time::parse_time;
use crate::model::{AttachmentState, ImageEntry, ManifestEntry, MediaType, ReleaseSignature};

fn alice() -> ReleaseKeys {
    ReleaseKeys {
        trust: ReleaseTrust::from_file(vector!("alice.asc")).unwrap(),
    }
}

/// Makes the inventory of a release with this root, these signatures, and alice's keyring.
fn inventory(root: Digest, signatures: &[(Digest, &[u8])]) -> Inventory {
    let image: Reference = "quay.io/okd/release:1".parse().unwrap();
    Inventory {
        left_out: Vec::new(),
        ext: None,
        document: Inventory::TYPE.to_owned(),
        bases: Vec::new(),
        blobs: Vec::new(),
        chunks: Vec::new(),
        format: 1,
        images: vec![ImageEntry {
            tag: image.tag.clone(),
            root: Some(root),
            cosign: AttachmentState::NotAsked,
            source: image.repository.clone(),
            problem: None,
            attached: Vec::new(),
            platforms: Vec::new(),
            referrers: AttachmentState::NotAsked,
            requested: image.clone(),
            standalone: false,
            fetched_from: image.repository.clone(),
        }],
        request: crate::model::RequestId::new(root),
        catalogs: Vec::new(),
        releases: vec![ReleaseEntry {
            image,
            version: "4.18.0".parse().unwrap(),
            keyrings: vec![crate::model::Keyring {
                data: vector!("alice.gpg").to_vec(),
                name: "verifier-public-key-alice".to_owned(),
            }],
            unsigned: signatures.is_empty(),
            components: Vec::new(),
            signatures: signatures
                .iter()
                .map(|(over, message)| ReleaseSignature {
                    over: *over,
                    message: message.to_vec(),
                })
                .collect(),
            architecture: "amd64".to_owned(),
        }],
        manifests: Vec::new(),
    }
}

fn manifest(digest: Digest, children: &[Digest], platform: Option<&str>) -> ManifestEntry {
    ManifestEntry {
        blobs: Vec::new(),
        digest,
        extent: (crate::model::ChunkId::try_from(1u32).unwrap(), 0, 1, 1).into(),
        omitted: Vec::new(),
        subject: None,
        children: children.to_vec(),
        platform: platform.map(|text| text.parse().unwrap()),
        media_type: MediaType::new(MediaType::OCI_INDEX),
    }
}

fn proof(inventory: &Inventory, keys: &ReleaseKeys) -> ReleaseProof {
    let now = parse_time("2026-02-01T00:00:00Z").unwrap();
    judge(Available::Inventory(inventory), keys, now)
        .unwrap()
        .remove(0)
}

#[test]
fn a_pinned_key_vouches_for_a_release_and_does_not_make_it_genuine() {
    let inventory = inventory(signed(), &[(signed(), vector!("good.sig"))]);
    let good = proof(&inventory, &alice());
    // Without the image, the inventory's claims about it cannot be verified.
    assert_eq!(good.state, ReleaseState::NotCompared, "{:?}", good.reason);
    assert_eq!(good.signers.len(), 1);
    assert!(require(std::slice::from_ref(&good), false).is_ok());
    let kind = findings(std::slice::from_ref(&good))[0].kind;
    assert_eq!(kind, FindingKind::ReleaseNotCompared);
    assert_eq!(kind.class(), None);

    let unknown = proof(&inventory, &ReleaseKeys::default());
    assert_eq!(unknown.state, ReleaseState::KeysUnknown);
    assert!(require(std::slice::from_ref(&unknown), true).is_err());
    let kind = findings(std::slice::from_ref(&unknown))[0].kind;
    assert_eq!(kind, FindingKind::ReleaseKeysUnknown);
    assert_eq!(kind.class(), Some(Class::NotAuthenticated));
}

#[test]
fn what_is_wrong_is_never_waived() {
    let other = Digest::from_bytes([3; 32]);
    for (root, over, message) in [
        (signed(), signed(), vector!("other-digest.sig")),
        (signed(), signed(), vector!("carol.sig")),
        (signed(), signed(), vector!("trailing.sig")),
        (other, other, vector!("good.sig")),
        // A valid signature, but over an image that is not of this release.
        (other, signed(), vector!("good.sig")),
    ] {
        let proof = proof(&inventory(root, &[(over, message)]), &alice());
        assert_eq!(proof.state, ReleaseState::NotGenuine);
        let error = require(std::slice::from_ref(&proof), true).unwrap_err();
        assert_eq!(error.class(), Class::NotAuthenticated);
        assert_eq!(findings(&[proof]).len(), 1);
    }
    let mut inventory = inventory(signed(), &[(signed(), vector!("good.sig"))]);
    inventory.releases[0].keyrings.clear();
    assert_eq!(proof(&inventory, &alice()).state, ReleaseState::NotGenuine);
}

#[test]
fn absence_may_be_accepted() {
    let unsigned = proof(&inventory(signed(), &[]), &alice());
    assert_eq!(unsigned.state, ReleaseState::Unsigned);
    assert!(require(std::slice::from_ref(&unsigned), false).is_err());
    assert!(require(std::slice::from_ref(&unsigned), true).is_ok());
    assert_eq!(findings(&[unsigned])[0].kind, FindingKind::UnsignedRelease);
}

#[test]
fn a_list_is_signed_as_such_or_image_by_image() {
    let (root, other) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
    let by_image = |platform: &str| {
        let mut inventory = inventory(root, &[(signed(), vector!("good.sig"))]);
        inventory.manifests = vec![
            manifest(root, &[signed(), other], None),
            manifest(other, &[], Some(platform)),
            manifest(signed(), &[], Some("linux/amd64")),
        ];
        inventory.manifests.sort_by_key(|manifest| manifest.digest);
        inventory
    };
    // Platforms in the inventory are a claim: only the list's own bytes could prove that an entry
    // is an attestation.
    for platform in ["unknown/unknown", "linux/arm64"] {
        assert_eq!(
            proof(&by_image(platform), &alice()).state,
            ReleaseState::NotGenuine,
            "the other image is not signed"
        );
    }
}

#[test]
fn shared_layers_of_an_unsigned_bundle_are_read_a_few_times() {
    let (root, layer) = (Digest::from_bytes([1; 32]), Digest::from_bytes([2; 32]));
    let mut inventory = inventory(root, &[]);
    let mut row = manifest(root, &[], None);
    row.blobs.push(layer);
    inventory.manifests.push(row);
    let mut counted = Reads::Counted(BTreeMap::new());
    for _ in 0..MAX_READS_PER_LAYER {
        assert!(counted.try_take(&inventory, &root));
    }
    assert!(!counted.try_take(&inventory, &root));
    let mut unlimited = Reads::Unlimited;
    assert!((0..MAX_READS_PER_LAYER + 2).all(|_| unlimited.try_take(&inventory, &root)));
}
