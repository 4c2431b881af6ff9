//! Real file systems of removable media: written, full, write-protected, pulled.

use std::fs;

use super::site::{Site, assert_same, reads};
use crate::support::fake_registry::Reply;
use crate::support::images::{Build, noise};
use crate::support::media::{FileSystem, MIB, Medium};

/// Publishes an image whose last blob has `mib` MiB; returns its reference and that blob's digest.
fn large(site: &Site, mib: u64) -> (String, String) {
    let file = noise("large", usize::try_from(mib * MIB).unwrap());
    let image = Build::artifact("large").file(b"small").file(&file).image();
    let digest = image.blobs.last().unwrap().digest();
    (site.put("large", "v1", &image), digest)
}

#[test]
fn sticks_are_written_and_read_back_on_another_machine() {
    let site = Site::new();
    let (image, digest) = large(&site, 20);
    let wrong = Build::oci("other").layer(100_000).image();
    let other = site.put("other", "v1", &wrong);
    let args = [&*image, &*other, "--chunk-size", "6MiB"];
    let expected = site.path("expected");
    site.export(&expected, &args).succeeds();
    for kind in FileSystem::REMOVABLE {
        let Some(mut stick) = Medium::fresh(kind, 96 * MIB) else {
            return;
        };
        let bundle = stick.path().join("okd");
        // One blob is wrong at first, and later cannot be fetched, so that chunks are cut back.
        let (broken, once) = (digest.clone(), std::sync::atomic::AtomicBool::new(true));
        let whole = site.blob(&digest);
        site.fault(move |asked| {
            let first = || once.swap(false, std::sync::atomic::Ordering::SeqCst);
            (reads(asked, &broken) && first()).then(|| {
                let mut bytes = whole.to_vec();
                bytes[13 << 20] ^= 1;
                Reply::range(asked, &bytes.into())
            })
        });
        site.export(&bundle, &args).succeeds();
        assert_same(&expected, &bundle);

        let broken = digest.clone();
        site.fault(move |asked| reads(asked, &broken).then(|| Reply::error(404, "BLOB_UNKNOWN")));
        let partly = stick.path().join("partly");
        site.export(&partly, &args).fails_with(5);
        site.heal();
        site.export(&partly, &args).succeeds();

        stick.insert_read_only();
        for bundle in [&bundle, &partly] {
            site.verify(bundle, &["--strict"]).succeeds();
        }
        // On a write-protected stick, too, a finished bundle is reported as complete.
        site.export(&bundle, &args)
            .succeeds()
            .stdout_has("complete already");
        // A new bundle cannot be written there.
        site.export(&stick.path().join("new"), &args).fails_with(8);
        stick.assert_sound();
    }
}

#[test]
fn a_write_protected_stick_is_refused_before_the_first_byte() {
    let site = Site::new();
    let (image, _) = large(&site, 8);
    let Some(mut stick) = Medium::exfat(64 * MIB) else {
        return;
    };
    fs::create_dir(stick.path().join("okd")).unwrap();
    stick.insert_read_only();
    let from = site.asked().len();
    let to = stick.path().join("okd");
    site.export(&to, &[&image])
        .fails_with(8)
        .stderr_has("read-only");
    site.export(&to, &[&image, "--dry-run"])
        .fails_with(8)
        .stderr_has("read-only");
    assert_eq!(site.blob_bytes_asked(from), 0);
}

#[test]
fn a_stick_that_is_too_small_is_refused_before_the_first_byte() {
    let site = Site::new();
    let (image, _) = large(&site, 60);
    for kind in [FileSystem::Exfat, FileSystem::Ntfs, FileSystem::Ext4] {
        let Some(stick) = Medium::fresh(kind, 48 * MIB) else {
            return;
        };
        let to = stick.path().join("okd");
        let from = site.asked().len();
        // A dry run reports it, even if the directory does not exist yet.
        site.export(&to, &[&image, "--dry-run"])
            .fails_with(8)
            .stderr_has(" needed (");
        site.export(&to, &[&image])
            .fails_with(8)
            .stderr_has(" needed (");
        assert_eq!(site.blob_bytes_asked(from), 0, "{kind:?}");
    }
}

/// fusefat does not report free space, so the medium turns out to be full in the middle.
#[test]
fn a_stick_that_fills_up_is_continued_when_there_is_room() {
    let site = Site::new();
    let (image, _) = large(&site, 30);
    let args = [&*image, "--chunk-size", "4MiB"];
    let expected = site.path("expected");
    site.export(&expected, &args).succeeds();
    let Some(mut stick) = Medium::fat32(64 * MIB) else {
        return;
    };
    stick.fill_leaving(14 * MIB);
    let to = stick.path().join("okd");
    let outcome = site.export(&to, &args).fails_with(8);
    outcome.stderr_has("chunks/");
    fs::remove_dir_all(stick.path().join("filler")).unwrap();
    let from = site.asked().len();
    site.export(&to, &args).succeeds();
    let asked = site.blob_bytes_asked(from);
    assert!(asked < 24 * MIB, "{asked} bytes were fetched again");
    assert_same(&expected, &to);
    stick.assert_sound();
}

/// Bytes of a blob that was given up stand behind the end of the chunk until the file is cut.
#[test]
fn chunks_are_cut_back_on_every_file_system() {
    let site = Site::new();
    let good = Build::oci("good").plain_layer(2 * MIB as usize).image();
    let bad = Build::oci("zzz bad").plain_layer(5 * MIB as usize).image();
    let references = [
        site.put("a/good", "v1", &good),
        site.put("b/bad", "v1", &bad),
    ];
    let args: Vec<&str> = references.iter().map(String::as_str).collect();
    let digest = bad.blobs[1].digest();
    let mut wrong = site.blob(&digest).to_vec();
    wrong[4 << 20] ^= 1;
    let wrong = bytes::Bytes::from(wrong);
    site.fault(move |asked| reads(asked, &digest).then(|| Reply::range(asked, &wrong)));
    let expected = site.path("expected");
    site.export(&expected, &args).fails_with(5);
    site.verify(&expected, &["--strict", "--allow-incomplete"])
        .succeeds();
    for kind in [
        FileSystem::Exfat,
        FileSystem::Fat32,
        FileSystem::Ntfs,
        FileSystem::Ext4,
    ] {
        let Some(mut stick) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let to = stick.path().join("okd");
        site.export(&to, &args).fails_with(5);
        assert_same(&expected, &to);
        // Compared again from the medium: the driver's cache may differ from it.
        stick.insert_read_only();
        assert_same(&expected, &to);
        site.verify(&to, &["--strict", "--allow-incomplete"])
            .succeeds();
        stick.assert_sound();
    }
}

#[test]
fn a_pulled_stick_is_continued_when_it_is_back() {
    let site = Site::new();
    let (image, digest) = large(&site, 30);
    let args = [&*image, "--chunk-size", "4MiB"];
    let expected = site.path("expected");
    site.export(&expected, &args).succeeds();
    for kind in [FileSystem::Exfat, FileSystem::Fat32, FileSystem::Ntfs] {
        let Some(mut stick) = Medium::fresh(kind, 64 * MIB) else {
            return;
        };
        let to = stick.path().join("okd");
        let whole = site.blob(&digest);
        let broken = digest.clone();
        // The blob breaks off after 18 MiB, and its rest is withheld until the stick is pulled.
        let (tell, told) = std::sync::mpsc::channel();
        let (go_on, held) = std::sync::mpsc::channel::<()>();
        let (tell, held) = (std::sync::Mutex::new(tell), std::sync::Mutex::new(held));
        let count = std::sync::atomic::AtomicUsize::new(0);
        site.fault(move |asked| {
            if !reads(asked, &broken) {
                return None;
            }
            if count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                return Some(Reply::range(asked, &whole).cut_after(18 << 20));
            }
            let _ = tell.lock().unwrap().send(());
            // Returns when the sender is dropped.
            let _ = held.lock().unwrap().recv();
            None
        });
        let mut child = site.start(&to, &args);
        told.recv_timeout(std::time::Duration::from_secs(60))
            .unwrap();
        crate::resume::await_journal(&to, 12 * MIB);
        stick.pull();
        drop(go_on);
        let code = child.wait().unwrap().code();
        assert_eq!(code, Some(8), "{kind:?}");
        site.heal();
        stick.insert();
        let from = site.asked().len();
        site.export(&to, &args).succeeds();
        eprintln!(
            "{kind:?}: {} bytes were fetched again",
            site.blob_bytes_asked(from)
        );
        assert_same(&expected, &to);
        site.verify(&to, &["--strict"]).succeeds();
    }
}

#[test]
fn chunks_that_the_file_system_cannot_hold_are_refused() {
    let site = Site::new();
    let digest = crate::support::images::digest_of(b"never read");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let descriptor = |kind: &str, digest: &str, size: u64| serde_json::json!({ "mediaType": kind, "digest": digest, "size": size });
    let config = "application/vnd.oci.image.config.v1+json";
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": descriptor(config, &crate::support::images::digest_of(b"{}"), 2),
        "layers": [descriptor(layer, &digest, 5 << 30)],
    });
    site.put_manifest("huge", "v1", media_type, manifest.to_string().as_bytes());
    let image = format!("{}/huge:v1", site.host());
    let Some(stick) = Medium::fat32(64 * MIB) else {
        return;
    };
    let to = stick.path().join("okd");
    let more = ["--chunk-size", "8GiB", "--dry-run"];
    site.export(&to, &[&[&*image], &more[..]].concat())
        .fails_with(8)
        .stderr_has("choose a smaller --chunk-size");
}
