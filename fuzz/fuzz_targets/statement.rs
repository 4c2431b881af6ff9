//! Statements: an accepted statement renders to the same bytes again.
#![no_main]

use airferry::format::statement;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(parsed) = statement::parse(bytes) {
        let text = statement::render(&parsed).expect("what was read can be written");
        assert_eq!(text.as_bytes(), bytes);
    }
});
