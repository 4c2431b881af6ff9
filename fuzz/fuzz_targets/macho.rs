//! macOS programs from the images of a release, which are signed again while they are streamed.
// max_len: 16384
#![no_main]

use airferry::programs::macho::Signer;
use std::io::Write;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let sign = |piece: usize| {
        let mut signer = Signer::new(Vec::new());
        for part in bytes.chunks(piece) {
            signer.write_all(part).ok()?;
        }
        let (signed, _) = signer.finish().ok()?;
        assert!(signed.len() <= 2 * bytes.len() + (64 << 10));
        Some(signed)
    };
    // The result does not depend on how the bytes are divided into writes.
    assert_eq!(sign(usize::MAX), sign(7));
});
