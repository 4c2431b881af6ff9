//! OCI and Docker manifests from registries and media.
#![no_main]

use airferry::oci;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = oci::config_platform(bytes);
    if let Ok(document) = oci::parse(bytes, None) {
        let again = oci::parse(bytes, Some(&document.media_type)).expect("the type is its own");
        assert_eq!(again, document);
    }
});
