//! Sizes, as people write them.
#![no_main]

use airferry::model::ByteSize;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let Ok(size) = text.parse::<ByteSize>() else {
        return;
    };
    let shown = size.to_string();
    // Units larger than TiB are shown but not accepted: no chunk has such a size.
    if size.0 < 1 << 50 {
        let again: ByteSize = shown.parse().expect("what was shown parses");
        assert!(again.0.abs_diff(size.0) <= size.0 / 16, "{size:?} {shown}");
    }
});
