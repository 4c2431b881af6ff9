//! Requests that no honest client sends, and authentication.

use airferry::serve::{Credentials, ServeError, TlsIdentity};
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// Sends a request line unchanged, and returns the whole answer.
async fn raw(registry: &Registry, line: &str) -> String {
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn hostile_names_reach_no_file() {
    let parent = tempfile::tempdir().unwrap();
    let store = parent.path().join("store");
    let registry = Registry::open(&store).await;
    registry.push_image("a", "v1", b"layer").await;
    let hex = digest(b"layer").replace("sha256:", "");
    let before = walk(parent.path());
    for name in [
        "..",
        "../..",
        "a/../../x",
        "%2e%2e",
        "a%2f..%2f..",
        "a%00",
        "_blobs",
        "a/_manifests",
        "a/.",
        "A",
        "a\\..",
        &"a".repeat(256),
        &format!("a/{}", "b/".repeat(200)),
    ] {
        for line in [
            format!("GET /v2/{name}/tags/list"),
            format!("GET /v2/{name}/manifests/v1"),
            format!("GET /v2/{name}/blobs/sha256:{hex}"),
            format!("GET /v2/{name}/referrers/sha256:{hex}"),
            format!("POST /v2/{name}/blobs/uploads/"),
            format!("POST /v2/b/blobs/uploads/?mount=sha256:{hex}&from={name}"),
        ] {
            let answer = raw(&registry, &line).await;
            assert!(answer.starts_with("HTTP/1.1 400"), "{line}: {answer}");
            assert!(answer.contains("NAME_INVALID"), "{line}: {answer}");
        }
    }
    for reference in [
        "..",
        "../v1",
        "%2e%2e",
        "..%2f",
        "sha256:..",
        &"t".repeat(129),
    ] {
        let answer = raw(&registry, &format!("GET /v2/a/manifests/{reference}")).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{reference}: {answer}");
    }
    for digest in [
        "sha256:..",
        "sha256:../../x",
        &hex,
        &format!("sha256:{}", hex.to_uppercase()),
    ] {
        let answer = raw(&registry, &format!("GET /v2/a/blobs/{digest}")).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{digest}: {answer}");
    }
    for path in [
        "/",
        "/etc/passwd",
        "/v2/../../etc/passwd",
        "/v1/",
        "/v2/a",
        "//v2/",
    ] {
        let answer = raw(&registry, &format!("GET {path}")).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{path}: {answer}");
    }
    assert_eq!(walk(parent.path()), before);
    registry.stop().await;
}

/// Returns all paths below a directory, sorted.
fn walk(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = walkdir::WalkDir::new(directory)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn lets_in_only_who_has_the_password() {
    let store = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(store.path());
    options.credentials = Some(Credentials::parse("anna:right").unwrap());
    let registry = Registry::start(options).await;
    for path in ["/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/../x"] {
        let response = registry.get(path).await;
        assert!(header(&response, "www-authenticate").starts_with("Basic realm="));
        refused(response, StatusCode::UNAUTHORIZED, "UNAUTHORIZED").await;
    }
    let with = async |password: &str| {
        let request = registry.request(Method::GET, "/v2/");
        let response = request.basic_auth("anna", Some(password)).send().await;
        response.unwrap().status().as_u16()
    };
    assert_eq!(with("wrong").await, 401);
    assert_eq!(with("right").await, 200);
    registry.stop().await;
}

#[tokio::test]
async fn does_not_listen_to_the_world_unprotected() {
    let store = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let identity = TlsIdentity {
        certificates: key.cert.pem().into_bytes(),
        key: key.signing_key.serialize_pem().into_bytes().into(),
    };
    let world = || {
        let mut options = ServeOptions::new(store.path());
        options.listen = "0.0.0.0:0".parse().unwrap();
        options
    };
    let mut half = world();
    half.tls = Some(identity.clone());
    for options in [world(), half] {
        let refused = Server::bind(options).await.unwrap_err();
        assert!(matches!(refused, ServeError::Exposed { .. }), "{refused:?}");
    }
    let mut both = world();
    both.tls = Some(identity);
    both.credentials = Some(Credentials::parse("anna:right").unwrap());
    let registry = Registry::start(both).await;
    // HTTP/2 as well as HTTP/1.1.
    let port = registry.address.port();
    let request = registry.request(Method::GET, &format!("https://localhost:{port}/v2/"));
    let response = request
        .basic_auth("anna", Some("right"))
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.version(), reqwest::Version::HTTP_2);
    registry.stop().await;
}

#[tokio::test]
async fn a_read_only_registry_changes_nothing() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    registry.push_image("a", "v1", b"layer").await;
    let session = registry.begin("a").await;
    registry.stop().await;
    let before = walk(store.path());

    let mut options = ServeOptions::new(store.path());
    options.read_only = true;
    options.allow_delete = true;
    let registry = Registry::start(options).await;
    assert_eq!(registry.get("/v2/a/manifests/v1").await.status(), 200);
    for (method, path) in [
        (Method::POST, "/v2/a/blobs/uploads/"),
        (Method::PATCH, session.as_str()),
        (Method::DELETE, session.as_str()),
        (Method::PUT, "/v2/a/manifests/v2"),
        (Method::DELETE, "/v2/a/manifests/v1"),
    ] {
        let response = registry
            .request(method, path)
            .body("x")
            .send()
            .await
            .unwrap();
        refused(response, StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED").await;
    }
    registry.stop().await;
    assert_eq!(walk(store.path()), before);
}
