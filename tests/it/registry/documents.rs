//! Documents of ordinary web servers.

use airferry::registry::{CertificateStore, Client, ClientOptions, DocumentRequest, Error};
use url::Url;

use super::{client, credentials, options};
use crate::support::fake_registry::{FakeRegistry, Reply};

fn at(server: &FakeRegistry, scheme: &str, path: &str) -> Url {
    format!("{scheme}://{}{path}", server.host())
        .parse()
        .unwrap()
}

async fn fetch(client: &Client, url: &Url) -> Result<Option<Vec<u8>>, Error> {
    let request = DocumentRequest {
        url,
        accept: Some("application/json"),
        limit: 100,
        has_alternative: false,
    };
    client.document(request).await
}

#[tokio::test]
async fn a_document_is_fetched_without_credentials() {
    let server = FakeRegistry::start(|_, _| Reply::new(200).body("text")).await;
    let client = Client::new(ClientOptions {
        credentials: credentials(&server.host()),
        ..options()
    });
    let url = at(&server, "http", "/graph?channel=stable-4.13&arch=amd64");
    assert_eq!(fetch(&client, &url).await.unwrap().unwrap(), b"text");
    let asked = server.asked();
    assert_eq!(asked[0].target, "/graph?channel=stable-4.13&arch=amd64");
    assert_eq!(asked[0].header("accept"), Some("application/json"));
    assert_eq!(asked[0].header("authorization"), None);
}

#[tokio::test]
async fn not_found_is_an_answer_and_other_statuses_are_not() {
    let server = FakeRegistry::start(|asked, _| match asked.path() {
        "/none" => Reply::new(404),
        // The server wants a login, but documents are never requested with credentials.
        "/who" => Reply::new(401).header("www-authenticate", "Basic realm=\"x\""),
        _ => Reply::new(403),
    })
    .await;
    let client = Client::new(ClientOptions {
        credentials: credentials(&server.host()),
        ..options()
    });
    assert_eq!(
        fetch(&client, &at(&server, "http", "/none")).await.unwrap(),
        None
    );
    for (path, expected) in [("/who", 401), ("/denied", 403)] {
        let error = fetch(&client, &at(&server, "http", path))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Status { status, .. } if status == expected));
        assert!(!error.is_network());
    }
    assert_eq!(server.asked().len(), 3, "none of them is tried again");
}

#[tokio::test]
async fn faults_are_tried_again_within_the_budget() {
    let server = FakeRegistry::start(|asked, number| match (asked.path(), number) {
        ("/down", _) => Reply::new(503),
        (_, 0) => Reply::new(502),
        (_, 1) => Reply::new(200).header("content-length", 4).cut_after(0),
        _ => Reply::new(200).body("text"),
    })
    .await;
    let url = at(&server, "http", "/flaky");
    assert_eq!(fetch(&client(), &url).await.unwrap().unwrap(), b"text");
    let down = at(&server, "http", "/down");
    let error = fetch(&client(), &down).await.unwrap_err();
    assert!(matches!(error, Error::Status { status: 503, .. }));
    assert!(error.is_network());
    assert_eq!(server.asked().len(), 3 + 3);
    let hurried = DocumentRequest {
        url: &down,
        accept: None,
        limit: 100,
        has_alternative: true,
    };
    assert!(client().document(hurried).await.is_err());
    assert_eq!(server.asked().len(), 6 + 2, "another place can be asked");
}

#[tokio::test]
async fn no_more_than_the_limit_is_read() {
    let server = FakeRegistry::start(|asked, _| match asked.path() {
        "/exact" => Reply::new(200).body(vec![b'x'; 100]),
        // Without a length, and without an end.
        _ => Reply::new(200).body(vec![b'x'; 5000]).stall_after(101),
    })
    .await;
    let exact = fetch(&client(), &at(&server, "http", "/exact")).await;
    assert_eq!(exact.unwrap().unwrap().len(), 100);
    let error = fetch(&client(), &at(&server, "http", "/endless"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::TooLong { limit: 100, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn redirects_are_few_and_never_away_from_tls() {
    let plain = FakeRegistry::start(|asked, _| match asked.path() {
        "/hop" => Reply::new(302).header("location", "/there"),
        "/there" => Reply::new(200).body("text"),
        "/file" => Reply::new(302).header("location", "file:///etc/passwd"),
        _ => Reply::new(302).header("location", "/loop"),
    })
    .await;
    let hop = at(&plain, "http", "/hop");
    assert_eq!(fetch(&client(), &hop).await.unwrap().unwrap(), b"text");
    for path in ["/loop", "/file"] {
        let error = fetch(&client(), &at(&plain, "http", path))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Protocol { .. }), "{path}: {error}");
    }
    let away = at(&plain, "http", "/there");
    let tls = FakeRegistry::start_tls(move |_, _| Reply::new(302).header("location", &away)).await;
    let mut certificates = CertificateStore::default();
    certificates.roots.push(tls.ca_pem.clone().into_bytes());
    // `tls_verify: false` for registries does not apply here.
    let trusting = Client::new(ClientOptions {
        certificates,
        ..options()
    });
    let error = fetch(&trusting, &at(&tls, "https", "/")).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}

#[tokio::test]
async fn tls_is_always_verified() {
    let tls = FakeRegistry::start_tls(|_, _| Reply::new(200).body("text")).await;
    let error = fetch(&client(), &at(&tls, "https", "/")).await.unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error}");
    assert_eq!(tls.asked().len(), 0);
}

#[tokio::test]
async fn only_web_addresses_are_fetched() {
    let url = "file:///etc/passwd".parse().unwrap();
    let error = fetch(&client(), &url).await.unwrap_err();
    assert!(matches!(error, Error::Protocol { .. }), "{error}");
}
