//! `Authorization` headers.

use base64::Engine as _;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::registry::credentials::Secret;

/// An `Authorization` header.
pub(in crate::registry) struct Authorization {
    /// The header's value, marked as sensitive.
    pub(in crate::registry) header: HeaderValue,
    /// True if it was made from credentials; false for anonymous tokens.
    pub(in crate::registry) credentials: bool,
}

/// Makes a Basic header from a user name and a password.
pub(super) fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let plain = Zeroizing::new(format!("{username}:{}", password.expose()));
    let encoded = base64::engine::general_purpose::STANDARD.encode(plain.as_bytes());
    sensitive(&Zeroizing::new(format!("Basic {encoded}")))
}

/// Makes a header value whose `Debug` output hides the text.
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
