//! Blobs that several repositories have: if one repository fails, the next is asked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::site::{Site, assert_same};
use crate::support::fake_registry::{Asked, Reply};
use crate::support::images::Build;

const MIB: usize = 1 << 20;

/// Two repositories that share a layer.
struct Shared {
    site: Site,
    references: [String; 2],
    digest: String,
}

fn shared(bytes: usize) -> Shared {
    let site = Site::new();
    let image = |seed| {
        Build::oci(seed)
            .shared_layer("shared", bytes)
            .layer(700)
            .image()
    };
    let (one, two) = (image("one"), image("two"));
    let digest = one.blobs[1].digest();
    assert_eq!(digest, two.blobs[1].digest());
    let references = [
        site.put("a/first", "v1", &one),
        site.put("b/second", "v1", &two),
    ];
    Shared {
        site,
        references,
        digest,
    }
}

impl Shared {
    /// Answers the requests for the layer. Arguments of `answer`: the repository, the number of
    /// earlier requests for the layer there, the request, and the layer. Returns the repositories
    /// in the order in which they are asked.
    fn answer(
        &self,
        answer: impl Fn(&str, usize, &Asked, &bytes::Bytes) -> Option<Reply> + Send + 'static,
    ) -> Arc<Mutex<Vec<String>>> {
        let (digest, blob) = (self.digest.clone(), self.site.blob(&self.digest));
        let asked_of = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&asked_of);
        let counts = [AtomicUsize::new(0), AtomicUsize::new(0)];
        self.site.fault(move |asked| {
            let tail = format!("/blobs/{digest}");
            let place = asked.path().strip_prefix("/v2/")?.strip_suffix(&tail)?;
            list.lock().unwrap().push(place.to_owned());
            let count = &counts[usize::from(place.starts_with('b'))];
            answer(place, count.fetch_add(1, Ordering::SeqCst), asked, &blob)
        });
        asked_of
    }

    fn args(&self) -> Vec<&str> {
        let mut args: Vec<&str> = self.references.iter().map(String::as_str).collect();
        args.extend(["--retries", "0"]);
        args
    }
}

fn wrong(asked: &Asked, blob: &bytes::Bytes) -> Reply {
    let mut bytes = blob.to_vec();
    bytes[blob.len() / 2] ^= 4;
    Reply::range(asked, &bytes.into())
}

#[test]
fn after_wrong_bytes_the_next_repository_is_asked() {
    // Small blobs are prefetched; large ones are fetched when their turn comes.
    for bytes in [3000, 5 * MIB] {
        let shared = shared(bytes);
        let whole = shared.site.path("whole");
        shared.site.export(&whole, &shared.args()).succeeds();
        let asked =
            shared.answer(|place, _, asked, blob| (place == "a/first").then(|| wrong(asked, blob)));
        let bundle = shared.site.path("bundle");
        shared.site.export(&bundle, &shared.args()).succeeds();
        assert_same(&whole, &bundle);
        assert_eq!(*asked.lock().unwrap(), ["a/first", "b/second"], "{bytes}");
    }
}

#[test]
fn a_repository_that_fails_in_the_middle_is_left_for_the_next_one() {
    let shared = shared(5 * MIB);
    let whole = shared.site.path("whole");
    shared.site.export(&whole, &shared.args()).succeeds();
    let asked = shared.answer(|place, number, asked, blob| {
        (place == "a/first").then(|| match number {
            0 => Reply::range(asked, blob).cut_after(blob.len() / 2),
            _ => Reply::error(404, "BLOB_UNKNOWN"),
        })
    });
    let bundle = shared.site.path("bundle");
    let from = shared.site.asked().len();
    shared.site.export(&bundle, &shared.args()).succeeds();
    assert_same(&whole, &bundle);
    assert_eq!(*asked.lock().unwrap(), ["a/first", "b/second"]);
    // The second repository continues where the first broke off.
    let layer = shared.site.blob(&shared.digest).len();
    let bytes = |asked: &Asked| {
        (asked.path().starts_with("/v2/b/") && asked.path().ends_with(&shared.digest))
            .then(|| layer - asked.range_start())
    };
    let asked = shared.site.asked();
    let fetched: usize = asked.iter().skip(from).filter_map(bytes).sum();
    assert!(fetched > 0 && fetched < 2 * layer / 3, "{fetched}");
}

#[test]
fn a_blob_is_given_up_when_no_repository_has_it_right() {
    let shared = shared(2 * MIB);
    let asked = shared.answer(|_, _, asked, blob| Some(wrong(asked, blob)));
    let bundle = shared.site.path("bundle");
    let outcome = shared.site.export(&bundle, &shared.args()).fails_with(5);
    outcome.stderr_has("the registry sent content with a wrong digest");
    // The first is asked once more: the network may have corrupted the bytes.
    let expected = ["a/first", "b/second", "a/first"];
    assert_eq!(*asked.lock().unwrap(), expected);
}

/// The network may have corrupted the bytes: if no other repository has the blob, the same
/// repository is asked once more.
#[test]
fn a_repository_has_a_second_chance_when_no_other_has_the_blob() {
    let shared = shared(2 * MIB);
    let asked = shared.answer(|place, number, asked, blob| match place {
        "a/first" => (number == 0).then(|| wrong(asked, blob)),
        _ => Some(Reply::error(404, "BLOB_UNKNOWN")),
    });
    let bundle = shared.site.path("bundle");
    shared.site.export(&bundle, &shared.args()).succeeds();
    assert_eq!(*asked.lock().unwrap(), ["a/first", "b/second", "a/first"]);
}
