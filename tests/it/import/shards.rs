//! Several importers of one bundle: each sends its share, then an ordinary import sets the tags.

use super::requests::Fleet;
use super::*;

#[test]
fn four_at_once_send_each_blob_once_and_the_last_import_none() {
    let stage = Stage::new();
    let fleet = Fleet::new();
    let bundle = fleet.export(&stage);
    let target = DockerRegistry::start();
    let proxy = Proxy::before(&target.host().to_string());
    let running: Vec<_> = (0..4)
        .map(|index| {
            let shard = format!("{index}/4");
            let more = ["--shard", &shard, "--output", "json"];
            let mut command = stage.import_command(&bundle, &proxy.host(), &more);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut blobs = 0;
    let mut bytes = 0;
    for child in running {
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{stderr}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(report["type"], "airferry-import-share-v1");
        assert_eq!(report["authenticated"], true);
        blobs += report["blobs"].as_u64().unwrap();
        bytes += report["bytes_uploaded"].as_u64().unwrap();
    }
    assert_eq!(blobs, fleet.blobs() as u64);
    assert_eq!(bytes, fleet.bytes());
    let sent = tally(&proxy.take());
    assert_eq!(sent.get("PUT uploads"), Some(&fleet.blobs()), "{sent:?}");
    assert_eq!(
        sent.get("PUT manifests"),
        None,
        "nothing is visible: {sent:?}"
    );

    stage.import(&bundle, &proxy.host(), &[]).succeeds();
    let last = tally(&proxy.take());
    assert_eq!(last.get("PUT uploads"), None, "{last:?}");
    assert_eq!(
        last.get("PUT manifests"),
        Some(&fleet.manifests()),
        "{last:?}"
    );
    for (name, image) in fleet.images() {
        assert_whole(&target.host().to_string(), name, image);
    }
}

#[test]
fn a_shard_that_runs_again_sends_nothing() {
    let stage = Stage::new();
    let bundle = Fleet::new().export(&stage);
    let target = DockerRegistry::start();
    let proxy = Proxy::before(&target.host().to_string());
    let run = |shard: &str| {
        let outcome = stage.import(&bundle, &proxy.host(), &["--shard", shard]);
        let outcome = outcome.succeeds();
        outcome.stdout_has("without --shard");
        tally(&proxy.take())
    };
    assert!(run("1/3").contains_key("PUT uploads"));
    assert_eq!(run("1/3").get("PUT uploads"), None);
    // `3/3`, counted from 1, is the same shard as `0/3`, counted from 0.
    assert!(run("3/3").contains_key("PUT uploads"));
    assert_eq!(run("0/3").get("PUT uploads"), None);
}

#[test]
fn what_is_no_shard_is_refused() {
    let stage = Stage::new();
    let bundle = stage.at("bundle");
    for (more, text) in [
        (&["--shard", "5/4"][..], "`5/4` is not a shard"),
        (&["--shard", "1/0"], "write I/N"),
        (
            &["--shard", "1/2", "--resources", "out"],
            "cannot be used with",
        ),
        (&["--shard", "1/2", "--dry-run"], "cannot be used with"),
    ] {
        let outcome = stage.import(&bundle, "127.0.0.1:9", more).fails_with(2);
        outcome.stderr_has(text);
    }
}

/// A blob that is damaged on the medium stops no other upload, and is named.
#[test]
fn a_damaged_blob_fails_its_shard_alone() {
    let stage = Stage::new();
    let fleet = Fleet::new();
    let bundle = fleet.export(&stage);
    let parts = fleet.images().flat_map(|(_, image)| image.walk());
    let blobs = parts.flat_map(|part| &part.blobs);
    let blob = blobs.max_by_key(|blob| blob.bytes.len()).unwrap();
    let chunks = fs::read_dir(bundle.join("chunks")).unwrap();
    let (chunk, at) = chunks
        .map(|entry| entry.unwrap().path())
        .find_map(|path| {
            let bytes = fs::read(&path).unwrap();
            let at = bytes
                .windows(blob.bytes.len())
                .position(|w| w == blob.bytes);
            at.map(|at| (path, at))
        })
        .unwrap();
    crate::support::stage::flip(&chunk, at + 100, 0);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let outcomes: Vec<Outcome> = ["0/2", "1/2"]
        .map(|shard| stage.import(&bundle, &host, &["--shard", shard]))
        .into();
    let codes: BTreeSet<_> = outcomes.iter().map(|outcome| outcome.code).collect();
    assert_eq!(codes, BTreeSet::from([Some(0), Some(4)]));
    let failed = outcomes
        .iter()
        .find(|outcome| outcome.code == Some(4))
        .unwrap();
    failed
        .stderr_has("1 of ")
        .stderr_has(" is not on the target:");
    failed.stderr_has("is damaged in the bundle");
    failed.stderr_has("run `airferry verify`");
}
