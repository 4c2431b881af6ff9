//! `inventory.cbor`, with the manifest of a bundle without chunks.
#![no_main]

use airferry::format::{bundle, cbor};
use airferry::model::Inventory;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(inventory) = cbor::decode::<Inventory>(bytes, "inventory.cbor") {
        assert_eq!(bundle::encode_inventory(&inventory).expect("it can be written"), bytes);
        let manifest = airferry_fuzz::manifest_for(&inventory);
        let _ = bundle::check_inventory(&inventory, &manifest);
        let _ = airferry::format::Placement::new(&inventory);
        for row in inventory.chunks.iter().take(4) {
            let _ = airferry::format::metadata_chunk::MetadataTar::new(&inventory, row.number)
                .map(|tar| tar.decoded());
        }
    }
});
