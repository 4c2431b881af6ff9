//! Builds Huffman codes exactly as the Go encoders do (docs/encoders.md, section 2.3).
//!
//! Code lengths come from package-merge with a specific rule for ties. Another optimal algorithm
//! would give the same size but different bytes.

/// The code of one symbol: its bits in transmission order, and their number.
///
/// A length of 0 means that the symbol has no code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) bits: u16,
    pub(crate) len: u8,
}

/// Largest length of a literal/length or distance code.
pub(crate) const MAX_CODE_LEN: usize = 15;

/// Reusable working memory for [`CodeBuilder::lengths`].
#[derive(Debug, Default)]
pub(crate) struct CodeBuilder {
    /// Used symbols, ascending by (frequency, symbol).
    leaves: Vec<(u32, u16)>,
    /// Weights of the previous row, and of the row being merged.
    above: Vec<u32>,
    row: Vec<u32>,
    /// For each row: which of its items are leaves.
    is_leaf: [Vec<bool>; MAX_CODE_LEN],
}

impl CodeBuilder {
    /// Sets the code length of each symbol from its frequency; no length exceeds `limit`.
    ///
    /// `limit` is at most [`MAX_CODE_LEN`], and both slices have the same length.
    pub(crate) fn lengths(&mut self, frequencies: &[u32], limit: usize, lengths: &mut [u8]) {
        debug_assert!(limit <= MAX_CODE_LEN && frequencies.len() == lengths.len());
        lengths.fill(0);
        self.leaves.clear();
        self.leaves.extend(
            frequencies
                .iter()
                .enumerate()
                .filter(|(_, frequency)| **frequency > 0)
                .map(|(symbol, frequency)| (*frequency, symbol as u16)),
        );
        let n = self.leaves.len();
        if n <= 2 {
            for (_, symbol) in &self.leaves {
                lengths[usize::from(*symbol)] = 1;
            }
            return;
        }
        self.leaves.sort_unstable();
        let rows = limit.min(n - 1);
        self.merge_rows(rows);

        let mut taken = 2 * n - 2;
        for is_leaf in self.is_leaf[..rows].iter().rev() {
            let leaves = is_leaf[..taken].iter().filter(|leaf| **leaf).count();
            for (_, symbol) in &self.leaves[..leaves] {
                lengths[usize::from(*symbol)] += 1;
            }
            taken = 2 * (taken - leaves);
        }
    }

    /// Fills `is_leaf` for the first `rows` rows.
    fn merge_rows(&mut self, rows: usize) {
        self.above.clear();
        for is_leaf in &mut self.is_leaf[..rows] {
            self.row.clear();
            is_leaf.clear();
            let mut leaves = self.leaves.iter().map(|leaf| leaf.0).peekable();
            for pair in self.above.chunks_exact(2) {
                let package = pair[0] + pair[1];
                // On a tie the package comes first.
                while let Some(leaf) = leaves.next_if(|leaf| *leaf < package) {
                    self.row.push(leaf);
                    is_leaf.push(true);
                }
                self.row.push(package);
                is_leaf.push(false);
            }
            for leaf in leaves {
                self.row.push(leaf);
                is_leaf.push(true);
            }
            std::mem::swap(&mut self.above, &mut self.row);
        }
    }
}

/// Assigns each symbol the canonical code of its length (RFC 1951, section 3.2.2).
pub(crate) fn assign_codes(lengths: &[u8], codes: &mut [Code]) {
    let mut next = [0u32; MAX_CODE_LEN + 2];
    for len in lengths.iter().filter(|len| **len > 0) {
        next[usize::from(*len) + 1] += 1;
    }
    for len in 1..next.len() {
        next[len] = (next[len] + next[len - 1]) << 1;
    }
    // next[len + 1] counted the codes of length len, so next[len] is now the first code of that
    // length.
    for (len, code) in lengths.iter().zip(codes) {
        *code = Code::default();
        if *len > 0 {
            let value = &mut next[usize::from(*len)];
            *code = Code {
                bits: (*value as u16).reverse_bits() >> (16 - u32::from(*len)),
                len: *len,
            };
            *value += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(frequencies: &[u32], limit: usize) -> Vec<u8> {
        let mut lengths = vec![9; frequencies.len()];
        CodeBuilder::default().lengths(frequencies, limit, &mut lengths);
        lengths
    }

    #[test]
    fn lengths_follow_the_tie_rules() {
        let fibonacci = [1, 1, 2, 3, 5, 8, 13, 21];
        assert_eq!(lengths(&fibonacci, 15), [7, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(lengths(&fibonacci, 4), [4, 4, 4, 4, 3, 3, 2, 2]);
        assert_eq!(lengths(&[1, 1, 1, 1, 1], 15), [3, 3, 2, 2, 2]);
        assert_eq!(lengths(&[1, 1, 2, 2], 15), [3, 3, 2, 1]);
        assert_eq!(lengths(&[1, 1, 1, 2, 3], 15), [4, 4, 3, 2, 1]);
        assert_eq!(lengths(&[5, 0, 7], 15), [1, 0, 1]);
        assert_eq!(lengths(&[0, 3], 15), [0, 1]);
        assert_eq!(lengths(&[0, 0], 15), [0, 0]);
    }

    #[test]
    fn codes_are_canonical() {
        // The example of RFC 1951, section 3.2.2.
        let mut codes = [Code::default(); 8];
        assign_codes(&[3, 3, 3, 3, 3, 2, 4, 4], &mut codes);
        let most_significant_first: Vec<u16> = codes
            .iter()
            .map(|code| code.bits.reverse_bits() >> (16 - code.len))
            .collect();
        assert_eq!(
            most_significant_first,
            [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]
        );
    }

    proptest::proptest! {
        #[test]
        fn three_or_more_symbols_make_a_complete_code(
            frequencies in proptest::collection::vec(0u32..3000, 3..286),
            limit in 9usize..=15,
        ) {
            let used = frequencies.iter().filter(|f| **f > 0).count();
            proptest::prop_assume!(used >= 3);
            let lengths = lengths(&frequencies, limit);
            let kraft: u32 = lengths.iter().filter(|len| **len > 0).map(|len| 1 << (15 - len)).sum();
            proptest::prop_assert_eq!(kraft, 1 << 15);
            for (frequency, len) in frequencies.iter().zip(&lengths) {
                proptest::prop_assert_eq!(*frequency > 0, *len > 0);
                proptest::prop_assert!(usize::from(*len) <= limit);
            }
        }
    }
}
