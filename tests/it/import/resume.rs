//! Imports that are killed and continued.

use std::time::{Duration, Instant};

use super::*;
use crate::support::images::noise;

const LAYER: usize = 100 << 20;
const PATCH: usize = 32 << 20;

/// Exports a bundle with an artifact of one large layer; also returns that artifact.
fn large(stage: &Stage) -> (std::path::PathBuf, Image) {
    let artifact = Build::artifact("application/x-large")
        .file(&noise("large", LAYER))
        .image();
    let small = Build::oci("small").layer(1000).image();
    let references = [
        stage.publish("large", "v1", &artifact),
        stage.publish("small", "v1", &small),
    ];
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    (stage.export("bundle", &references, &[]), artifact)
}

/// Waits until `bytes` have reached the target or the child has ended, at most two minutes.
fn wait_for(proxy: &Proxy, bytes: usize, child: &mut Child) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while proxy.sent() < bytes && Instant::now() < deadline {
        if child.try_wait().unwrap().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn killed_imports_go_on_inside_a_blob() {
    let stage = Stage::new();
    let (bundle, image) = large(&stage);
    let mut target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    let mut kills = 0;
    for round in 0..5 {
        let before = proxy.sent();
        let mut child = stage
            .import_command(&bundle, &proxy.host(), &["--jobs", "2"])
            .spawn()
            .unwrap();
        // Somewhere in a PATCH, behind the last acknowledged one.
        wait_for(&proxy, before + PATCH / 3 + round * PATCH / 4, &mut child);
        if child.try_wait().unwrap().is_none() {
            kills += 1;
        }
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(digest_at(&host, "large", "v1"), None);
        if round == 2 {
            target.restart();
        }
    }
    assert!(kills >= 3, "{kills}");
    stage.import(&bundle, &proxy.host(), &[]).succeeds();
    assert_whole(&host, "large", &image);
    // Each kill costs at most the bytes in flight of one PATCH.
    let bound = LAYER + kills * (PATCH + (1 << 20)) + (1 << 20);
    assert!(proxy.sent() <= bound, "{} of {bound}", proxy.sent());
    let patches = proxy.take();
    let begun = patches
        .iter()
        .filter(|p| p.method == "POST" && p.target.starts_with("/v2/large/"));
    // distribution 2.8 ends a session whose PATCH is cut in the middle, so some uploads begin anew.
    assert!(begun.count() <= 2 * (kills + 1), "{patches:?}");
}

#[test]
fn a_session_is_continued_after_both_sides_were_restarted() {
    let stage = Stage::new();
    let (bundle, image) = large(&stage);
    let mut target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    // The third PATCH is always refused: the first two are acknowledged.
    let patches = std::sync::atomic::AtomicUsize::new(0);
    proxy.rule(move |method, _| {
        use std::sync::atomic::Ordering;
        match method == "PATCH" && patches.fetch_add(1, Ordering::SeqCst) >= 2 {
            true => crate::support::proxy::Fate::Answer(403, "DENIED"),
            false => crate::support::proxy::Fate::Pass,
        }
    });
    stage
        .import(&bundle, &proxy.host(), &["--retries", "0"])
        .fails_with(7);
    proxy.rule(|_, _| crate::support::proxy::Fate::Pass);
    let first = proxy.take();
    assert_eq!(
        first.iter().filter(|p| p.sent == PATCH).count(),
        2,
        "{first:?}"
    );
    target.restart();
    let outcome = stage
        .import(&bundle, &proxy.host(), &["--output", "json"])
        .succeeds();
    assert_whole(&host, "large", &image);
    assert!(
        proxy.sent() < LAYER - 2 * PATCH + (1 << 20),
        "{}",
        proxy.sent()
    );
    assert!(outcome.json()["bytes_reused"].as_u64().unwrap() >= 2 * PATCH as u64);
    // No file is left of a finished upload.
    let left = files(stage.importer.home());
    assert!(
        !left.iter().any(|file| file.ends_with(".session")),
        "{left:?}"
    );
}

#[test]
fn the_first_interrupt_stops_an_import_in_good_order() {
    let stage = Stage::new();
    let (bundle, image) = large(&stage);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    let patches = std::sync::atomic::AtomicUsize::new(0);
    proxy.rule(move |method, _| {
        use std::sync::atomic::Ordering;
        // The large blob waits for its second piece until the import is interrupted.
        match method == "PATCH" && patches.fetch_add(1, Ordering::SeqCst) >= 1 {
            true => crate::support::proxy::Fate::Answer(503, "UNAVAILABLE"),
            false => crate::support::proxy::Fate::Pass,
        }
    });
    let out = stage.importer.path("out");
    let more = ["--output", "json", "--resources", out.to_str().unwrap()];
    let mut child = stage
        .import_command(&bundle, &proxy.host(), &more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(&proxy, PATCH, &mut child);
    let deadline = Instant::now() + Duration::from_secs(60);
    while digest_at(&host, "small", "v1").is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let id = child.id().to_string();
    crate::support::tools::run(std::process::Command::new("kill").args(["-INT", &id]));
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert!(stderr.contains("same command again"), "{stderr}");
    assert!(stderr.contains("1 of 2 images"), "{stderr}");
    assert_eq!(digest_at(&host, "large", "v1"), None);
    // The committed image is reported, to scripts and to the cluster.
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let written = fs::read_to_string(out.join("import-report.json")).unwrap();
    assert_eq!(report, serde_json::from_str::<Value>(&written).unwrap());
    assert_eq!(report["interrupted"], true);
    let states = report["images"].as_array().unwrap().iter();
    let states: Vec<&str> = states.map(|i| i["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["interrupted", "committed"]);
    let mapping = fs::read_to_string(out.join("mapping.txt")).unwrap();
    assert!(
        mapping.contains("/small:v1=") && !mapping.contains("large"),
        "{mapping}"
    );

    proxy.rule(|_, _| crate::support::proxy::Fate::Pass);
    let report = stage
        .import(&bundle, &proxy.host(), &more)
        .succeeds()
        .json();
    assert_eq!(report["interrupted"], false);
    assert_whole(&host, "large", &image);
    let mapping = fs::read_to_string(out.join("mapping.txt")).unwrap();
    assert!(mapping.contains("/large:v1="), "{mapping}");
}

/// A session with the bytes of a damaged copy is dropped when the bundle was copied again.
#[test]
fn a_session_with_wrong_bytes_is_not_gone_on_with_for_ever() {
    let stage = Stage::new();
    let (bundle, image) = large(&stage);
    let chunk = bundle.join("chunks/000001.tar");
    let right = fs::read(&chunk).unwrap();
    let at = right.len() / 8;
    for stopped in [false, true] {
        let target = DockerRegistry::start();
        let host = target.host().to_string();
        let proxy = Proxy::before(&host);
        if stopped {
            let patches = std::sync::atomic::AtomicUsize::new(0);
            proxy.rule(move |method, _| {
                use std::sync::atomic::Ordering;
                match method == "PATCH" && patches.fetch_add(1, Ordering::SeqCst) >= 2 {
                    true => crate::support::proxy::Fate::Answer(403, "DENIED"),
                    false => crate::support::proxy::Fate::Pass,
                }
            });
        }
        crate::support::stage::flip(&chunk, at, 4);
        let code = if stopped { 7 } else { 4 };
        let outcome = stage.import(&bundle, &proxy.host(), &["--retries", "0"]);
        assert_eq!(outcome.code, Some(code), "{outcome}");
        assert_eq!(digest_at(&host, "large", "v1"), None);
        proxy.rule(|_, _| crate::support::proxy::Fate::Pass);
        fs::write(&chunk, &right).unwrap();
        stage.import(&bundle, &proxy.host(), &[]).succeeds();
        assert_whole(&host, "large", &image);
    }
}
