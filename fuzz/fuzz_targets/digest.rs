//! Digests of content and of stored files.
#![no_main]

use airferry::model::{Blake3, Digest};

libfuzzer_sys::fuzz_target!(|text: &str| {
    airferry_fuzz::text_identity::<Digest>(text);
    airferry_fuzz::text_identity::<Blake3>(text);
});
