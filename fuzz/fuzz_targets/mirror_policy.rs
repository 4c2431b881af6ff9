//! Mirror policies that operators give: ICSP, IDMS and ITMS.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = airferry::content::mirror_policy::parse(bytes) {
        assert!(!error.to_string().chars().any(char::is_control));
    }
});
