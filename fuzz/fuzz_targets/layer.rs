//! Layers of images from registries and media.
#![no_main]

use airferry::oci::layer::{LayerReader, Tree};
use std::io::Read;

const CAP: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(mut reader) = LayerReader::new(bytes, CAP) else {
        return;
    };
    let mut tree = Tree::new(1 << 16);
    while let Ok(Some(entry)) = reader.next_entry() {
        let path = entry.path.as_str();
        assert!(!path.is_empty() && path.split('/').all(|part| !matches!(part, "" | "." | "..")));
        let layer = usize::from(bytes[0]) % 3;
        if tree.add(layer, &entry).is_err() {
            return;
        }
        let mut content = Vec::new();
        let _ = reader.by_ref().take(100).read_to_end(&mut content);
    }
});
