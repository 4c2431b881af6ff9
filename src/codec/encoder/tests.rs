use super::*;

/// One of each kind, and each level and epoch.
fn all() -> Vec<Encoder> {
    let names = [
        "kp5-A-gzip",
        "kp5-B-gzip",
        "kp5-C-gzip",
        "kp5-A-pgzip-1024",
        "kp5-B-pgzip-256",
        "kp5-C-pgzip-17",
        "kp5-C-pgzip-16385b",
        "kp6-A-pgzip-1024",
        "kp6-B-gzip",
        "kp6-C-gzip",
        "go126-1",
        "go126-4",
        "go126-5",
        "go126-6",
        "go126-7",
        "go126-8",
        "go126-9",
        "go127-6",
        "zlib-1-raw",
        "zlib-6-raw",
        "zlib-9-raw",
    ];
    names.iter().map(|name| name.parse().unwrap()).collect()
}

fn encode(encoder: Encoder, plain: &[u8], threads: usize, write: usize) -> Vec<u8> {
    let threads = NonZeroUsize::new(threads).unwrap();
    let mut writer = EncodeWriter::new(encoder, threads, Vec::new()).unwrap();
    for piece in plain.chunks(write) {
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn names_and_numbers_come_back() {
    for encoder in all() {
        assert_eq!(encoder.to_string().parse(), Ok(encoder));
        assert_eq!(
            Encoder::from_coordinates(encoder.coordinates()),
            Ok(encoder)
        );
    }
}

#[test]
fn other_names_are_refused() {
    for name in [
        "",
        "kp5",
        "kp5-D-gzip",
        "kp7-A-gzip",
        "kp5-C-pgzip-16",
        "kp5-C-pgzip-16384b",
        "kp5-C-pgzip-0017",
        "kp5-C-pgzip-1048576b",
        "kp5-C-pgzip-4294967295",
        "go126-3",
        "go126-+6",
        "go127-1",
        "zlib-0-raw",
        "zlib-6",
    ] {
        assert!(name.parse::<Encoder>().is_err(), "{name}");
    }
}

#[test]
fn other_numbers_are_refused() {
    for (number, level, block) in [
        (0, 0, 0),
        (11, 0, 0),
        (1, 5, 0),
        (1, 0, 16_384),
        (1, 0, 1 << 40),
        (7, 0, 1 << 20),
        (8, 3, 0),
        (8, 256 + 6, 0),
        (10, 0, 0),
    ] {
        let at = Coordinates {
            number,
            level,
            block,
        };
        assert!(Encoder::from_coordinates(at).is_err(), "{at:?}");
    }
}

#[test]
fn hello_and_nothing_are_as_in_the_specification() {
    for (name, hello, nothing) in [
        (
            "kp5-C-pgzip-1024",
            "1f8b080000096e8800ff000500faff68656c6c6f000000ffff030086a6103605000000",
            "1f8b080000096e8800ff000000ffff03000000000000000000",
        ),
        (
            "kp5-A-gzip",
            "1f8b080000096e8800ff000500faff68656c6c6f030086a6103605000000",
            "1f8b080000096e8800ff03000000000000000000",
        ),
        (
            "go126-6",
            "1f8b08000000000000ffca48cdc9c907040000ffff86a6103605000000",
            "1f8b08000000000000ff010000ffff0000000000000000",
        ),
        (
            "go126-1",
            "1f8b08000000000004ff000500faff68656c6c6f010000ffff86a6103605000000",
            "1f8b08000000000004ff010000ffff0000000000000000",
        ),
    ] {
        let encoder = name.parse().unwrap();
        assert_eq!(
            hex::encode(encode(encoder, b"hello", 1, 3)),
            hello,
            "{name}"
        );
        assert_eq!(hex::encode(encode(encoder, b"", 1, 3)), nothing, "{name}");
    }
}
