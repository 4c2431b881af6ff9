//! Image references, as written in arguments, lists and inventories.
#![no_main]

use airferry::model::Reference;

libfuzzer_sys::fuzz_target!(|text: &str| airferry_fuzz::text_identity::<Reference>(text));
