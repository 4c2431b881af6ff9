//! Uploads: chunks, ranges, interruptions, races.

use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

async fn offset(registry: &Registry, session: &str) -> u64 {
    let response = registry.get(session).await;
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    let range = header(&response, "range");
    let last: u64 = range.strip_prefix("0-").unwrap().parse().unwrap();
    if last == 0 { 0 } else { last + 1 }
}

async fn until_offset(registry: &Registry, session: &str, wanted: u64) {
    while offset(registry, session).await < wanted {
        tokio::task::yield_now().await;
    }
}

/// Begins a PATCH of `length` bytes on a new connection, and sends only `bytes`.
async fn half_a_patch(
    registry: &Registry,
    session: &str,
    length: usize,
    bytes: &[u8],
) -> TcpStream {
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let head = format!(
        "PATCH {session} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

#[tokio::test]
async fn takes_a_blob_in_chunks() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let blob = noise(3_000_000);
    let digest = digest(&blob);
    let session = registry.begin("a/b").await;

    let first = registry
        .patch(&session, Some("0-999999"), &blob[..1_000_000])
        .await;
    assert_eq!(first.status(), StatusCode::ACCEPTED);
    assert_eq!(header(&first, "range"), "0-999999");
    // Without a Content-Range the chunk is appended.
    let second = registry
        .patch(&session, None, &blob[1_000_000..2_000_000])
        .await;
    assert_eq!(header(&second, "range"), "0-1999999");
    // Not visible before it is finished.
    let path = format!("/v2/a/b/blobs/{digest}");
    refused(
        registry.get(&path).await,
        StatusCode::NOT_FOUND,
        "BLOB_UNKNOWN",
    )
    .await;

    let last = registry.finish(&session, &digest, &blob[2_000_000..]).await;
    assert_eq!(last.status(), StatusCode::CREATED);
    assert_eq!(header(&last, "location"), path);
    assert_eq!(header(&last, "docker-content-digest"), digest);
    assert_eq!(registry.get(&path).await.bytes().await.unwrap(), blob);
    let over = registry.get(&session).await;
    refused(over, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN").await;
    registry.stop().await;
}

#[tokio::test]
async fn refuses_wrong_ranges_and_says_the_right_one() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let session = registry.begin("a").await;
    assert_eq!(
        registry.patch(&session, None, b"0123456789").await.status(),
        202
    );
    for range in ["0-4", "11-15", "9-13", "5-1"] {
        let response = registry.patch(&session, Some(range), b"abcde").await;
        assert_eq!(header(&response, "range"), "0-9", "{range}");
        assert_eq!(header(&response, "location"), session);
        refused(
            response,
            StatusCode::RANGE_NOT_SATISFIABLE,
            "BLOB_UPLOAD_INVALID",
        )
        .await;
    }
    for range in ["10-19", "10-11"] {
        let response = registry.patch(&session, Some(range), b"abcde").await;
        refused(response, StatusCode::BAD_REQUEST, "SIZE_INVALID").await;
    }
    let malformed = registry
        .patch(&session, Some("bytes 10-14/15"), b"abcde")
        .await;
    refused(malformed, StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID").await;
    assert_eq!(offset(&registry, &session).await, 10);

    let good = registry.finish(&session, &digest(b"0123456789"), b"").await;
    assert_eq!(good.status(), StatusCode::CREATED);
    registry.stop().await;
}

#[tokio::test]
async fn a_body_longer_than_its_content_range_leaves_no_trace() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let session = registry.begin("a").await;
    registry.patch(&session, None, b"01").await;
    for (range, body) in [("2-3", "2345"), ("2-9", "2345")] {
        // Chunked, so that the server must count the bytes.
        let mut stream = TcpStream::connect(registry.address).await.unwrap();
        let request = format!(
            "PATCH {session} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Range: {range}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains("SIZE_INVALID"), "{answer}");
        assert_eq!(offset(&registry, &session).await, 2);
    }
    let good = registry.finish(&session, &digest(b"0123"), b"23").await;
    assert_eq!(good.status(), StatusCode::CREATED);
    registry.stop().await;
}

#[tokio::test]
async fn a_wrong_digest_makes_nothing_visible() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let wrong = digest(b"something else");
    let path = format!("/v2/a/blobs/uploads/?digest={wrong}");
    let request = registry.request(Method::POST, &path).body("content");
    refused(
        request.send().await.unwrap(),
        StatusCode::BAD_REQUEST,
        "DIGEST_INVALID",
    )
    .await;

    let session = registry.begin("a").await;
    registry.patch(&session, None, b"content").await;
    let response = registry.finish(&session, &wrong, b"").await;
    refused(response, StatusCode::BAD_REQUEST, "DIGEST_INVALID").await;
    for digest in [&wrong, &digest(b"content")] {
        let response = registry.get(&format!("/v2/a/blobs/{digest}")).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
    }
    let unsupported = registry
        .finish(&registry.begin("a").await, "sha512:00", b"")
        .await;
    refused(unsupported, StatusCode::BAD_REQUEST, "DIGEST_INVALID").await;
    registry.stop().await;
}

#[tokio::test]
async fn keeps_what_arrived_before_the_connection_was_cut() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let blob = noise(5_000_000);
    let session = registry.begin("a").await;
    let cut = half_a_patch(&registry, &session, blob.len(), &blob[..3_100_000]).await;
    drop(cut);
    until_offset(&registry, &session, 3_100_000).await;
    let rest = registry
        .patch(&session, Some("3100000-4999999"), &blob[3_100_000..])
        .await;
    assert_eq!(rest.status(), StatusCode::ACCEPTED);
    let done = registry.finish(&session, &digest(&blob), b"").await;
    assert_eq!(done.status(), StatusCode::CREATED);
    registry.stop().await;
}

#[tokio::test]
async fn a_stuck_request_does_not_block_the_next_one() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let blob = noise(4 << 20);
    let session = registry.begin("a").await;
    // Sends nothing after two batches, but keeps its connection.
    let mut stuck = half_a_patch(&registry, &session, blob.len(), &blob[..2 << 20]).await;
    until_offset(&registry, &session, 2 << 20).await;
    let range = format!("{}-{}", 2 << 20, blob.len() - 1);
    let rest = registry
        .patch(&session, Some(&range), &blob[2 << 20..])
        .await;
    assert_eq!(rest.status(), StatusCode::ACCEPTED);
    // When it sends more, it is refused, whatever it sends.
    stuck.write_all(&vec![0; 2 << 20]).await.unwrap();
    let mut answer = Vec::new();
    stuck.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 400"));
    let done = registry.finish(&session, &digest(&blob), b"").await;
    assert_eq!(done.status(), StatusCode::CREATED);
    registry.stop().await;
}

#[tokio::test]
async fn eight_tasks_push_the_same_blob() {
    let store = tempfile::tempdir().unwrap();
    let registry = std::sync::Arc::new(Registry::open(store.path()).await);
    let blob = noise(2_500_000);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8 {
        let (registry, blob) = (std::sync::Arc::clone(&registry), blob.clone());
        tasks.spawn(async move {
            let repository = format!("team{}/app", task % 2);
            let digest = registry.push_blob(&repository, &blob).await;
            let path = format!("/v2/{repository}/blobs/{digest}");
            assert_eq!(registry.get(&path).await.bytes().await.unwrap(), blob);
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
    std::sync::Arc::into_inner(registry).unwrap().stop().await;
    let hex = digest(&blob).replace("sha256:", "");
    let data = store.path().join("blobs/sha256").join(&hex[..2]);
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 1);
    assert_eq!(
        std::fs::read_dir(store.path().join("tmp")).unwrap().count(),
        0
    );
}

#[tokio::test]
async fn a_session_ends_when_it_is_cancelled_and_belongs_to_its_repository() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let session = registry.begin("a").await;
    let elsewhere = session.replace("/v2/a/", "/v2/b/");
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let response = registry
            .request(method, &elsewhere)
            .body("x")
            .send()
            .await
            .unwrap();
        refused(response, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN").await;
    }
    let cancelled = registry
        .request(Method::DELETE, &session)
        .send()
        .await
        .unwrap();
    assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
    let response = registry.patch(&session, None, b"x").await;
    refused(response, StatusCode::NOT_FOUND, "BLOB_UPLOAD_UNKNOWN").await;
    registry.stop().await;
}

#[tokio::test]
async fn a_blob_may_not_exceed_the_limit() {
    let store = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(store.path());
    options.max_blob = 10;
    let registry = Registry::start(options).await;
    registry.push_blob("a", b"0123456789").await;
    let session = registry.begin("a").await;
    assert_eq!(
        registry.patch(&session, None, b"01234567").await.status(),
        202
    );
    let response = registry.patch(&session, None, b"890").await;
    refused(response, StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID").await;
    assert_eq!(offset(&registry, &session).await, 8);
    // Without a declared length the server must count the bytes.
    let mut stream = TcpStream::connect(registry.address).await.unwrap();
    let request = format!(
        "PATCH {session} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\n890\r\n0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert_eq!(offset(&registry, &session).await, 8);
    registry.stop().await;
}

#[tokio::test]
async fn a_mount_needs_a_repository_that_shows_the_blob() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let digest = registry.push_blob("secret/team", b"layer").await;
    let head = |name: &str| format!("/v2/{name}/blobs/{digest}");
    // Knowledge of the digest is not enough.
    refused(
        registry.get(&head("other")).await,
        StatusCode::NOT_FOUND,
        "BLOB_UNKNOWN",
    )
    .await;
    for query in [
        format!("mount={digest}"),
        format!("mount={digest}&from=nobody"),
    ] {
        let path = format!("/v2/other/blobs/uploads/?{query}");
        let response = registry.request(Method::POST, &path).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::ACCEPTED, "{query}");
        assert_eq!(registry.get(&head("other")).await.status(), 404);
    }
    let path = format!("/v2/other/blobs/uploads/?mount={digest}&from=secret/team");
    let response = registry.request(Method::POST, &path).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::CREATED);
    assert_eq!(header(&response, "location"), head("other"));
    assert_eq!(
        registry.get(&head("other")).await.bytes().await.unwrap(),
        "layer"
    );
    registry.stop().await;
}

#[tokio::test]
async fn a_client_in_full_flow_gets_to_read_the_refusal() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let session = format!("/v2/a/blobs/uploads/{}", "0".repeat(32));
    let body = noise(16 << 20);
    let mut stream = half_a_patch(&registry, &session, body.len(), &body).await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert!(answer.contains("BLOB_UPLOAD_UNKNOWN"), "{answer}");
    registry.stop().await;
}
