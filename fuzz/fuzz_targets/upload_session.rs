//! Upload sessions, as stored in files.
#![no_main]

use airferry::registry::UploadSession;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(session) = text.parse::<UploadSession>() {
        let kept = session.to_secret_text();
        assert_eq!(kept.parse::<UploadSession>().expect("its own form"), session);
    }
});
