//! Uploads to registries with deviating behaviour: wrong ranges, refused sessions, stores that
//! cannot join pieces. None of them may stop an upload permanently.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use airferry::model::Repository;
use airferry::registry::{Client, ClientOptions, Error, MemorySessions, SessionStore, Uploaded};
use bytes::Bytes;
use http::Method;
use sha2::Digest as _;

use super::{Memory, client, credentials, digest, noise, options, upload};
use crate::support::fake_registry::{Asked, FakeRegistry, Reply};

const MIB: usize = 1 << 20;
const PIECE: usize = 32 * MIB;

/// A session in the state that the registry knows.
struct Open {
    number: usize,
    bytes: Vec<u8>,
    /// Lengths of the pieces that came with `Content-Range`, in bytes.
    ranged: Vec<usize>,
}

/// The registry's side of uploads: one session at a time, and a PATCH must begin where the session
/// ends.
#[derive(Default)]
struct Store {
    open: Option<Open>,
    sessions: usize,
    cancelled: Vec<String>,
    finished: Option<Vec<u8>>,
}

impl Store {
    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.path().ends_with("/blobs/uploads/") {
            self.sessions += 1;
            self.open = Some(Open {
                number: self.sessions,
                bytes: Vec::new(),
                ranged: Vec::new(),
            });
            return self.state(202);
        }
        if asked.path().contains("/blobs/sha256:") {
            return self.last_byte();
        }
        let path = asked.path().to_owned();
        let known = |open: &&mut Open| path.ends_with(&format!("/{}", open.number));
        let Some(open) = self.open.as_mut().filter(known) else {
            return Reply::error(404, "BLOB_UPLOAD_UNKNOWN");
        };
        match asked.method {
            Method::GET => self.state(204),
            Method::PATCH => {
                if let Some(range) = asked.header("content-range") {
                    let first: usize = range.split('-').next().unwrap().parse().unwrap();
                    if first != open.bytes.len() {
                        return self.state(416);
                    }
                    open.ranged.push(asked.body.len());
                }
                open.bytes.extend_from_slice(&asked.body);
                self.state(202)
            }
            Method::PUT => {
                open.bytes.extend_from_slice(&asked.body);
                let whole = self.open.take().unwrap().bytes;
                let named = sha2::Sha256::digest(&whole);
                let named: String = named.iter().map(|byte| format!("{byte:02x}")).collect();
                if !asked.target.ends_with(&named) {
                    return Reply::error(400, "DIGEST_INVALID");
                }
                self.finished = Some(whole);
                Reply::new(201)
            }
            _ => {
                self.open = None;
                self.cancelled.push(path);
                Reply::new(204)
            }
        }
    }

    fn last_byte(&self) -> Reply {
        let Some(blob) = &self.finished else {
            return Reply::error(404, "BLOB_UNKNOWN");
        };
        let (last, total) = (blob.len() - 1, blob.len());
        Reply::new(206)
            .header("content-range", format!("bytes {last}-{last}/{total}"))
            .body(Bytes::copy_from_slice(&blob[last..]))
    }

    /// Answers with the correct state of the session.
    fn state(&self, status: u16) -> Reply {
        self.located(status)
            .header("range", format!("0-{}", self.len().saturating_sub(1)))
    }

    fn located(&self, status: u16) -> Reply {
        let number = self.open.as_ref().unwrap().number;
        Reply::new(status).header("location", format!("/uploads/{number}"))
    }

    fn len(&self) -> usize {
        self.open.as_ref().unwrap().bytes.len()
    }
}

struct Server {
    http: FakeRegistry,
    store: Arc<Mutex<Store>>,
}

impl Server {
    /// Starts a server. `habit` may answer requests in another way. With `cut`, the connection
    /// breaks once, in the middle of the second PATCH; the registry keeps the bytes that arrived.
    async fn start(
        cut: bool,
        habit: impl Fn(&mut Store, &Asked) -> Option<Reply> + Send + Sync + 'static,
    ) -> Self {
        let store = Arc::new(Mutex::new(Store::default()));
        let serving = Arc::clone(&store);
        let script = move |asked: &Asked, _: usize| {
            let mut store = serving.lock().unwrap();
            let own = habit(&mut store, asked);
            own.unwrap_or_else(|| store.answer(asked))
        };
        let patches = AtomicUsize::new(0);
        let scissors = move |asked: &Asked, _: usize| {
            let second =
                asked.method == Method::PATCH && patches.fetch_add(1, Ordering::SeqCst) == 1;
            (cut && second).then_some(3 * MIB)
        };
        Self {
            http: FakeRegistry::start_with_scissors(script, scissors).await,
            store,
        }
    }

    fn repository(&self) -> Repository {
        self.http.repository("a/b")
    }

    fn has(&self, blob: &Bytes) -> bool {
        self.store.lock().unwrap().finished.as_deref() == Some(&blob[..])
    }

    fn sessions(&self) -> usize {
        self.store.lock().unwrap().sessions
    }

    /// Returns methods and MiB of the requests from number `from` on.
    fn story(&self, from: usize) -> String {
        let asked = self.http.asked();
        let words = asked[from..].iter().map(|asked| match asked.body.len() {
            0 => asked.method.to_string(),
            length => format!("{}:{}", asked.method, length.div_ceil(MIB)),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    async fn send(
        &self,
        client: &Client,
        blob: &Bytes,
        sessions: &MemorySessions,
    ) -> Result<Uploaded, Error> {
        let source = Memory::new(blob);
        upload(client, &self.repository(), digest(blob), &source, sessions).await
    }

    fn kept(&self, blob: &Bytes, sessions: &MemorySessions) -> Option<u64> {
        let kept = sessions.load(&self.repository(), &digest(blob)).unwrap();
        kept.map(|session| session.offset())
    }
}

/// Returns a client with one attempt, as with `--retries 0`.
fn impatient() -> Client {
    with_attempts(1)
}

/// Answer of a registry to a request for the state of a session.
type Status = fn(&Store) -> Reply;

/// Answers with the location of the session and with the given `Range`.
fn says(store: &Store, range: impl ToString) -> Reply {
    store.located(204).header("range", range)
}

const STATUSES: [(&str, Status); 15] = [
    ("right", |store| store.state(204)),
    ("one too many (Quay)", |store| {
        says(store, format!("bytes=0-{}", store.len()))
    }),
    ("one too few", |store| {
        says(store, format!("0-{}", store.len() - 2))
    }),
    ("does not move (ECR)", |store| {
        says(store, format!("0-{}", PIECE - 1))
    }),
    ("far behind", |store| says(store, "0-999")),
    ("no Range", |store| store.located(204)),
    ("nothing or one byte", |store| says(store, "0-0")),
    ("less than nothing", |store| says(store, "bytes=0--1")),
    ("inverted", |store| says(store, "9-0")),
    ("beyond the blob", |store| says(store, "0-99999999999")),
    ("not found", |_| Reply::error(404, "BLOB_UPLOAD_UNKNOWN")),
    ("no such method", |_| Reply::error(405, "UNSUPPORTED")),
    ("broken", |_| Reply::new(500)),
    ("never now", |_| Reply::new(503)),
    ("refused", |_| Reply::error(400, "BLOB_UPLOAD_INVALID")),
];

/// Starts a server that answers requests for a session's state with `status`. If `named` is true,
/// its refusals of a PATCH have a `Range`.
async fn with_status(status: Status, named: bool) -> Server {
    Server::start(true, move |store, asked| {
        let open = store.open.as_ref()?;
        let own = asked.path().ends_with(&format!("/{}", open.number));
        if own && asked.method == Method::GET {
            return Some(status(store));
        }
        let range = asked.header("content-range").filter(|_| own && !named)?;
        let wrong = !range.starts_with(&format!("{}-", store.len()));
        wrong.then(|| Reply::error(416, "BLOB_UPLOAD_INVALID"))
    })
    .await
}

#[tokio::test]
async fn a_broken_connection_is_overcome_whatever_the_registry_says_of_the_session() {
    let blob = noise(40 * MIB);
    for (name, status) in STATUSES {
        // Its refusals have no `Range` either.
        let server = with_status(status, false).await;
        let sessions = MemorySessions::default();
        let sent = server.send(&client(), &blob, &sessions).await;
        assert!(sent.is_ok(), "{name}: {sent:?} {}", server.story(0));
        assert!(server.has(&blob), "{name}");
        assert!(server.sessions() <= 2, "{name}: {}", server.story(0));
        assert_eq!(server.kept(&blob, &sessions), None, "{name}");
    }
}

#[tokio::test]
async fn another_run_goes_on_whatever_the_registry_says_of_the_session() {
    let blob = noise(40 * MIB);
    for (name, status) in STATUSES {
        let server = with_status(status, true).await;
        let sessions = MemorySessions::default();
        server
            .send(&impatient(), &blob, &sessions)
            .await
            .unwrap_err();
        assert_eq!(server.kept(&blob, &sessions), Some(PIECE as u64), "{name}");
        let from = server.http.asked().len();
        let sent = server.send(&impatient(), &blob, &sessions).await;
        let story = server.story(from);
        let sent = sent.unwrap_or_else(|error| panic!("{name}: {error} {story}"));
        assert!(server.has(&blob), "{name}: {story}");
        // If the registry keeps the session, the first piece is not sent again.
        let lost = ["not found", "refused"].contains(&name);
        assert_eq!(
            server.sessions(),
            if lost { 2 } else { 1 },
            "{name}: {story}"
        );
        let expected = if lost { blob.len() } else { 8 * MIB };
        assert!(sent.sent <= expected as u64, "{name}: {sent:?} {story}");
    }
}

/// As in Quay: a PATCH that begins before the end is accepted, and bytes already there are skipped.
#[tokio::test]
async fn nothing_is_sent_twice_where_the_count_is_one_too_high() {
    let server = Server::start(true, |store, asked| {
        let open = store.open.as_mut()?;
        if !asked.path().ends_with(&format!("/{}", open.number)) {
            return None;
        }
        let length = open.bytes.len();
        match asked.method {
            Method::GET => Some(says(store, format!("bytes=0-{length}"))),
            Method::PATCH => {
                let range = asked.header("content-range")?;
                let first: usize = range.split('-').next()?.parse().unwrap();
                if first > length {
                    return Some(store.located(416).header("range", format!("0-{length}")));
                }
                open.bytes.extend_from_slice(&asked.body[length - first..]);
                Some(store.state(202))
            }
            _ => None,
        }
    })
    .await;
    let (blob, sessions) = (noise(70 * MIB), MemorySessions::default());
    let sent = server.send(&client(), &blob, &sessions).await.unwrap();
    assert!(server.has(&blob));
    assert_eq!(server.sessions(), 1);
    // Some bytes of the second PATCH arrived before it broke.
    assert!(sent.sent < 70 << 20, "{sent:?}");
}

#[tokio::test]
async fn the_range_after_a_piece_changes_nothing() {
    let blob = noise(70 * MIB);
    let ranges = [
        "0-33554431",
        "0-33554432",
        "0-0",
        "bytes=0--1",
        "5-2",
        "0-99999999999",
        "",
    ];
    for range in ranges {
        let server = Server::start(false, move |store, asked| {
            if asked.method != Method::PATCH {
                return None;
            }
            let _ = store.answer(asked);
            Some(match range {
                "" => store.located(202),
                range => store.located(202).header("range", range),
            })
        })
        .await;
        let sessions = MemorySessions::default();
        let sent = server.send(&client(), &blob, &sessions).await;
        assert_eq!(sent.unwrap().sent, 70 << 20, "{range}");
        assert!(server.has(&blob), "{range}");
        assert_eq!(
            server.story(0),
            "POST PATCH:32 PATCH:32 PATCH:6 PUT GET",
            "{range}"
        );
    }
}

/// The registry acknowledges a piece, keeps half of it, and refuses the next one.
#[tokio::test]
async fn a_refusal_may_lead_back_before_what_was_acknowledged() {
    let server = Server::start(false, |store, asked| {
        let at = (asked.method == Method::PATCH).then(|| store.len())?;
        if at != PIECE || asked.header("content-range")? != "33554432-67108863" {
            return None;
        }
        let open = store.open.as_mut()?;
        open.bytes.extend_from_slice(&asked.body[..16 * MIB]);
        Some(store.state(202))
    })
    .await;
    let (blob, sessions) = (noise(70 * MIB), MemorySessions::default());
    server.send(&client(), &blob, &sessions).await.unwrap();
    assert!(server.has(&blob));
    assert_eq!(
        server.story(0),
        "POST PATCH:32 PATCH:32 PATCH:6 PATCH:22 PUT GET"
    );
}

#[tokio::test]
async fn a_session_that_ends_in_the_middle_is_begun_again() {
    for status in [404, 400, 416, 500] {
        let refused = AtomicUsize::new(0);
        let server = Server::start(false, move |store, asked| {
            let first = store.sessions == 1 && asked.method == Method::PATCH;
            if !first || store.len() < PIECE || refused.fetch_add(1, Ordering::SeqCst) > 9 {
                return None;
            }
            Some(match status {
                404 => Reply::error(404, "BLOB_UPLOAD_UNKNOWN"),
                status => Reply::new(status),
            })
        })
        .await;
        let (blob, sessions) = (noise(40 * MIB), MemorySessions::default());
        let mut options = options();
        options.retry.attempts = 6;
        let client = Client::new(options);
        server.send(&client, &blob, &sessions).await.unwrap();
        assert!(server.has(&blob), "{status}");
        assert_eq!(server.sessions(), 2, "{status}: {}", server.story(0));
        let cancelled = server.store.lock().unwrap().cancelled.clone();
        let expected = if status == 404 {
            vec![]
        } else {
            vec!["/uploads/1"]
        };
        assert_eq!(cancelled, expected, "{status}");
    }
}

/// Quay on a store like S3 cannot join the pieces that came with `Content-Range`.
#[tokio::test]
async fn pieces_that_cannot_be_joined_are_sent_in_one_request_from_then_on() {
    for (status, first) in [
        (500, "POST PATCH:32 PATCH:8 PUT PUT DELETE POST PUT:40"),
        (502, "POST PATCH:32 PATCH:8 PUT PUT DELETE POST PUT:40"),
        (400, "POST PATCH:32 PATCH:8 PUT DELETE POST PUT:40"),
    ] {
        let server = Server::start(false, move |store, asked| {
            let ranged = store.open.as_ref()?.ranged.len();
            (asked.method == Method::PUT && ranged > 1).then(|| Reply::new(status))
        })
        .await;
        let (client, sessions) = (client(), MemorySessions::default());
        let (blob, next) = (noise(40 * MIB), noise(41 * MIB));
        server.send(&client, &blob, &sessions).await.unwrap();
        assert!(server.has(&blob), "{status}");
        assert_eq!(server.story(0), first, "{status}");
        assert_eq!(server.kept(&blob, &sessions), None);
        let from = server.http.asked().len();
        server.send(&client, &next, &sessions).await.unwrap();
        assert!(server.has(&next), "{status}");
        assert_eq!(server.story(from), "POST PUT:41", "remembered");
        // The same without spare attempts.
        let from = server.http.asked().len();
        server.send(&impatient(), &blob, &sessions).await.unwrap();
        assert!(server.has(&blob), "{status}");
        assert!(
            server.story(from).ends_with("DELETE POST PUT:40"),
            "{status}"
        );
    }
}

/// The same store, but it answers that the upload succeeded.
#[tokio::test]
async fn a_blob_that_lost_pieces_is_noticed_and_sent_in_one_request() {
    let server = Server::start(false, |store, asked| {
        let open = store.open.as_mut()?;
        if asked.method != Method::PUT || open.ranged.len() < 2 {
            return None;
        }
        let last = open.bytes.len() - open.ranged.last()?;
        store.finished = Some(open.bytes.split_off(last));
        store.open = None;
        Some(Reply::new(201))
    })
    .await;
    let (blob, sessions) = (noise(40 * MIB), MemorySessions::default());
    server.send(&client(), &blob, &sessions).await.unwrap();
    assert!(server.has(&blob), "{}", server.story(0));
}

/// The same store behind a proxy that refuses large requests.
#[tokio::test]
async fn pieces_without_content_range_are_the_last_way() {
    let server = Server::start(false, |store, asked| {
        if asked.body.len() > PIECE {
            return Some(Reply::new(413));
        }
        let ranged = store.open.as_ref()?.ranged.len();
        (asked.method == Method::PUT && ranged > 1).then(|| Reply::new(500))
    })
    .await;
    let (client, sessions) = (client(), MemorySessions::default());
    for blob in [noise(40 * MIB), noise(41 * MIB)] {
        let from = server.http.asked().len();
        server.send(&client, &blob, &sessions).await.unwrap();
        assert!(server.has(&blob));
        let story = server.story(from);
        assert!(
            story.ends_with(" POST PATCH:32 PATCH:8 PUT") || from > 0,
            "{story}"
        );
        assert!(from == 0 || story == "POST PATCH:32 PATCH:9 PUT", "{story}");
    }
    let asked = server.http.asked();
    assert_eq!(asked.last().unwrap().method, Method::PUT);
    assert_eq!(asked[asked.len() - 2].header("content-range"), None);
}

#[tokio::test]
async fn small_blobs_go_up_in_a_patch_where_a_put_with_content_is_refused() {
    for status in [400, 405, 404, 500] {
        let server = Server::start(false, move |_, asked| {
            let with_content = asked.method == Method::PUT && !asked.body.is_empty();
            with_content.then(|| Reply::new(status))
        })
        .await;
        let (client, sessions) = (client(), MemorySessions::default());
        for blob in [noise(3 * MIB), noise(2 * MIB)] {
            server.send(&client, &blob, &sessions).await.unwrap();
            assert!(server.has(&blob), "{status}");
        }
        assert!(server.story(0).ends_with("POST PATCH:2 PUT"), "{status}");
    }
}

/// The registry refuses a stored session at every offset, or refuses to finish it.
#[tokio::test]
async fn a_stored_session_that_is_refused_is_forgotten() {
    for (method, status) in [
        (Method::PATCH, 416),
        (Method::PATCH, 400),
        (Method::PATCH, 404),
        (Method::PATCH, 403),
        (Method::PUT, 400),
        (Method::PUT, 403),
        (Method::PUT, 500),
        (Method::PUT, 404),
    ] {
        let second_run = Arc::new(AtomicBool::new(false));
        let is_second = Arc::clone(&second_run);
        let refused = method.clone();
        let server = Server::start(false, move |store, asked| {
            if store.sessions != 1 {
                return None;
            }
            match is_second.load(Ordering::SeqCst) {
                true => (asked.method == refused).then(|| Reply::new(status)),
                // The first run ends in the middle of the blob.
                false => (asked.method == Method::PATCH && store.len() >= PIECE)
                    .then(|| Reply::error(403, "DENIED")),
            }
        })
        .await;
        let (blob, sessions) = (noise(40 * MIB), MemorySessions::default());
        server
            .send(&impatient(), &blob, &sessions)
            .await
            .unwrap_err();
        assert_eq!(server.kept(&blob, &sessions), Some(PIECE as u64));
        second_run.store(true, Ordering::SeqCst);
        let sent = server.send(&impatient(), &blob, &sessions).await;
        assert!(
            sent.is_ok(),
            "{method} {status}: {sent:?} {}",
            server.story(0)
        );
        assert!(server.has(&blob), "{method} {status}");
        assert_eq!(server.kept(&blob, &sessions), None, "{method} {status}");
        assert_eq!(server.sessions(), 2, "{method} {status}");
    }
}

/// The account may send pieces but not finish: the next run does not repeat that request.
#[tokio::test]
async fn an_end_that_the_account_may_not_send_is_forgotten() {
    let server = Server::start(false, |_, asked| {
        let end = asked.method == Method::PUT && asked.body.is_empty();
        end.then(|| Reply::error(403, "DENIED"))
    })
    .await;
    let (blob, sessions) = (noise(40 * MIB), MemorySessions::default());
    server.send(&client(), &blob, &sessions).await.unwrap_err();
    assert_eq!(server.kept(&blob, &sessions), None, "{}", server.story(0));
}

#[tokio::test]
async fn a_session_is_kept_for_a_network_or_a_registry_that_is_not_there_now() {
    for status in [429, 503, 0] {
        let server = Server::start(false, move |store, asked| {
            let at = store.open.as_ref().map_or(0, |open| open.bytes.len());
            let hit = matches!(asked.method, Method::PATCH | Method::PUT) && at >= PIECE;
            hit.then(|| match status {
                0 => Reply::hang_up(),
                status => Reply::new(status),
            })
        })
        .await;
        let (blob, sessions) = (noise(40 * MIB), MemorySessions::default());
        for _ in 0..2 {
            server.send(&client(), &blob, &sessions).await.unwrap_err();
            assert_eq!(
                server.kept(&blob, &sessions),
                Some(PIECE as u64),
                "{status}"
            );
        }
        assert_eq!(server.sessions(), 1, "{status}: {}", server.story(0));
        assert!(
            server.store.lock().unwrap().cancelled.is_empty(),
            "{status}"
        );
    }
}

/// Every request is refused: the upload ends, and no session is kept for the next run.
#[tokio::test]
async fn refusals_for_ever_have_an_end() {
    for (method, status) in [
        (Method::PATCH, 416),
        (Method::PATCH, 404),
        (Method::PATCH, 500),
        (Method::PUT, 400),
        (Method::PUT, 404),
        (Method::PUT, 500),
    ] {
        let refused = method.clone();
        let server = Server::start(false, move |_, asked| {
            let whole = asked.method == Method::PUT && !asked.body.is_empty();
            (asked.method == refused || whole).then(|| Reply::new(status))
        })
        .await;
        let (blob, sessions) = (noise(33 * MIB), MemorySessions::default());
        server.send(&client(), &blob, &sessions).await.unwrap_err();
        let story = server.story(0);
        assert!(server.http.asked().len() < 50, "{method} {status}: {story}");
        assert_eq!(server.kept(&blob, &sessions), None, "{method} {status}");
    }
}

/// Returns a client that makes `attempts` attempts.
fn with_attempts(attempts: u32) -> Client {
    let mut options = options();
    options.retry.attempts = attempts;
    Client::new(options)
}

/// Each session accepts its first piece and no second one, which is not progress.
#[tokio::test]
async fn a_second_piece_that_always_fails_leads_to_another_way() {
    for (status, attempts) in [(500, 1), (501, 3), (502, 2)] {
        let server = Server::start(false, move |store, asked| {
            let begun = store.open.as_ref().is_some_and(|o| !o.bytes.is_empty());
            let second = asked.method == Method::PATCH && begun;
            second.then(|| Reply::new(status))
        })
        .await;
        let (client, sessions) = (with_attempts(attempts), MemorySessions::default());
        let blob = noise(33 * MIB);
        server.send(&client, &blob, &sessions).await.unwrap();
        assert!(server.has(&blob), "{status}");
        let story = server.story(0);
        assert!(server.http.asked().len() < 20, "{status}: {story}");
        // The next blob is sent in the way that worked.
        let (before, next) = (server.http.asked().len(), noise(34 * MIB));
        server.send(&client, &next, &sessions).await.unwrap();
        assert!(server.has(&next), "{status}");
        assert_eq!(server.story(before), "POST PUT:34", "{status}");
    }
}

/// A registry that cannot join pieces and answers "not now" each time.
#[tokio::test]
async fn an_end_that_is_put_off_in_two_runs_leads_to_another_way() {
    for status in [503, 429] {
        let server = Server::start(false, move |store, asked| {
            let joins = store.open.as_ref().is_some_and(|o| o.ranged.len() > 1);
            (asked.method == Method::PUT && joins).then(|| Reply::new(status))
        })
        .await;
        let (blob, sessions) = (noise(33 * MIB), MemorySessions::default());
        server.send(&client(), &blob, &sessions).await.unwrap_err();
        // The failure may be temporary, so all bytes that were sent are kept.
        assert_eq!(server.sessions(), 1, "{status}");
        assert_eq!(server.kept(&blob, &sessions), Some(33 * MIB as u64));
        server.send(&client(), &blob, &sessions).await.unwrap();
        assert!(server.has(&blob), "{status}: {}", server.story(0));
        assert_eq!(server.kept(&blob, &sessions), None, "{status}");
    }
}

#[tokio::test]
async fn an_end_that_was_put_off_in_one_run_costs_no_byte() {
    let passed = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&passed);
    let server = Server::start(false, move |_, asked| {
        let put_off = asked.method == Method::PUT && !now.load(Ordering::SeqCst);
        put_off.then(|| Reply::new(503))
    })
    .await;
    let (blob, sessions) = (noise(33 * MIB), MemorySessions::default());
    server.send(&client(), &blob, &sessions).await.unwrap_err();
    passed.store(true, Ordering::SeqCst);
    let done = server.send(&client(), &blob, &sessions).await.unwrap();
    assert!(server.has(&blob));
    assert_eq!((done.sent, server.sessions()), (0, 1));
}

/// The registry names another host for the upload: no credentials go there, and the error names it.
#[tokio::test]
async fn uploads_that_are_sent_elsewhere_say_so() {
    for mebibytes in [1, 33] {
        let location = Arc::new(std::sync::OnceLock::<String>::new());
        let named = Arc::clone(&location);
        let server = FakeRegistry::start(move |asked, _| {
            let challenge =
                Reply::error(401, "UNAUTHORIZED").header("www-authenticate", "Basic realm=\"r\"");
            match asked.header("authorization") {
                None => challenge,
                Some(_) => Reply::new(202).header("location", named.get().unwrap()),
            }
        })
        .await;
        location.set(server.other_name("/uploads/1")).unwrap();
        let client = Client::new(ClientOptions {
            credentials: credentials(&server.host()),
            ..options()
        });
        let (blob, sessions) = (noise(mebibytes * MIB), MemorySessions::default());
        let (source, repository) = (Memory::new(&blob), server.repository("a"));
        let error = upload(&client, &repository, digest(&blob), &source, &sessions).await;
        let error = error.unwrap_err();
        assert!(
            matches!(error, Error::UploadOnOtherHost { .. }),
            "{error:?}"
        );
        let port = server.host().to_string();
        let port = port.rsplit(':').next().unwrap();
        let words = error.to_string();
        assert!(
            words.contains(&format!("http://localhost:{port}")),
            "{words}"
        );
        for asked in server.asked() {
            let there = asked.path().starts_with("/uploads");
            assert!(!there || asked.header("authorization").is_none());
        }
    }
}
