//! The reason why an image, or an artifact attached to it, could not be resolved.

use crate::registry;

/// The reason why an image, or an artifact attached to it, could not be resolved.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    /// The reason in one line, for people.
    pub(super) reason: String,
    /// True if a retry may help.
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
    /// Makes a problem of a registry's error. `what`: a clause that names the failed step.
    pub(super) fn of(what: &str, error: &registry::Error) -> Self {
        Self {
            reason: format!("{what}: {}", error.reason()),
            // 501 says that the registry does not implement this, so a retry does not help.
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
