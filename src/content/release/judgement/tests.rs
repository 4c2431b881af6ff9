use super::*;
use crate::content::release::Keyring;
use crate::content::release::testing::{NOW, signed, vector};
use crate::content::release::verification_config::NamedKeyring;

fn other(n: u8) -> Digest {
    Digest::from_bytes([n; 32])
}

fn config(key: &[u8]) -> VerificationConfig {
    VerificationConfig {
        manifest: "m.yaml".to_owned(),
        keyrings: vec![NamedKeyring {
            name: "verifier-public-key-1".to_owned(),
            data: key.to_vec(),
            keyring: Keyring::parse(key).unwrap(),
        }],
        stores: Vec::new(),
        unknown: Vec::new(),
    }
}

/// Judges a release whose payload has alice's key, or `key`.
fn judged(
    key: Option<&[u8]>,
    root: Digest,
    images: &[Digest],
    found: &[(Digest, &[u8])],
    is_whole: bool,
) -> Judgement {
    let config = key.map(config);
    let trust = ReleaseTrust::from_file(vector!("alice.gpg")).unwrap();
    let policy = Policy {
        config: config.as_ref(),
        trust: &trust,
        now: NOW,
    };
    let signatures: Vec<ReleaseSignature> = found
        .iter()
        .map(|(over, message)| ReleaseSignature {
            over: *over,
            message: message.to_vec(),
        })
        .collect();
    let subject = Subject {
        root,
        images: images.to_vec(),
    };
    let evidence = Evidence {
        signatures: &signatures,
        is_whole,
    };
    judge(&subject, &policy, &evidence)
}

const ALICE: Option<&[u8]> = Some(vector!("alice.gpg"));

#[test]
fn only_what_is_not_there_is_absent() {
    let (good, carol) = (vector!("good.sig"), vector!("carol.sig"));
    let root = signed();
    let absent = judged(ALICE, root, &[], &[], true);
    assert_eq!(absent, Judgement::Absent(NoSignatureReason::NoSignature));
    let absent = judged(None, root, &[], &[], true);
    assert_eq!(absent, Judgement::Absent(NoSignatureReason::NoKeys));
    let unknown = judged(ALICE, root, &[], &[], false);
    assert!(matches!(unknown, Judgement::Unknown(_)));
    let wrong = judged(None, root, &[], &[(root, good)], true);
    assert_eq!(wrong, Judgement::Invalid(Fault::NoKeys));
    for message in [
        carol,
        vector!("sha1.sig"),
        vector!("future.sig"),
        vector!("expiring.sig"),
        vector!("trailing.sig"),
        vector!("other-digest.sig"),
        &good[..40],
        b"",
    ] {
        for is_whole in [true, false] {
            let wrong = judged(ALICE, root, &[], &[(root, message)], is_whole);
            assert!(matches!(wrong, Judgement::Invalid(_)), "{wrong:?}");
        }
    }
    // Carol's key is not pinned.
    let wrong = judged(
        Some(vector!("carol.gpg")),
        root,
        &[],
        &[(root, carol)],
        true,
    );
    let not_pinned =
        |fault: &Fault| matches!(fault, Fault::Signature(SignatureError::NotPinned { .. }));
    assert!(matches!(wrong, Judgement::Invalid(fault) if not_pinned(&fault)));
}

#[test]
fn a_good_signature_is_enough_beside_others() {
    let root = signed();
    let found = [(root, vector!("carol.sig")), (root, vector!("good.sig"))];
    for is_whole in [true, false] {
        let Judgement::Signed(signed) = judged(ALICE, root, &[], &found, is_whole) else {
            panic!("signed");
        };
        assert_eq!(signed[0].verified.keyrings[0].signature, 2);
        assert_eq!(signed[0].messages.len(), 2);
    }
}

#[test]
fn a_list_is_signed_or_each_of_its_images() {
    let (good, root) = (vector!("good.sig"), other(1));
    let by_image = [(signed(), good)];
    let each = judged(ALICE, root, &[signed()], &by_image, true);
    assert!(matches!(each, Judgement::Signed(_)), "{each:?}");
    let half = judged(ALICE, root, &[signed(), other(2)], &by_image, true);
    let without = vec![other(2)];
    assert_eq!(half, Judgement::Invalid(Fault::PartlySigned { without }));
    let unknown = judged(ALICE, root, &[signed(), other(2)], &by_image, false);
    assert!(matches!(unknown, Judgement::Unknown(_)));
    let none = judged(ALICE, root, &[signed(), other(2)], &[], true);
    assert_eq!(none, Judgement::Absent(NoSignatureReason::NoSignature));
    // If the list has a bad signature, good ones over its images do not count.
    let both = [(root, good), (signed(), good)];
    let wrong = judged(ALICE, root, &[signed()], &both, true);
    assert!(matches!(wrong, Judgement::Invalid(_)), "{wrong:?}");
}

#[test]
fn a_release_without_a_pinned_key_has_a_fault() {
    let trust = ReleaseTrust::from_file(vector!("alice.gpg")).unwrap();
    let subject = Subject {
        root: signed(),
        images: Vec::new(),
    };
    let no_pinned_key = |key: &[u8]| {
        let config = config(key);
        let policy = Policy {
            config: Some(&config),
            trust: &trust,
            now: NOW,
        };
        policy.no_pinned_key(&subject).is_some()
    };
    assert!(!no_pinned_key(vector!("alice.gpg")));
    assert!(no_pinned_key(vector!("carol.gpg")));
}
