//! Deflate blocks with Huffman codes: counting symbols, the dynamic header, sizes, writing.
//!
//! Shared by the Go encoders (docs/encoders.md, section 2). The rules that choose the kind of a
//! block are in each encoder's own writer.

use super::bits::BitWriter;
use super::huffman::{Code, CodeBuilder, MAX_CODE_LEN, assign_codes};
use super::token::{DISTANCE_EXTRA, DISTANCES, END_OF_BLOCK, Kind, LENGTH_EXTRA, LITLENS, Token};

/// The frequency of each symbol in a block.
#[derive(Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) litlen: [u32; LITLENS],
    pub(crate) distance: [u32; DISTANCES],
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
            litlen: [0; LITLENS],
            distance: [0; DISTANCES],
        }
    }

    /// Counts the symbols of tokens, without the end-of-block symbol.
    pub(crate) fn of_tokens(tokens: &[Token]) -> Self {
        let mut counts = Self::new();
        for token in tokens {
            match token.kind() {
                Kind::Literal(byte) => counts.litlen[usize::from(byte)] += 1,
                Kind::Match(found) => {
                    counts.litlen[END_OF_BLOCK + 1 + found.length_symbol()] += 1;
                    counts.distance[found.distance_symbol()] += 1;
                }
            }
        }
        counts
    }

    /// Counts bytes as literals.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut counts = Self::new();
        for byte in bytes {
            counts.litlen[usize::from(*byte)] += 1;
        }
        counts
    }

    /// Returns the numbers of code lengths that an exact header declares.
    ///
    /// If no distance is used, declares one, for symbol 0, and counts it once.
    pub(crate) fn announce(&mut self) -> Announced {
        let used = |counts: &[u32]| {
            counts
                .iter()
                .rposition(|count| *count > 0)
                .map_or(0, |last| last + 1)
        };
        if used(&self.distance) == 0 {
            self.distance[0] = 1;
        }
        Announced {
            litlens: used(&self.litlen),
            distances: used(&self.distance),
        }
    }

    /// Returns the number of extra bits after length and distance codes.
    pub(crate) fn extra_bits(&self) -> u64 {
        weighted(&self.litlen[END_OF_BLOCK + 1..], &LENGTH_EXTRA)
            + weighted(&self.distance, &DISTANCE_EXTRA)
    }

    /// Returns the bits of the codes in a fixed block, including its header but no extra bits.
    pub(crate) fn fixed_code_bits(&self) -> u64 {
        3 + weighted(&self.litlen, &FIXED_LITLEN_LENGTHS)
            + weighted(&self.distance, &[5; DISTANCES])
    }
}

fn weighted(counts: &[u32], bits: &[u8]) -> u64 {
    let products = counts
        .iter()
        .zip(bits)
        .map(|(count, bits)| count * u32::from(*bits));
    u64::from(products.sum::<u32>())
}

/// The numbers of code lengths that a dynamic header declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) litlens: usize,
    pub(crate) distances: usize,
}

impl Announced {
    /// All symbols that a dynamic header can declare.
    pub(crate) const ALL: Self = Self {
        litlens: LITLENS,
        distances: DISTANCES,
    };
    /// Literals and the end of the block, and one distance, the required minimum.
    pub(crate) const LITERALS: Self = Self {
        litlens: END_OF_BLOCK + 1,
        distances: 1,
    };
}

const FIXED_LITLEN_LENGTHS: [u8; LITLENS] = {
    let mut lengths = [8; LITLENS];
    let mut symbol = 144;
    while symbol < 280 {
        lengths[symbol] = if symbol < 256 { 9 } else { 7 };
        symbol += 1;
    }
    lengths
};

/// The literal/length code and the distance code of a block.
#[derive(Debug, Clone)]
pub(crate) struct Codes {
    pub(crate) litlen: [Code; LITLENS],
    pub(crate) distance: [Code; DISTANCES],
}

impl Codes {
    pub(crate) fn none() -> Self {
        Self {
            litlen: [Code::default(); LITLENS],
            distance: [Code::default(); DISTANCES],
        }
    }

    /// Returns the codes of fixed blocks (RFC 1951, section 3.2.6).
    pub(crate) fn fixed() -> Self {
        let mut codes = Self::none();
        // Symbols 286 and 287 are part of the code but never written.
        let mut litlen = [Code::default(); LITLENS + 2];
        let mut lengths = [8; LITLENS + 2];
        lengths[..LITLENS].copy_from_slice(&FIXED_LITLEN_LENGTHS);
        assign_codes(&lengths, &mut litlen);
        codes.litlen.copy_from_slice(&litlen[..LITLENS]);
        assign_codes(&[5; DISTANCES], &mut codes.distance);
        codes
    }

    /// Returns the optimal codes for these counts.
    pub(crate) fn best(builder: &mut CodeBuilder, counts: &Counts) -> Self {
        let mut codes = Self::none();
        let mut lengths = [0; LITLENS];
        builder.lengths(&counts.litlen, MAX_CODE_LEN, &mut lengths);
        assign_codes(&lengths, &mut codes.litlen);
        let mut lengths = [0; DISTANCES];
        builder.lengths(&counts.distance, MAX_CODE_LEN, &mut lengths);
        assign_codes(&lengths, &mut codes.distance);
        codes
    }

    /// Returns the bits that these codes need for symbols with these counts, without extra bits.
    pub(crate) fn code_bits(&self, counts: &Counts) -> u64 {
        let sum = |counts: &[u32], codes: &[Code]| -> u32 {
            let products = counts.iter().zip(codes);
            products
                .map(|(count, code)| count * u32::from(code.len))
                .sum()
        };
        u64::from(sum(&counts.litlen, &self.litlen))
            + u64::from(sum(&counts.distance, &self.distance))
    }

    /// Returns true if each counted symbol has a code.
    pub(crate) fn cover(&self, counts: &Counts) -> bool {
        let covered = |counts: &[u32], codes: &[Code]| {
            let mut pairs = counts.iter().zip(codes);
            pairs.all(|(count, code)| *count == 0 || code.len > 0)
        };
        covered(&counts.litlen, &self.litlen) && covered(&counts.distance, &self.distance)
    }

    /// Writes tokens, without the end of the block.
    pub(crate) fn write_tokens(&self, tokens: &[Token], out: &mut BitWriter) {
        for token in tokens {
            match token.kind() {
                Kind::Literal(byte) => put_code(out, self.litlen[usize::from(byte)]),
                Kind::Match(found) => {
                    let symbol = found.length_symbol();
                    let code = self.litlen[END_OF_BLOCK + 1 + symbol];
                    let extra = u32::from(LENGTH_EXTRA[symbol]);
                    put_with_rest(out, code, found.length_rest(symbol), extra);
                    let symbol = found.distance_symbol();
                    let extra = u32::from(DISTANCE_EXTRA[symbol]);
                    let rest = found.distance_rest(extra);
                    put_with_rest(out, self.distance[symbol], rest, extra);
                }
            }
        }
    }

    /// Writes bytes as literals.
    pub(crate) fn write_bytes(&self, bytes: &[u8], out: &mut BitWriter) {
        for byte in bytes {
            put_code(out, self.litlen[usize::from(*byte)]);
        }
    }

    /// Writes the end of the block.
    pub(crate) fn write_end(&self, out: &mut BitWriter) {
        put_code(out, self.litlen[END_OF_BLOCK]);
    }
}

#[inline]
fn put_code(out: &mut BitWriter, code: Code) {
    out.put(u32::from(code.bits), u32::from(code.len));
}

#[inline]
fn put_with_rest(out: &mut BitWriter, code: Code, rest: u32, extra: u32) {
    let len = u32::from(code.len);
    out.put(u32::from(code.bits) | rest << len, len + extra);
}

/// Writes the header of a fixed block that is not the last block.
pub(crate) fn write_fixed_header(out: &mut BitWriter) {
    out.put(0b010, 3);
}

/// The order in which the lengths of the code-length code are sent (RFC 1951, section 3.2.7).
pub(crate) const CODE_LENGTH_ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];

/// The header of a dynamic block: the code lengths, run-length coded (docs/encoders.md, sections
/// 2.4 and 2.5).
#[derive(Debug)]
pub(crate) struct DynamicHeader {
    announced: Announced,
    /// Symbols of the code-length alphabet, with the values of their extra bits.
    runs: Vec<(u8, u8)>,
    codes: [Code; 19],
    /// Number of lengths of the code-length code that are sent.
    sent: usize,
    bits: u64,
}

/// Returns the number of extra bits of a code-length symbol: only 16, 17 and 18 have any.
fn run_extra_bits(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

impl DynamicHeader {
    pub(crate) fn new(builder: &mut CodeBuilder, codes: &Codes, announced: Announced) -> Self {
        let litlens = codes.litlen.iter().take(announced.litlens);
        let distances = codes.distance.iter().take(announced.distances);
        // One sequence: a run may continue from the first code into the second.
        let sequence: Vec<u8> = litlens.chain(distances).map(|code| code.len).collect();
        let runs = run_lengths(&sequence);

        let mut counts = [0u32; 19];
        for (symbol, _) in &runs {
            counts[usize::from(*symbol)] += 1;
        }
        let mut lengths = [0; 19];
        builder.lengths(&counts, 7, &mut lengths);
        let mut codes = [Code::default(); 19];
        assign_codes(&lengths, &mut codes);
        let last = CODE_LENGTH_ORDER
            .iter()
            .rposition(|symbol| counts[*symbol] > 0);
        let sent = last.map_or(4, |last| (last + 1).max(4));
        let coded: u32 = runs
            .iter()
            .map(|(symbol, _)| u32::from(codes[usize::from(*symbol)].len) + run_extra_bits(*symbol))
            .sum();
        Self {
            announced,
            runs,
            codes,
            sent,
            bits: 17 + 3 * sent as u64 + u64::from(coded),
        }
    }

    /// Returns the header's size in bits.
    pub(crate) fn bits(&self) -> u64 {
        self.bits
    }

    /// Writes the header of a block that is not the last block.
    pub(crate) fn write(&self, out: &mut BitWriter) {
        out.put(0b100, 3);
        out.put((self.announced.litlens - 257) as u32, 5);
        out.put((self.announced.distances - 1) as u32, 5);
        out.put((self.sent - 4) as u32, 4);
        for symbol in &CODE_LENGTH_ORDER[..self.sent] {
            out.put(u32::from(self.codes[*symbol].len), 3);
        }
        for (symbol, rest) in &self.runs {
            let code = self.codes[usize::from(*symbol)];
            put_with_rest(out, code, u32::from(*rest), run_extra_bits(*symbol));
        }
    }
}

/// Run-length codes a sequence of code lengths, greedily (docs/encoders.md, section 2.4).
fn run_lengths(sequence: &[u8]) -> Vec<(u8, u8)> {
    let mut coded = Vec::with_capacity(sequence.len());
    for run in sequence.chunk_by(|a, b| a == b) {
        let value = run[0];
        let mut left = run.len();
        if value == 0 {
            while left >= 11 {
                let count = left.min(138);
                coded.push((18, (count - 11) as u8));
                left -= count;
            }
            if left >= 3 {
                coded.push((17, (left - 3) as u8));
                left = 0;
            }
        } else {
            coded.push((value, 0));
            left -= 1;
            while left >= 3 {
                let count = left.min(6);
                coded.push((16, (count - 3) as u8));
                left -= count;
            }
        }
        coded.extend(std::iter::repeat_n((value, 0), left));
    }
    coded
}

/// Returns the size of a stored block in bits as the encoders estimate it, without the bits for
/// alignment.
pub(crate) fn stored_bits(plain: usize) -> u64 {
    8 * (plain as u64 + 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_coded_greedily() {
        let mut sequence = vec![0; 140];
        sequence.extend([8; 9]);
        sequence.extend([7; 3]);
        sequence.extend([0; 2]);
        sequence.extend([5; 4]);
        sequence.extend([0; 11]);
        sequence.push(3);
        let expected = [
            (18, 127),
            (0, 0),
            (0, 0),
            (8, 0),
            (16, 3),
            (8, 0),
            (8, 0),
            (7, 0),
            (7, 0),
            (7, 0),
            (0, 0),
            (0, 0),
            (5, 0),
            (16, 0),
            (18, 0),
            (3, 0),
        ];
        assert_eq!(run_lengths(&sequence), expected);
    }

    #[test]
    fn a_block_without_distances_announces_one() {
        let mut counts = Counts::of_bytes(b"ab");
        let announced = counts.announce();
        assert_eq!((announced.litlens, announced.distances), (99, 1));
        assert_eq!(counts.distance[0], 1);
    }

    #[test]
    fn fixed_codes_are_those_of_the_standard() {
        let codes = Codes::fixed();
        let msb_first = |code: Code| code.bits.reverse_bits() >> (16 - code.len);
        assert_eq!(msb_first(codes.litlen[0]), 0b0011_0000);
        assert_eq!(msb_first(codes.litlen[144]), 0b1_1001_0000);
        assert_eq!(msb_first(codes.litlen[256]), 0);
        assert_eq!(msb_first(codes.litlen[285]), 0b1100_0101);
        assert_eq!(msb_first(codes.distance[29]), 29);
    }
}
