//! Files of file-based catalogs, as they come from index images.
#![no_main]

use airferry::content::catalog::{Documents, Indexer};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for document in Documents::new("fuzz", bytes).flatten() {
        // The JSON of a document is always valid: readers may refuse its content, but never get
        // half of it.
        let value: Result<serde_json::Value, _> = serde_json::from_str(&document.json);
        assert!(value.is_ok());
    }
    let mut indexer = Indexer::new();
    if indexer.add("fuzz", bytes).is_ok()
        && let Ok(catalog) = indexer.finish()
    {
        let _ = catalog.images();
        for problem in catalog.problems() {
            assert!(!problem.to_string().chars().any(char::is_control));
        }
    }
});
