//! Estimates the size of tokens under the best code (docs/encoders.md, section 3.7).
//!
//! Uses single precision in one fixed order: the last bit of the sum can decide the kind of a
//! block.

use crate::codec::block::Counts;
use crate::codec::token::{DISTANCE_EXTRA, END_OF_BLOCK, LENGTH_EXTRA};

/// Approximates the binary logarithm of a positive, normal number.
fn log2(x: f32) -> f32 {
    let bits = x.to_bits();
    let exponent = (bits >> 23 & 0xff) as i32 - 128;
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f80_0000);
    ((-0.344_848_43 * mantissa) + 2.024_665_8) * mantissa - 0.674_877_6 + exponent as f32
}

/// Returns the bits for `count` of all symbols, whose number is `1 / inverse`.
fn bits(count: u32, inverse: f32) -> f32 {
    let count = count as f32;
    (-log2(count * inverse)).clamp(1.0, 15.0) * count
}

/// Estimates the bits that tokens need. `n` is their number, including the end of the block if it
/// is counted.
pub(super) fn estimate(counts: &Counts, n: usize) -> u64 {
    let mut sum = 0.0f32;
    let mut extra_bits = 0;
    let mut matches = 0;
    let inverse = 1.0 / n as f32;
    for count in &counts.litlen[..END_OF_BLOCK] {
        if *count > 0 {
            sum += bits(*count, inverse);
        }
    }
    sum += 15.0;
    for (count, extra) in counts.litlen[END_OF_BLOCK + 1..].iter().zip(LENGTH_EXTRA) {
        if *count > 0 {
            sum += bits(*count, inverse);
            extra_bits += u64::from(*count) * u64::from(extra);
            matches += *count;
        }
    }
    if matches > 0 {
        let inverse = 1.0 / matches as f32;
        for (count, extra) in counts.distance.iter().zip(DISTANCE_EXTRA) {
            if *count > 0 {
                sum += bits(*count, inverse);
                extra_bits += u64::from(*count) * u64::from(extra);
            }
        }
    }
    sum as u64 + extra_bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_logarithm_has_the_values_of_the_specification() {
        let values = [
            (0.25, -1.995_060_21),
            (0.3, -1.741_860_15),
            (1.0, 0.004_939_79),
            (1.0 / 3.0, -1.588_387_01),
        ];
        for (x, expected) in values {
            let found = log2(x);
            assert!((found - expected as f32).abs() < 1e-8, "{x}: {found}");
        }
    }

    #[test]
    fn the_estimate_has_the_value_of_the_specification() {
        let mut counts = Counts::new();
        counts.litlen[97] = 40;
        counts.litlen[98] = 20;
        counts.litlen[257] = 4;
        counts.litlen[265] = 3;
        counts.distance[0] = 2;
        counts.distance[10] = 5;
        assert_eq!(estimate(&counts, 67), 151);
    }
}
