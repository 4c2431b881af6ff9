use base64::Engine as _;

use super::*;

/// Returns base64 of `user:NAME`.
fn auth(name: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("user:{name}"))
}

fn parse(texts: &[&str]) -> Result<Credentials, CredentialsError> {
    let files = texts.iter().map(|text| AuthFile {
        name: "auth.json",
        text,
    });
    Credentials::parse(files)
}

async fn password(credentials: &Credentials, repository: &str) -> Option<String> {
    let repository: crate::model::Repository = repository.parse().unwrap();
    match credentials
        .lookup(&repository.host, Some(&repository.path))
        .await
        .unwrap()
    {
        Some(Credential::Password { username, password }) => {
            assert_eq!(username, "user");
            Some(password.expose().to_owned())
        }
        Some(Credential::IdentityToken { token, .. }) => Some(format!("token {}", token.expose())),
        None => None,
    }
}

#[tokio::test]
async fn the_most_specific_key_wins() {
    let text = format!(
        r#"{{"auths":{{
            "quay.io":{{"auth":"{}"}},
            "quay.io/okd":{{"auth":"{}","email":"x"}},
            "quay.io/okd/scos":{{"auth":"{}"}},
            "r.lan:5000":{{"username":"user","password":"plain"}},
            "id.lan":{{"auth":"{}","identitytoken":"long-lived"}},
            "https://legacy.lan/v2/":{{"auth":"{}"}},
            "empty.lan":{{}},
            "https://index.docker.io/v1/":{{"auth":"{}"}}}}}}"#,
        auth("host"),
        auth("ns"),
        auth("repo"),
        auth("ignored"),
        auth("legacy"),
        auth("hub"),
    );
    let credentials = parse(&[&text]).unwrap();
    for (repository, expected) in [
        ("quay.io/okd/scos", Some("repo")),
        ("quay.io/okd/scos/x", Some("repo")),
        ("quay.io/okd/scosx", Some("ns")),
        ("quay.io/okdx/scos", Some("host")),
        ("r.lan:5000/a", Some("plain")),
        ("r.lan/a", None),
        ("id.lan/a", Some("token long-lived")),
        ("legacy.lan/a", Some("legacy")),
        ("empty.lan/a", None),
        ("busybox", Some("hub")),
        ("index.docker.io/library/x", Some("hub")),
    ] {
        let found = password(&credentials, repository).await;
        assert_eq!(found.as_deref(), expected, "{repository}");
    }
}

#[tokio::test]
async fn earlier_files_win_and_empty_ones_do_not_matter() {
    let one = format!(r#"{{"auths":{{"quay.io":{{"auth":"{}"}}}}}}"#, auth("one"));
    let two = format!(
        r#"{{"auths":{{"quay.io/okd":{{"auth":"{0}"}},"r.lan":{{"auth":"{0}"}}}}}}"#,
        auth("two")
    );
    let credentials = parse(&["", "{}", r#"{"auths":null}"#, &one, &two]).unwrap();
    let okd = password(&credentials, "quay.io/okd/x").await;
    assert_eq!(okd.as_deref(), Some("one"));
    let other = password(&credentials, "r.lan/x").await;
    assert_eq!(other.as_deref(), Some("two"));
}

async fn found(credentials: &Credentials, host: &str) -> Result<Option<Credential>, String> {
    let found = credentials.lookup(&host.parse().unwrap(), None).await;
    found.map_err(|error| format!("{error} {error:?}"))
}

#[tokio::test]
async fn an_entry_is_judged_when_its_registry_is_asked() {
    let good = auth("good");
    for odd in [
        r#"{"auth":"bar"}"#,
        r#"{"auth":"dG9rZW4="}"#,
        r#"{"auth":"<REDACTED>"}"#,
        r#"{"auth":5}"#,
        r#"{"auth":"aHVudGVyMg==","auth":"aHVudGVyMg=="}"#,
        r#""hunter2""#,
        "7",
        "[]",
    ] {
        let text = format!(
            r#"{{"auths":{{"odd.lan":{odd},"good.lan":{{"auth":"{good}"}}}},"HttpHeaders":[1]}}"#
        );
        let credentials = parse(&[&text]).unwrap();
        let other = password(&credentials, "good.lan/x").await;
        assert_eq!(other.as_deref(), Some("good"), "{odd}");
        assert_eq!(found(&credentials, "none.lan").await, Ok(None));
        let error = found(&credentials, "odd.lan").await.unwrap_err();
        assert!(
            error.contains("auth.json") && error.contains("odd.lan"),
            "{error}"
        );
        for secret in ["hunter2", "aHVudGVyMg", "dG9rZW4", "REDACTED"] {
            assert!(!error.contains(secret), "{error}");
        }
        // A valid entry in a later file is used.
        let later = format!(r#"{{"auths":{{"odd.lan":{{"auth":"{good}"}}}}}}"#);
        let credentials = parse(&[&text, &later]).unwrap();
        let used = password(&credentials, "odd.lan/x").await;
        assert_eq!(used.as_deref(), Some("good"), "{odd}");
    }
    for empty in ["null", "{}", r#"{"auth":""}"#, r#"{"auth":null,"email":1}"#] {
        let text = format!(r#"{{"auths":{{"odd.lan":{empty}}}}}"#);
        let credentials = parse(&[&text]).unwrap();
        assert_eq!(found(&credentials, "odd.lan").await, Ok(None), "{empty}");
    }
}

#[tokio::test]
async fn a_helper_that_cannot_be_one_is_like_an_entry_that_cannot_be_used() {
    let later = format!(r#"{{"auths":{{"odd.lan":{{"auth":"{}"}}}}}}"#, auth("good"));
    for (helper, expected) in [
        (
            "7",
            "the `credHelpers` value for `odd.lan` is not the name of a helper",
        ),
        (
            r#""../evil""#,
            "`../evil` is not the name of a credential helper",
        ),
    ] {
        let text = format!(r#"{{"credHelpers":{{"odd.lan":{helper},"none.lan":null}}}}"#);
        let credentials = parse(&[&text]).unwrap();
        let error = found(&credentials, "odd.lan").await.unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert_eq!(found(&credentials, "none.lan").await, Ok(None));
        // A valid entry in a later file is used.
        let credentials = parse(&[&text, &later]).unwrap();
        let used = found(&credentials, "odd.lan").await;
        assert!(matches!(used, Ok(Some(_))), "{helper}: {used:?}");
    }
}

/// A helper that fails costs its own file: a valid entry in a later one is used, with a warning,
/// because it may be of another account.
#[tokio::test]
async fn a_failing_helper_does_not_hide_a_valid_entry() {
    let helper = r#"{"credHelpers":{"r.lan":"airferry-does-not-exist"}}"#;
    let later = format!(r#"{{"auths":{{"r.lan":{{"auth":"{}"}}}}}}"#, auth("other"));
    let credentials = parse(&[helper, &later]).unwrap();
    for told in [1, 0] {
        assert_eq!(
            password(&credentials, "r.lan/x").await.as_deref(),
            Some("other")
        );
        let passed = credentials.take_passed_over();
        assert_eq!(passed.len(), told, "{passed:?}");
        assert!(passed.iter().all(|text| text.contains("does-not-exist")));
    }
    let credentials = parse(&[helper, "{}"]).unwrap();
    let error = found(&credentials, "r.lan").await.unwrap_err();
    assert!(error.contains("airferry-does-not-exist"), "{error}");
}

#[tokio::test]
async fn entries_are_read_in_every_spelling() {
    // Bytes that differ between the two alphabets of base64.
    let password_of = "?>?>~~\u{fffd}";
    let standard = auth(password_of);
    assert!(
        standard.contains('/') || standard.contains('+'),
        "{standard}"
    );
    let url_safe = standard.replace('+', "-").replace('/', "_");
    let lines = format!(" {}\\r\\n{}\\n", &standard[..8], &standard[8..]);
    for spelling in [&standard, &url_safe, standard.trim_end_matches('='), &lines] {
        let text = format!("\u{feff}{{\"Auths\":{{\"R.lan\":{{\"Auth\":\"{spelling}\"}}}}}}\r\n");
        let credentials = parse(&[&text]).unwrap();
        let read = password(&credentials, "r.lan/x").await;
        assert_eq!(read.as_deref(), Some(password_of), "{spelling}");
    }
    for key in [
        "r.lan/",
        "https://r.lan",
        "http://r.lan/v1/",
        "https://r.lan/v2/",
    ] {
        let text = format!(r#"{{"auths":{{"{key}":{{"auth":"{}"}}}}}}"#, auth("x"));
        let credentials = parse(&[&text]).unwrap();
        let read = password(&credentials, "r.lan/x").await;
        assert_eq!(read.as_deref(), Some("x"), "{key}");
    }
    let token = r#"{"auths":{"r.lan":{"auth":"","identitytoken":"long"}},"credHelpers":null,"credsStore":null}"#;
    let read = password(&parse(&[token]).unwrap(), "r.lan/x").await;
    assert_eq!(read.as_deref(), Some("token long"));
    let old = format!(r#"{{"r.lan/v1/":{{"auth":"{}"}}}}"#, auth("old"));
    let name = "/home/x/.dockercfg";
    let credentials = Credentials::parse([AuthFile { name, text: &old }]).unwrap();
    let read = password(&credentials, "r.lan/x").await;
    assert_eq!(read.as_deref(), Some("old"));
}

#[tokio::test]
async fn helpers_for_all_registries_are_asked_in_order() {
    let text = format!(r#"{{"auths":{{"r.lan":{{"auth":"{}"}}}}}}"#, auth("file"));
    let missing = "airferry-does-not-exist".to_owned();
    let files = AUTH_FILES.to_owned();
    let with = |helpers: &[String]| parse(&[&text]).unwrap().with_helpers(helpers);
    let both = [missing.clone(), files];
    for helpers in [&[][..], &both[1..], &both[..]] {
        let found = password(&with(helpers), "r.lan/x").await;
        assert_eq!(found.as_deref(), Some("file"), "{helpers:?}");
    }
    let error = found(&with(&[missing]), "r.lan").await.unwrap_err();
    assert!(
        error.contains("docker-credential-airferry-does-not-exist"),
        "{error}"
    );
}

#[test]
fn errors_and_debug_show_no_secret() {
    let secret = auth("hunter2");
    let wrong_map = format!(r#"{{"auths":"{secret}"}}"#);
    let no_json = format!(r#"{{"auths":{{"quay.io":{{"auth":"{secret}"}}"#);
    let no_object = format!(r#"["{secret}"]"#);
    for text in [&wrong_map, &no_json, &no_object] {
        let error = parse(&[text]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("auth.json"), "{shown}");
        assert!(!shown.contains(&secret), "{shown}");
    }
    let good = parse(&[&format!(
        r#"{{"auths":{{"quay.io":{{"auth":"{secret}"}}}}}}"#
    )])
    .unwrap();
    assert_eq!(format!("{good:?}"), r#"["quay.io"]"#);
    let credential = Credential::Password {
        username: "user".to_owned(),
        password: Secret::new("hunter2"),
    };
    assert!(!format!("{credential:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_missing_helper_is_an_error_that_names_it() {
    for text in [
        r#"{"credHelpers":{"quay.io":"airferry-does-not-exist"}}"#,
        r#"{"credsStore":"airferry-does-not-exist"}"#,
    ] {
        let credentials = parse(&[text]).unwrap();
        let error = credentials
            .lookup(&"quay.io".parse().unwrap(), None)
            .await
            .unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains("docker-credential-airferry-does-not-exist"),
            "{shown}"
        );
    }
    let credentials = parse(&[r#"{"credsStore":"../evil"}"#]).unwrap();
    let error = credentials.lookup(&"quay.io".parse().unwrap(), None).await;
    assert!(matches!(error, Err(CredentialsError::HelperName { .. })));
}
