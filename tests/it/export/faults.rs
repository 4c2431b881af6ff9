//! Registries that fail: what an image lacks affects that image alone, and what becomes available
//! again is fetched later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::site::{Site, assert_same, files, reads, size};
use crate::support::fake_registry::{Asked, Reply};
use crate::support::images::{Build, Image};

const MIB: usize = 1 << 20;

/// Two images; the second has a blob of 6 MiB, which the tests break.
struct Pair {
    site: Site,
    references: [String; 2],
    trouble: String,
    /// Digest of the configuration of the first image, which is small enough to be prefetched.
    small: String,
}

fn pair() -> Pair {
    let site = Site::new();
    let good = Build::oci("good").plain_layer(5 * MIB).layer(MIB).image();
    let bad = Build::oci("bad")
        .layer(2 * MIB)
        .plain_layer(6 * MIB)
        .plain_layer(4 * MIB)
        .image();
    let trouble = bad.blobs[2].digest();
    let small = good.blobs[0].digest();
    let references = [site.put("good", "v1", &good), site.put("bad", "v1", &bad)];
    Pair {
        site,
        references,
        trouble,
        small,
    }
}

impl Pair {
    fn args<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let mut args: Vec<&str> = self.references.iter().map(String::as_str).collect();
        args.extend(["--chunk-size", "4MiB"]);
        args.extend(more);
        args
    }

    /// Exports while the requests for the broken blob are answered by `answer` (the last argument
    /// is the number of the request, from 0), and asserts that the bundle equals that of a healthy
    /// registry.
    #[track_caller]
    fn survives(
        &self,
        answer: impl Fn(&Asked, &bytes::Bytes, usize) -> Option<Reply> + Send + 'static,
    ) {
        let whole = self.site.path("whole");
        if !whole.exists() {
            self.site.export(&whole, &self.args(&[])).succeeds();
        }
        let (digest, blob) = (self.trouble.clone(), self.site.blob(&self.trouble));
        let count = AtomicUsize::new(0);
        self.site.fault(move |asked| {
            if !reads(asked, &digest) {
                return None;
            }
            answer(asked, &blob, count.fetch_add(1, Ordering::SeqCst))
        });
        let bundle = self.site.path("bundle");
        self.site.export(&bundle, &self.args(&[])).succeeds();
        assert_same(&whole, &bundle);
        std::fs::remove_dir_all(&bundle).unwrap();
    }
}

#[test]
fn troubles_of_a_connection_leave_no_trace() {
    let pair = pair();
    // Cut after every 2 MiB.
    pair.survives(|asked, blob, _| {
        let reply = Reply::range(asked, blob);
        (asked.range_start() < 4 * MIB).then(|| reply.cut_after(2 * MIB))
    });
    // Cut once; afterwards ranges are ignored.
    pair.survives(|asked, blob, number| {
        let whole = Reply::new(200).header("content-length", blob.len());
        let whole = whole.body(blob.clone());
        Some(if number == 0 {
            Reply::range(asked, blob).cut_after(3 * MIB)
        } else {
            whole
        })
    });
    // A range that begins elsewhere, once.
    pair.survives(|asked, blob, number| match number {
        0 => Some(Reply::range(asked, blob).cut_after(3 * MIB)),
        1 => Some(
            Reply::new(206)
                .header("content-length", blob.len() - MIB)
                .header(
                    "content-range",
                    format!("bytes {MIB}-{}/{}", blob.len() - 1, blob.len()),
                )
                .body(blob.slice(MIB..)),
        ),
        _ => None,
    });
    pair.survives(|_, _, number| {
        (number == 0).then(|| Reply::error(429, "TOOMANYREQUESTS").header("retry-after", 1))
    });
    pair.survives(|_, _, number| (number == 0).then(|| Reply::error(503, "UNAVAILABLE")));
    pair.survives(|_, _, number| (number == 0).then(Reply::hang_up));
    // Wrong bytes, once.
    pair.survives(|asked, blob, number| (number == 0).then(|| Reply::range(asked, &wrong(blob))));
    // Wrong bytes, then a cut, then the right rest: the whole blob is wrong, and is fetched again.
    pair.survives(|asked, blob, number| {
        (number == 0).then(|| Reply::range(asked, &wrong(blob)).cut_after(5 * MIB))
    });
}

/// Returns the blob with one bit flipped in the middle.
fn wrong(blob: &bytes::Bytes) -> bytes::Bytes {
    let mut bytes = blob.to_vec();
    bytes[3 * MIB] ^= 4;
    bytes.into()
}

/// Small blobs are prefetched, which is another path through the code.
#[test]
fn a_small_blob_with_wrong_bytes_is_fetched_again() {
    let pair = pair();
    let whole = pair.site.path("whole");
    pair.site.export(&whole, &pair.args(&[])).succeeds();
    let (digest, blob) = (pair.small.clone(), pair.site.blob(&pair.small));
    let count = Arc::new(AtomicUsize::new(0));
    let asked_for = Arc::clone(&count);
    pair.site.fault(move |asked| {
        let wrong = reads(asked, &digest) && asked_for.fetch_add(1, Ordering::SeqCst) == 0;
        wrong.then(|| Reply::range(asked, &vec![b'x'; blob.len()].into()))
    });
    let bundle = pair.site.path("bundle");
    pair.site.export(&bundle, &pair.args(&[])).succeeds();
    assert!(
        count.load(Ordering::SeqCst) > 1,
        "it was not asked for again"
    );
    assert_same(&whole, &bundle);
}

/// A length other than the descriptor's affects that image; running again completes it.
#[test]
fn a_small_blob_of_another_length_costs_its_image() {
    let pair = pair();
    let digest = pair.small.clone();
    pair.site.fault(move |asked| {
        reads(asked, &digest).then(|| Reply::new(200).header("content-length", 5).body("wrong"))
    });
    let bundle = pair.site.path("bundle");
    pair.site.export(&bundle, &pair.args(&[])).fails_with(5);
    pair.site.heal();
    pair.site.export(&bundle, &pair.args(&[])).succeeds();
    pair.site.verify(&bundle, &["--strict"]).succeeds();
}

/// Breaks one blob permanently; checks generation 1, heals the registry, checks generation 2.
#[track_caller]
fn completes_later(answer: impl Fn(&Asked, &bytes::Bytes) -> Reply + Send + 'static) {
    let pair = pair();
    let (site, args) = (&pair.site, pair.args(&["--retries", "1"]));
    let (digest, blob) = (pair.trouble.clone(), site.blob(&pair.trouble));
    let broken = digest.clone();
    site.fault(move |asked| reads(asked, &broken).then(|| answer(asked, &blob)));
    let bundle = site.path("bundle");

    let first = site.export_json(&bundle, &args, 5);
    assert_eq!(first["generation"], 1);
    assert_eq!(first["complete"], false);
    let problem = |images: &Value, of: &str| {
        let images = images.as_array().unwrap().clone();
        let named = |image: &&Value| image["reference"].as_str().unwrap().contains(of);
        images.iter().find(named).unwrap()["problem"].clone()
    };
    assert_eq!(problem(&first["images"], "good"), Value::Null);
    let why = problem(&first["images"], "bad");
    assert!(why.as_str().unwrap().contains(&digest), "{why}");
    site.verify(&bundle, &["--strict"]).fails_with(5);
    site.verify(&bundle, &["--strict", "--allow-incomplete"])
        .succeeds();
    let before = files(&bundle);

    // Nothing has improved: nothing is written.
    let again = site.export_json(&bundle, &args, 5);
    assert_eq!(again["generation"], 1, "{again:#}");
    site.verify(&bundle, &["--strict", "--allow-incomplete"])
        .succeeds();

    site.heal();
    let dry = site.export_json(&bundle, &[&args[..], &["--dry-run"]].concat(), 0);
    let from = site.asked().len();
    let second = site.export_json(&bundle, &args, 0);
    // The signatures of the first generation are counted too.
    assert_eq!(dry["bytes_on_medium"], size(&bundle));
    assert_eq!(second["bytes_on_medium"], size(&bundle));
    assert_eq!(
        (&second["generation"], &second["complete"]),
        (&json!(2), &json!(true))
    );
    // Only the missing blob is fetched.
    assert_eq!(site.blob_bytes_asked(from), site.blob(&digest).len() as u64);
    let after = files(&bundle);
    for (name, bytes) in before
        .iter()
        .filter(|(name, _)| name.starts_with("chunks/"))
    {
        assert!(after.get(name) == Some(bytes), "{name} was changed");
    }
    site.verify(&bundle, &["--strict"]).succeeds();
    let done = site.export_json(&bundle, &args, 0);
    assert_eq!(done["state"], "already-complete");
}

#[test]
fn a_blob_that_is_always_wrong_is_completed_later() {
    completes_later(|asked, blob| Reply::range(asked, &wrong(blob)));
}

#[test]
fn a_blob_that_is_not_there_is_completed_later() {
    completes_later(|_, _| Reply::error(404, "BLOB_UNKNOWN"));
}

#[test]
fn a_blob_of_another_length_is_completed_later() {
    completes_later(|asked, blob| Reply::range(asked, &blob.slice(..5 * MIB)));
    completes_later(|asked, blob| {
        let mut longer = blob.to_vec();
        longer.extend_from_slice(b"more");
        Reply::range(asked, &longer.into())
    });
}

#[test]
fn manifests_that_cannot_be_had_cost_their_image_alone() {
    let site = Site::new();
    let good = site.put("good", "v1", &Build::oci("good").layer(1000).image());
    let old = json!({ "schemaVersion": 1, "name": "old", "fsLayers": [], "history": [] });
    site.put_manifest(
        "old",
        "v1",
        "application/vnd.docker.distribution.manifest.v1+prettyjws",
        old.to_string().as_bytes(),
    );
    let lost = Build::oci("lost").layer(1000).image();
    let pinned = format!("{}/lost@{}", site.host(), lost.digest());
    site.put_manifest(
        "other",
        "v1",
        lost.media_type,
        b"{\"schemaVersion\": 2, \"layers\": 7}",
    );
    let old = format!("{}/old:v1", site.host());
    let other = format!("{}/other:v1", site.host());
    let gone = format!("{}/gone:v1", site.host());
    let bundle = site.path("bundle");
    let args = [&*good, &*old, &*other, &*gone, &*pinned];

    let done = site.export_json(&bundle, &args, 5);

    let images = done["images"].as_array().unwrap();
    for (name, words) in [
        ("/old:", "schema 1"),
        ("/other:", "manifest"),
        ("/gone:", "not"),
        ("/lost@", "not"),
    ] {
        let of = |image: &&Value| image["reference"].as_str().unwrap().contains(name);
        let problem = images.iter().find(of).unwrap()["problem"].as_str().unwrap();
        assert!(problem.contains(words), "{name} {problem}");
        eprintln!("{name} {problem}");
    }
    site.verify(&bundle, &["--strict", "--allow-incomplete"])
        .succeeds();
    site.put("gone", "v1", &Build::oci("gone").layer(2000).image());
    site.put("lost", "v1", &lost);
    let second = site.export_json(&bundle, &args, 5);
    assert_eq!(second["generation"], 2);
    let lacking = second["images"].as_array().unwrap().iter();
    assert_eq!(
        lacking.filter(|image| image["problem"].is_string()).count(),
        2
    );
    site.verify(&bundle, &["--strict", "--allow-incomplete"])
        .succeeds();
}

#[test]
fn a_registry_that_goes_away_stops_the_run_until_it_is_back() {
    let pair = pair();
    let (site, args) = (&pair.site, pair.args(&["--retries", "1"]));
    let whole = site.path("whole");
    site.export(&whole, &args).succeeds();
    let gone = |site: &Site, digest: &str| {
        let digest = digest.to_owned();
        let away = std::sync::atomic::AtomicBool::new(false);
        site.fault(move |asked| {
            let now = reads(asked, &digest);
            (away.fetch_or(now, Ordering::SeqCst) || now).then(Reply::hang_up)
        });
    };
    gone(site, &pair.trouble);
    let bundle = site.path("bundle");
    site.export(&bundle, &args)
        .fails_with(6)
        .stderr_has("run the same command again");
    site.heal();
    let from = site.asked().len();
    site.export(&bundle, &args).succeeds();
    let total: u64 = site.blob_bytes_asked(0);
    assert!(site.blob_bytes_asked(from) < total);
    assert_same(&whole, &bundle);

    // With `--keep-going`, an incomplete bundle is sealed instead.
    gone(site, &pair.trouble);
    let kept = site.path("kept");
    let keep = [&args[..], &["--keep-going"]].concat();
    site.export(&kept, &keep).fails_with(5);
    site.verify(&kept, &["--strict", "--allow-incomplete"])
        .succeeds();
    site.heal();
    site.export(&kept, &args).succeeds();
    site.verify(&kept, &["--strict"]).succeeds();
}

/// The journal records that a blob was given up: killing the run afterwards changes nothing.
#[test]
fn giving_up_survives_an_interruption() {
    let pair = pair();
    let (site, args) = (&pair.site, pair.args(&["--retries", "0"]));
    let digest = pair.trouble.clone();
    let broken = digest.clone();
    site.fault(move |asked| reads(asked, &broken).then(|| Reply::error(404, "BLOB_UNKNOWN")));
    let expected = site.path("expected");
    site.export(&expected, &args).fails_with(5);

    let last = site
        .asked()
        .iter()
        .rev()
        .find_map(|asked| asked.path().split("/blobs/").nth(1).map(str::to_owned));
    let (broken, last) = (digest, last.unwrap());
    site.fault(move |asked| {
        if reads(asked, &broken) {
            return Some(Reply::error(404, "BLOB_UNKNOWN"));
        }
        reads(asked, &last).then(Reply::hang_up)
    });
    let bundle = site.path("bundle");
    site.export(&bundle, &args).fails_with(6);
    site.heal();
    // The same command first seals what the interrupted run could have fetched...
    let outcome = site.export_json(&bundle, &args, 5);
    assert_eq!(outcome["generation"], 1);
    site.verify(&bundle, &["--strict", "--allow-incomplete"])
        .succeeds();
    // ... and then completes it.
    let outcome = site.export_json(&bundle, &args, 0);
    assert_eq!(outcome["generation"], 2);
    site.verify(&bundle, &["--strict"]).succeeds();
}

/// An image that is on no registry: there is nothing to seal, and no bundle.
#[test]
fn nothing_at_all_is_no_bundle() {
    let site = Site::new();
    let nothing = format!("{}/nothing:v1", site.host());
    let bundle = site.path("bundle");
    site.export(&bundle, &[&nothing]).fails_with(5);
    assert_eq!(std::fs::read_dir(&bundle).unwrap().count(), 0);
    let image: Image = Build::oci("nothing").layer(1000).image();
    site.put("nothing", "v1", &image);
    let done = site.export_json(&bundle, &[&nothing], 0);
    assert_eq!(done["generation"], 1);
    site.verify(&bundle, &["--strict"]).succeeds();
}
