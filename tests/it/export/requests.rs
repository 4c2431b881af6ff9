//! Requests to export: dry runs, other requests, finished bundles, foreign plans, second runs.

use std::ffi::OsString;
use std::fs;

use serde_json::json;

use super::site::{Site, assert_same, files, reads, size};
use crate::support::fake_registry::Reply;
use crate::support::images::{Build, Image};

const MIB: usize = 1 << 20;

fn image(seed: &str) -> Image {
    Build::oci(seed)
        .plain_layer(3 * MIB)
        .layer(70_000)
        .empty_layer()
        .image()
}

#[test]
fn a_dry_run_is_exact_and_writes_nothing() {
    let site = Site::new();
    let one = site.put("one", "v1", &image("one"));
    let two = site.put("two", "v1", &image("two"));
    for (chunk_size, limit) in [("1MiB", MIB), ("1GiB", 1 << 30), ("5000000", 5_000_000)] {
        let to = site.path(&format!("bundle-{chunk_size}"));
        fs::create_dir(&to).unwrap();
        let args = [&*one, &*two, "--chunk-size", chunk_size, "--title", "May"];
        let dry = [&args[..], &["--dry-run"]].concat();
        let planned = site.export_json(&to, &dry, 0);
        assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
        let from = site.asked().len();
        let done = site.export_json(&to, &args, 0);
        assert!(site.asked().len() > from);
        assert_eq!(planned["bytes_on_medium"], size(&to), "{chunk_size}");
        for same in [
            "bytes_on_medium",
            "chunks",
            "carried",
            "manifests",
            "images",
        ] {
            assert_eq!(planned[same], done[same]);
        }
        let longest = files(&to)
            .iter()
            .filter(|(name, _)| name.ends_with(".tar"))
            .map(|(_, bytes)| bytes.len())
            .max();
        assert!(longest.unwrap() <= limit, "{chunk_size}: {longest:?}");
    }
}

#[test]
fn a_chunk_size_that_is_too_small_is_refused() {
    let site = Site::new();
    let one = site.put("one", "v1", &image("one"));
    let to = site.path("bundle");
    site.export(&to, &[&one, "--chunk-size", "1000"])
        .fails_with(2);
    assert!(files_below(&to) == 0);
}

fn files_below(to: &std::path::Path) -> usize {
    if to.exists() {
        fs::read_dir(to).unwrap().count()
    } else {
        0
    }
}

#[test]
fn a_finished_bundle_says_so_and_tells_of_moved_tags() {
    let site = Site::new();
    let one = site.put("one", "v1", &image("one"));
    let two = site.put("two", "v1", &image("two"));
    let to = site.path("bundle");
    let sealed = site.export_json(&to, &[&one, &two], 0);
    let before = files(&to);
    let from = site.asked().len();

    let done = site.export_json(&to, &[&two, &one], 0);
    assert_eq!(done["state"], "already-complete");
    assert_eq!(done["bundle"], sealed["bundle"]);
    assert_eq!(done["bytes_on_medium"], sealed["bytes_on_medium"]);
    assert_eq!(site.blob_bytes_asked(from), 0);

    site.put("one", "v1", &image("one rebuilt"));
    site.untag("two", "v1");
    let outcome = site.export(&to, &[&one, &two]).succeeds();
    outcome
        .stderr_has("one:v1 moved since the export began")
        .stderr_has("two:v1 is not found any more");
    outcome.stdout_has("is complete already");
    assert!(files(&to) == before);

    // Files that an operating system leaves do not change that.
    fs::create_dir(to.join("System Volume Information")).unwrap();
    fs::write(to.join("System Volume Information/x"), "x").unwrap();
    fs::write(to.join(".DS_Store"), "x").unwrap();
    site.export(&to, &[&one, &two]).succeeds();

    // Another request is refused, whichever part of it differs.
    for other in [
        &[&*one][..],
        &[&one, &two, "--title", "May"],
        &[&one, &two, "--chunk-size", "2GiB"],
    ] {
        site.export(&to, other)
            .fails_with(2)
            .stderr_has("another request");
    }
}

/// Leaves an unfinished export of `references`: the blob with `digest` cannot be reached.
fn interrupt(site: &Site, to: &std::path::Path, references: &[&str], digest: &str) {
    let digest = digest.to_owned();
    site.fault(move |asked| reads(asked, &digest).then(Reply::hang_up));
    let args = [references, &["--retries", "0"]].concat();
    site.export(to, &args).fails_with(6);
    site.heal();
    assert!(to.join("export.plan").exists());
}

#[test]
fn another_request_does_not_continue_and_replan_begins_anew() {
    let site = Site::new();
    let (first, second) = (image("one"), image("two"));
    let one = site.put("one", "v1", &first);
    let two = site.put("two", "v1", &second);
    let to = site.path("bundle");
    let digest = first.blobs[2].digest();
    interrupt(&site, &to, &[&one], &digest);

    site.export(&to, &[&two])
        .fails_with(2)
        .stderr_has("--replan");
    let before = files(&to);
    let dry = site.export_json(&to, &[&two, "--replan", "--dry-run"], 0);
    assert_eq!(dry["state"], "planned");
    assert!(files(&to) == before);
    site.export(&to, &[&two, "--replan"]).succeeds();
    let whole = site.path("whole");
    site.export(&whole, &[&two]).succeeds();
    assert_same(&whole, &to);
    site.verify(&to, &["--strict"]).succeeds();
}

/// The plan decides, not the images to which the tags point by now.
#[test]
fn an_interrupted_export_keeps_to_its_plan() {
    let site = Site::new();
    let first = image("one");
    let one = site.put("one", "v1", &first);
    let whole = site.path("whole");
    site.export(&whole, &[&one]).succeeds();
    let to = site.path("bundle");
    interrupt(&site, &to, &[&one], &first.blobs[2].digest());
    site.put("one", "v1", &image("rebuilt"));
    site.export(&to, &[&one])
        .succeeds()
        .stderr_has("one:v1 moved since the export began");
    assert_same(&whole, &to);
}

#[test]
fn a_plan_that_is_not_ours_is_refused() {
    let site = Site::new();
    let first = image("one");
    let one = site.put("one", "v1", &first);
    let to = site.path("bundle");
    interrupt(&site, &to, &[&one], &first.blobs[2].digest());
    let plan = fs::read(to.join("export.plan")).unwrap();

    let mut changed = plan.clone();
    let byte = changed.iter().position(|byte| *byte == b'1').unwrap();
    changed[byte] = b'2';
    fs::write(to.join("export.plan"), &changed).unwrap();
    site.export(&to, &[&one])
        .fails_with(4)
        .stderr_has("not planned with the given key");
    fs::write(to.join("export.plan"), &plan).unwrap();

    // Signed, but with another key.
    site.run(["keygen", "--out", "other"]).succeeds();
    let other = ["export", "--tls-verify=false", "--key", "other.pem", "--to"];
    let args = other.map(OsString::from).into_iter();
    let outcome = site.run(args.chain([to.clone().into(), one.clone().into()]));
    outcome
        .fails_with(4)
        .stderr_has("not planned with the given key");

    fs::remove_file(to.join("export.plan.sig")).unwrap();
    site.export(&to, &[&one])
        .fails_with(4)
        .stderr_has("not planned with the given key");
    site.export(&to, &[&one, "--replan"]).succeeds();
    site.verify(&to, &["--strict"]).succeeds();
}

/// A bundle that this key has not signed is not continued, and the message does not name `--trust`,
/// which `export` does not have.
#[test]
fn a_bundle_by_another_key_is_left_alone() {
    let site = Site::new();
    let one = site.put("one", "v1", &image("one"));
    let to = site.path("bundle");
    site.export(&to, &[&one]).succeeds();
    site.run(["keygen", "--out", "other"]).succeeds();
    let args: Vec<OsString> = vec![
        "export".into(),
        one.into(),
        "--tls-verify=false".into(),
        "--to".into(),
        to.into(),
        "--key".into(),
        "other.pem".into(),
    ];
    let outcome = site.run(args).fails_with(3);
    outcome.stderr_has("that the key given here has not signed");
    outcome.hides("--trust");
}

/// If no stick is mounted, the bundle must not be written to the system's disk.
#[test]
fn a_stick_that_is_not_there_is_not_made() {
    let site = Site::new();
    let one = site.put("one", "v1", &image("one"));
    for to in ["/media/no-such-stick/may", "/run/media/nobody/stick/may"] {
        for more in [&[][..], &["--dry-run"]] {
            let args = [&[&*one][..], more].concat();
            site.export(std::path::Path::new(to), &args)
                .fails_with(8)
                .stderr_has("Nothing is mounted");
        }
        assert!(!std::path::Path::new(to).parent().unwrap().exists());
    }
}

#[test]
fn a_second_run_at_the_same_time_is_kept_out() {
    let site = Site::new();
    let first = image("one");
    let one = site.put("one", "v1", &first);
    let to = site.path("bundle");
    let digest = first.blobs[1].digest();
    let whole = site.blob(&digest);
    let (tell, told) = std::sync::mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    site.fault(move |asked| {
        reads(asked, &digest).then(|| {
            let _ = tell.lock().unwrap().send(());
            Reply::range(asked, &whole).stall_after(1000)
        })
    });
    let mut child = site.start(&to, &[&one]);
    told.recv_timeout(std::time::Duration::from_secs(60))
        .unwrap();
    site.export(&to, &[&one])
        .fails_with(8)
        .stderr_has("Another export");
    child.kill().unwrap();
    child.wait().unwrap();
    site.heal();
    site.export(&to, &[&one]).succeeds();
}

#[test]
fn a_directory_with_other_things_is_left_alone() {
    let site = Site::new();
    let one = site.put("one", "v1", &image("one"));
    let to = site.path("bundle");
    fs::create_dir_all(to.join("chunks")).unwrap();
    fs::write(to.join("chunks/000001.tar"), "precious").unwrap();
    site.export(&to, &[&one])
        .fails_with(2)
        .stderr_has("empty directory");
    assert_eq!(fs::read(to.join("chunks/000001.tar")).unwrap(), b"precious");
    assert_eq!(json!(files(&to).len()), 1);
}

/// Files that a power cut between sealing and cleaning up leaves.
#[test]
fn leftovers_of_a_finished_export_are_cleared_away() {
    let site = Site::new();
    let first = image("one");
    let one = site.put("one", "v1", &first);
    let to = site.path("bundle");
    interrupt(&site, &to, &[&one], &first.blobs[2].digest());
    let leftovers = ["export.plan.statement", "export.plan.sig", "export.journal"];
    let kept: Vec<Vec<u8>> = leftovers
        .iter()
        .map(|name| fs::read(to.join(name)).unwrap())
        .collect();
    let plan = fs::read(to.join("export.plan")).unwrap();
    site.export(&to, &[&one]).succeeds();
    let sealed = files(&to);
    for (name, bytes) in leftovers.iter().zip(&kept) {
        fs::write(to.join(name), bytes).unwrap();
    }
    site.export(&to, &[&one])
        .succeeds()
        .stdout_has("is complete already");
    assert!(files(&to) == sealed);

    // One step earlier: the plan is still there too.
    for (name, bytes) in leftovers.iter().zip(&kept).chain([(&"export.plan", &plan)]) {
        fs::write(to.join(name), bytes).unwrap();
    }
    site.verify(&to, &[]).fails_with(5);
    site.export(&to, &[&one]).succeeds();
    assert!(files(&to) == sealed);
    // There is one statement, not two.
    assert_eq!(fs::read_dir(to.join("signatures")).unwrap().count(), 2);

    // A sealed bundle is not discarded, whatever files lie beside it.
    for (name, bytes) in leftovers.iter().zip(&kept).chain([(&"export.plan", &plan)]) {
        fs::write(to.join(name), bytes).unwrap();
    }
    let two = site.put("two", "v1", &image("two"));
    site.export(&to, &[&two, "--replan"])
        .fails_with(2)
        .stderr_has("bundle of another request");
    assert!(files(&to) == sealed);
}
