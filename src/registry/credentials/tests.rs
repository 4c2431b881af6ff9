use super::*;

/// base64 of `user:NAME`.
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
        Some(Credential::IdentityToken(token)) => Some(format!("token {}", token.expose())),
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

#[test]
fn errors_and_debug_show_no_secret() {
    let secret = auth("hunter2");
    let wrong_shape = format!(r#"{{"auths":{{"quay.io":{{"auth":["{secret}"]}}}}}}"#);
    let wrong_map = format!(r#"{{"auths":"{secret}"}}"#);
    let wrong_base64 = format!(r#"{{"auths":{{"quay.io":{{"auth":"{secret}!"}}}}}}"#);
    let no_colon = r#"{"auths":{"quay.io":{"auth":"aHVudGVyMg=="}}}"#;
    for text in [&wrong_shape, &wrong_map, &wrong_base64, no_colon] {
        let error = parse(&[text]).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("auth.json"), "{shown}");
        assert!(!shown.contains(&secret), "{shown}");
        assert!(
            !shown.contains("hunter2") && !shown.contains("aHVudGVyMg"),
            "{shown}"
        );
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
