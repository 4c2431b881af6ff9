use super::*;

/// Builds a program in the layout of the Go linker: header, `__TEXT`, `LC_CODE_SIGNATURE`, code
/// up to `offset`, `size` bytes of an old signature, `rest`.
fn program(offset: u32, size: u32, rest: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [
        MAGIC,
        0x0100_000c,
        0,
        EXECUTABLE,
        3,
        24 + 72 + 16,
        0x20_0085,
        0,
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    // LC_UUID, which the signer skips.
    bytes.extend_from_slice(&0x1b_u32.to_le_bytes());
    bytes.extend_from_slice(&24_u32.to_le_bytes());
    bytes.extend_from_slice(&[7; 16]);
    bytes.extend_from_slice(&SEGMENT.to_le_bytes());
    bytes.extend_from_slice(&72_u32.to_le_bytes());
    bytes.extend_from_slice(b"__TEXT\0\0\0\0\0\0\0\0\0\0");
    for number in [0x1_0000_0000_u64, 0x8000, 0, 0x6000] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&[0; 16]);
    for number in [CODE_SIGNATURE, 16, offset, size] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    assert_eq!(bytes.len(), HEADER + 24 + 72 + 16);
    let mut code = 0_u8;
    while bytes.len() < offset as usize {
        bytes.push(code);
        code = code.wrapping_mul(13).wrapping_add(5);
    }
    bytes.resize(offset as usize + size as usize, 0xee);
    bytes.extend_from_slice(rest);
    bytes
}

fn sign(input: &[u8], piece: usize) -> io::Result<(Vec<u8>, Signature)> {
    let mut signer = Signer::new(Vec::new());
    for piece in input.chunks(piece) {
        signer.write_all(piece)?;
    }
    signer.finish()
}

/// Reads a signature field by field: Go's `cmd/internal/codesign` writes the layout of the
/// kernel's `cs_blobs.h`.
#[test]
fn signatures_have_the_linkers_shape() {
    let offset = 3 * 4096 + 100;
    let size = 20 + 88 + 6 + 4 * 32;
    let input = program(offset, size, b"");
    let (output, outcome) = sign(&input, usize::MAX).unwrap();
    assert_eq!(outcome, Signature::Renewed);
    assert_eq!(output.len(), input.len());
    let (code, signature) = output.split_at(offset as usize);
    assert_eq!(code, &input[..offset as usize]);
    let field = |index: usize| u32::from_be_bytes(*signature[4 * index..].first_chunk().unwrap());
    let fields: Vec<u32> = (0..21).map(field).collect();
    assert_eq!(
        fields,
        [
            0xfade_0cc0,
            size,
            1,
            0,
            20, // SuperBlob
            0xfade_0c02,
            size - 20,
            0x2_0400,
            0x2_0002,
            94,
            88,
            0,
            4,
            offset,
            0x2002_000c, // CodeDirectory
            0,
            0,
            0,
            0,
            0,
            0,
        ]
    );
    let long = |at: usize| u64::from_be_bytes(*signature[at..].first_chunk().unwrap());
    assert_eq!([long(84), long(92), long(100)], [0, 0x6000, 1]);
    assert_eq!(&signature[108..114], b"a.out\0");
    let mut hashes = Vec::new();
    for page in code.chunks(4096) {
        hashes.extend_from_slice(&Sha256::digest(page));
    }
    assert_eq!(&signature[114..], hashes);
}

#[test]
fn pieces_do_not_matter_and_what_follows_is_kept() {
    for offset in [4096, 4097, 8191] {
        let size = signature_length(offset).unwrap();
        let input = program(offset, size, b"what follows");
        let (whole, outcome) = sign(&input, usize::MAX).unwrap();
        assert_eq!(outcome, Signature::Renewed);
        assert!(whole.ends_with(b"what follows"));
        for piece in [1, 31, 4096, 5000] {
            assert_eq!(sign(&input, piece).unwrap().0, whole);
        }
        // Signing a signed program does not change it.
        assert_eq!(sign(&whole, 1000).unwrap().0, whole);
    }
}

#[test]
fn other_programs_pass_through() {
    let size = signature_length(5000).unwrap();
    let right = program(5000, size, b"");
    let mut wrong_commands = right.clone();
    wrong_commands[HEADER + 4] = 0xff;
    let mut no_text = right.clone();
    no_text[HEADER + 24 + 8] = b'x';
    let mut unsigned = right.clone();
    unsigned[HEADER + 24 + 72] = 0x26;
    let mut endless = right.clone();
    endless[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    for (name, input, expected) in [
        ("ELF", b"\x7fELF and more".to_vec(), Signature::Absent),
        ("nothing", Vec::new(), Signature::Absent),
        ("cut in the header", right[..20].to_vec(), Signature::Absent),
        (
            "cut in the commands",
            right[..50].to_vec(),
            Signature::Absent,
        ),
        ("broken commands", wrong_commands, Signature::Absent),
        ("no text", no_text, Signature::Foreign),
        ("no signature", unsigned, Signature::Absent),
        ("endless commands", endless, Signature::Absent),
        (
            "another size",
            program(5000, size + 16, b""),
            Signature::Foreign,
        ),
        (
            "inside the head",
            program(100, signature_length(100).unwrap(), b""),
            Signature::Foreign,
        ),
    ] {
        for piece in [1, 7, usize::MAX] {
            let (output, outcome) = sign(&input, piece).unwrap();
            assert_eq!(outcome, expected, "{name}");
            assert_eq!(output, input, "{name}");
        }
    }
    for end in [5000, 5000 + size - 1, 4000] {
        let error = sign(&right[..end as usize], 999).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}
