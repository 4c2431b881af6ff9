use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use reqwest::header::{CONTENT_LENGTH, RANGE};
use tokio::net::TcpListener;

use super::*;
use crate::model::Repository;
use crate::registry::{ClientOptions, RetryPolicy};

const MIB: u64 = 1 << 20;

fn speed(bytes: u64, millis: u64) -> Speed {
    let mut speed = Speed::default();
    speed.count(bytes, Duration::from_millis(millis));
    speed
}

#[test]
fn a_blob_is_divided_where_its_stream_is_slow_and_much_is_left() {
    // 300 KiB/s: the rate of TCP with a round trip of 40 ms and one per cent of loss.
    let slow = speed(300 << 10, 1000);
    assert!(should_divide(None, slow, 10 * MIB));
    assert!(!should_divide(None, slow, WORTH_DIVIDING - 1));
    // The rate is not known yet.
    assert!(!should_divide(None, Speed::default(), 100 * MIB));
    assert!(!should_divide(None, speed(3 << 10, 10), 100 * MIB));
    // A fast stream, but so many bytes that they take long.
    assert!(should_divide(None, speed(100 * MIB, 1000), 1001 * MIB));
    assert!(!should_divide(None, speed(100 * MIB, 1000), 1000 * MIB));
    // Nothing arrived at all.
    assert!(should_divide(None, speed(0, 2000), 10 * MIB));
}

#[test]
fn what_was_found_out_is_kept_to() {
    let (slow, fast) = (speed(MIB, 60_000), speed(500 * MIB, 1000));
    assert!(!should_divide(
        Some(PartsVerdict::NotFaster),
        slow,
        100 * MIB
    ));
    assert!(should_divide(
        Some(PartsVerdict::Faster),
        fast,
        WORTH_DIVIDING
    ));
    assert!(!should_divide(
        Some(PartsVerdict::Faster),
        slow,
        WORTH_DIVIDING - 1
    ));
}

fn a_blob() -> (Client, PlacedBlob) {
    let repository: Repository = "r.lan/a".parse().unwrap();
    let client = Client::new(ClientOptions::default());
    let blob = PlacedBlob {
        place: client.own_place(&repository),
        client: client.clone(),
        digest: Digest::from_bytes([1; 32]),
        size: 100 * MIB,
    };
    (client, blob)
}

#[test]
fn the_verdict_compares_with_the_stream_before() {
    let (_, blob) = a_blob();
    let mut parts = Parts::new(blob.clone(), 0, false, speed(MIB, 1000));
    assert_eq!(parts.judge(), None);
    // Too few bytes to judge.
    parts.speed = speed(11 * MIB, 10);
    assert_eq!(parts.judge(), None);
    parts.speed = speed(12 * MIB, 6000);
    assert_eq!(parts.judge(), Some(PartsVerdict::Faster));
    assert_eq!(parts.end, 100 * MIB);
    parts.next = 20 * MIB;
    parts.speed = speed(12 * MIB, 11_000);
    assert_eq!(parts.judge(), Some(PartsVerdict::NotFaster));
    assert_eq!(parts.end, 20 * MIB);
    // The stream before was too short to compare with.
    let mut parts = Parts::new(blob, 0, false, speed(64 << 10, 999));
    parts.speed = speed(50 * MIB, 10);
    assert_eq!(parts.judge(), None);
}

#[test]
fn a_stream_that_runs_goes_on_for_a_little() {
    let (_, blob) = a_blob();
    let parts = Parts::new(blob.clone(), 5 * MIB, true, Speed::default());
    assert_eq!(parts.lead(5 * MIB), MIB);
    assert_eq!(parts.lead(6 * MIB - 1), 1);
    assert_eq!(parts.lead(7 * MIB), 0);
    let parts = Parts::new(blob, 5 * MIB, false, Speed::default());
    assert_eq!(parts.lead(5 * MIB), 0);
}

/// Fault of an answer.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// A refusal with this status.
    Status(u16),
    /// The connection breaks in the middle.
    Cut,
}

type Body = BoxBody<Bytes, std::io::Error>;

fn body(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// Returns a body of 64 KiB, less than a stream must deliver beside parts, and then an error.
fn cut(mut bytes: Bytes) -> Body {
    bytes.truncate(64 << 10);
    let broken = Err(std::io::ErrorKind::ConnectionReset.into());
    let frames = [Ok(Frame::data(bytes)), broken];
    StreamBody::new(futures_util::stream::iter(frames)).boxed()
}

/// Starts a registry with one blob. `ranges`: it supports ranges. `fault` chooses the fault of
/// the answer to a request, by the request's number (from 1) and its range.
async fn serve(
    blob: Bytes,
    ranges: bool,
    fault: impl Fn(usize, Option<&str>) -> Option<Fault> + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<Option<String>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, fault) = (Arc::clone(&asked), Arc::new(fault));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (blob, log, fault) = (blob.clone(), Arc::clone(&log), Arc::clone(&fault));
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = if request.uri().path().contains("/blobs/") {
                    let range = request.headers().get(RANGE);
                    let range = range.map(|range| range.to_str().unwrap().to_owned());
                    let mut log = log.lock().unwrap();
                    log.push(range.clone());
                    let fault = fault(log.len(), range.as_deref());
                    answer(&blob, range.filter(|_| ranges), fault)
                } else {
                    Response::new(body(Bytes::new()))
                };
                std::future::ready(Ok::<_, Infallible>(answer))
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
        }
    });
    (host, asked)
}

fn answer(blob: &Bytes, range: Option<String>, fault: Option<Fault>) -> Response<Body> {
    if let Some(Fault::Status(status)) = fault {
        let refusal = Response::builder().status(status);
        return refusal.body(body(Bytes::new())).unwrap();
    }
    let last_byte = blob.len() - 1;
    let (status, first, last) = match &range {
        None => (200, 0, last_byte),
        Some(range) => {
            let range = range.strip_prefix("bytes=").unwrap();
            let (first, last) = range.split_once('-').unwrap();
            (
                206,
                first.parse().unwrap(),
                last.parse().unwrap_or(last_byte),
            )
        }
    };
    let bytes = blob.slice(first..=last);
    let mut head = Response::builder()
        .status(status)
        .header(CONTENT_LENGTH, bytes.len());
    if range.is_some() {
        let range = format!("bytes {first}-{last}/{}", blob.len());
        head = head.header(CONTENT_RANGE, range);
    }
    let body = match fault {
        Some(_) => cut(bytes),
        None => body(bytes),
    };
    head.body(body).unwrap()
}

/// Downloads the blob with parts from the beginning: dividing is known to help.
async fn download(host: &str, blob: &Bytes) -> (Vec<u8>, Option<PartsVerdict>) {
    download_from(host, blob, true).await
}

/// Downloads the blob. The verdict that dividing helps is set first if `before`, else after the
/// stream has begun.
async fn download_from(host: &str, blob: &Bytes, before: bool) -> (Vec<u8>, Option<PartsVerdict>) {
    let client = Client::new(ClientOptions {
        tls_verify: Some(false),
        retry: RetryPolicy {
            base: Duration::from_millis(1),
            ..RetryPolicy::default()
        },
        ..ClientOptions::default()
    });
    let repository: Repository = format!("{host}/a").parse().unwrap();
    if before {
        client.set_parts_verdict(&repository.host, PartsVerdict::Faster);
    }
    let digest = Digest::from_bytes([1; 32]);
    let mut download = client
        .blob(&repository, digest, length(blob), 0)
        .await
        .unwrap();
    client.set_parts_verdict(&repository.host, PartsVerdict::Faster);
    let mut bytes = Vec::new();
    while let Some(piece) = download.next().await.unwrap() {
        bytes.extend_from_slice(&piece);
    }
    (bytes, client.parts_verdict(&repository.host))
}

fn noise(bytes: u64) -> Bytes {
    (0..bytes)
        .map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8)
        .collect()
}

#[tokio::test]
async fn each_part_is_asked_for_once_and_all_come_in_order() {
    let blob = noise(20 * MIB + 5);
    let (host, asked) = serve(blob.clone(), true, |_, _| None).await;
    let (bytes, _) = download(&host, &blob).await;
    assert!(bytes == blob);
    let ranges: BTreeSet<String> = asked.lock().unwrap().iter().flatten().cloned().collect();
    let whole_parts = (0..20).map(|n| format!("bytes={}-{}", n * MIB, (n + 1) * MIB - 1));
    let rest = format!("bytes={}-{}", 20 * MIB, 20 * MIB + 4);
    assert_eq!(ranges, whole_parts.chain([rest]).collect());
    assert_eq!(asked.lock().unwrap().len(), 21);
}

#[tokio::test]
async fn a_registry_without_ranges_is_read_as_one_stream() {
    let blob = noise(6 * MIB);
    let (host, asked) = serve(blob.clone(), false, |_, _| None).await;
    let (bytes, known) = download(&host, &blob).await;
    assert!(bytes == blob);
    assert_eq!(known, Some(PartsVerdict::NotFaster));
    let asked = asked.lock().unwrap();
    // Parts were tried once; the whole came in one stream.
    assert_eq!(asked.iter().filter(|range| range.is_none()).count(), 1);
    assert!(asked.len() <= 7, "{asked:?}");
}

#[tokio::test]
async fn a_stream_is_not_let_go_for_parts_that_are_none() {
    let blob = noise(6 * MIB);
    // A registry without ranges, and one that refuses every part.
    let refusals = [401, 403, 404, 416, 503].map(Some);
    for refusal in refusals.into_iter().chain([None]) {
        let fault =
            move |number, _: Option<&str>| refusal.filter(|_| number > 1).map(Fault::Status);
        let (host, asked) = serve(blob.clone(), refusal.is_some(), fault).await;
        let (bytes, found) = download_from(&host, &blob, false).await;
        assert!(bytes == blob);
        // One refusal says nothing about other blobs.
        let known = refusal.map_or(PartsVerdict::NotFaster, |_| PartsVerdict::Faster);
        assert_eq!(found, Some(known), "{refusal:?}");
        let asked = asked.lock().unwrap();
        assert_eq!(asked.iter().filter(|range| range.is_none()).count(), 1);
        assert!(asked.len() > 1, "no part was asked for");
        assert!(asked.iter().flatten().all(|range| !range.ends_with('-')));
    }
}

#[tokio::test]
async fn parts_that_are_refused_for_now_come_later() {
    let blob = noise(9 * MIB);
    let fault = |number, _: Option<&str>| matches!(number, 3 | 8).then_some(Fault::Status(503));
    let (host, asked) = serve(blob.clone(), true, fault).await;
    let (bytes, known) = download(&host, &blob).await;
    assert!(bytes == blob);
    assert_eq!(known, Some(PartsVerdict::Faster));
    // The stream that replaces the refused part is divided again.
    let asked = asked.lock().unwrap();
    let is_stream = |range: &&String| range.ends_with('-');
    let last_stream = asked
        .iter()
        .flatten()
        .rev()
        .position(|range| is_stream(&range));
    assert!(last_stream.is_some_and(|behind| behind > 0), "{asked:?}");
}

/// The registry refuses the parts after the first: for now (429), or permanently (403).
#[tokio::test]
async fn the_rest_comes_whole_when_parts_are_too_many_or_not_allowed() {
    for status in [429, 403] {
        let blob = noise(9 * MIB);
        let fault = move |_: usize, range: Option<&str>| {
            let is_later = range.is_some_and(|range| !range.starts_with("bytes=0-"));
            let is_part = range.is_some_and(|range| !range.ends_with('-'));
            (is_later && is_part).then_some(Fault::Status(status))
        };
        let (host, asked) = serve(blob.clone(), true, fault).await;
        let (bytes, known) = download(&host, &blob).await;
        assert!(bytes == blob);
        assert_eq!(known, Some(PartsVerdict::Faster), "{status}");
        // No part is requested a second time.
        let rest = format!("bytes={MIB}-");
        let asked = asked.lock().unwrap();
        assert_eq!(asked.last().unwrap().as_ref(), Some(&rest), "{status}");
        assert_eq!(asked.len(), 10, "{status}: {asked:?}");
    }
}

#[tokio::test]
async fn a_part_that_breaks_off_is_asked_for_again_and_no_other() {
    let blob = noise(9 * MIB);
    let fault = |number, _: Option<&str>| (number == 3).then_some(Fault::Cut);
    let (host, asked) = serve(blob.clone(), true, fault).await;
    let (bytes, known) = download(&host, &blob).await;
    assert!(bytes == blob);
    assert_eq!(known, Some(PartsVerdict::Faster));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 9);
    assert_eq!(asked.len(), 10, "{asked:?}");
}

#[tokio::test]
async fn a_part_that_breaks_off_each_time_is_tried_as_often_as_anything() {
    let blob = noise(9 * MIB);
    let breaks = std::sync::atomic::AtomicUsize::new(0);
    let fault = move |_: usize, range: Option<&str>| {
        let is_it = range.is_some_and(|range| range.starts_with("bytes=2097152-"));
        let breaks_now = is_it && breaks.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 5;
        breaks_now.then_some(Fault::Cut)
    };
    let (host, _) = serve(blob.clone(), true, fault).await;
    let (bytes, known) = download(&host, &blob).await;
    assert!(bytes == blob);
    assert_eq!(known, Some(PartsVerdict::Faster));
}

#[tokio::test]
async fn a_stream_that_breaks_beside_parts_is_continued() {
    let blob = noise(9 * MIB);
    let fault = |number, _: Option<&str>| (number == 1).then_some(Fault::Cut);
    let (host, asked) = serve(blob.clone(), true, fault).await;
    let (bytes, known) = download_from(&host, &blob, false).await;
    assert!(bytes == blob);
    assert_eq!(known, Some(PartsVerdict::Faster));
    let asked = asked.lock().unwrap();
    assert!(asked.len() > 9, "no part was asked for: {asked:?}");
}
