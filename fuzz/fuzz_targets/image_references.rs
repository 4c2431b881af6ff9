//! The list of a release's components, from its payload.
#![no_main]

use airferry::content::release::ImageReferences;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match ImageReferences::parse(bytes) {
        Ok(references) => {
            for component in &references.components {
                let name = component.name.as_str();
                assert_eq!(references.component(name), Some(component));
            }
        }
        Err(error) => assert!(!error.to_string().chars().any(char::is_control)),
    }
});
