//! Parser for the value of `--jobs`, which several commands have for different kinds of jobs.

use std::num::NonZeroUsize;

/// Parses the number of jobs that run at the same time; it must be at least 1.
pub(crate) fn at_least_one(text: &str) -> Result<NonZeroUsize, String> {
    text.parse()
        .map_err(|_| "it has to be a number, and at least 1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_at_least_one_job() {
        assert_eq!(at_least_one("7").map(NonZeroUsize::get), Ok(7));
        for text in ["0", "", "-1", "x"] {
            assert!(at_least_one(text).unwrap_err().contains("at least 1"));
        }
    }
}
