//! Configs of catalog images: the location of the catalog, and the arguments that serve it.
#![no_main]

use airferry::content::catalog::{Location, labels_of, location, without_cache};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(labels) = labels_of(bytes)
        && let Ok(Location::Configs(path) | Location::Database(path)) = location(&labels)
    {
        assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")));
    }
    if let Ok(arguments) = serde_json::from_slice::<Vec<String>>(bytes) {
        let (without, _) = without_cache(&arguments);
        assert!(without.len() <= arguments.len());
        // Arguments without a cache stay as they are.
        assert_eq!(without_cache(&without), (without.clone(), None));
    }
});
