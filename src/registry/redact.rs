//! Makes text safe to show: URLs without their secrets, and text from the network on one line.

use std::fmt;

use url::Url;

use crate::model::is_deceptive;

/// Query parameters whose values are not secret. Any other parameter may be part of a presigned
/// request or of an upload's state.
const SHOWN: [&str; 9] = [
    "arch", "channel", "digest", "from", "last", "mount", "n", "scope", "service",
];

/// Replaces what follows `Basic` or `Bearer` in a text by `REDACTED`: some servers and proxies
/// repeat the request's header in their errors. Ordinary words (`basic authentication`) stay.
pub(super) fn without_credentials(text: &str) -> String {
    let is_word = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '.');
    let mut after_scheme = false;
    let words = text.split(' ').map(|word| {
        let hidden = after_scheme && !is_word(word);
        let lower = word.to_ascii_lowercase();
        after_scheme = lower.ends_with("basic") || lower.ends_with("bearer");
        if hidden { "REDACTED" } else { word }
    });
    words.collect::<Vec<&str>>().join(" ")
}

/// A URL that is safe to show: without user information, and with `REDACTED` for the values of
/// query parameters that are not known to be harmless.
#[derive(Clone, PartialEq, Eq)]
pub struct RedactedUrl(String);

impl RedactedUrl {
    /// Makes a URL from scheme and authority, for hosts that cannot be parsed as part of a URL.
    pub(super) fn of_authority(scheme: &str, authority: &str) -> Self {
        Self(one_line(&format!("{scheme}://{authority}/"), 400))
    }

    /// Returns `scheme://host[:port]/`.
    pub(super) fn of_host(&self) -> String {
        let scheme = self
            .0
            .split_once("://")
            .map_or("https", |(scheme, _)| scheme);
        format!("{scheme}://{}/", self.authority().unwrap_or_default())
    }

    /// Returns `host[:port]`; the port is left out where the scheme implies it.
    pub(super) fn authority(&self) -> Option<&str> {
        let (_, rest) = self.0.split_once("://")?;
        rest.split('/').next()
    }
}

impl From<&Url> for RedactedUrl {
    fn from(url: &Url) -> Self {
        let mut text = format!("{}://", url.scheme());
        text.push_str(url.host_str().unwrap_or(""));
        if let Some(port) = url.port() {
            text.push_str(&format!(":{port}"));
        }
        text.push_str(url.path());
        for (number, (name, value)) in url.query_pairs().enumerate() {
            let separator = if number == 0 { '?' } else { '&' };
            let shown = if SHOWN.contains(&name.as_ref()) {
                value.as_ref()
            } else {
                "REDACTED"
            };
            text.push(separator);
            text.push_str(&format!("{name}={shown}"));
        }
        Self(one_line(&text, 400))
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes text from the network fit for one line of output: control and bidirectional characters
/// become `?`, runs of white space become one space, at most `limit` characters are kept.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
            length += 1;
        }
        for c in word.chars() {
            if length >= limit {
                line.push_str("...");
                return line;
            }
            line.push(if is_deceptive(c) { '?' } else { c });
            length += 1;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_lose_passwords_signatures_and_upload_states() {
        let url: Url = "https://user:pass@cdn.example:8443/v2/a/blobs/uploads/1?\
                        _state=SECRET&X-Amz-Signature=SIGNED&digest=sha256:00&service=s"
            .parse()
            .unwrap();
        assert_eq!(
            RedactedUrl::from(&url).to_string(),
            "https://cdn.example:8443/v2/a/blobs/uploads/1?_state=REDACTED\
             &X-Amz-Signature=REDACTED&digest=sha256:00&service=s"
        );
        assert_eq!(
            format!("{:?}", RedactedUrl::from(&url)),
            RedactedUrl::from(&url).to_string()
        );
    }

    #[test]
    fn strangers_text_is_one_short_line() {
        assert_eq!(one_line("a\n\tb  c\u{1b}[1m\u{202e}", 100), "a b c?[1m?");
        assert_eq!(one_line("abcdef", 3), "abc...");
        assert_eq!(one_line("abc", 3), "abc");
    }
}
