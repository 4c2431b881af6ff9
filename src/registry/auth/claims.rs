//! What a Bearer token grants, if it is a JWT that says so (distribution's "Token Authentication
//! Implementation", claim `access`). The signature is not checked: the registry does that, and a
//! wrong claim only leads to wrong advice.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::model::RepositoryPath;

#[derive(Deserialize)]
struct Claims {
    access: Option<Vec<Access>>,
}

#[derive(Deserialize)]
struct Access {
    #[serde(rename = "type")]
    kind: String,
    name: String,
    #[serde(default)]
    actions: Vec<String>,
}

/// Returns whether a token grants `push` in a repository; `None` if it does not say.
pub(super) fn grants_push(token: &str, path: &RepositoryPath) -> Option<bool> {
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let document: serde_json::Value = serde_json::from_slice(&bytes).ok()?;
    // A token without the claim may grant rights in another way.
    document.get("access")?;
    let claims: Claims = serde_json::from_value(document).ok()?;
    let name = path.to_string();
    let granted = claims.access.unwrap_or_default().into_iter().any(|access| {
        let here = access.kind == "repository" && access.name == name;
        here && access.actions.iter().any(|a| a == "push" || a == "*")
    });
    Some(granted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_may_say_what_it_grants() {
        let path: RepositoryPath = "lab/app".parse().unwrap();
        for (claims, expected) in [
            (
                r#"{"access":[{"type":"repository","name":"lab/app","actions":["pull","push"]}]}"#,
                Some(true),
            ),
            (
                r#"{"access":[{"type":"repository","name":"lab/app","actions":["*"]}]}"#,
                Some(true),
            ),
            (
                r#"{"access":[{"type":"repository","name":"lab/app","actions":["pull"]}]}"#,
                Some(false),
            ),
            (
                r#"{"access":[{"type":"repository","name":"lab/b","actions":["push"]}]}"#,
                Some(false),
            ),
            (r#"{"access":[]}"#, Some(false)),
            (r#"{"access":null}"#, Some(false)),
            (r#"{"sub":"robot"}"#, None),
            (r#"{"access":"all"}"#, None),
            ("[1", None),
        ] {
            let token = format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims));
            assert_eq!(grants_push(&token, &path), expected, "{claims}");
        }
        for opaque in ["sha256~abcdef", "", "a.b", "a.%%%.c"] {
            assert_eq!(grants_push(opaque, &path), None, "{opaque}");
        }
    }
}
