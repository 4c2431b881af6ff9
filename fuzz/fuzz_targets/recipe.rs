//! Recipes of layer encoders: an accepted recipe encodes to the same bytes again.
#![no_main]

use airferry::codec::Recipe;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(recipe) = Recipe::from_bytes(bytes) {
        assert_eq!(recipe.to_bytes(), bytes);
    }
});
