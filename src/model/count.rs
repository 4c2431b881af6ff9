//! A number with its noun, for messages: `1 chunk`, `2 chunks`.

use std::fmt;

/// A number with its noun; displayed as `1 chunk` or `2 chunks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    number: u64,
    noun: &'static str,
}

impl Count {
    /// Pairs a number with a noun in the singular. The plural must be regular.
    pub fn of(number: impl TryInto<u64>, noun: &'static str) -> Self {
        let number = number.try_into().unwrap_or(u64::MAX);
        Self { number, noun }
    }

    /// Returns the verb that goes with the number: `is` or `are`.
    pub fn is(&self) -> &'static str {
        if self.number == 1 { "is" } else { "are" }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, noun } = self;
        let ending = match noun.ends_with('x') {
            _ if *number == 1 => "",
            true => "es",
            false => "s",
        };
        write!(f, "{number} {noun}{ending}")
    }
}

/// True for a count of zero; used to leave such fields out of reports.
pub(crate) fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_no_things() {
        for (number, noun, text, verb) in [
            (0_usize, "chunk", "0 chunks", "are"),
            (1, "chunk", "1 chunk", "is"),
            (2, "chunk", "2 chunks", "are"),
            (1, "index", "1 index", "is"),
            (3, "index", "3 indexes", "are"),
        ] {
            let count = Count::of(number, noun);
            assert_eq!((count.to_string().as_str(), count.is()), (text, verb));
        }
    }
}
