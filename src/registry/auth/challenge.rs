//! The authentication that a registry asks for in a 401 (RFC 9110, 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};
use url::Url;

use crate::registry::redact::one_line;

/// The authentication scheme that a registry asks for.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

/// Returns the challenge to answer: Bearer before Basic. A realm may be relative to the registry.
pub(super) fn preferred_challenge(headers: &HeaderMap, base: &Url) -> Option<Challenge> {
    let mut found = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else {
            continue;
        };
        let text = single_spaced(text);
        let Ok(challenges) = http_auth::parse_challenges(&text) else {
            // Nothing in a challenge for Basic is needed, so a wrong realm does not matter.
            let scheme = text.split(' ').next();
            if scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic")) {
                found = Some(Challenge::Basic);
            }
            continue;
        };
        for challenge in challenges {
            let parameter = |name: &str| {
                let found = challenge.params.iter();
                let mut found = found.filter(|(key, _)| key.eq_ignore_ascii_case(name));
                found.next().map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm = parameter("realm").and_then(|realm| base.join(&realm).ok());
                if let Some(realm) = realm.filter(|r| matches!(r.scheme(), "http" | "https")) {
                    let service = parameter("service");
                    return Some(Challenge::Bearer { realm, service });
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                found = Some(Challenge::Basic);
            }
        }
    }
    found
}

/// Replaces runs of spaces and tabs outside quoted strings by one space. Several are legal after the
/// scheme, and the parser takes one.
fn single_spaced(text: &str) -> String {
    let (mut single, mut quoted, mut escaped) = (String::new(), false, false);
    for c in text.trim().chars() {
        let is_space = !quoted && matches!(c, ' ' | '\t');
        if is_space && single.ends_with(' ') {
            continue;
        }
        single.push(if is_space { ' ' } else { c });
        quoted ^= c == '"' && !escaped;
        escaped = quoted && c == '\\' && !escaped;
    }
    single
}

/// Returns the challenges of a 401, made fit for one line, if none of them is understood.
pub(in crate::registry) fn unknown_challenge(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(WWW_AUTHENTICATE);
    let texts: Vec<String> = values
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    let is_known = |text: &String| {
        let scheme = text.trim_start().split([' ', ',']).next();
        scheme.is_some_and(|scheme| {
            ["basic", "bearer"].contains(&scheme.to_ascii_lowercase().as_str())
        })
    };
    if texts.is_empty() || texts.iter().any(is_known) {
        return None;
    }
    Some(one_line(&texts.join(", "), 80)).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn odd_spellings_are_understood() {
        let base = url("https://r.lan/v2/");
        for (text, expected) in [
            (
                "Bearer   realm=\"https://a.lan/t  x\"",
                Some("https://a.lan/t%20%20x"),
            ),
            ("Basic realm=Some Name", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(text));
            match (preferred_challenge(&headers, &base), expected) {
                (Some(Challenge::Bearer { realm, .. }), Some(expected)) => {
                    assert_eq!(realm.as_str(), expected);
                }
                (Some(Challenge::Basic), None) => {}
                _ => panic!("{text}"),
            }
        }
    }

    #[test]
    fn bearer_is_preferred_and_rubbish_is_skipped() {
        let mut headers = HeaderMap::new();
        let base = url("https://r.lan/v2/");
        assert!(preferred_challenge(&headers, &base).is_none());
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Basic realm=\"x\""),
        );
        assert!(matches!(
            preferred_challenge(&headers, &base),
            Some(Challenge::Basic)
        ));
        headers.append(
            WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=,,\"\\"),
        );
        assert!(matches!(
            preferred_challenge(&headers, &base),
            Some(Challenge::Basic)
        ));
        let bearer = "Bearer realm=\"https://a.lan/t?x=\\\"\",service=\"s,1\",scope=\"y\"";
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static(bearer));
        match preferred_challenge(&headers, &base) {
            Some(Challenge::Bearer { realm, service }) => {
                assert_eq!(realm.as_str(), "https://a.lan/t?x=%22");
                assert_eq!(service.as_deref(), Some("s,1"));
            }
            _ => panic!("Bearer was not preferred"),
        }
    }
}
