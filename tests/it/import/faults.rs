//! Targets that refuse requests, go down, or lose content; media with wrong bytes.

use super::*;
use crate::support::proxy::Fate;
use crate::support::stage::flip;

/// Exports a bundle of three images that share nothing.
fn three(stage: &Stage) -> (std::path::PathBuf, [Image; 3]) {
    let images = ["one", "two", "three"].map(|seed| Build::oci(seed).layer(3000).image());
    let mut references = Vec::new();
    for (name, image) in ["one", "two", "three"].iter().zip(&images) {
        references.push(stage.publish(name, "v1", image));
    }
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    (stage.export("bundle", &references, &[]), images)
}

#[test]
fn one_image_that_is_refused_does_not_cost_the_others() {
    let stage = Stage::new();
    let (bundle, images) = three(&stage);
    let cases = [
        (401, "UNAUTHORIZED"),
        (403, "DENIED"),
        (413, "SIZE_INVALID"),
        (500, "UNKNOWN"),
        (503, "UNAVAILABLE"),
    ];
    for (status, code) in cases {
        let target = DockerRegistry::start();
        let host = target.host().to_string();
        let proxy = Proxy::before(&host);
        proxy.rule(move |method, target| match target.starts_with("/v2/two/") {
            true if method != "GET" && method != "HEAD" => Fate::Answer(status, code),
            _ => Fate::Pass,
        });
        let out = stage.importer.path("out");
        let _ = fs::remove_dir_all(&out);
        let more = ["--retries", "1", "--resources", out.to_str().unwrap()];
        let outcome = stage.import(&bundle, &proxy.host(), &more).fails_with(7);
        outcome.stderr_has("/two:v1");
        assert!(!outcome.stderr.contains("/three:v1"), "{outcome}");
        assert_whole(&host, "one", &images[0]);
        assert_whole(&host, "three", &images[2]);
        assert_eq!(digest_at(&host, "two", "v1"), None, "{status}");
        let mapping = fs::read_to_string(out.join("mapping.txt")).unwrap();
        assert!(
            mapping.contains("/three") && !mapping.contains("/two"),
            "{mapping}"
        );
        let report = fs::read_to_string(out.join("import-report.json")).unwrap();
        assert!(report.contains("\"failed\""), "{report}");

        proxy.rule(|_, _| Fate::Pass);
        stage.import(&bundle, &proxy.host(), &[]).succeeds();
        assert_whole(&host, "two", &images[1]);
    }
}

/// There are more images than are imported at a time: those that had not begun are not given up.
#[test]
fn a_server_error_for_one_image_does_not_stop_those_behind_it() {
    let stage = Stage::new();
    let images = crate::support::images::many("app", 40);
    let mut references = Vec::new();
    for (number, image) in images.iter().enumerate() {
        references.push(stage.publish(&format!("app{number:02}"), "v1", image));
    }
    let references: Vec<&str> = references.iter().map(String::as_str).collect();
    let bundle = stage.export("bundle", &references, &[]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    proxy.rule(
        |method, target| match target.starts_with("/v2/app00/") && method == "PUT" {
            true => Fate::Answer(503, "UNAVAILABLE"),
            false => Fate::Pass,
        },
    );
    let outcome = stage.import(&bundle, &proxy.host(), &["--retries", "0", "--jobs", "1"]);
    outcome.fails_with(7).stderr_has("1 of 40 images");
}

#[test]
fn a_target_that_is_down_or_goes_down_is_told() {
    let stage = Stage::new();
    let (bundle, images) = three(&stage);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    drop(nobody);
    let outcome = stage
        .import(&bundle, &address, &["--retries", "0"])
        .fails_with(7);
    outcome.stderr_has(&address);

    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    let down = std::sync::atomic::AtomicBool::new(false);
    proxy.rule(move |method, _| {
        use std::sync::atomic::Ordering;
        if method == "PUT" {
            down.store(true, Ordering::SeqCst);
        }
        match down.load(Ordering::SeqCst) {
            true => Fate::CutAfter(0),
            false => Fate::Pass,
        }
    });
    stage
        .import(&bundle, &proxy.host(), &["--retries", "0"])
        .fails_with(7);
    for name in ["one", "two", "three"] {
        assert_eq!(digest_at(&host, name, "v1"), None, "{name}");
    }
    proxy.rule(|_, _| Fate::Pass);
    stage.import(&bundle, &proxy.host(), &[]).succeeds();
    for (name, image) in ["one", "two", "three"].iter().zip(&images) {
        assert_whole(&host, name, image);
    }
}

#[test]
fn wrong_bytes_on_the_medium_cost_one_image_and_are_never_visible() {
    let stage = Stage::new();
    let (bundle, images) = three(&stage);
    let layer = &images[1].blobs[1];
    let chunk = bundle.join("chunks/000001.tar");
    let bytes = fs::read(&chunk).unwrap();
    let at = bytes
        .windows(layer.bytes.len())
        .position(|window| window == layer.bytes)
        .unwrap();
    flip(&chunk, at + 100, 5);
    for first in [true, false] {
        let target = DockerRegistry::start();
        let host = target.host().to_string();
        let more: &[&str] = if first { &["--verify-first"] } else { &[] };
        let outcome = stage.import(&bundle, &host, more).fails_with(4);
        outcome.stderr_has("two:v1");
        if !first {
            outcome.stderr_has("airferry verify");
        }
        assert_eq!(digest_at(&host, "two", "v1"), None);
        let blob = ask(&host, "HEAD", &format!("two/blobs/{}", layer.digest()));
        assert_eq!(blob.status, 404);
        let others = digest_at(&host, "one", "v1").is_some();
        assert_eq!(others, !first);
        if first {
            let catalog = ask(&host, "GET", "_catalog");
            assert!(
                catalog.text.contains("\"repositories\":[]"),
                "{}",
                catalog.text
            );
        }
    }
}

/// distribution with its cache still answers HEAD and mount requests when the data is gone.
#[test]
fn a_blob_that_the_target_only_remembers_is_sent_again() {
    let stage = Stage::new();
    let (bundle, images) = three(&stage);
    let target = DockerRegistry::start_with(crate::support::docker_registry::Settings {
        cache: true,
        ..Default::default()
    });
    let host = target.host().to_string();
    stage.import(&bundle, &host, &[]).succeeds();
    let layer = &images[0].blobs[1];
    let digest = layer.digest();
    let file = target.blob_file(digest.strip_prefix("sha256:").unwrap());
    fs::remove_file(&file).unwrap();
    stage.import(&bundle, &host, &[]).succeeds();
    assert_eq!(fs::read(&file).unwrap(), layer.bytes);
}

/// The medium fails in the middle of a blob, as if it was pulled.
#[test]
fn a_medium_that_goes_away_costs_what_was_on_it_and_is_named() {
    let stage = Stage::new();
    let (bundle, images) = three(&stage);
    let chunk = bundle.join("chunks/000001.tar");
    let whole = fs::read(&chunk).unwrap();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    let victim = chunk.clone();
    proxy.rule(move |method, _| {
        if method == "POST" {
            let file = fs::OpenOptions::new().write(true).open(&victim).unwrap();
            file.set_len(2048).unwrap();
        }
        Fate::Pass
    });
    let more = ["--jobs", "1", "--retries", "1"];
    let outcome = stage.import(&bundle, &proxy.host(), &more).fails_with(8);
    outcome.stderr_has("chunks/000001.tar").hides("panicked");
    proxy.rule(|_, _| Fate::Pass);
    fs::write(&chunk, whole).unwrap();
    stage.import(&bundle, &proxy.host(), &[]).succeeds();
    for (name, image) in ["one", "two", "three"].iter().zip(&images) {
        assert_whole(&host, name, image);
    }
}

#[test]
fn a_target_in_maintenance_or_without_space_is_told_from_a_broken_one() {
    let stage = Stage::new();
    let (bundle, _) = three(&stage);
    let target = DockerRegistry::start_with(crate::support::docker_registry::Settings {
        read_only: true,
        ..Default::default()
    });
    let host = target.host().to_string();
    let outcome = stage.import(&bundle, &host, &[]).fails_with(7);
    outcome.stderr_has("3 of 3 images").stderr_has("read-only");
    // The hint is printed once.
    assert_eq!(outcome.stderr.matches("read-only").count(), 1, "{outcome}");

    let target = DockerRegistry::start();
    let proxy = Proxy::before(&target.host().to_string());
    proxy.rule(|method, _| match method {
        "PUT" => Fate::Answer(500, "UNKNOWN"),
        _ => Fate::Pass,
    });
    let outcome = stage.import(&bundle, &proxy.host(), &["--retries", "0"]);
    outcome.fails_with(7).stderr_has("free disk space");
}
