use std::io::{Cursor, Write};

use super::*;
use crate::codec::{EncodeWriter, inflate, recreate};

fn options() -> IdentifyOptions {
    IdentifyOptions {
        threads: NonZeroUsize::new(2).unwrap(),
        caps: Caps::DEFAULT,
    }
}

fn encode(name: &str, plain: &[u8]) -> Vec<u8> {
    let encoder = name.parse().unwrap();
    let header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
    let threads = NonZeroUsize::new(2).unwrap();
    let mut writer = if name.starts_with("zlib") {
        EncodeWriter::with_header(encoder, header, threads, Vec::new()).unwrap()
    } else {
        EncodeWriter::new(encoder, threads, Vec::new()).unwrap()
    };
    writer.write_all(plain).unwrap();
    writer.finish().unwrap()
}

/// Returns text-like bytes with many different repetitions.
fn prose(len: usize) -> Vec<u8> {
    let mut plain = Vec::with_capacity(len + 64);
    let mut state = 9u32;
    while plain.len() < len {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let word = (state >> 16) as usize % 700;
        for letter in 0..2 + word % 7 {
            plain.push(b'a' + ((word * 31 + letter * word + letter * 17) % 26) as u8);
        }
        plain.push(if state >> 28 == 0 { b'\n' } else { b' ' });
    }
    plain.truncate(len);
    plain
}

fn identified(blob: &[u8]) -> Identity {
    let identity = identify(Cursor::new(blob), &options()).unwrap();
    if let Identity::Recipe(recipe) = &identity {
        let mut plain = Vec::new();
        inflate(blob, Caps::DEFAULT, &mut plain).unwrap();
        let mut made = Vec::new();
        recreate(plain.as_slice(), recipe, options().threads, &mut made).unwrap();
        assert!(made == blob, "another blob was made");
    }
    identity
}

fn name(identity: &Identity) -> String {
    match identity {
        Identity::Recipe(recipe) => recipe.encoder().to_string(),
        Identity::Raw(reason) => reason.name().to_owned(),
    }
}

#[test]
fn each_encoder_is_found() {
    let plain = prose(150_000);
    for expected in [
        "kp5-C-pgzip-1024",
        "kp5-A-pgzip-1024",
        "kp5-C-pgzip-64",
        "kp5-C-pgzip-17",
        "kp5-C-pgzip-100000b",
        "kp5-A-gzip",
        "kp6-C-pgzip-1024",
        "kp6-A-gzip",
        "go126-1",
        "go126-4",
        "go126-6",
        "go126-9",
        "go127-6",
        "zlib-1-raw",
        "zlib-6-raw",
        "zlib-9-raw",
    ] {
        assert_eq!(name(&identified(&encode(expected, &plain))), expected);
    }
}

#[test]
fn blocks_longer_than_the_usual_beginning_are_found() {
    let blob = encode("kp5-C-pgzip-2500000b", &prose(2_600_000));
    assert_eq!(name(&identified(&blob)), "kp5-C-pgzip-2500000b");
}

#[test]
fn a_stream_is_identified_in_one_pass() {
    let blob = encode("kp5-C-pgzip-256", &prose(600_000));
    let identity = identify_stream(blob.as_slice(), &options()).unwrap();
    assert_eq!(name(&identity), "kp5-C-pgzip-256");
}

#[test]
fn short_and_empty_blobs_come_back() {
    for encoder in [
        "kp5-C-pgzip-1024",
        "kp5-B-gzip",
        "go126-6",
        "go126-1",
        "zlib-6-raw",
    ] {
        for len in [0, 1, 5, 33, 200, 5000] {
            let identity = identified(&encode(encoder, &prose(len)));
            assert!(matches!(identity, Identity::Recipe(_)), "{encoder} {len}");
        }
    }
}

#[test]
fn a_beginning_without_evidence_leaves_the_choice_to_the_rest() {
    let mut plain = vec![0; 20 << 20];
    plain.extend(prose(300_000));
    // The header suggests level 6.
    assert_eq!(name(&identified(&encode("go126-5", &plain))), "go126-5");
}

#[test]
fn header_fields_and_a_short_tail_are_kept() {
    let mut blob = encode("go126-6", &prose(100_000));
    let header = b"\x1f\x8b\x08\x1c\x01\x02\x03\x04\0\x03\x02\0xylayer.tar\0a comment\0";
    blob.splice(..10, *header);
    blob.extend([0; 300]);
    match identified(&blob) {
        Identity::Recipe(recipe) => {
            assert_eq!(recipe.header(), header);
            assert_eq!(recipe.tail(), [0; 300]);
            assert_eq!(recipe.encoder().to_string(), "go126-6");
        }
        Identity::Raw(reason) => panic!("{reason}"),
    }
}

#[test]
fn what_cannot_come_back_is_raw() {
    let plain = prose(300_000);
    let good = encode("kp5-C-pgzip-256", &plain);
    let name_of = |blob: &[u8]| name(&identified(blob));

    assert_eq!(name_of(b""), "not-gzip");
    assert_eq!(name_of(&plain), "not-gzip");
    assert_eq!(name_of(&good[..4]), "header");
    for len in [10, 11, 1000, good.len() / 2, good.len() - 9, good.len() - 1] {
        assert_eq!(name_of(&good[..len]), "truncated", "{len} bytes");
    }
    assert_eq!(name_of(&[&good[..], &good[..]].concat()), "several-members");
    assert_eq!(name_of(&[&good[..], &[0; 70_000][..]].concat()), "tail");

    let mut damaged = good.clone();
    let at = damaged.len() - 3;
    damaged[at] ^= 1;
    assert_eq!(name_of(&damaged), "damaged");
}

#[test]
fn an_encoder_that_fails_late_is_named() {
    // Two pgzip streams that are equal beyond the beginning; a later block of the second has
    // another level.
    let plain = prose(5 << 19);
    let five = encode("kp5-C-pgzip-256", &plain);
    let six = encode("kp6-C-pgzip-256", &plain);
    let block_end = |blob: &[u8], block: usize| {
        let markers = blob
            .windows(4)
            .enumerate()
            .filter(|(_, bytes)| *bytes == [0, 0, 255, 255]);
        markers.map(|(at, _)| at + 4).nth(block).unwrap()
    };
    let mut mixed = five[..block_end(&five, 8)].to_vec();
    mixed.extend(&six[block_end(&six, 8)..]);
    let identity = identified(&mixed);
    let expected = matches!(
        identity,
        Identity::Raw(RawReason::Differs { at, .. }) if at > 500_000
    );
    assert!(expected, "{identity:?}");
}

#[test]
fn a_cap_is_a_reason() {
    let blob = encode("go126-6", &prose(300_000));
    let mut options = options();
    options.caps.plain = 250_000;
    let identity = identify(Cursor::new(blob), &options).unwrap();
    assert_eq!(identity, Identity::Raw(RawReason::Cap));
}
