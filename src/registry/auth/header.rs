//! `Authorization` headers.

use base64::Engine as _;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::registry::credentials::Secret;

/// An `Authorization` header.
pub(in crate::registry) struct Authorization {
    /// Marked as sensitive.
    pub(in crate::registry) header: HeaderValue,
    /// Whether credentials are behind it; anonymous tokens have none.
    pub(in crate::registry) credentials: bool,
}

/// Basic: a user and a password.
pub(super) fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let plain = Zeroizing::new(format!("{username}:{}", password.expose()));
    let encoded = base64::engine::general_purpose::STANDARD.encode(plain.as_bytes());
    sensitive(&Zeroizing::new(format!("Basic {encoded}")))
}

/// A header whose `Debug` shows nothing.
pub(super) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_not_shown() {
        let header = basic("user", &Secret::new("hunter2")).unwrap();
        assert_eq!(format!("{header:?}"), "Sensitive");
    }
}
