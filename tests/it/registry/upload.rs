//! Uploads to a registry with scripted faults.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use airferry::model::{MediaType, RawManifest, Repository, Tag};
use airferry::registry::{
    BlobUpload, Client, ClientOptions, Error, MemorySessions, Mount, Selector, SessionStore,
};
use bytes::Bytes;
use http::Method;

use super::{Events, Memory, client, digest, noise, options, upload};
use crate::support::fake_registry::{Asked, FakeRegistry, Reply};

const MIB: usize = 1 << 20;

/// The registry's side of uploads, without faults: one session at a time.
#[derive(Default)]
struct Store {
    /// Number and bytes of the open session.
    session: Option<(usize, Vec<u8>)>,
    sessions: usize,
    finished: Option<Vec<u8>>,
}

impl Store {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.path().ends_with("/blobs/uploads/") {
            self.sessions += 1;
            self.session = Some((self.sessions, Vec::new()));
            return self.state(202);
        }
        if asked.path().contains("/blobs/sha256:") {
            return match &self.finished {
                Some(blob) => {
                    let (last, total) = (blob.len() - 1, blob.len());
                    Reply::new(206)
                        .header("content-range", format!("bytes {last}-{last}/{total}"))
                        .body(Bytes::copy_from_slice(&blob[last..]))
                }
                None => Reply::error(404, "BLOB_UNKNOWN"),
            };
        }
        let Some((number, bytes)) = &mut self.session else {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        if !asked.path().ends_with(&format!("/{number}")) {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
        }
        match asked.method {
            Method::GET => self.state(204),
            Method::PATCH => {
                bytes.extend_from_slice(&asked.body);
                self.state(202)
            }
            Method::PUT => {
                bytes.extend_from_slice(&asked.body);
                self.finished = self.session.take().map(|(_, bytes)| bytes);
                Reply::new(201)
            }
            _ => {
                self.session = None;
                Reply::new(204)
            }
        }
    }

    fn state(&self, status: u16) -> Reply {
        let (number, bytes) = self.session.as_ref().unwrap();
        let length = bytes.len();
        Reply::new(status)
            .header(
                "location",
                format!("/uploads/{number}?_state=SECRET{length}"),
            )
            .header("range", format!("0-{}", length.saturating_sub(1)))
    }
}

/// Returns another answer to the n-th request; `None` keeps the normal answer.
type Fault = fn(&mut Store, &Asked, usize) -> Option<Reply>;

struct Server {
    http: FakeRegistry,
    store: Arc<Mutex<Store>>,
}

impl Server {
    async fn start(fault: Fault) -> Self {
        Self::start_cut(fault, |_, _| None).await
    }

    async fn start_cut(fault: Fault, scissors: fn(&Asked, usize) -> Option<usize>) -> Self {
        let store = Arc::new(Mutex::new(Store::default()));
        let serving = Arc::clone(&store);
        let script = move |asked: &Asked, number: usize| {
            let mut store = serving.lock().unwrap();
            let faulty = fault(&mut store, asked, number);
            faulty.unwrap_or_else(|| store.answer(asked))
        };
        Self {
            http: FakeRegistry::start_with_scissors(script, scissors).await,
            store,
        }
    }

    fn repository(&self) -> Repository {
        self.http.repository("a/b")
    }

    fn finished(&self) -> Option<Vec<u8>> {
        self.store.lock().unwrap().finished.clone()
    }

    /// Returns the methods of all requests, with the lengths of their bodies in MiB.
    fn story(&self) -> String {
        let asked = self.http.asked();
        let words = asked.iter().map(|asked| match asked.body.len() {
            0 => asked.method.to_string(),
            length => format!("{}:{}", asked.method, length.div_ceil(MIB)),
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[tokio::test]
async fn small_blobs_go_up_in_one_request() {
    let server = Server::start(|_, _, _| None).await;
    let repository = server.repository();
    let sessions = MemorySessions::default();
    let blob = noise(3 * MIB);
    let sent = upload(
        &client(),
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await;
    assert_eq!(sent.unwrap().sent, 3 << 20);
    assert_eq!(server.story(), "POST PUT:3");
    assert!(server.finished().unwrap() == blob);
    let put = &server.http.asked()[1];
    assert_eq!(put.header("content-length"), Some("3145728"));
    let digest_parameter = digest(&blob).to_string().replace(':', "%3A");
    assert!(
        put.target
            .ends_with(&format!("?_state=SECRET0&digest={digest_parameter}"))
    );
    let empty = Bytes::new();
    let sent = upload(
        &client(),
        &repository,
        digest(&empty),
        &Memory::new(&empty),
        &sessions,
    )
    .await;
    sent.unwrap();
    assert_eq!(server.finished(), Some(Vec::new()));
}

/// On one HTTP/2 connection all uploads together would have the throughput of one TCP stream.
#[tokio::test]
async fn large_bodies_go_up_on_connections_of_their_own() {
    let store = Mutex::new(Store::default());
    let script = move |asked: &Asked, _| store.lock().unwrap().answer(asked);
    let server = FakeRegistry::start_tls(script).await;
    let (client, repository) = (client(), server.repository("a/b"));
    for length in [MIB, 1000] {
        let blob = noise(length);
        let (source, sessions) = (Memory::new(&blob), MemorySessions::default());
        let sent = upload(&client, &repository, digest(&blob), &source, &sessions).await;
        assert_eq!(sent.unwrap().sent, u64::try_from(length).unwrap());
    }
    let asked = server.asked();
    let story: Vec<_> = asked
        .iter()
        .map(|a| (a.method.as_str(), a.version))
        .collect();
    let expected = [
        ("POST", http::Version::HTTP_2),
        ("PUT", http::Version::HTTP_11),
        ("POST", http::Version::HTTP_2),
        ("PUT", http::Version::HTTP_2),
    ];
    assert_eq!(story, expected);
}

#[tokio::test]
async fn large_blobs_go_up_in_pieces() {
    let server = Server::start(|_, _, _| None).await;
    let (repository, blob) = (server.repository(), noise(70 * MIB));
    let sessions = MemorySessions::default();
    let positions = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&positions);
    let listening = BlobUpload {
        repository: &repository,
        digest: digest(&blob),
        size: 70 << 20,
        source: &Memory::new(&blob),
        sessions: &sessions,
        session: None,
        listener: Arc::new(move |position| heard.lock().unwrap().push(position)),
    };
    client().upload(&listening).await.unwrap();
    // The client checks the first blob that it sent in pieces.
    assert_eq!(server.story(), "POST PATCH:32 PATCH:32 PATCH:6 PUT GET");
    assert!(server.finished().unwrap() == blob);
    let ranges: Vec<_> = server.http.asked()[1..4]
        .iter()
        .map(|asked| asked.header("content-range").unwrap().to_owned())
        .collect();
    assert_eq!(
        ranges,
        ["0-33554431", "33554432-67108863", "67108864-73400319"]
    );
    let positions = positions.lock().unwrap();
    assert!(positions.is_sorted() && positions.last() == Some(&(70 << 20)));
    assert!(
        sessions
            .load(&repository, &digest(&blob))
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn a_cut_patch_goes_on_where_the_registry_is() {
    // The registry keeps the bytes that arrived of the cut PATCH.
    let server =
        Server::start_cut(|_, _, _| None, |_, number| (number == 2).then_some(9 << 20)).await;
    let blob = noise(70 * MIB);
    let repository = server.repository();
    let sessions = MemorySessions::default();
    upload(
        &client(),
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await
    .unwrap();
    assert!(server.finished().unwrap() == blob);
    let story = server.story();
    assert!(story.starts_with("POST PATCH:32 PATCH:"), "{story}");
    assert!(story.contains(" GET PATCH:"), "{story}");
    assert_eq!(story.matches("POST").count(), 1, "{story}");
}

#[tokio::test]
async fn a_session_that_is_lost_is_begun_again() {
    // As in distribution 2.8, a cut PATCH ends the session.
    let fault: Fault = |store, _, number| {
        if number == 2 {
            store.session = None;
        }
        None
    };
    let server = Server::start_cut(fault, |_, number| (number == 2).then_some(MIB)).await;
    let blob = noise(70 * MIB);
    let repository = server.repository();
    let sessions = MemorySessions::default();
    upload(
        &client(),
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await
    .unwrap();
    assert!(server.finished().unwrap() == blob);
    assert!(
        server
            .story()
            .ends_with("GET POST PATCH:32 PATCH:32 PATCH:6 PUT GET"),
        "{}",
        server.story()
    );
}

#[tokio::test]
async fn a_lost_answer_to_the_last_request_is_no_second_upload() {
    let fault: Fault = |store, asked, _| {
        (asked.method == Method::PUT).then(|| {
            let _ = store.answer(asked);
            Reply::hang_up()
        })
    };
    for mebibytes in [3, 40] {
        let server = Server::start(fault).await;
        let blob = noise(mebibytes * MIB);
        let repository = server.repository();
        let sessions = MemorySessions::default();
        upload(
            &client(),
            &repository,
            digest(&blob),
            &Memory::new(&blob),
            &sessions,
        )
        .await
        .unwrap();
        assert!(server.finished().unwrap() == blob);
        assert_eq!(server.store.lock().unwrap().sessions, 1);
    }
}

/// Only the last request for a large blob may take a registry long; no other request waits so long.
#[tokio::test]
async fn requests_that_are_not_answered_are_sent_again() {
    let unanswered: [Fault; 2] = [
        |_, asked, number| (asked.method == Method::POST && number == 0).then(Reply::silence),
        |_, asked, number| (asked.method == Method::PUT && number == 1).then(Reply::silence),
    ];
    for fault in unanswered {
        let server = Server::start(fault).await;
        let blob = noise(MIB);
        let repository = server.repository();
        let mut options = options();
        options.timeouts.idle = Duration::from_millis(300);
        options.timeouts.commit = Duration::from_secs(600);
        let sessions = MemorySessions::default();
        let (client, source) = (Client::new(options), Memory::new(&blob));
        let uploading = upload(&client, &repository, digest(&blob), &source, &sessions);
        let uploaded = tokio::time::timeout(Duration::from_secs(60), uploading).await;
        uploaded.expect("an end of waiting").unwrap();
        assert!(server.finished().unwrap() == blob);
    }
}

#[tokio::test]
async fn another_runs_session_is_continued() {
    let fault: Fault = |_, asked, number| {
        let third_patch = number == 3 && asked.method == Method::PATCH;
        third_patch.then(|| Reply::error(403, "DENIED"))
    };
    let server = Server::start(fault).await;
    let blob = noise(100 * MIB);
    let repository = server.repository();
    let sessions = MemorySessions::default();
    let source = Memory::new(&blob);
    let first = upload(&client(), &repository, digest(&blob), &source, &sessions).await;
    assert!(matches!(first, Err(Error::PushRefused { .. })), "{first:?}");
    let kept = sessions.load(&repository, &digest(&blob)).unwrap().unwrap();
    assert_eq!(kept.offset(), 64 << 20);
    let second = upload(&client(), &repository, digest(&blob), &source, &sessions)
        .await
        .unwrap();
    assert_eq!((second.resumed_at, second.sent), (64 << 20, 36 << 20));
    assert!(server.finished().unwrap() == blob);
    assert!(
        server.story().ends_with("GET PATCH:32 PATCH:4 PUT GET"),
        "{}",
        server.story()
    );
}

#[tokio::test]
async fn other_content_is_never_finished() {
    for mebibytes in [1, 40] {
        let server = Server::start(|_, _, _| None).await;
        let blob = noise(mebibytes * MIB);
        let mut other = blob.to_vec();
        other[17] ^= 1;
        let other = Memory::new(&other.into());
        let repository = server.repository();
        let sessions = MemorySessions::default();
        let result = upload(&client(), &repository, digest(&blob), &other, &sessions).await;
        assert!(
            matches!(result, Err(Error::DigestMismatch { .. })),
            "{result:?}"
        );
        let store = server.store.lock().unwrap();
        assert!(
            store.finished.is_none() && store.session.is_none(),
            "cancelled"
        );
        drop(store);
        assert!(
            sessions
                .load(&repository, &digest(&blob))
                .unwrap()
                .is_none()
        );
    }
}

#[tokio::test]
async fn a_source_that_breaks_is_not_the_networks_fault() {
    let server = Server::start(|_, _, _| None).await;
    let blob = noise(40 * MIB);
    let broken = Memory {
        bytes: blob.clone(),
        fails_at: Some(35 * MIB),
    };
    let repository = server.repository();
    let sessions = MemorySessions::default();
    let result = upload(&client(), &repository, digest(&blob), &broken, &sessions).await;
    assert!(matches!(result, Err(Error::Source { .. })), "{result:?}");
    assert!(
        sessions
            .load(&repository, &digest(&blob))
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn a_registry_that_wants_less_gets_less() {
    let fault: Fault = |_, asked, _| (asked.body.len() > 10 * MIB).then(|| Reply::new(413));
    let server = Server::start(fault).await;
    let blob = noise(40 * MIB);
    let repository = server.repository();
    let sessions = MemorySessions::default();
    let client = client();
    upload(
        &client,
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await
    .unwrap();
    assert!(server.finished().unwrap() == blob);
    let before = server.http.asked().len();
    upload(
        &client,
        &repository,
        digest(&blob),
        &Memory::new(&blob),
        &sessions,
    )
    .await
    .unwrap();
    let again = &server.http.asked()[before..];
    assert!(
        again.iter().all(|asked| asked.body.len() <= 8 * MIB),
        "remembered"
    );
}

#[tokio::test]
async fn failures_for_ever_end_with_the_budget_and_show_no_state() {
    // The whole blob is sent again each time, which must not count as progress.
    let fault: Fault = |store, asked, _| {
        (asked.method == Method::PUT).then(|| {
            store.session = None;
            Reply::error(400, "DIGEST_INVALID")
        })
    };
    let server = Server::start(fault).await;
    let events = Arc::new(Events::default());
    let client = Client::new(ClientOptions {
        progress: events.clone(),
        ..options()
    });
    let blob = noise(33 * MIB);
    let repository = server.repository();
    let sessions = MemorySessions::default();
    let source = Memory::new(&blob);
    let error = upload(&client, &repository, digest(&blob), &source, &sessions)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error:?}");
    let puts = server
        .http
        .lines()
        .iter()
        .filter(|line| line.starts_with("PUT"))
        .count();
    assert_eq!(puts, 3);
    let shown = format!("{error} {error:?} {}", events.text());
    assert!(
        shown.contains("_state=REDACTED") && !shown.contains("SECRET"),
        "{shown}"
    );
}

#[tokio::test]
async fn mounts_succeed_or_become_uploads() {
    let server =
        Server::start(|_, asked, _| asked.target.contains("from=have").then(|| Reply::new(201)))
            .await;
    let blob = noise(MIB);
    let repository = server.repository();
    let client = client();
    let (have, lack) = ("have".parse().unwrap(), "lack".parse().unwrap());
    let mounted = client.mount(&repository, digest(&blob), &have).await;
    assert_eq!(mounted.unwrap(), Mount::Mounted);
    let refused = client.mount(&repository, digest(&blob), &lack).await;
    let Mount::Upload(session) = refused.unwrap() else {
        panic!("202 is an upload");
    };
    let sessions = MemorySessions::default();
    let source = Memory::new(&blob);
    let upload = BlobUpload {
        repository: &repository,
        digest: digest(&blob),
        size: 1 << 20,
        source: &source,
        sessions: &sessions,
        session: Some(session),
        listener: Arc::new(|_| {}),
    };
    client.upload(&upload).await.unwrap();
    assert_eq!(server.story(), "POST POST PUT:1");
    assert!(server.finished().unwrap() == blob);
}

#[tokio::test]
async fn presence_needs_the_last_byte() {
    let blob = noise(1000);
    let server = FakeRegistry::start(|asked, _| {
        let part = |last: u64, total: u64| {
            Reply::new(206)
                .header("content-length", 1)
                .header("content-range", format!("bytes {last}-{last}/{total}"))
                .body("x")
        };
        match asked.path().split('/').nth(2).unwrap() {
            "good" => part(999, 1000),
            "larger" => part(999, 2000),
            "head-only" => part(999, 1000).cut_after(0),
            "ignores" => Reply::new(200)
                .header("content-length", 1000)
                .body(vec![0; 1000]),
            "shorter" => Reply::new(416).header("content-range", "bytes */10"),
            "empty-head" => Reply::new(200).header("content-length", 1000).cut_after(0),
            "away" => Reply::new(404),
            _ => Reply::new(503),
        }
    })
    .await;
    let client = client();
    for (name, present) in [
        ("good", true),
        ("larger", false),
        ("head-only", false),
        ("ignores", true),
        ("shorter", false),
        ("empty-head", false),
        ("away", false),
    ] {
        let found = client
            .blob_present(&server.repository(name), digest(&blob), 1000)
            .await;
        assert_eq!(found.unwrap(), present, "{name}");
    }
    assert_eq!(server.asked()[0].header("range"), Some("bytes=999-999"));
    let broken = client
        .blob_present(&server.repository("broken"), digest(&blob), 1000)
        .await;
    assert!(broken.unwrap_err().is_transient());
}

#[tokio::test]
async fn refused_manifests_say_why() {
    let server = FakeRegistry::start(|asked, _| match asked.path().split('/').nth(2).unwrap() {
        "blob" => Reply::new(404).body(format!(
            r#"{{"errors":[{{"code":"MANIFEST_BLOB_UNKNOWN","detail":"{}"}}]}}"#,
            digest(b"x")
        )),
        "invalid" => Reply::error(400, "MANIFEST_INVALID"),
        "foreign" => Reply::error(500, "UNKNOWN"),
        "lies" => Reply::new(201).header("docker-content-digest", digest(b"x")),
        _ => Reply::new(201).header("oci-subject", "sha256:00"),
    })
    .await;
    let bytes = br#"{"config":{}}"#.to_vec();
    let manifest = RawManifest {
        digest: digest(&bytes),
        media_type: MediaType::new(MediaType::OCI_MANIFEST),
        bytes,
    };
    let client = client();
    let tag = Selector::from(&"t".parse::<Tag>().unwrap());
    let push = async |name: &str| {
        let repository = server.repository(name);
        client.push_manifest(&repository, &tag, &manifest).await
    };
    let pushed = push("good").await.unwrap();
    assert!(pushed.subject_listed && pushed.digest == manifest.digest);
    let sent = &server.asked()[0];
    assert_eq!(sent.header("content-type"), Some(MediaType::OCI_MANIFEST));
    assert_eq!(sent.body, manifest.bytes);
    match push("blob").await.unwrap_err() {
        Error::ContentUnknown { digests, .. } => assert_eq!(digests, [digest(b"x")]),
        other => panic!("{other:?}"),
    }
    for name in ["invalid", "foreign"] {
        let error = push(name).await.unwrap_err();
        assert!(matches!(error, Error::ManifestRejected { .. }), "{error:?}");
    }
    assert!(matches!(
        push("lies").await,
        Err(Error::DigestMismatch { .. })
    ));
    let other = Selector::from(digest(b"x"));
    let repository = server.repository("good");
    let mismatch = client.push_manifest(&repository, &other, &manifest).await;
    assert!(matches!(mismatch, Err(Error::DigestMismatch { .. })));
}
