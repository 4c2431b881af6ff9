//! Auth files, pull secrets among them.
#![no_main]

use airferry::registry::{AuthFile, Credentials};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let _ = Credentials::parse([AuthFile { name: "auth.json", text }]);
});
