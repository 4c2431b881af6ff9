//! Private and public key files.
#![no_main]

use airferry::format::keys;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = keys::parse_private(bytes);
    if let Ok(key) = keys::parse_public(bytes) {
        assert_eq!(keys::parse_public(key.to_pem().as_bytes()).expect("its own form"), key);
    }
});
