//! Platforms, as written in `--platform` and in inventories.
#![no_main]

use airferry::model::Platform;

libfuzzer_sys::fuzz_target!(|text: &str| airferry_fuzz::text_identity::<Platform>(text));
