//! The error for content that a source registry does not deliver, with the same class and hints
//! for images and catalogs. (Readers of image files tell "not found" from other failures, because
//! a component is looked for in several places.)

use crate::error::{Class, Error};
use crate::registry;

/// Makes the error for a failure of a source registry. `message`: a clause about the content that
/// cannot be read.
///
/// Network failures are [`Class::Network`], wrong bytes are [`Class::VerificationFailed`], and
/// refusals by the registry ("not found" and "not allowed" alike) are [`Class::Incomplete`].
pub(crate) fn of_source(message: impl Into<String>, error: registry::Error) -> Error {
    let (class, next) = match &error {
        registry::Error::DigestMismatch { .. } | registry::Error::SizeMismatch { .. } => {
            (Class::VerificationFailed, None)
        }
        error if error.is_network() => (
            Class::Network,
            Some("run the same command again when the network is back".to_owned()),
        ),
        // Registries also answer "not found" for content that the account may not read.
        registry::Error::NotFound { .. } => (
            Class::Incomplete,
            Some("check the reference and the credentials".to_owned()),
        ),
        _ => (Class::Incomplete, None),
    };
    let hints = error.hint().into_iter().chain(next);
    let hints: Vec<String> = hints.collect();
    let failure = Error::new(class, message).caused_by(error);
    hints.into_iter().fold(failure, Error::hint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;

    #[test]
    fn wrong_bytes_are_no_matter_of_the_network() {
        let error = of_source(
            "X cannot be read",
            registry::Error::DigestMismatch {
                what: "x".to_owned(),
                expected: Digest::from_bytes([1; 32]),
                actual: Digest::from_bytes([2; 32]),
            },
        );
        assert_eq!(error.class(), Class::VerificationFailed);
        assert_eq!(error.hints(), [""; 0]);
        let error = registry::Error::NeitherTlsNorHttp {
            host: "r.lan".to_owned(),
            tls: "refused".to_owned(),
            source: std::sync::Arc::new(registry::Error::Blocked {
                repository: "r.lan/a".to_owned(),
            }),
        };
        let error = of_source("X cannot be read", error);
        assert_eq!(error.class(), Class::Network);
        assert_eq!(error.hints().len(), 1);
    }
}
