//! Manifests, blobs and lists, as the registry's clients get them.

use reqwest::Method;

use super::*;

#[tokio::test]
async fn gives_ranges_of_a_blob() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let blob = noise(700_000);
    let digest = registry.push_blob("a", &blob).await;
    let path = format!("/v2/a/blobs/{digest}");
    let head = registry.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(header(&head, "content-length"), "700000");
    assert_eq!(header(&head, "docker-content-digest"), digest);
    assert_eq!(header(&head, "accept-ranges"), "bytes");
    for (range, from, to) in [
        ("bytes=0-0", 0, 1),
        ("bytes=300000-", 300_000, 700_000),
        ("bytes=-1", 699_999, 700_000),
        ("bytes=5-600000", 5, 600_001),
    ] {
        let request = registry.request(Method::GET, &path).header("range", range);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let expected = format!("bytes {from}-{}/700000", to - 1);
        assert_eq!(header(&response, "content-range"), expected);
        assert_eq!(response.bytes().await.unwrap(), blob[from..to], "{range}");
    }
    let request = registry
        .request(Method::GET, &path)
        .header("range", "bytes=700000-");
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(header(&response, "content-range"), "bytes */700000");
    registry.stop().await;
}

#[tokio::test]
async fn keeps_manifests_verbatim() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    registry.push_blob("a", b"{}").await;
    registry.push_blob("a", b"layer").await;
    // Formatted as no program would write it.
    let manifest = format!("{:#}\n\n ", image(b"{}", b"layer"));
    let response = registry
        .put_manifest("a", "v1", OCI_MANIFEST, manifest.as_bytes())
        .await;
    assert_eq!(response.status(), StatusCode::CREATED);
    let digest = digest(manifest.as_bytes());
    assert_eq!(header(&response, "docker-content-digest"), digest);
    assert_eq!(
        header(&response, "location"),
        format!("/v2/a/manifests/{digest}")
    );
    for reference in ["v1", &digest] {
        let path = format!("/v2/a/manifests/{reference}");
        let head = registry.request(Method::HEAD, &path).send().await.unwrap();
        assert_eq!(header(&head, "content-length"), manifest.len().to_string());
        let response = registry.get(&path).await;
        assert_eq!(header(&response, "content-type"), OCI_MANIFEST);
        assert_eq!(header(&response, "docker-content-digest"), digest);
        assert_eq!(response.bytes().await.unwrap(), manifest);
    }
    for (path, code) in [
        ("/v2/a/manifests/v2".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/b/manifests/{digest}"), "MANIFEST_UNKNOWN"),
        ("/v2/a/manifests/.invalid".to_owned(), "MANIFEST_UNKNOWN"),
        // A manifest is not served as a blob.
        (format!("/v2/a/blobs/{digest}"), "BLOB_UNKNOWN"),
    ] {
        refused(registry.get(&path).await, StatusCode::NOT_FOUND, code).await;
    }
    registry.stop().await;
}

#[tokio::test]
async fn refuses_manifests_that_are_not_whole() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let manifest = image(b"{}", b"layer").to_string();
    // The layer is in another repository only.
    registry.push_image("other", "v1", b"layer").await;
    registry.push_blob("a", b"{}").await;
    let put = |reference: String, media_type: &'static str, bytes: Vec<u8>| {
        let registry = &registry;
        async move {
            registry
                .put_manifest("a", &reference, media_type, &bytes)
                .await
        }
    };
    let response = put("v1".into(), OCI_MANIFEST, manifest.clone().into()).await;
    let error = refused(response, StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN").await;
    assert_eq!(
        error["detail"]["digests"],
        serde_json::json!([digest(b"layer")])
    );
    assert_eq!(registry.get("/v2/a/manifests/v1").await.status(), 404);

    registry.push_blob("a", b"layer").await;
    let response = put(digest(b"another"), OCI_MANIFEST, manifest.clone().into()).await;
    refused(response, StatusCode::BAD_REQUEST, "DIGEST_INVALID").await;
    let response = put("v1".into(), OCI_INDEX, manifest.clone().into()).await;
    refused(response, StatusCode::BAD_REQUEST, "MANIFEST_INVALID").await;
    let response = put("v1".into(), OCI_MANIFEST, b"{".to_vec()).await;
    refused(response, StatusCode::BAD_REQUEST, "MANIFEST_INVALID").await;
    let response = put("v1".into(), "text/plain", b"{\"schemaVersion\":2}".to_vec()).await;
    refused(
        response,
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "MANIFEST_INVALID",
    )
    .await;
    let response = put("-x".into(), OCI_MANIFEST, manifest.clone().into()).await;
    refused(response, StatusCode::BAD_REQUEST, "MANIFEST_INVALID").await;

    let mut large = manifest.clone().into_bytes();
    large.resize((4 << 20) + 1, b' ');
    let response = put("v1".into(), OCI_MANIFEST, large.clone()).await;
    refused(response, StatusCode::PAYLOAD_TOO_LARGE, "SIZE_INVALID").await;
    large.truncate(4 << 20);
    assert_eq!(put("v1".into(), OCI_MANIFEST, large).await.status(), 201);
    registry.stop().await;
}

#[tokio::test]
async fn an_index_needs_its_children_unless_told_otherwise() {
    for accept_sparse in [false, true] {
        let store = tempfile::tempdir().unwrap();
        let mut options = ServeOptions::new(store.path());
        options.accept_sparse = accept_sparse;
        let registry = Registry::start(options).await;
        let child = registry.push_image("a", "child", b"layer").await;
        let index = |children: &[&[u8]]| {
            let children: Vec<_> = children
                .iter()
                .map(|bytes| descriptor(OCI_MANIFEST, bytes))
                .collect();
            serde_json::json!({"schemaVersion": 2, "manifests": children}).to_string()
        };
        let whole = index(&[&child]);
        let response = registry
            .put_manifest("a", "whole", OCI_INDEX, whole.as_bytes())
            .await;
        assert_eq!(response.status(), StatusCode::CREATED);
        let sparse = index(&[&child, b"absent"]);
        let response = registry
            .put_manifest("a", "sparse", OCI_INDEX, sparse.as_bytes())
            .await;
        match accept_sparse {
            true => assert_eq!(response.status(), StatusCode::CREATED),
            false => {
                refused(response, StatusCode::BAD_REQUEST, "MANIFEST_BLOB_UNKNOWN").await;
            }
        }
        registry.stop().await;
    }
}

#[tokio::test]
async fn lists_page_by_page() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    for (repository, tag) in [
        ("b/c", "v1"),
        ("a", "v2"),
        ("a", "v10"),
        ("a", "V2"),
        ("a", "latest"),
        ("b", "x"),
    ] {
        registry.push_image(repository, tag, b"layer").await;
    }
    registry.begin("only-an-upload").await;
    let catalog = registry.json("/v2/_catalog").await;
    assert_eq!(
        catalog["repositories"],
        serde_json::json!(["a", "b", "b/c"])
    );
    let all = registry.json("/v2/a/tags/list").await;
    let expected = serde_json::json!({"name": "a", "tags": ["V2", "latest", "v10", "v2"]});
    assert_eq!(all, expected);

    for (start, key) in [
        ("/v2/a/tags/list?n=3", "tags"),
        ("/v2/_catalog?n=2", "repositories"),
    ] {
        let whole = registry.json(start.split('?').next().unwrap()).await[key].clone();
        let mut seen = Vec::new();
        let mut next = Some(start.to_owned());
        let mut pages = 0;
        while let Some(path) = next.take() {
            let response = registry.get(&path).await;
            let link = header(&response, "link");
            next = link
                .strip_prefix('<')
                .and_then(|rest| rest.split_once(">; rel=\"next\""))
                .map(|(path, _)| path.to_owned());
            let body = response.bytes().await.unwrap();
            let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
            seen.extend(page[key].as_array().unwrap().clone());
            pages += 1;
        }
        assert_eq!(
            (serde_json::Value::from(seen), pages),
            (whole, 2),
            "{start}"
        );
    }
    let none = registry.get("/v2/a/tags/list?n=0").await;
    assert_eq!(header(&none, "link"), "");
    assert_eq!(none.bytes().await.unwrap(), "{\"name\":\"a\",\"tags\":[]}");
    let bad = registry.get("/v2/a/tags/list?n=-1").await;
    refused(bad, StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID").await;
    let unknown = registry.get("/v2/only-an-upload/tags/list").await;
    refused(unknown, StatusCode::NOT_FOUND, "NAME_UNKNOWN").await;
    registry.stop().await;
}

#[tokio::test]
async fn lists_referrers() {
    let store = tempfile::tempdir().unwrap();
    let mut options = ServeOptions::new(store.path());
    options.allow_delete = true;
    let registry = Registry::start(options).await;
    let subject = registry.push_image("a", "v1", b"layer").await;
    let list = format!("/v2/a/referrers/{}", digest(&subject));
    let empty = registry.json(&list).await;
    assert_eq!(empty["manifests"], serde_json::json!([]));

    let mut pushed = Vec::new();
    for kind in ["application/x.sbom", "application/x.signature"] {
        let mut artifact = image(b"{}", b"layer");
        artifact["artifactType"] = kind.into();
        artifact["subject"] = descriptor(OCI_MANIFEST, &subject);
        artifact["annotations"] = serde_json::json!({"made": "by hand"});
        let bytes = artifact.to_string().into_bytes();
        let response = registry
            .put_manifest("a", &digest(&bytes), OCI_MANIFEST, &bytes)
            .await;
        assert_eq!(response.status(), StatusCode::CREATED);
        assert_eq!(header(&response, "oci-subject"), digest(&subject));
        let mut expected = descriptor(OCI_MANIFEST, &bytes);
        expected["artifactType"] = kind.into();
        expected["annotations"] = artifact["annotations"].clone();
        pushed.push(expected);
    }
    pushed.sort_by_key(|descriptor| descriptor["digest"].to_string());
    let response = registry.get(&list).await;
    assert_eq!(header(&response, "content-type"), OCI_INDEX);
    assert_eq!(header(&response, "oci-filters-applied"), "");
    let all = registry.json(&list).await;
    assert_eq!(all["manifests"], serde_json::json!(pushed));
    assert_eq!(
        (&all["schemaVersion"], &all["mediaType"]),
        (&2.into(), &OCI_INDEX.into())
    );

    let filtered = format!("{list}?artifactType=application%2Fx.sbom");
    let response = registry.get(&filtered).await;
    assert_eq!(header(&response, "oci-filters-applied"), "artifactType");
    let found = registry.json(&filtered).await;
    assert_eq!(found["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(found["manifests"][0]["artifactType"], "application/x.sbom");

    // Pages have one entry each; a deleted referrer is gone; other repositories list none.
    let page = registry.get(&format!("{list}?n=1")).await;
    assert!(header(&page, "link").contains("last=sha256"));
    let gone = pushed[0]["digest"].as_str().unwrap();
    let path = format!("/v2/a/manifests/{gone}");
    let deleted = registry
        .request(Method::DELETE, &path)
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), StatusCode::ACCEPTED);
    let left = registry.json(&list).await;
    assert_eq!(left["manifests"], serde_json::json!([pushed[1]]));
    let other = registry.json(&list.replace("/a/", "/b/")).await;
    assert_eq!(other["manifests"], serde_json::json!([]));
    registry.stop().await;
}

#[tokio::test]
async fn deletes_only_when_allowed() {
    let store = tempfile::tempdir().unwrap();
    let registry = Registry::open(store.path()).await;
    let manifest = registry.push_image("a", "v1", b"layer").await;
    registry.push_image("a", "v2", b"layer").await;
    registry.push_image("a", "other", b"another layer").await;
    let by_digest = format!("/v2/a/manifests/{}", digest(&manifest));
    let blob = format!("/v2/a/blobs/{}", digest(b"layer"));
    for path in ["/v2/a/manifests/v1", &by_digest, &blob] {
        let response = registry.request(Method::DELETE, path).send().await.unwrap();
        refused(response, StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED").await;
    }
    registry.stop().await;

    let mut options = ServeOptions::new(store.path());
    options.allow_delete = true;
    let registry = Registry::start(options).await;
    let delete = async |path: &str| {
        let response = registry.request(Method::DELETE, path).send().await.unwrap();
        response.status().as_u16()
    };
    assert_eq!(delete("/v2/a/manifests/v1").await, 202);
    assert_eq!(registry.get(&by_digest).await.status(), 200);
    assert_eq!(delete(&by_digest).await, 202);
    assert_eq!(delete(&by_digest).await, 404);
    assert_eq!(registry.get(&by_digest).await.status(), 404);
    let tags = registry.json("/v2/a/tags/list").await;
    assert_eq!(tags["tags"], serde_json::json!(["other"]));
    assert_eq!(delete(&blob).await, 202);
    assert_eq!(registry.get(&blob).await.status(), 404);
    registry.stop().await;
}
