//! Why an image, or what belongs to it, cannot be had.

use crate::error::chain;
use crate::registry;

/// Why an image, or what belongs to it, cannot be had.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// In one line for people.
    pub(super) reason: String,
    /// Whether asking again may help.
    pub(super) is_passing: bool,
}

impl From<String> for Problem {
    fn from(reason: String) -> Self {
        Self {
            reason,
            is_passing: false,
        }
    }
}

impl Problem {
    /// What a registry, or the way to it, is the reason of. `what`: a clause.
    pub(super) fn of(what: &str, error: &registry::Error) -> Self {
        Self {
            reason: format!("{what}: {}", chain(error)),
            // 501 says that there is no such thing, which does not pass.
            is_passing: error.is_network()
                && error.answer().is_none_or(|answer| answer.status != 501),
        }
    }

    pub(super) fn within(self, what: &str) -> Self {
        Self {
            reason: format!("{what}: {}", self.reason),
            ..self
        }
    }
}
