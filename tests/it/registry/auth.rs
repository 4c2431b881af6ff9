//! Credentials: challenges, tokens, redirects, and the servers that must not get them.

use std::sync::Arc;

use airferry::model::{Host, Tag};
use airferry::registry::{AuthFile, Client, ClientOptions, Credentials, Error, Selector};
use base64::Engine as _;
use bytes::Bytes;

use super::{Events, Memory, client, credentials, digest, noise, options, read, upload};
use crate::support::fake_registry::{Asked, FakeRegistry, Reply};

const MANIFEST: &str = r#"{"config":{},"layers":[]}"#;

fn tag() -> Selector {
    Selector::from(&"t".parse::<Tag>().unwrap())
}

fn client_of(host: &Host) -> Client {
    Client::new(ClientOptions {
        credentials: credentials(host),
        ..options()
    })
}

fn basic() -> String {
    let encoded = base64::engine::general_purpose::STANDARD.encode("user:hunter2");
    format!("Basic {encoded}")
}

/// Returns a 401 that names a token service on the host itself.
fn challenge(asked: &Asked, realm_path: &str) -> Reply {
    let host = asked.header("host").unwrap();
    Reply::error(401, "UNAUTHORIZED").header(
        "www-authenticate",
        format!("Bearer realm=\"http://{host}{realm_path}\",service=\"s\""),
    )
}

fn token(name: &str) -> Reply {
    Reply::new(200).body(format!(r#"{{"token":"{name}","expires_in":300}}"#))
}

#[tokio::test]
async fn tokens_are_fetched_once_for_each_scope() {
    let server = FakeRegistry::start(|asked, _| match asked.path() {
        "/token" => token("T"),
        _ if asked.header("authorization") == Some("Bearer T") => Reply::new(200).body(MANIFEST),
        _ => challenge(asked, "/token"),
    })
    .await;
    let client = client_of(&server.host());
    for _ in 0..3 {
        client
            .manifest(&server.repository("a"), &tag())
            .await
            .unwrap();
    }
    client
        .manifest(&server.repository("b"), &tag())
        .await
        .unwrap();
    let lines = server.lines();
    let expected_token = "GET /token?service=s&scope=repository%3Aa%3Apull&account=user";
    assert_eq!(lines[1], expected_token);
    assert_eq!(
        lines.iter().filter(|line| line.contains("/token")).count(),
        2
    );
    assert_eq!(
        lines.len(),
        1 + 2 + 4,
        "only the first request went without a token"
    );
    assert_eq!(
        server.asked()[1].header("authorization"),
        Some(basic().as_str())
    );
}

#[tokio::test]
async fn many_requests_share_one_token_request() {
    let server = FakeRegistry::start(|asked, _| match asked.path() {
        "/token" => token("T"),
        _ if asked.header("authorization") == Some("Bearer T") => Reply::new(200).body(MANIFEST),
        _ => challenge(asked, "/token"),
    })
    .await;
    let client = client_of(&server.host());
    let repository = server.repository("a");
    let selector = tag();
    let requests = (0..20).map(|_| client.manifest(&repository, &selector));
    for result in futures_util::future::join_all(requests).await {
        result.unwrap();
    }
    let tokens = server
        .lines()
        .iter()
        .filter(|line| line.contains("/token"))
        .count();
    assert_eq!(tokens, 1);
}

#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_blob_is_replaced() {
    let blob = noise(400_000);
    let content = blob.clone();
    let server = FakeRegistry::start(move |asked, number| match asked.path() {
        "/token" => token(if number < 3 { "first" } else { "second" }),
        _ => match asked.header("authorization") {
            Some("Bearer first") if asked.header("range").is_none() => {
                Reply::range(asked, &content).cut_after(150_000)
            }
            Some("Bearer second") => Reply::range(asked, &content),
            _ => challenge(asked, "/token"),
        },
    })
    .await;
    let client = client_of(&server.host());
    let size = u64::try_from(blob.len()).unwrap();
    let download = client
        .blob(&server.repository("a"), digest(&blob), size, 0)
        .await;
    assert!(read(download.unwrap()).await.unwrap() == blob);
    let last = server.asked().pop().unwrap();
    assert_eq!(last.header("authorization"), Some("Bearer second"));
    assert!(last.range_start() > 0);
}

#[tokio::test]
async fn identity_tokens_are_exchanged() {
    let server = FakeRegistry::start(|asked, _| match asked.path() {
        "/token" => Reply::new(200).body(r#"{"access_token":"short","refresh_token":"x"}"#),
        _ if asked.header("authorization") == Some("Bearer short") => {
            Reply::new(200).body(MANIFEST)
        }
        _ => challenge(asked, "/token"),
    })
    .await;
    let text = format!(
        r#"{{"auths":{{"{}":{{"identitytoken":"long lived"}}}}}}"#,
        server.host()
    );
    let name = "auth.json";
    let credentials = Credentials::parse([AuthFile { name, text: &text }]).unwrap();
    let client = Client::new(ClientOptions {
        credentials,
        ..options()
    });
    client
        .manifest(&server.repository("a"), &tag())
        .await
        .unwrap();
    let exchange = &server.asked()[1];
    assert_eq!(exchange.method, http::Method::POST);
    assert_eq!(
        String::from_utf8_lossy(&exchange.body),
        "grant_type=refresh_token&client_id=airferry&service=s\
         &scope=repository%3Aa%3Apull&refresh_token=long+lived"
    );
    assert_eq!(exchange.header("authorization"), None);
}

#[tokio::test]
async fn a_registry_that_wants_a_password_gets_the_one_beside_the_token() {
    let server = FakeRegistry::start(|asked, _| {
        if asked.header("authorization") == Some(basic().as_str()) {
            return Reply::new(200).body(MANIFEST);
        }
        Reply::error(401, "UNAUTHORIZED").header("www-authenticate", "Basic realm=\"r\"".to_owned())
    })
    .await;
    let auth = basic().replace("Basic ", "");
    let text = format!(
        r#"{{"auths":{{"{}":{{"auth":"{auth}","identitytoken":"long lived"}}}}}}"#,
        server.host()
    );
    let name = "auth.json";
    let credentials = Credentials::parse([AuthFile { name, text: &text }]).unwrap();
    let client = Client::new(ClientOptions {
        credentials,
        ..options()
    });
    let read = client.manifest(&server.repository("a"), &tag()).await;
    assert!(read.is_ok(), "{read:?}");
}

#[tokio::test]
async fn uploads_ask_for_the_rights_that_they_need() {
    let server = FakeRegistry::start(|asked, _| match asked.path() {
        "/token" => token("T"),
        _ if asked.header("authorization").is_none() => challenge(asked, "/token"),
        path if path.ends_with("/uploads/") => Reply::new(202).header("location", "/u/1"),
        _ => Reply::new(201),
    })
    .await;
    let client = client_of(&server.host());
    let (repository, blob) = (server.repository("a"), noise(1000));
    let from = "b".parse().unwrap();
    client
        .mount(&repository, digest(&blob), &from)
        .await
        .unwrap();
    let sessions = airferry::registry::MemorySessions::default();
    upload(
        &client,
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await
    .unwrap();
    let lines = server.lines();
    let tokens: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("/token"))
        .collect();
    let push = "scope=repository%3Aa%3Apull%2Cpush";
    assert!(
        tokens[0].contains(&format!("{push}&scope=repository%3Ab%3Apull")),
        "{tokens:?}"
    );
    assert!(tokens[1].contains(&format!("{push}&account")), "{tokens:?}");
}

/// Some registries create a repository when a token to push is requested.
#[tokio::test]
async fn questions_ask_for_the_right_to_pull_until_something_is_written() {
    let server = FakeRegistry::start(|asked, _| match asked.path() {
        "/token" => token("T"),
        _ if asked.header("authorization").is_none() => challenge(asked, "/token"),
        path if path.ends_with("/uploads/") => Reply::new(202).header("location", "/u/1"),
        path if path.starts_with("/u/") => Reply::new(201),
        _ => Reply::error(404, "MANIFEST_UNKNOWN"),
    })
    .await;
    let client = client_of(&server.host());
    let (repository, blob) = (server.repository("a"), noise(1000));
    let ask = async || {
        let head = client.head_manifest(&repository, &tag()).await;
        assert_eq!(head.unwrap(), None);
        let there = client.blob_present(&repository, digest(&blob), 1000).await;
        assert!(!there.unwrap());
        client.referrers(&repository, digest(&blob)).await.unwrap();
        assert!(!client.repository_exists(&repository).await.unwrap());
    };
    let tokens = || -> Vec<String> {
        let lines = server.lines().into_iter();
        lines.filter(|line| line.contains("/token")).collect()
    };
    ask().await;
    assert_eq!(tokens().len(), 1);
    assert!(
        tokens()[0].contains("scope=repository%3Aa%3Apull&"),
        "{:?}",
        tokens()
    );
    let sessions = airferry::registry::MemorySessions::default();
    let source = Memory::new(&blob);
    upload(&client, &repository, digest(&blob), &source, &sessions)
        .await
        .unwrap();
    assert_eq!(tokens().len(), 2);
    assert!(tokens()[1].contains("pull%2Cpush"), "{:?}", tokens());
    ask().await;
    assert_eq!(tokens().len(), 2, "the token that writes reads, too");
}

/// Quay creates the repository when the token is requested, and not all of its servers know it at
/// once.
#[tokio::test]
async fn the_first_upload_may_be_refused_a_few_times() {
    for (refusals, works) in [(1, true), (2, true), (9, false)] {
        let left = std::sync::atomic::AtomicUsize::new(refusals);
        let server = FakeRegistry::start(move |asked, _| match asked.path() {
            "/token" => token("T"),
            _ if asked.header("authorization").is_none() => challenge(asked, "/token"),
            path if path.ends_with("/uploads/") => {
                use std::sync::atomic::Ordering::SeqCst;
                match left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
                    Ok(_) => challenge(asked, "/token"),
                    Err(_) => Reply::new(202).header("location", "/u/1"),
                }
            }
            _ => Reply::new(201),
        })
        .await;
        let client = client_of(&server.host());
        let (repository, blob) = (server.repository("a"), noise(1000));
        let sessions = airferry::registry::MemorySessions::default();
        let source = Memory::new(&blob);
        let sent = upload(&client, &repository, digest(&blob), &source, &sessions).await;
        match sent {
            Ok(_) => assert!(works, "{refusals}"),
            Err(error) => {
                assert!(!works, "{refusals}: {error}");
                assert!(matches!(error, Error::PushRefused { .. }), "{error:?}");
                assert!(error.to_string().contains("may not push to"), "{error}");
                assert!(server.asked().len() < 9, "not for ever");
            }
        }
    }
}

#[tokio::test]
async fn a_refusal_to_push_is_not_about_the_credentials() {
    let server = FakeRegistry::start(|asked, _| {
        if asked.header("authorization").is_none() {
            return Reply::new(401).header("www-authenticate", "Basic realm=\"r\"");
        }
        match asked.path().split('/').nth(2).unwrap() {
            "denied" => Reply::error(403, "DENIED"),
            "empty" => Reply::new(403),
            _ => Reply::error(401, "UNAUTHORIZED").header("www-authenticate", "Basic realm=\"r\""),
        }
    })
    .await;
    let client = client_of(&server.host());
    let from = "x".parse().unwrap();
    for (name, words) in [
        ("unauthorized", "may not push to `127.0.0.1"),
        ("empty", "may not push to `127.0.0.1"),
        ("denied", "said so"),
    ] {
        let (repository, blob) = (server.repository(name), noise(1000));
        let sessions = airferry::registry::MemorySessions::default();
        let source = Memory::new(&blob);
        let uploaded = upload(&client, &repository, digest(&blob), &source, &sessions).await;
        let mounted = client.mount(&repository, digest(&blob), &from).await;
        let manifest = airferry::model::RawManifest {
            digest: digest(b"{}"),
            media_type: airferry::model::MediaType::new("application/x"),
            bytes: b"{}".to_vec(),
        };
        let pushed = client.push_manifest(&repository, &tag(), &manifest).await;
        let errors = [
            uploaded.unwrap_err(),
            mounted.unwrap_err(),
            pushed.unwrap_err(),
        ];
        for error in errors {
            assert!(matches!(error, Error::PushRefused { .. }), "{error:?}");
            assert!(error.to_string().contains(words), "{error}");
            let hint = error.hint().unwrap_or_default();
            assert!(!hint.contains("log in"), "{hint}");
        }
    }
}

#[tokio::test]
async fn a_realm_elsewhere_is_not_given_credentials() {
    let thief = FakeRegistry::start(|_, _| token("T")).await;
    let realm = thief.other_name("/token");
    let server = FakeRegistry::start(move |asked, _| match asked.header("authorization") {
        None => Reply::new(401).header("www-authenticate", format!("Bearer realm=\"{realm}\"")),
        Some(_) => Reply::new(200).body(MANIFEST),
    })
    .await;
    let repository = server.repository("a");
    let refused = client_of(&server.host())
        .manifest(&repository, &tag())
        .await;
    assert!(
        matches!(refused, Err(Error::UntrustedRealm { .. })),
        "{refused:?}"
    );
    assert_eq!(thief.asked().len(), 0);
    // Without credentials, the realm may be on any host.
    client().manifest(&repository, &tag()).await.unwrap();
    assert_eq!(thief.asked()[0].header("authorization"), None);
}

#[tokio::test]
async fn wrong_and_missing_credentials_are_told_apart() {
    let server = FakeRegistry::start(|_, _| {
        Reply::error(401, "UNAUTHORIZED").header("www-authenticate", "Basic realm=\"r\"")
    })
    .await;
    let repository = server.repository("a");
    for (client, given) in [(client(), false), (client_of(&server.host()), true)] {
        match client.manifest(&repository, &tag()).await {
            Err(Error::Unauthorized { credentials, .. }) => assert_eq!(credentials, given),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        server.asked().len(),
        1 + 2,
        "a refusal is not repeated for ever"
    );
}

/// Starts a registry that wants a password and redirects to another host.
async fn with_redirect(to: String) -> FakeRegistry {
    FakeRegistry::start(move |asked, _| match asked.header("authorization") {
        None => Reply::new(401).header("www-authenticate", "Basic realm=\"r\""),
        Some(_) => Reply::new(307).header("location", &to),
    })
    .await
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect() {
    let blob = noise(100_000);
    let content = blob.clone();
    let store = FakeRegistry::start(move |asked, number| match number {
        0 => Reply::range(asked, &content).cut_after(60_000),
        _ => Reply::range(asked, &content),
    })
    .await;
    let server = with_redirect(store.other_name("/data?X-Amz-Signature=SECRET")).await;
    let client = client_of(&server.host());
    let download = client
        .blob(&server.repository("a"), digest(&blob), 100_000, 0)
        .await;
    assert!(read(download.unwrap()).await.unwrap() == blob);
    for asked in store.asked() {
        assert_eq!(asked.header("authorization"), None);
        assert_eq!(asked.target, "/data?X-Amz-Signature=SECRET");
    }
    assert_eq!(
        server.asked().last().unwrap().header("authorization"),
        Some(basic().as_str())
    );
    assert!(store.asked()[1].range_start() > 0, "ranges do follow");
}

#[tokio::test]
async fn credentials_do_not_come_back_through_another_host() {
    // The other host redirects back to a path of its choice.
    let back = Arc::new(std::sync::OnceLock::<String>::new());
    let target = Arc::clone(&back);
    let middle =
        FakeRegistry::start(move |_, _| Reply::new(307).header("location", target.get().unwrap()))
            .await;
    let to = middle.other_name("/x");
    let server = FakeRegistry::start(move |asked, _| match asked.path() {
        "/chosen" => Reply::new(200).body("{}"),
        _ if asked.header("authorization").is_none() => {
            Reply::new(401).header("www-authenticate", "Basic realm=\"r\"")
        }
        _ => Reply::new(307).header("location", &to),
    })
    .await;
    back.set(format!("http://{}/chosen", server.host()))
        .unwrap();
    let client = client_of(&server.host());
    let _ = client
        .blob(&server.repository("a"), digest(b"{}"), 2, 0)
        .await;
    let chosen = server.asked().pop().unwrap();
    assert_eq!(
        (chosen.path(), chosen.header("authorization")),
        ("/chosen", None)
    );
}

#[tokio::test]
async fn a_presigned_url_that_expired_is_asked_for_again_once() {
    let blob = Bytes::from_static(b"blob");
    let content = blob.clone();
    let store = FakeRegistry::start(move |asked, number| match number {
        0 => Reply::new(403).body("<Error>expired SECRET</Error>"),
        1 => Reply::range(asked, &content),
        _ => Reply::new(403),
    })
    .await;
    let server = with_redirect(store.other_name("/data?sig=SECRET")).await;
    let events = Arc::new(Events::default());
    let client = Client::new(ClientOptions {
        credentials: credentials(&server.host()),
        progress: events.clone(),
        ..options()
    });
    let repository = server.repository("a");
    let download = client.blob(&repository, digest(&blob), 4, 0).await.unwrap();
    assert!(read(download).await.unwrap() == blob);
    let error = client
        .blob(&repository, digest(&blob), 4, 0)
        .await
        .unwrap_err();
    assert_eq!(store.asked().len(), 2 + 2);
    assert!(matches!(error, Error::Denied { .. }));
    let shown = format!("{error} {error:?} {}", events.text());
    assert!(
        shown.contains("sig=REDACTED") && !shown.contains("SECRET"),
        "{shown}"
    );
    assert!(!format!("{client:?} {shown}").contains("hunter2"));
}

#[tokio::test]
async fn redirects_end() {
    let server = FakeRegistry::start(|_, _| Reply::new(302).header("location", "/again")).await;
    let error = client()
        .manifest(&server.repository("a"), &tag())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    assert_eq!(server.asked().len(), 6);
    let file = FakeRegistry::start(|_, _| Reply::new(302).header("location", "file:///x")).await;
    let error = client()
        .manifest(&file.repository("a"), &tag())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
}
