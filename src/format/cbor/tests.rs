use proptest::prelude::*;
use serde::Deserialize;

use super::*;

fn fault(hex: &str) -> Option<(usize, Fault)> {
    match check(&hex::decode(hex).unwrap(), "test") {
        Ok(()) => None,
        Err(CborError::Encoding { offset, fault, .. }) => Some((offset, fault)),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn only_canonical_items_pass() {
    for good in [
        "00",
        "17",
        "1818",
        "190100",
        "1a00010000",
        "1b0000000100000000",
        "f4",
        "f5",
        "40",
        "4161",
        "60",
        "63c3a461",
        "80",
        "820102",
        "a0",
        "a1616100",
        "a2616101626161f5",
    ] {
        assert_eq!(fault(good), None, "{good}");
    }
    for (bad, offset, expected) in [
        ("", 0, Fault::Truncated),
        ("18", 0, Fault::Truncated),
        ("1900", 0, Fault::Truncated),
        ("6261", 0, Fault::Truncated),
        ("8201", 0, Fault::Truncated),
        ("9bffffffffffffffff", 0, Fault::Truncated),
        ("bbffffffffffffffff", 0, Fault::Truncated),
        ("5bffffffffffffffff", 0, Fault::Truncated),
        ("0000", 1, Fault::Trailing),
        ("1817", 0, Fault::LongHead),
        ("1900ff", 0, Fault::LongHead),
        ("1a0000ffff", 0, Fault::LongHead),
        ("1b00000000ffffffff", 0, Fault::LongHead),
        ("780161", 0, Fault::LongHead),
        ("9fff", 0, Fault::Indefinite),
        ("bfff", 0, Fault::Indefinite),
        ("5fff", 0, Fault::Indefinite),
        ("7fff", 0, Fault::Indefinite),
        ("ff", 0, Fault::Indefinite),
        ("1c", 0, Fault::Reserved),
        ("fd", 0, Fault::Reserved),
        ("20", 0, Fault::Negative),
        ("c000", 0, Fault::Tag),
        ("f6", 0, Fault::Simple),
        ("f7", 0, Fault::Simple),
        ("f814", 0, Fault::Simple),
        ("f93c00", 0, Fault::Simple),
        ("fb3ff0000000000000", 0, Fault::Simple),
        ("61ff", 0, Fault::Utf8),
        ("63eda080", 0, Fault::Utf8),
        ("a10000", 1, Fault::KeyKind),
        ("a1416100", 1, Fault::KeyKind),
        ("a2616200616100", 4, Fault::KeyOrder),
        ("a262616100616200", 5, Fault::KeyOrder),
        ("a2616100616100", 4, Fault::DuplicateKey),
    ] {
        assert_eq!(fault(bad), Some((offset, expected)), "{bad}");
    }
}

#[test]
fn nesting_has_a_cap() {
    let nested = |levels: usize| format!("{}00", "81".repeat(levels - 1));
    assert_eq!(fault(&nested(16)), None);
    assert_eq!(fault(&nested(17)), Some((16, Fault::Depth)));
    assert_eq!(fault(&nested(5000)), Some((16, Fault::Depth)));
    let maps = format!("{}00", "a16161".repeat(16));
    assert_eq!(fault(&maps), Some((46, Fault::Depth)));
}

#[test]
fn the_number_of_items_has_a_cap() {
    let mut bytes = vec![0x9a, 0x01, 0x31, 0x2d, 0x00];
    bytes.resize(bytes.len() + 20_000_000, 0);
    let error = check(&bytes, "test").unwrap_err();
    assert_eq!(error.rule(), Rule(11));
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    a: (u8, u8),
    bb: String,
}

#[test]
fn types_round_trip_and_wrong_types_are_refused() {
    let pair = Pair {
        a: (1, 2),
        bb: "x".to_owned(),
    };
    let bytes = encode(&pair, "test").unwrap();
    assert_eq!(hex::encode(&bytes), "a261618201026262626178");
    assert_eq!(decode::<Pair>(&bytes, "test").unwrap(), pair);
    for bad in [
        "00",                           // not a map
        "a0",                           // all keys absent
        "a16161820102",                 // one key absent
        "a26161820102626262f5",         // another type
        "a361618201026162006262626178", // a key more
        "a2616181016262626178",         // an element less
        "a261618301020362626261 78",    // an element more
    ] {
        let bytes = hex::decode(bad.replace(' ', "")).unwrap();
        assert_eq!(check(&bytes, "test"), Ok(()), "{bad}");
        let error = decode::<Pair>(&bytes, "test").unwrap_err();
        assert_eq!(error.rule(), Rule(12), "{bad}: {error}");
    }
}

#[test]
fn an_array_that_is_too_long_cannot_pose_as_the_next_key() {
    // ciborium leaves the third element in the input, so `bb` would be read as the next key. The
    // walker reads `{a: [1, 2, "bb"], x: ..}`.
    #[derive(Debug, Serialize, Deserialize)]
    struct Short {
        a: (u8, u8),
    }
    let bytes = hex::decode("a16161830102617a").unwrap();
    assert_eq!(check(&bytes, "test"), Ok(()));
    let error = decode::<Short>(&bytes, "test").unwrap_err();
    assert_eq!(error.rule(), Rule(12), "{error}");
}

#[test]
fn fields_in_another_order_cannot_be_encoded() {
    #[derive(Serialize)]
    struct Wrong {
        bb: u8,
        a: u8,
    }
    let error = encode(&Wrong { bb: 1, a: 2 }, "test").unwrap_err();
    assert!(error.to_string().contains("canonical order"), "{error}");
}

proptest! {
    /// Bytes that the walker accepts are read and written back unchanged by a generic decoder.
    #[test]
    fn accepted_bytes_are_their_own_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
        if check(&bytes, "test").is_ok() {
            let value: ciborium::Value = ciborium::from_reader(bytes.as_slice()).unwrap();
            let mut again = Vec::new();
            ciborium::into_writer(&value, &mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }
}
