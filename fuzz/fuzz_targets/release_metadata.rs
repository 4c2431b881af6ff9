//! Metadata of a release, from its payload.
#![no_main]

use airferry::content::release::ReleaseMetadata;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = ReleaseMetadata::parse(bytes) {
        assert!(!error.to_string().chars().any(char::is_control));
    }
});
