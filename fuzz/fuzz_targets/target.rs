//! Targets of an import, and label texts.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    airferry_fuzz::text_identity::<airferry::plan::naming::Target>(text);
    let _ = text.parse::<airferry::model::LabelText>();
    let _ = text.parse::<airferry::model::Role>();
});
