//! `registries.conf`.
#![no_main]

use airferry::registry::Mirrors;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = Mirrors::parse(text);
});
