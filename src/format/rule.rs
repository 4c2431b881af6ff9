//! The numbered requirements of `bundle-format.md`.

use std::fmt;

/// A requirement of `bundle-format.md`, by its number: `Rule(10)` is R-10.
///
/// Refusals carry it so that a person can look up the rule that was broken, and so that test
/// vectors can name the refusal that they expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule(pub u8);

impl Rule {
    /// Splits a message that begins with a rule (`R-16: ...`) into the rule and the rest.
    ///
    /// Used for model types, which are parsed inside serde: serde errors are texts, so these
    /// types put the rule at the start of the message.
    pub(super) fn strip(message: &str) -> Option<(Self, &str)> {
        let (number, rest) = message.strip_prefix("R-")?.split_once(": ")?;
        Some((Self(number.parse().ok()?), rest))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "R-{:02}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_found_in_front_of_messages() {
        assert_eq!(Rule::strip("R-16: too long"), Some((Rule(16), "too long")));
        for other in ["too long", "R-16", "R-x: y", "see R-16: y"] {
            assert_eq!(Rule::strip(other), None, "{other}");
        }
        assert_eq!(Rule(4).to_string(), "R-04");
    }
}
