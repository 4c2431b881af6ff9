//! `manifest.cbor`: an accepted manifest encodes to the same bytes again.
#![no_main]

use airferry::format::bundle::{decode_manifest, encode_manifest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = decode_manifest(bytes) {
        assert_eq!(encode_manifest(&manifest).expect("what was read can be written"), bytes);
    }
});
