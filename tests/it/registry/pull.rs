//! Reading from a registry: manifests, blobs, tags, referrers.

use std::sync::Arc;
use std::time::Duration;

use airferry::model::{MediaType, Repository, Tag};
use airferry::registry::{
    BlobDownload, CertificateStore, Client, ClientOptions, Error, HostCertificates, Mirrors,
    ReferrersSource, Selector,
};
use bytes::Bytes;

use super::{Events, client, digest, noise, options, read};
use crate::support::fake_registry::{FakeRegistry, Reply};

fn size(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap()
}

fn tag(text: &str) -> Selector {
    Selector::from(&text.parse::<Tag>().unwrap())
}

/// Begins to read a blob, with a new client.
async fn open(repository: &Repository, blob: &Bytes, offset: u64) -> Result<BlobDownload, Error> {
    let digest = digest(blob);
    client().blob(repository, digest, size(blob), offset).await
}

/// Reads a whole blob with an idle timeout of 200 ms.
async fn read_impatiently(server: &FakeRegistry, blob: &Bytes) -> Result<Vec<u8>, Error> {
    let mut options = options();
    options.timeouts.idle = Duration::from_millis(200);
    let (client, repository) = (Client::new(options), server.repository("a"));
    let download = client.blob(&repository, digest(blob), size(blob), 0);
    read(download.await?).await
}

/// Serves one blob; `script` changes the n-th answer.
async fn blob_server(
    blob: &Bytes,
    script: impl Fn(Reply, usize) -> Reply + Send + Sync + 'static,
) -> FakeRegistry {
    let blob = blob.clone();
    FakeRegistry::start(move |asked, number| script(Reply::range(asked, &blob), number)).await
}

#[tokio::test]
async fn a_cut_download_continues_where_it_was() {
    let blob = noise(1_000_000);
    let server = blob_server(&blob, |reply, number| match number {
        0 => reply.cut_after(300_001),
        1 | 2 => reply.cut_after(200_000),
        _ => reply,
    })
    .await;
    let events = Arc::new(Events::default());
    let client = Client::new(ClientOptions {
        progress: events.clone(),
        ..options()
    });
    let repository = server.repository("a/b");
    let mut download = client
        .blob(&repository, digest(&blob), size(&blob), 0)
        .await
        .unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = download.next().await.unwrap() {
        assert!(piece.len() >= 64 << 10 || bytes.len() + piece.len() == blob.len());
        bytes.extend_from_slice(&piece);
    }
    assert!(bytes == blob);
    let asked = server.asked();
    // There are more cuts than attempts: a request that brought bytes does not count as an attempt.
    assert_eq!(asked.len(), 4);
    assert_eq!(asked[0].header("range"), None);
    assert_eq!(asked[0].header("accept-encoding"), Some("identity"));
    // The server may have sent less than it was told to, but never more.
    assert!((1..=300_001).contains(&asked[1].range_start()));
    assert!(asked[2].range_start() > asked[1].range_start());
    assert_eq!(events.retries().len(), 3);
}

#[tokio::test]
async fn an_offset_asks_for_the_rest_only() {
    let blob = noise(200_000);
    let server = blob_server(&blob, |reply, _| reply).await;
    let repository = server.repository("a");
    for offset in [1, 199_999, 200_000] {
        let download = open(&repository, &blob, offset);
        let rest = read(download.await.unwrap()).await.unwrap();
        assert!(rest == blob[usize::try_from(offset).unwrap()..], "{offset}");
    }
    assert_eq!(server.asked().len(), 2, "nothing is left behind the end");
    let beyond = open(&repository, &blob, 200_001);
    assert!(matches!(beyond.await, Err(Error::SizeMismatch { .. })));
}

/// Some stores refuse range requests for blobs that they have.
#[tokio::test]
async fn a_blob_is_looked_for_without_a_range_where_ranges_are_refused() {
    let blob = noise(3000);
    for status in [400, 403, 405, 416, 501] {
        let whole = blob.clone();
        let server = FakeRegistry::start(move |asked, _| match asked.header("range") {
            _ if !asked.path().contains(&digest(&whole).to_string()) => Reply::new(404),
            Some(_) => Reply::new(status),
            None => Reply::new(200)
                .header("content-length", whole.len())
                .body(whole.clone()),
        })
        .await;
        let (client, repository) = (client(), server.repository("a"));
        let present = async |bytes: &Bytes| {
            let found = client.blob_present(&repository, digest(bytes), size(bytes));
            found.await.unwrap()
        };
        assert!(present(&blob).await, "{status}");
        assert!(!present(&noise(2999)).await, "{status}");
        let wrong_size = client.blob_present(&repository, digest(&blob), 2999);
        assert!(!wrong_size.await.unwrap(), "{status}");
    }
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_from_the_start_again() {
    let blob = noise(500_000);
    let whole = blob.clone();
    let server = FakeRegistry::start(move |asked, number| {
        let all = Reply::new(200)
            .header("content-length", whole.len())
            .body(whole.clone());
        match number {
            0 => all.cut_after(200_000),
            1 => all,
            // The same with a registry that refuses ranges instead of ignoring them.
            _ if asked.header("range").is_some() => Reply::new(416),
            _ => all,
        }
    })
    .await;
    let repository = server.repository("a");
    let download = open(&repository, &blob, 0);
    assert!(read(download.await.unwrap()).await.unwrap() == blob);
    assert!(server.asked()[1].header("range").is_some());
    let download = open(&repository, &blob, 7);
    assert!(read(download.await.unwrap()).await.unwrap() == blob[7..]);
}

#[tokio::test]
async fn bytes_from_another_offset_are_never_used() {
    let blob = noise(300_000);
    let whole = blob.clone();
    let server = FakeRegistry::start(move |asked, _| {
        let total = whole.len();
        match asked.header("range") {
            Some(_) => Reply::new(206)
                .header("content-range", format!("bytes 10-{}/{total}", total - 1))
                .body(whole.slice(10..)),
            None => Reply::new(200).body(whole.clone()),
        }
    })
    .await;
    let repository = server.repository("a");
    let download = open(&repository, &blob, 100);
    assert!(read(download.await.unwrap()).await.unwrap() == blob[100..]);
    // The range is requested once, then everything from the start.
    let asked = server.asked();
    let ranges: Vec<bool> = asked.iter().map(|a| a.header("range").is_some()).collect();
    assert_eq!(ranges, [true, false]);
}

/// Whatever fails when the rest is requested, the whole blob is requested instead.
#[tokio::test]
async fn all_is_asked_for_where_the_rest_cannot_be_had() {
    let blob = noise(300_000);
    type Fault = (&'static str, fn() -> Reply);
    let rest_fails: [Fault; 8] = [
        ("403", || Reply::error(403, "DENIED")),
        ("404", || Reply::error(404, "BLOB_UNKNOWN")),
        ("503", || Reply::new(503)),
        ("hang-up", Reply::hang_up),
        ("silence", Reply::silence),
        ("stall", || Reply::new(206).stall_after(0)),
        ("no range", || Reply::new(206).body("x")),
        ("too much", || {
            let range = "bytes 100000-300000/300001";
            Reply::new(206).header("content-range", range).body("x")
        }),
    ];
    for (name, fault) in rest_fails {
        let served = blob.clone();
        let server = FakeRegistry::start(move |asked, number| {
            let reply = Reply::range(asked, &served);
            match (asked.header("range"), number) {
                (_, 0) => reply.cut_after(100_000),
                (Some(_), _) => fault(),
                (None, _) => reply,
            }
        })
        .await;
        let bytes = read_impatiently(&server, &blob).await;
        assert!(bytes.is_ok_and(|bytes| bytes == blob), "{name}");
    }
}

#[tokio::test]
async fn one_wrong_length_is_not_believed() {
    let blob = noise(200_000);
    let body = blob.clone();
    let server = FakeRegistry::start(move |_, number| {
        let end = if number == 0 {
            body.len() - 7
        } else {
            body.len()
        };
        Reply::new(200).body(body.slice(..end))
    })
    .await;
    let repository = server.repository("a");
    let download = open(&repository, &blob, 0);
    assert!(read(download.await.unwrap()).await.unwrap() == blob);
    assert_eq!(server.asked().len(), 2);
}

#[tokio::test]
async fn wrong_lengths_are_errors_and_nothing_beyond_the_size_is_delivered() {
    let blob = noise(100_000);
    // With a declared length, and in HTTP chunks that are too long or too short.
    for declared in [true, false] {
        for expected in [99_999, 100_001] {
            let body = blob.clone();
            let server = FakeRegistry::start(move |asked, _| {
                if declared || asked.header("range").is_some() {
                    return Reply::range(asked, &body);
                }
                Reply::new(200).body(body.clone())
            })
            .await;
            let repository = server.repository("a");
            let result = match client().blob(&repository, digest(&blob), expected, 0).await {
                Ok(mut download) => {
                    let mut delivered = 0;
                    loop {
                        match download.next().await {
                            Ok(Some(piece)) => {
                                delivered += size(&piece);
                                assert!(delivered <= expected);
                            }
                            Ok(None) => break Ok(()),
                            Err(error) => break Err(error),
                        }
                    }
                }
                Err(error) => Err(error),
            };
            assert!(
                matches!(result, Err(Error::SizeMismatch { expected: e, .. }) if e == expected),
                "{declared} {expected} {result:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_silent_registry_is_given_up_and_asked_again() {
    let blob = noise(200_000);
    let server = blob_server(&blob, |reply, number| match number {
        0 => reply.stall_after(100_000),
        _ => reply,
    })
    .await;
    assert!(read_impatiently(&server, &blob).await.unwrap() == blob);
    assert_eq!(server.asked()[1].range_start(), 100_000);
}

#[tokio::test]
async fn pauses_follow_retry_after_and_end_with_the_budget() {
    let server = FakeRegistry::start(|asked, number| match (asked.path(), number) {
        ("/v2/a/manifests/ok", 0) => Reply::error(429, "TOOMANYREQUESTS").header("retry-after", 9),
        ("/v2/a/manifests/ok", 1) => Reply::hang_up(),
        ("/v2/a/manifests/ok", _) => Reply::new(200).body(r#"{"config":{},"layers":[]}"#),
        _ => Reply::new(503).body("<html>secret stack trace"),
    })
    .await;
    let events = Arc::new(Events::default());
    let client = Client::new(ClientOptions {
        progress: events.clone(),
        ..options()
    });
    let repository = server.repository("a");
    client.manifest(&repository, &tag("ok")).await.unwrap();
    // Three milliseconds are the cap on the pause that a registry may ask for.
    assert_eq!(events.retries()[0], 3);
    let error = client
        .manifest(&repository, &tag("never"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    assert!(error.is_transient() && !error.to_string().contains("secret"));
    assert_eq!(server.asked().len(), 3 + 3);
    let refused = FakeRegistry::start(|_, _| Reply::error(400, "NAME_INVALID")).await;
    let repository = refused.repository("a");
    client.manifest(&repository, &tag("x")).await.unwrap_err();
    assert_eq!(refused.asked().len(), 1, "a refusal is not asked for again");
}

#[tokio::test]
async fn manifests_are_verified_and_capped() {
    let good = r#"{"config":{},"layers":[]}"#;
    let server = FakeRegistry::start(move |asked, _| match asked.path() {
        "/v2/a/manifests/lies" => Reply::new(200)
            .header("docker-content-digest", digest(b"other"))
            .body(good),
        "/v2/a/manifests/long" => Reply::new(200).body(vec![b' '; (4 << 20) + 1]),
        "/v2/a/manifests/declared" => Reply::new(200)
            .header("content-length", 1_u64 << 40)
            .stall_after(0),
        "/v2/a/manifests/html" => Reply::new(200).body("<html>"),
        "/v2/a/manifests/gone" => Reply::error(404, "MANIFEST_UNKNOWN"),
        "/v2/a/manifests/old" => Reply::new(200)
            .header("content-type", MediaType::DOCKER_SCHEMA1)
            .header(
                "docker-content-digest",
                digest(b"payload without signatures"),
            )
            .body(r#"{"schemaVersion":1}"#),
        _ => Reply::new(200)
            .header("content-type", "application/json; charset=utf-8")
            .body(good),
    })
    .await;
    let repository = server.repository("a");
    let client = client();
    let pinned = Selector::from(digest(good.as_bytes()));
    let fetched = client.manifest(&repository, &pinned).await.unwrap();
    assert_eq!(fetched.value.bytes, good.as_bytes());
    assert_eq!(fetched.value.media_type.as_str(), MediaType::OCI_MANIFEST);
    assert_eq!(fetched.fetched_from, repository);
    for type_ in [
        MediaType::OCI_INDEX,
        MediaType::DOCKER_LIST,
        MediaType::DOCKER_SCHEMA1,
    ] {
        let accepted = server.asked()[0].headers.clone();
        assert!(
            accepted
                .get_all("accept")
                .iter()
                .any(|accept| accept == type_)
        );
    }
    let failed =
        async |selector: Selector| client.manifest(&repository, &selector).await.unwrap_err();
    let wrong = failed(digest(b"wanted").into()).await;
    assert!(matches!(wrong, Error::DigestMismatch { .. }), "{wrong:?}");
    assert!(matches!(
        failed(tag("lies")).await,
        Error::DigestMismatch { .. }
    ));
    assert!(matches!(failed(tag("long")).await, Error::TooLong { .. }));
    assert!(matches!(
        failed(tag("declared")).await,
        Error::TooLong { .. }
    ));
    assert!(matches!(failed(tag("html")).await, Error::Protocol { .. }));
    assert!(failed(tag("gone")).await.is_not_found());
    let old = client.manifest(&repository, &tag("old")).await.unwrap();
    assert_eq!(old.value.media_type.as_str(), MediaType::DOCKER_SCHEMA1);
}

#[tokio::test]
async fn heads_fall_back_to_the_manifest_itself() {
    let body = r#"{"config":{},"layers":[]}"#;
    let server = FakeRegistry::start(
        move |asked, _| match (asked.method.as_str(), asked.path()) {
            ("HEAD", "/v2/a/manifests/named") => {
                Reply::new(200).header("docker-content-digest", digest(b"x"))
            }
            ("HEAD", "/v2/a/manifests/gone") => Reply::new(404),
            ("HEAD", "/v2/a/manifests/no-head") => Reply::new(405),
            ("HEAD", "/v2/a/manifests/denied" | "/v2/a/manifests/shown") => Reply::new(403),
            // The reason is in the body, which a HEAD does not have.
            ("GET", "/v2/a/manifests/denied") => Reply::error(403, "DENIED"),
            _ => Reply::new(200).body(body),
        },
    )
    .await;
    let repository = server.repository("a");
    let client = client();
    let head = async |name: &str| client.head_manifest(&repository, &tag(name)).await;
    assert_eq!(
        head("named").await.unwrap().unwrap().value.digest,
        digest(b"x")
    );
    assert_eq!(head("gone").await.unwrap(), None);
    for name in ["no-head", "silent", "shown"] {
        let found = head(name).await.unwrap().unwrap().value;
        assert_eq!(found.digest, digest(body.as_bytes()), "{name}");
    }
    let denied = head("denied").await.unwrap_err();
    assert!(matches!(denied, Error::Denied { .. }));
    assert!(denied.to_string().contains("said so"), "{denied}");
}

#[tokio::test]
async fn mirrors_come_first_and_the_source_last() {
    let blob = noise(70_000);
    let manifest = r#"{"config":{},"layers":[]}"#;
    let content = blob.clone();
    let mirror = FakeRegistry::start(move |asked, number| match asked.path() {
        "/v2/m/a/manifests/here" => Reply::new(200).body(manifest),
        path if path.contains("/blobs/") && number > 2 => Reply::new(500),
        path if path.contains("/blobs/") => Reply::range(asked, &content).cut_after(30_000),
        _ => Reply::error(404, "MANIFEST_UNKNOWN"),
    })
    .await;
    let content = blob.clone();
    let source = FakeRegistry::start(move |asked, _| match asked.path() {
        path if path.contains("/blobs/") => Reply::range(asked, &content),
        "/v2/a/manifests/gone" => Reply::error(404, "MANIFEST_UNKNOWN"),
        _ => Reply::new(200).body(manifest),
    })
    .await;
    let conf = format!(
        "[[registry]]\nlocation = '{}'\n[[registry.mirror]]\nlocation = '{}/m'\n",
        source.host(),
        mirror.host()
    );
    let events = Arc::new(Events::default());
    let client = Client::new(ClientOptions {
        mirrors: Mirrors::parse(&conf).unwrap(),
        progress: events.clone(),
        ..options()
    });
    let repository = source.repository("a");
    let here = client.manifest(&repository, &tag("here")).await.unwrap();
    assert_eq!(here.fetched_from, mirror.repository("m/a"));
    assert_eq!(source.asked().len(), 0);
    let direct = client
        .direct()
        .manifest(&repository, &tag("here"))
        .await
        .unwrap();
    assert_eq!(direct.fetched_from, repository);
    let there = client.manifest(&repository, &tag("there")).await.unwrap();
    assert_eq!(there.fetched_from, repository);
    let gone = client
        .manifest(&repository, &tag("gone"))
        .await
        .unwrap_err();
    assert!(
        gone.is_not_found() && gone.to_string().contains(source.host().as_str()),
        "{gone}"
    );
    // If a mirror breaks off in the middle of a blob, the source continues there.
    client.manifest(&repository, &tag("here")).await.unwrap();
    let mirrored = FakeRegistry::start({
        let content = blob.clone();
        move |asked, number| match number {
            0 => Reply::range(asked, &content).cut_after(30_000),
            _ => Reply::new(500),
        }
    })
    .await;
    let conf = conf.replace(mirror.host().as_str(), mirrored.host().as_str());
    let client = Client::new(ClientOptions {
        mirrors: Mirrors::parse(&conf).unwrap(),
        progress: events.clone(),
        ..options()
    });
    let mut download = client
        .blob(&repository, digest(&blob), size(&blob), 0)
        .await
        .unwrap();
    assert_eq!(download.fetched_from(), &mirrored.repository("m/a"));
    let mut bytes = Vec::new();
    while let Some(piece) = download.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    assert!(bytes == blob);
    assert_eq!(download.fetched_from(), &repository);
    assert!(events.text().contains("next place"), "{}", events.text());
}

#[tokio::test]
async fn tags_come_in_pages_from_the_same_host() {
    let server = FakeRegistry::start(|asked, _| match asked.target.as_str() {
        "/v2/a/tags/list?n=1000" => Reply::new(200)
            .header("link", "</v2/a/tags/list?n=1000&last=b>; rel=\"next\"")
            .body(r#"{"name":"a","tags":["b","a"]}"#),
        "/v2/a/tags/list?n=1000&last=b" => Reply::new(200).body(r#"{"tags":["c"]}"#),
        "/v2/none/tags/list?n=1000" => Reply::new(200).body(r#"{"tags":null}"#),
        "/v2/evil/tags/list?n=1000" => Reply::new(200)
            .header("link", "<http://localhost:1/x>; rel=next")
            .body(r#"{"tags":[]}"#),
        "/v2/loop/tags/list?n=1000" => Reply::new(200)
            .header("link", "<?n=1000>; rel=next")
            .body(r#"{"tags":[]}"#),
        _ => Reply::new(200).body(r#"{"tags":["../x"]}"#),
    })
    .await;
    let client = client();
    let tags = async |name: &str| client.tags(&server.repository(name)).await;
    let texts: Vec<_> = tags("a")
        .await
        .unwrap()
        .iter()
        .map(Tag::to_string)
        .collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!(tags("none").await.unwrap(), []);
    for name in ["evil", "loop", "other"] {
        assert!(
            matches!(tags(name).await, Err(Error::Protocol { .. })),
            "{name}"
        );
    }
}

#[tokio::test]
async fn referrers_are_absent_only_when_the_registry_says_so() {
    let subject = digest(b"subject");
    let index = |digest, size: usize| {
        let type_ = MediaType::OCI_MANIFEST;
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{type_}","digest":"{digest}","size":{size},"artifactType":"text/x"}}]}}"#,
            MediaType::OCI_INDEX
        )
    };
    let artifact = format!(r#"{{"config":{{}},"layers":[],"subject":{{"digest":"{subject}"}}}}"#);
    let image = r#"{"config":{},"layers":[]}"#.to_owned();
    let of_artifact = index(digest(artifact.as_bytes()), artifact.len());
    let of_image = index(digest(image.as_bytes()), image.len());
    let fallback = format!("/manifests/sha256-{}", subject.hex());
    let server = FakeRegistry::start(move |asked, _| {
        let path = asked.path();
        let name = path.split('/').nth(2).unwrap();
        if path.contains("/referrers/") {
            return match name {
                "api" => Reply::new(200).body(of_artifact.clone()),
                "empty" => Reply::new(200).body(r#"{"manifests":[]}"#),
                "broken" => Reply::new(503),
                "denied" | "denied-tagged" => Reply::error(403, "DENIED"),
                "unimplemented" => Reply::new(501),
                "no-such-type" => Reply::new(406),
                "html" => Reply::new(200).body("<html>"),
                _ => Reply::new(404).body("404 page not found"),
            };
        }
        if path.ends_with(&fallback) {
            return match name {
                "tagged" | "denied-tagged" => Reply::new(200).body(of_artifact.clone()),
                "untagged" => Reply::new(200).body(of_image.clone()),
                "broken-tag" => Reply::new(503),
                _ => Reply::error(404, "MANIFEST_UNKNOWN"),
            };
        }
        match path.ends_with(&digest(image.as_bytes()).to_string()) {
            true => Reply::new(200).body(image.clone()),
            false => Reply::new(200).body(artifact.clone()),
        }
    })
    .await;
    let client = client();
    for (name, entries, source) in [
        ("api", 1, ReferrersSource::Api),
        ("empty", 0, ReferrersSource::Api),
        ("tagged", 1, ReferrersSource::FallbackTag),
        ("untagged", 0, ReferrersSource::None),
        ("nothing", 0, ReferrersSource::None),
    ] {
        let found = client
            .referrers(&server.repository(name), subject)
            .await
            .unwrap();
        assert_eq!(
            (found.entries.len(), found.source),
            (entries, source),
            "{name}"
        );
        for entry in found.entries {
            assert_eq!(entry.artifact_type.as_deref(), Some("text/x"));
        }
    }
    for (name, entries) in [
        ("denied", 0),
        ("denied-tagged", 1),
        ("html", 0),
        ("unimplemented", 0),
        ("no-such-type", 0),
    ] {
        let before = server.asked().len();
        let found = client.referrers(&server.repository(name), subject).await;
        let found = found.unwrap();
        assert_eq!(found.entries.len(), entries, "{name}");
        assert!(found.refusal.is_some(), "{name}");
        let asked = server.asked();
        let lists = asked[before..]
            .iter()
            .filter(|a| a.path().contains("/referrers/"));
        assert_eq!(lists.count(), 1, "{name}: asking again changes nothing");
    }
    for name in ["broken", "broken-tag"] {
        let found = client.referrers(&server.repository(name), subject).await;
        assert!(found.is_err(), "{name}: {found:?}");
    }
    // An empty list of a mirror does not replace that of a source that does not answer.
    let conf = format!(
        "[[registry]]\nlocation = '{0}/broken'\n[[registry.mirror]]\nlocation = '{0}/empty'\n",
        server.host()
    );
    let mirrored = Client::new(ClientOptions {
        mirrors: Mirrors::parse(&conf).unwrap(),
        ..options()
    });
    let found = mirrored
        .referrers(&server.repository("broken"), subject)
        .await;
    assert!(matches!(found, Err(Error::Unavailable { .. })), "{found:?}");
}

/// On one HTTP/2 connection all blobs together would have the throughput of one TCP stream.
#[tokio::test]
async fn large_blobs_have_connections_of_their_own() {
    let blob = noise(1 << 20);
    let served = blob.clone();
    let server = FakeRegistry::start_tls(move |asked, _| Reply::range(asked, &served)).await;
    let (client, repository) = (client(), server.repository("a"));
    let large = client.blob(&repository, digest(&blob), size(&blob), 0);
    assert_eq!(read(large.await.unwrap()).await.unwrap(), blob);
    // The rest of the blob is small, so it uses the shared connection.
    let rest = size(&blob) - 1000;
    let small = client.blob(&repository, digest(&blob), size(&blob), rest);
    small.await.unwrap();
    let versions: Vec<_> = server.asked().iter().map(|asked| asked.version).collect();
    assert_eq!(versions, [http::Version::HTTP_11, http::Version::HTTP_2]);
}

#[tokio::test]
async fn tls_is_verified_unless_told_otherwise() {
    let body = r#"{"config":{},"layers":[]}"#;
    let server = FakeRegistry::start_tls(move |_, _| Reply::new(200).body(body)).await;
    let repository = server.repository("a");
    let verifying = ClientOptions {
        tls_verify: Some(true),
        ..options()
    };
    let error = Client::new(verifying.clone())
        .manifest(&repository, &tag("t"))
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("--cert-dir"));
    assert_eq!(server.asked().len(), 0);
    let root = server.ca_pem.clone().into_bytes();
    let mut for_all = CertificateStore::default();
    for_all.roots.push(root.clone());
    let mut for_host = CertificateStore::default();
    let own = HostCertificates {
        roots: vec![root],
        ..HostCertificates::default()
    };
    for_host.hosts.insert(server.host().to_string(), own);
    for certificates in [for_all, for_host] {
        let client = Client::new(ClientOptions {
            certificates,
            ..verifying.clone()
        });
        client.manifest(&repository, &tag("t")).await.unwrap();
    }
    super::client()
        .manifest(&repository, &tag("t"))
        .await
        .unwrap();
    let versions: Vec<_> = server.asked().iter().map(|asked| asked.version).collect();
    assert_eq!(versions, [http::Version::HTTP_2; 3]);
    // A registry without TLS gives a clear error, and no plain-text request is sent to it.
    let plain = FakeRegistry::start(move |_, _| Reply::new(200).body(body)).await;
    let error = Client::new(verifying)
        .manifest(&plain.repository("a"), &tag("t"))
        .await
        .unwrap_err();
    assert!(
        error
            .hint()
            .unwrap_or_default()
            .contains("--tls-verify=false"),
        "{error:?}"
    );
    assert_eq!(plain.asked().len(), 0);
}

/// Stores keep the header of an upload (`aws-chunked`), or one that describes the layer itself
/// (`gzip`), and send the bytes as they are.
#[tokio::test]
async fn a_content_encoding_is_not_believed_and_the_digest_decides() {
    let blob = noise(300_000);
    for encoding in ["aws-chunked", "gzip", "identity", ""] {
        let server = blob_server(&blob, move |reply, number| {
            let reply = reply.header("content-encoding", encoding);
            match number {
                0 => reply.cut_after(100_000),
                _ => reply,
            }
        })
        .await;
        let download = open(&server.repository("a"), &blob, 0).await.unwrap();
        assert_eq!(read(download).await.unwrap(), blob, "{encoding}");
        let rest = open(&server.repository("a"), &blob, 250_000).await.unwrap();
        assert_eq!(read(rest).await.unwrap(), &blob[250_000..], "{encoding}");
    }
    let short = blob.slice(..1000);
    let server = FakeRegistry::start(move |_, _| {
        Reply::new(200)
            .header("content-encoding", "zstd")
            .header("content-length", short.len())
            .body(short.clone())
    })
    .await;
    let error = match open(&server.repository("a"), &blob, 0).await {
        Ok(download) => read(download).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(
        error.to_string().contains("`Content-Encoding: zstd`"),
        "{error}"
    );
}

/// airferry names everything by sha256. A registry that names an image otherwise is no reason to
/// refuse it, but the operator must know that references by the other digest do not find it.
#[tokio::test]
async fn an_image_that_its_registry_names_by_sha512_is_not_renamed_without_a_word() {
    let body = r#"{"config":{},"layers":[]}"#;
    let named = format!("sha512:{}", "0a".repeat(64));
    let header = named.clone();
    let server = FakeRegistry::start(move |_, _| {
        Reply::new(200)
            .header("docker-content-digest", &header)
            .body(body)
    })
    .await;
    let events = Arc::new(Events::default());
    let client = Client::new(ClientOptions {
        progress: events.clone(),
        ..options()
    });
    let repository = server.repository("a");
    let fetched = client.manifest(&repository, &tag("1")).await.unwrap();
    assert_eq!(fetched.value.digest, digest(body.as_bytes()));
    let text = events.text();
    assert!(text.contains(&named), "{text}");
    assert!(
        text.contains(&digest(body.as_bytes()).to_string()),
        "{text}"
    );
}

/// A registry that asks for a login by an unknown scheme is not "wrong credentials".
#[tokio::test]
async fn a_challenge_that_is_not_understood_is_named() {
    let server = FakeRegistry::start(|_, _| {
        Reply::new(401).header("www-authenticate", "Negotiate realm=\"x\"")
    })
    .await;
    let asked = client().manifest(&server.repository("a"), &tag("1")).await;
    let error = asked.unwrap_err().to_string();
    assert!(error.contains("asks for a login by `Negotiate"), "{error}");
}
