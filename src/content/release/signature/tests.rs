//! Signatures that gpg made, and copies of them with a wrong bit.

use std::collections::BTreeSet;

use super::super::keyring::{ExpiredKeys, Keyring};
use super::super::testing::{NOW, signed as release, vector};
use super::*;

/// 2026-01-05T00:00:00Z, when most vectors were signed.
const SIGNED: Timestamp = Timestamp(1_767_571_200);
const DAY: i64 = 86_400;
const REFERENCE: &str = "registry.example.com/okd/release:1.0";

fn fingerprint(name: &str) -> KeyFingerprint {
    let text = std::str::from_utf8(vector!("fingerprints.txt")).unwrap();
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (fingerprint, _) = lines.find(|(_, of)| *of == name).unwrap();
    fingerprint.parse().unwrap()
}

/// A configuration with these keyrings.
fn config(keyrings: &[&[u8]]) -> VerificationConfig {
    let entry = |(n, bytes): (usize, &&[u8])| NamedKeyring {
        name: format!("verifier-public-key-{n}"),
        data: bytes.to_vec(),
        keyring: Keyring::parse(bytes).unwrap(),
    };
    VerificationConfig {
        manifest: "m.yaml".to_owned(),
        keyrings: keyrings.iter().enumerate().map(entry).collect(),
        stores: Vec::new(),
        unknown: Vec::new(),
    }
}

fn trust() -> ReleaseTrust {
    let names = ["alice", "bob", "short", "renewed", "revoked", "dropped"];
    ReleaseTrust::pinning(names.map(fingerprint))
}

fn check(keyrings: &[&[u8]], signatures: &[&[u8]]) -> Result<Verified, SignatureError> {
    let signatures: Vec<_> = signatures.iter().map(|bytes| bytes.to_vec()).collect();
    verify(&release(), &config(keyrings), &trust(), &signatures, NOW)
}

/// Verifies one signature under alice's key.
fn alice(signature: &[u8]) -> Result<Verified, SignatureError> {
    check(&[vector!("alice.gpg")], &[signature])
}

#[test]
fn good_signatures_say_who_and_when() {
    for good in [
        vector!("good.sig"),
        vector!("good-plain.sig"),
        vector!("good-zlib.sig"),
    ] {
        for key in [vector!("alice.gpg"), vector!("alice.asc")] {
            let expected = SatisfiedKeyring {
                keyring: "verifier-public-key-0".to_owned(),
                key: fingerprint("alice"),
                signing_key: fingerprint("alice"),
                signature: 1,
                signed_at: SIGNED,
                key_expired: None,
                reference: REFERENCE.to_owned(),
            };
            let verified = check(&[key], &[good]).unwrap();
            assert_eq!(verified.keyrings, [expected]);
        }
    }
}

#[test]
fn a_subkey_signs_for_its_primary_key() {
    let verified = check(&[vector!("bob.gpg")], &[vector!("good-subkey.sig")]).unwrap();
    assert_eq!(verified.keyrings[0].key, fingerprint("bob"));
    assert_ne!(verified.keyrings[0].signing_key, fingerprint("bob"));
}

#[test]
fn every_keyring_needs_a_signature_and_one_key_of_it_suffices() {
    let both = [vector!("alice.gpg"), vector!("bob.gpg")].concat();
    let (alice, bob) = (vector!("alice.gpg"), vector!("bob.gpg"));
    let (by_alice, by_bob) = (vector!("good.sig"), vector!("good-subkey.sig"));
    let verified = check(&[alice, bob], &[by_alice, by_bob]).unwrap();
    assert_eq!(verified.keyrings[0].signature, 1);
    assert_eq!(verified.keyrings[1].signature, 2);
    assert!(check(&[&both], &[by_bob]).is_ok());
    let error = check(&[alice, bob], &[by_alice]).unwrap_err();
    assert_eq!(
        error,
        SignatureError::UnknownKey {
            signature: 1,
            keyring: "verifier-public-key-1".to_owned()
        }
    );
}

#[test]
fn a_good_signature_is_found_behind_bad_ones() {
    let verified = check(
        &[vector!("alice.gpg")],
        &[b"", vector!("carol.sig"), vector!("good.sig")],
    );
    assert_eq!(verified.unwrap().keyrings[0].signature, 3);
}

#[test]
fn the_nearest_miss_is_reported() {
    let misses = [b"", vector!("other-digest.sig"), vector!("carol.sig")];
    let error = check(&[vector!("alice.gpg")], &misses).unwrap_err();
    assert!(
        matches!(error, SignatureError::WrongDigest { signature: 2, .. }),
        "{error}"
    );
}

#[test]
fn only_pinned_keys_count() {
    let carol = vector!("carol.gpg");
    let error = check(&[carol], &[vector!("carol.sig")]).unwrap_err();
    assert_eq!(
        error,
        SignatureError::NotPinned {
            keyring: "verifier-public-key-0".to_owned(),
            fingerprints: vec![fingerprint("carol")]
        }
    );
    let text = error.to_string();
    assert!(text.contains(&fingerprint("carol").to_string()), "{text}");
    assert!(text.contains("--release-keys FILE"), "{text}");
    // The unpinned key does not count in a keyring with a pinned one, either.
    let both = [carol, vector!("alice.gpg")].concat();
    let error = check(&[&both], &[vector!("carol.sig")]).unwrap_err();
    assert!(
        matches!(error, SignatureError::UnknownKey { .. }),
        "{error}"
    );
    assert!(check(&[&both], &[vector!("good.sig")]).is_ok());
}

#[test]
fn no_signatures_and_no_keyrings_are_errors() {
    let error = check(&[vector!("alice.gpg")], &[]).unwrap_err();
    assert!(matches!(error, SignatureError::NoSignature { .. }));
    let error = check(&[], &[vector!("good.sig")]).unwrap_err();
    assert!(matches!(error, SignatureError::NoKeyring { .. }));
}

#[test]
fn messages_of_another_form_are_refused() {
    for (name, bytes) in [
        ("empty", b"".as_slice()),
        ("noise", &[0xff; 300]),
        ("unsigned", vector!("unsigned.sig")),
        ("detached", vector!("detached.sig")),
        ("clear text", vector!("clear.sig")),
        ("two signers", vector!("two-signers.sig")),
        ("a key", vector!("alice.gpg")),
    ] {
        let error = alice(bytes).unwrap_err();
        assert!(
            matches!(error, SignatureError::Unreadable { .. }),
            "{name}: {error}"
        );
    }
}

#[test]
fn a_message_is_read_to_its_end() {
    let whole = vector!("good-plain.sig");
    for length in 0..whole.len() {
        let error = alice(&whole[..length]).unwrap_err();
        assert!(
            matches!(error, SignatureError::Unreadable { .. }),
            "{length}: {error}"
        );
    }
    for extra in [&b"\0"[..], whole, b"\xff\xff"] {
        let error = alice(&[whole, extra].concat()).unwrap_err();
        assert!(
            matches!(error, SignatureError::Unreadable { .. }),
            "{error}"
        );
    }
}

#[test]
fn cut_compressed_messages_never_verify_as_something_else() {
    let whole = vector!("good.sig");
    let facts = alice(whole).unwrap();
    for length in 0..whole.len() {
        if let Ok(verified) = alice(&whole[..length]) {
            assert_eq!(verified, facts, "{length}");
        }
    }
    assert!(alice(&whole[..whole.len() - 20]).is_err());
}

#[test]
fn large_messages_are_refused_before_and_after_decompression() {
    for bytes in [vec![0xff; 51 << 10], vector!("bomb.sig").to_vec()] {
        let error = alice(&bytes).unwrap_err();
        assert_eq!(error, SignatureError::TooLarge { signature: 1 });
    }
}

/// A message that names a known key, but has a forged body (docs/oc-compatibility.md, section 2.5).
#[test]
fn a_known_key_id_with_a_wrong_signature_is_refused() {
    let mut forged = vector!("good-plain.sig").to_vec();
    let at = forged.windows(4).position(|four| four == b":1.0").unwrap();
    forged[at + 1] = b'2';
    let error = alice(&forged).unwrap_err();
    assert!(
        matches!(error, SignatureError::BadSignature { .. }),
        "{error}"
    );
}

#[test]
fn signatures_with_one_fault_are_refused() {
    type Fault = fn(&SignatureError) -> bool;
    let faults: [(&str, &[u8], Fault); 10] = [
        (
            "digest",
            vector!("other-digest.sig"),
            |error| matches!(error, SignatureError::WrongDigest { signed, .. } if *signed != release()),
        ),
        ("type", vector!("other-type.sig"), |error| {
            matches!(error, SignatureError::UnexpectedBody { .. })
        }),
        ("reference", vector!("no-reference.sig"), |error| {
            matches!(error, SignatureError::UnexpectedBody { .. })
        }),
        ("unknown field", vector!("unknown-field.sig"), |error| {
            matches!(error, SignatureError::UnexpectedBody { .. })
        }),
        ("trailing", vector!("trailing.sig"), |error| {
            matches!(error, SignatureError::UnexpectedBody { .. })
        }),
        ("SHA-1", vector!("sha1.sig"), |error| {
            matches!(error, SignatureError::WeakHash { .. })
        }),
        ("text", vector!("text.sig"), |error| {
            matches!(error, SignatureError::BadSignature { .. })
        }),
        ("critical notation", vector!("notation.sig"), |error| {
            matches!(error, SignatureError::BadSignature { .. })
        }),
        ("expired", vector!("expiring.sig"), |error| {
            let end = Timestamp(SIGNED.0 + 5 * DAY);
            matches!(error, SignatureError::ExpiredSignature { at, .. } if *at == end)
        }),
        ("future", vector!("future.sig"), |error| {
            matches!(error, SignatureError::FromFuture { .. })
        }),
    ];
    for (name, bytes, expected) in faults {
        let error = alice(bytes).unwrap_err();
        assert!(expected(&error), "{name}: {error}");
    }
}

#[test]
fn an_expired_key_is_refused_unless_its_signature_is_older() {
    let (key, signature) = (vector!("short.gpg"), vector!("short.sig"));
    let end = Timestamp(1_768_089_600);
    let error = check(&[key], &[signature]).unwrap_err();
    assert_eq!(
        error,
        SignatureError::ExpiredKey {
            signature: 1,
            key: fingerprint("short"),
            at: end,
            signed_at: SIGNED
        }
    );
    assert!(error.to_string().contains("2026-01-11T00:00:00Z"));
    let signatures = [signature.to_vec()];
    let before = Timestamp(end.0 - 1);
    let verified = verify(&release(), &config(&[key]), &trust(), &signatures, before);
    assert_eq!(verified.unwrap().keyrings[0].key_expired, None);
    let mut lenient = trust();
    lenient.expired_keys = ExpiredKeys::AcceptEarlierSignatures;
    let verified = verify(&release(), &config(&[key]), &lenient, &signatures, NOW);
    assert_eq!(verified.unwrap().keyrings[0].key_expired, Some(end));
}

#[test]
fn a_signature_made_after_its_key_expired_is_never_accepted() {
    let signatures = [vector!("renewed.sig").to_vec()];
    let mut lenient = trust();
    lenient.expired_keys = ExpiredKeys::AcceptEarlierSignatures;
    let old = config(&[vector!("renewed-before.gpg")]);
    let error = verify(&release(), &old, &lenient, &signatures, NOW).unwrap_err();
    assert!(
        matches!(error, SignatureError::ExpiredKey { .. }),
        "{error}"
    );
    // The same key, after its owner prolonged it.
    let new = config(&[vector!("renewed.gpg")]);
    assert!(verify(&release(), &new, &trust(), &signatures, NOW).is_ok());
}

#[test]
fn revoked_keys_and_subkeys_are_refused() {
    for (key, signature) in [
        (vector!("revoked.gpg"), vector!("revoked.sig")),
        (vector!("dropped.gpg"), vector!("dropped.sig")),
    ] {
        let error = check(&[key], &[signature]).unwrap_err();
        assert!(
            matches!(error, SignatureError::RevokedKey { .. }),
            "{error}"
        );
    }
}

#[test]
fn keys_that_can_sign_are_known() {
    for (name, key, able) in [
        ("alice", vector!("alice.gpg"), true),
        ("bob", vector!("bob.gpg"), true),
        ("short", vector!("short.gpg"), false),
        ("revoked", vector!("revoked.gpg"), false),
        ("dropped", vector!("dropped.gpg"), false),
    ] {
        let keyring = Keyring::parse(key).unwrap();
        assert_eq!(keyring.keys[0].can_sign(NOW), able, "{name}");
        assert!(!keyring.keys[0].can_sign(Timestamp(0)), "{name}");
    }
}

/// All copies of `bytes` with one bit flipped.
fn flips(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..bytes.len() * 8).map(|bit| {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        flipped
    })
}

#[test]
fn no_flipped_bit_of_a_message_changes_what_is_verified() {
    for (key, signature) in [
        (vector!("alice.gpg"), vector!("good-plain.sig")),
        (vector!("alice.gpg"), vector!("good.sig")),
        (vector!("bob.gpg"), vector!("good-subkey.sig")),
    ] {
        let facts = check(&[key], &[signature]).unwrap();
        let (mut refused, mut same) = (0, 0);
        for flipped in flips(signature) {
            match check(&[key], &[&flipped]) {
                Ok(verified) => {
                    assert_eq!(verified, facts);
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
        // Only unsigned bytes may change without an effect: the date beside the text.
        assert!(refused > same * 5, "{refused} refused, {same} not");
    }
}

#[test]
fn every_bit_beside_the_signed_bytes_counts() {
    let whole = vector!("good-plain.sig");
    let accepted = flips(whole).enumerate().filter_map(|(bit, flipped)| {
        let accepted = alice(&flipped).is_ok();
        accepted.then_some(bit / 8)
    });
    // One-pass packet, header of the text, and signature packet are read as gpg and Go read them;
    // only the date of the text is ignored.
    let accepted: BTreeSet<usize> = accepted.collect();
    assert_eq!(accepted, (20..24).collect());
}

#[test]
fn the_one_pass_packet_announces_the_signature() {
    // Version, type, hash, algorithm, key id, whether it is the last.
    for at in 2..15 {
        for with in [1, 0x10] {
            let mut other = vector!("good-plain.sig").to_vec();
            other[at] ^= with;
            let error = alice(&other).unwrap_err();
            assert!(
                matches!(error, SignatureError::Unreadable { .. }),
                "{error}"
            );
        }
    }
}

#[test]
fn no_flipped_bit_of_a_key_changes_what_is_verified() {
    let bob = vector!("bob.gpg");
    let mut refusals = BTreeSet::new();
    let facts = check(&[bob], &[vector!("good-subkey.sig")]).unwrap();
    for flipped in flips(bob) {
        let Ok(keyring) = Keyring::parse(&flipped) else {
            continue;
        };
        let mut config = config(&[bob]);
        config.keyrings[0].keyring = keyring;
        let signatures = [vector!("good-subkey.sig").to_vec()];
        match verify(&release(), &config, &trust(), &signatures, NOW) {
            Ok(verified) => assert_eq!(verified, facts),
            Err(SignatureError::UnusableKey { why, .. }) => {
                refusals.insert(why);
            }
            Err(_) => {}
        }
    }
    // Each of the three signatures that make the subkey one of bob's was checked.
    assert_eq!(
        refusals.into_iter().collect::<Vec<_>>(),
        [
            "it has no valid self-signature",
            "it is a subkey that has not signed its primary key",
            "it is a subkey that its primary key has not signed",
        ]
    );
}
