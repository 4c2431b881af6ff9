//! Blobs of any origin: an identified one is recreated byte for byte.
// max_len: 65536
#![no_main]

use std::io::Cursor;
use std::num::NonZeroUsize;

use airferry::codec::{Caps, Identity, IdentifyOptions, identify, inflate, recreate};

libfuzzer_sys::fuzz_target!(|blob: &[u8]| {
    let options = IdentifyOptions { threads: NonZeroUsize::MIN, caps: Caps::DEFAULT };
    let identity = identify(Cursor::new(blob), &options).expect("memory can be read");
    if let Identity::Recipe(recipe) = identity {
        let mut plain = Vec::new();
        inflate(blob, Caps::DEFAULT, &mut plain).expect("it was inflated once");
        let mut again = Vec::new();
        recreate(plain.as_slice(), &recipe, NonZeroUsize::MIN, &mut again).expect("its own");
        assert_eq!(again, blob);
    }
});
