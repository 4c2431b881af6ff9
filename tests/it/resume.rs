//! Exports that are stopped at any time and continued by the same command.

use std::fs;
use std::path::Path;
use std::process::{Child, ExitStatus};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::export::site::{Site, assert_same, reads};
use crate::support::fake_registry::Reply;
use crate::support::images::Build;

const MIB: usize = 1 << 20;
const BLOCK: u64 = 4 << 20;

/// Longest time that the program may take for what a test waits for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Kills the child with SIGKILL; returns true if it was still running.
fn kill(mut child: Child) -> bool {
    let running = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    let status = child.wait().unwrap();
    running && status.code().is_none()
}

/// Publishes three images of some MiB that share a layer; returns their references.
fn corpus(site: &Site) -> Vec<String> {
    (0..3usize)
        .map(|number| {
            let image = Build::oci(&format!("image {number}"))
                .shared_layer("base", 5 * MIB)
                .layer((9 + 6 * number) * MIB)
                .layer(MIB / 3)
                .plain_layer(3 * MIB)
                .image();
            site.put(&format!("team/app{number}"), "v1", &image)
        })
        .collect()
}

/// Returns the number of bytes for which the journal vouches: the sum of distinct blocks.
fn vouched(bundle: &Path) -> u64 {
    let text = fs::read_to_string(bundle.join("export.journal")).unwrap_or_default();
    let mut blocks = std::collections::BTreeMap::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        if let ["block", chunk, index, length, _] = words.as_slice() {
            let length: u64 = length.parse().unwrap();
            blocks.insert(((*chunk).to_owned(), (*index).to_owned()), length);
        }
    }
    blocks.values().sum()
}

/// A pseudo-random generator that only has to scatter its values (Knuth's MMIX constants).
fn next(random: &mut u64) -> u64 {
    *random = random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *random >> 33
}

/// `AIRFERRY_KILLS` sets the number of kills, for a soak test; `AIRFERRY_SEED` repeats the times of
/// a run that failed, if the machine is as fast as then.
#[test]
fn killed_anywhere_it_ends_with_the_same_bytes() {
    let kills: u32 = std::env::var("AIRFERRY_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let site = Site::new();
    let images = corpus(&site);
    let mut args: Vec<&str> = images.iter().map(String::as_str).collect();
    args.extend(["--chunk-size", "8MiB"]);
    let whole = site.path("whole");
    let begun = Instant::now();
    site.export(&whole, &args).succeeds();
    let undisturbed = begun.elapsed();
    let total = site.blob_bytes_asked(0);

    let bundle = site.path("killed");
    let seed = std::env::var("AIRFERRY_SEED").map_or_else(
        |_| u64::from(std::process::id()),
        |seed| seed.parse().unwrap(),
    );
    eprintln!("AIRFERRY_SEED={seed}");
    let mut random = seed;
    let mut killed = 0;
    let mut finished = 0;
    let mut continued = 0;
    while killed < kills || finished == 0 {
        let before = vouched(&bundle);
        let first = site.asked().len();
        let child = site.start(&bundle, &args);
        if killed < kills {
            let share = u32::try_from(next(&mut random) % 1100).unwrap();
            std::thread::sleep(undisturbed * share / 1000);
        }
        let ended = if killed < kills {
            kill(child)
        } else {
            wait(child);
            false
        };
        let asked = site.blob_bytes_asked(first);
        // The journal also vouches for headers, padding and markers, which are not fetched.
        let overhead = 64 * 1024;
        assert!(
            asked + before <= total + overhead,
            "{before} bytes were vouched for, and {asked} of {total} asked for"
        );
        if before > BLOCK && asked > 0 {
            continued += 1;
        }
        if ended {
            killed += 1;
        } else {
            // A run that ended leaves the same files as one that was never interrupted.
            site.export(&bundle, &args).succeeds();
            assert_same(&whole, &bundle);
            site.verify(&bundle, &["--strict"]).succeeds();
            fs::remove_dir_all(&bundle).unwrap();
            finished += 1;
        }
    }
    eprintln!("{killed} kills, {continued} continued, {finished} finished");
    assert!(
        continued > 0,
        "no run continued what an earlier one had vouched for"
    );
}

fn signal_child(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

fn wait(mut child: Child) -> ExitStatus {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!("it does not end");
}

/// Makes the registry stop in the middle of a blob; the receiver is told when it does.
pub fn stall(site: &Site, digest: String, after: usize) -> Receiver<()> {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let whole = site.blob(&digest);
    site.fault(move |asked| {
        reads(asked, &digest).then(|| {
            let _ = tell.lock().unwrap().send(());
            Reply::range(asked, &whole).stall_after(after)
        })
    });
    told
}

/// Waits until the journal vouches for `bytes` bytes.
pub fn await_journal(bundle: &Path, bytes: u64) {
    let deadline = Instant::now() + PATIENCE;
    while vouched(bundle) < bytes {
        assert!(
            Instant::now() < deadline,
            "{} bytes journalled",
            vouched(bundle)
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Publishes an image with one large blob, in one chunk, longer than what is flushed at once.
fn large(site: &Site) -> (String, String) {
    let image = Build::artifact("large")
        .file(&crate::support::images::noise("large", 150 * MIB))
        .image();
    let digest = image.blobs.last().unwrap().digest();
    (site.put("large", "v1", &image), digest)
}

#[test]
fn a_blob_is_continued_in_its_middle() {
    let site = Site::new();
    let (image, digest) = large(&site);
    let whole = site.path("whole");
    site.export(&whole, &[&image]).succeeds();

    let bundle = site.path("killed");
    let told = stall(&site, digest.clone(), 140 * MIB);
    let child = site.start(&bundle, &[&image]);
    told.recv_timeout(PATIENCE).unwrap();
    await_journal(&bundle, 128 << 20);
    assert!(kill(child));
    site.heal();
    let first = site.asked().len();
    site.export(&bundle, &[&image]).succeeds();
    let asked = site.asked();
    let reads: Vec<usize> = asked[first..]
        .iter()
        .filter(|asked| reads(asked, &digest))
        .map(|asked| asked.range_start())
        .collect();
    // Before the blob stand the marker and the blob's own header.
    let start = (128 << 20) - 1024 - 512;
    assert!(
        reads.len() == 1 && reads[0] >= start - 1024 && reads[0] < 140 * MIB,
        "{reads:?}"
    );
    assert_same(&whole, &bundle);
}

#[test]
fn a_registry_without_ranges_costs_time_and_nothing_else() {
    let site = Site::new();
    let (image, digest) = large(&site);
    let whole = site.path("whole");
    site.export(&whole, &[&image]).succeeds();
    let bundle = site.path("killed");
    let told = stall(&site, digest.clone(), 100 * MIB);
    let child = site.start(&bundle, &[&image]);
    told.recv_timeout(PATIENCE).unwrap();
    await_journal(&bundle, 64 << 20);
    assert!(kill(child));

    let bytes = site.blob(&digest);
    site.fault(move |asked| {
        reads(asked, &digest).then(|| {
            Reply::new(200)
                .header("content-length", bytes.len())
                .body(bytes.clone())
        })
    });
    site.export(&bundle, &[&image]).succeeds();
    assert_same(&whole, &bundle);
}

/// Bytes that were journalled and then changed on the medium are fetched again.
#[test]
fn damage_to_an_unfinished_chunk_is_repaired() {
    let site = Site::new();
    let (image, digest) = large(&site);
    let whole = site.path("whole");
    site.export(&whole, &[&image]).succeeds();
    let bundle = site.path("killed");
    let told = stall(&site, digest, 140 * MIB);
    let child = site.start(&bundle, &[&image]);
    told.recv_timeout(PATIENCE).unwrap();
    await_journal(&bundle, 128 << 20);
    assert!(kill(child));
    site.heal();
    let chunk = bundle.join("chunks/000001.tar");
    let mut bytes = fs::read(&chunk).unwrap();
    bytes[50 * MIB] ^= 1;
    fs::write(&chunk, bytes).unwrap();
    let first = site.asked().len();
    site.export(&bundle, &[&image]).succeeds();
    assert!(site.blob_bytes_asked(first) < (150 - 44) << 20);
    assert_same(&whole, &bundle);
}

#[test]
fn ctrl_c_leaves_an_export_that_continues() {
    for signal in [Signal::INT, Signal::TERM] {
        let site = Site::new();
        let (image, digest) = large(&site);
        let whole = site.path("whole");
        site.export(&whole, &[&image]).succeeds();
        let bundle = site.path("stopped");
        let told = stall(&site, digest, 40 * MIB);
        let child = site.start(&bundle, &[&image]);
        told.recv_timeout(PATIENCE).unwrap();
        let chunk = bundle.join("chunks/000001.tar");
        let deadline = Instant::now() + PATIENCE;
        while fs::metadata(&chunk).map_or(0, |chunk| chunk.len()) < 30 << 20 {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        signal_child(&child, signal);
        assert_eq!(wait(child).code(), Some(130));
        // A graceful stop loses less than a power cut: the bytes that were written are journalled.
        assert!(vouched(&bundle) >= 28 << 20, "{} bytes", vouched(&bundle));
        let verified = site.verify(&bundle, &[]);
        assert_ne!(verified.code, Some(0));
        verified.stdout_has("the export was not finished");
        site.heal();
        let first = site.asked().len();
        site.export(&bundle, &[&image]).succeeds();
        assert!(site.blob_bytes_asked(first) <= (150 - 28) << 20);
        assert_same(&whole, &bundle);
    }
}
