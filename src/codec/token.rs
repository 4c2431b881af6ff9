//! Tokens (literals and matches) and the symbols that deflate writes for them
//! (RFC 1951, section 3.2.5).

/// The end-of-block symbol.
pub(crate) const END_OF_BLOCK: usize = 256;
/// Number of symbols in the literal/length alphabet.
pub(crate) const LITLENS: usize = 286;
/// Number of symbols in the distance alphabet.
pub(crate) const DISTANCES: usize = 30;
/// Shortest match that deflate can write.
pub(crate) const MIN_MATCH: usize = 3;
/// Longest match that deflate can write.
pub(crate) const MAX_MATCH: usize = 258;
/// Largest distance that deflate can write.
pub(crate) const MAX_DISTANCE: usize = 32_768;

/// Number of extra bits of each length symbol, from 257.
pub(crate) const LENGTH_EXTRA: [u8; 29] = [
    0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0,
];

/// Shortest length of each length symbol, from 257, minus 3.
pub(crate) const LENGTH_BASE: [u8; 29] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128,
    160, 192, 224, 255,
];

/// Number of extra bits of each distance symbol.
pub(crate) const DISTANCE_EXTRA: [u8; DISTANCES] = [
    0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13,
    13,
];

/// The length symbol, minus 257, of each length minus 3. Length 258 is always symbol 285.
const LENGTH_SYMBOL: [u8; 256] = {
    let mut table = [0; 256];
    let mut symbol = 0;
    while symbol < LENGTH_BASE.len() {
        let mut length = LENGTH_BASE[symbol] as usize;
        while length < 256 {
            table[length] = symbol as u8;
            length += 1;
        }
        symbol += 1;
    }
    table
};

/// A literal byte or a match, packed. A literal is its value. A match has bit 31 set, its length
/// minus 3 in bits 16 to 23 and its distance minus 1 in the low 15 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token(u32);

/// An unpacked token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A byte.
    Literal(u8),
    /// A match.
    Match(Match),
}

/// A match, from which its length and distance symbols are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Match {
    length_less_3: u8,
    distance_less_1: u16,
}

impl Token {
    const MATCH: u32 = 1 << 31;

    /// Creates a literal.
    #[inline]
    pub(crate) fn literal(byte: u8) -> Self {
        Self(u32::from(byte))
    }

    /// Creates a match of 3 to 258 bytes, at a distance of 1 to 32 768 bytes.
    #[inline]
    pub(crate) fn matched(length: usize, distance: usize) -> Self {
        debug_assert!((MIN_MATCH..=MAX_MATCH).contains(&length));
        debug_assert!((1..=MAX_DISTANCE).contains(&distance));
        Self(Self::MATCH | ((length - MIN_MATCH) as u32) << 16 | (distance - 1) as u32)
    }

    #[inline]
    pub(crate) fn kind(self) -> Kind {
        if self.0 & Self::MATCH == 0 {
            Kind::Literal(self.0 as u8)
        } else {
            Kind::Match(Match {
                length_less_3: (self.0 >> 16) as u8,
                distance_less_1: self.0 as u16,
            })
        }
    }
}

impl Match {
    /// Returns the length symbol, minus 257.
    #[inline]
    pub(crate) fn length_symbol(self) -> usize {
        usize::from(LENGTH_SYMBOL[usize::from(self.length_less_3)])
    }

    /// Returns the extra bits of `symbol`, the length symbol minus 257.
    #[inline]
    pub(crate) fn length_rest(self, symbol: usize) -> u32 {
        u32::from(self.length_less_3 - LENGTH_BASE[symbol])
    }

    /// Returns the distance symbol.
    #[inline]
    pub(crate) fn distance_symbol(self) -> usize {
        let o = u32::from(self.distance_less_1);
        if o < 4 {
            return o as usize;
        }
        let high = 31 - o.leading_zeros();
        (2 * high + (o >> (high - 1) & 1)) as usize
    }

    /// Returns the extra bits of the distance symbol, which has `extra` of them.
    #[inline]
    pub(crate) fn distance_rest(self, extra: u32) -> u32 {
        u32::from(self.distance_less_1) & ((1 << extra) - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(length: usize, distance: usize) -> Match {
        match Token::matched(length, distance).kind() {
            Kind::Match(found) => found,
            Kind::Literal(_) => panic!("a match came back as a literal"),
        }
    }

    #[test]
    fn lengths_map_to_symbols() {
        for (length, symbol, rest) in [
            (3, 0, 0),
            (10, 7, 0),
            (11, 8, 0),
            (12, 8, 1),
            (227, 27, 0),
            (257, 27, 30),
            (258, 28, 0),
        ] {
            let found = matched(length, 1);
            assert_eq!(found.length_symbol(), symbol, "length {length}");
            assert_eq!(found.length_rest(symbol), rest, "length {length}");
        }
    }

    #[test]
    fn distances_map_to_symbols() {
        for (distance, symbol, rest) in [
            (1, 0, 0),
            (4, 3, 0),
            (5, 4, 0),
            (6, 4, 1),
            (7, 5, 0),
            (24_577, 29, 0),
            (32_768, 29, 8191),
        ] {
            let found = matched(3, distance);
            assert_eq!(found.distance_symbol(), symbol, "distance {distance}");
            let extra = u32::from(DISTANCE_EXTRA[symbol]);
            assert_eq!(found.distance_rest(extra), rest, "distance {distance}");
        }
    }

    #[test]
    fn literals_stay_literals() {
        assert_eq!(Token::literal(255).kind(), Kind::Literal(255));
    }
}
