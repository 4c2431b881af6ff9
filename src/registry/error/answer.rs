//! A registry's error answer, parsed.

use std::fmt;

use serde::Deserialize;

use crate::model::Digest;
use crate::registry::redact::{one_line, without_credentials};

/// Bytes of a plain text that may be shown as the reason.
const LONGEST_TEXT: usize = 200;

/// A registry's error answer: the HTTP status and, if the body has one, the first error of the
/// OCI error document (distribution-spec, "Error Codes").
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Error code, upper case, for example `MANIFEST_UNKNOWN`.
    pub code: Option<String>,
    /// The registry's message, made fit for one line.
    pub message: Option<String>,
    /// Digests that the error's detail names (missing blobs and manifests).
    pub digests: Vec<Digest>,
}

#[derive(Deserialize)]
struct ErrorDocument {
    errors: Vec<ErrorEntry>,
}

#[derive(Deserialize)]
struct ErrorEntry {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    detail: serde_json::Value,
}

impl Answer {
    /// Reads the body of an error response. Of a page or a text that is not an OCI error document,
    /// the title or the text itself is the message.
    pub(crate) fn new(status: u16, body: &[u8]) -> Box<Self> {
        let mut answer = Box::new(Self {
            status,
            code: None,
            message: None,
            digests: Vec::new(),
        });
        let Ok(document) = serde_json::from_slice::<ErrorDocument>(body) else {
            answer.message = words_of(body).map(|words| without_credentials(&words));
            return answer;
        };
        for entry in &document.errors {
            // distribution names the digest in `detail` itself or in `detail.digest`.
            for text in [&entry.detail, &entry.detail["digest"]] {
                if let Some(digest) = text.as_str().and_then(|text| text.parse().ok()) {
                    answer.digests.push(digest);
                }
            }
        }
        if let Some(first) = document.errors.into_iter().next() {
            let code = one_line(&first.code, 40).to_ascii_uppercase();
            answer.code = Some(code).filter(|code| !code.is_empty());
            let mut words = one_line(&first.message.unwrap_or_default(), 200);
            // Some registries give the reason only in the detail.
            if let Some(detail) = detail_text(&first.detail).filter(|text| !words.contains(text)) {
                let separator = if words.is_empty() { "" } else { ": " };
                words = format!("{words}{separator}{detail}");
            }
            answer.message = Some(without_credentials(&words)).filter(|words| !words.is_empty());
        }
        answer
    }

    /// True if the registry answers that it gets too many requests. Some give only the code, with
    /// another status.
    pub(crate) fn is_too_many(&self) -> bool {
        self.status == 429 || self.is("TOOMANYREQUESTS")
    }

    /// True if the first error has this code.
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

/// Returns the title of an HTML page, or a short plain text. Proxies and load balancers answer
/// with these. Returns `None` for anything else.
fn words_of(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let start = text.trim_start_matches('\u{feff}');
    let is_document = start.starts_with(['<', '{', '[']);
    let words = match is_document {
        false => text,
        true => {
            let lower = text.to_ascii_lowercase();
            let begin = lower.find("<title")?;
            let begin = begin + lower.get(begin..)?.find('>')? + 1;
            let end = begin + lower.get(begin..)?.find("</title")?;
            text.get(begin..end)?
        }
    };
    let fits = !words.is_empty() && (is_document || words.len() <= LONGEST_TEXT);
    fits.then(|| one_line(words, LONGEST_TEXT))
        .filter(|words| !words.is_empty())
}

/// Returns the text of a detail: the detail itself, or its `message` or `reason`. A digest is not
/// a reason.
fn detail_text(detail: &serde_json::Value) -> Option<String> {
    let texts = [detail, &detail["message"], &detail["reason"]];
    let text = texts.into_iter().find_map(serde_json::Value::as_str)?;
    if text.parse::<Digest>().is_ok() {
        return None;
    }
    Some(one_line(text, 300)).filter(|text| !text.is_empty())
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        if let Some(code) = &self.code {
            write!(f, " {code}")?;
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_may_be_in_the_detail_alone() {
        for (detail, expected) in [
            (
                r#"{"message":"'history' is required"}"#,
                "m: 'history' is required",
            ),
            (r#""layers: got 0, want 1""#, "m: layers: got 0, want 1"),
            (r#""m""#, "m"),
            (r#"[{"Type":"repository"}]"#, "m"),
            ("null", "m"),
        ] {
            let body = format!(
                r#"{{"errors":[{{"code":"MANIFEST_INVALID","message":"m","detail":{detail}}}]}}"#
            );
            let answer = Answer::new(400, body.as_bytes());
            assert_eq!(answer.message.as_deref(), Some(expected), "{detail}");
        }
    }

    #[test]
    fn credentials_that_a_server_repeats_are_not_shown() {
        let detail = r#"{"errors":[{"code":"DENIED","message":"waf","detail":"Authorization: Basic bWlycm9yOnMz x"}]}"#;
        for (body, expected) in [
            (detail, "waf: Authorization: Basic REDACTED x"),
            (
                "header \"Bearer eyJhbGciOi.J9\" refused",
                "header \"Bearer REDACTED refused",
            ),
            ("use basic authentication", "use basic authentication"),
        ] {
            let answer = Answer::new(403, body.as_bytes());
            assert_eq!(answer.message.as_deref(), Some(expected));
        }
    }

    #[test]
    fn pages_and_texts_have_words_too() {
        for (body, expected) in [
            (
                "<html><head><TITLE>413 Request\n Entity Too Large</title></head>",
                Some("413 Request Entity Too Large"),
            ),
            (
                "<!DOCTYPE html><title lang=\"en\">Sign in</title>",
                Some("Sign in"),
            ),
            ("404 page not found\n", Some("404 page not found")),
            ("<html><title></title>", None),
            ("<html><title>cut", None),
            ("<Error><Code>AccessDenied</Code></Error>", None),
            (r#"{"message":"x"}"#, None),
            ("", None),
        ] {
            let answer = Answer::new(502, body.as_bytes());
            assert_eq!(answer.message.as_deref(), expected, "{body}");
        }
        let long = "x".repeat(LONGEST_TEXT + 1);
        assert_eq!(Answer::new(502, long.as_bytes()).message, None);
        assert_eq!(Answer::new(502, b"\xff\xfe").message, None);
    }

    #[test]
    fn details_name_what_is_missing() {
        let digest = format!("sha256:{}", "1a".repeat(32));
        for detail in [
            format!(r#""{digest}""#),
            format!(r#"{{"digest":"{digest}"}}"#),
        ] {
            let body = format!(r#"{{"errors":[{{"code":"BLOB_UNKNOWN","detail":{detail}}}]}}"#);
            let answer = Answer::new(404, body.as_bytes());
            assert_eq!(answer.digests, [digest.parse().unwrap()]);
        }
    }
}
