//! Releases by version: the update service names the payload.

use std::fs;

use serde_json::{Value, json};

use super::Scene;
use crate::support::fake_registry::{FakeRegistry, Reply};

const UNSIGNED: &str = "--allow-unsigned-release";

/// Publishes three releases and returns their graph: each has an update to the next, and the first
/// also a risky one to the last.
fn graph(scene: &Scene) -> Value {
    let versions = ["4.1.0", "4.1.1", "4.2.0"];
    let nodes: Vec<Value> = versions
        .iter()
        .map(|version| {
            let image = scene.payload("linux/amd64", version);
            scene.publish(version, &image);
            let payload = format!(
                "{}/okd/release@{}",
                scene.stage.source.host(),
                image.digest()
            );
            let channels = "fast-4.2,stable-4.2";
            json!({
                "version": version,
                "payload": payload,
                "metadata": { "io.openshift.upgrades.graph.release.channels": channels },
            })
        })
        .collect();
    json!({
        "nodes": nodes,
        "edges": [[0, 1], [1, 2]],
        "conditionalEdges": [
            { "edges": [{ "from": "4.1.0", "to": "4.2.0" }], "risks": [{ "name": "Melts" }] },
        ],
    })
}

fn versions(done: &Value) -> Vec<&str> {
    let releases = done["releases"].as_array().unwrap().iter();
    let mut versions: Vec<_> = releases.map(|r| r["version"].as_str().unwrap()).collect();
    versions.sort_unstable();
    versions
}

#[test]
fn a_saved_graph_gives_heads_ranges_and_paths() {
    let scene = Scene::new();
    fs::write(
        scene.stage.exporter.path("graph.json"),
        graph(&scene).to_string(),
    )
    .unwrap();
    let with = |name: &str, more: &[&str], code: i32| {
        let common = ["--channel", "stable-4.2", "--graph", "graph.json", UNSIGNED];
        scene.export_json(name, &[&common[..], more].concat(), code)
    };
    assert_eq!(versions(&with("head", &[], 0)), ["4.2.0"]);
    assert_eq!(
        versions(&with("exact", &["--release", "4.1.1"], 0)),
        ["4.1.1"]
    );
    assert_eq!(
        versions(&with("range", &["--release", "..4.1.1"], 0)),
        ["4.1.0", "4.1.1"]
    );

    let path = ["--release", "4.2.0", "--from-version", "4.1.0"];
    let planned = with("path", &[&path[..], &["--dry-run"]].concat(), 0);
    let selected = &planned["selected"][0];
    let steps = selected["releases"].as_array().unwrap().iter();
    let steps: Vec<_> = steps
        .map(|step| step["version"].as_str().unwrap())
        .collect();
    assert_eq!(steps, ["4.1.0", "4.1.1", "4.2.0"]);
    assert_eq!(selected["avoided"][0]["risks"][0], "Melts");
    let done = with("path", &path, 0);
    assert_eq!(done["selected"], planned["selected"]);
    assert_eq!(versions(&done), ["4.1.0", "4.1.1", "4.2.0"]);
    // Components that releases share are carried once.
    assert_eq!(done["images"].as_array().unwrap().len(), 5);
    scene.verify("path").succeeds();

    let none = with("none", &["--release", "4.1.2"], 2);
    let message = none.to_string();
    assert!(
        message.contains("4.1.1") && message.contains("4.2.0"),
        "{none:#}"
    );
    scene.nothing_at("none");
}

#[test]
fn the_chosen_path_is_shown() {
    let scene = Scene::new();
    fs::write(
        scene.stage.exporter.path("graph.json"),
        graph(&scene).to_string(),
    )
    .unwrap();
    let args = [
        "--channel",
        "stable-4.2",
        "--graph",
        "graph.json",
        UNSIGNED,
        "--from-version",
        "4.1.0",
    ];
    let path = "update path in stable-4.2 for amd64, 2 steps: 4.1.0 -> 4.1.1 -> 4.2.0\n";
    let dry = scene
        .export("bundle", &[&args[..], &["--dry-run"]].concat())
        .succeeds();
    dry.stdout_has(path)
        .stdout_has("not taken: 4.1.0 -> 4.2.0, known risks: Melts");
    scene.export("bundle", &args).succeeds().stdout_has(path);
}

#[test]
fn the_service_is_asked_by_channel_and_architecture() {
    let scene = Scene::new();
    let answer = graph(&scene).to_string();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let service = runtime.block_on(FakeRegistry::start(move |asked, _| {
        match asked.target.split_once('?').map(|(_, query)| query) {
            Some("arch=amd64&channel=stable-4.2") => Reply::new(200).body(answer.clone()),
            Some("arch=arm64&channel=stable-4.2") => Reply::new(200).body(answer.clone()),
            _ => Reply::new(404).body("<html>no such channel</html>"),
        }
    }));
    let url = format!("http://{}/api/graph", service.host());
    let with = |name: &str, channel: &str, more: &[&str]| {
        let common = [
            "--update-service",
            url.as_str(),
            UNSIGNED,
            "--channel",
            channel,
        ];
        scene.export(name, &[&common[..], more].concat())
    };
    with("head", "stable-4.2", &["--release", "latest"]).succeeds();
    assert_eq!(service.asked().last().unwrap().path(), "/api/graph");
    // An error page is not a graph.
    with("absent", "stable-9", &[]).fails_with(6);
    scene.nothing_at("absent");
    // The payload's own architecture is compared with the requested one.
    let failed = with("arm", "stable-4.2", &["--arch", "arm64"]).fails_with(4);
    failed
        .stderr_has("4.2.0 for arm64")
        .stderr_has("4.2.0 for amd64");
    scene.nothing_at("arm");
}

#[test]
fn requests_that_cannot_be_meant_are_refused() {
    let scene = Scene::new();
    for (args, says) in [
        (&["--release", "4.1.0"][..], "no channel is given"),
        (&["--release", "4.1"], "neither a pull spec"),
        (&["--arch", "arm64", "--release", "q.io/a/b:c"], "--channel"),
        (
            &["--channel", "stable-4.1", "--release", "q.io/a/b:c"],
            "by version",
        ),
        (
            &[
                "--channel",
                "stable-4.1",
                "--graph",
                "g",
                "--arch",
                "amd64,arm64",
            ],
            "one architecture",
        ),
        (
            &["--channel", "stable-4.1", "--graph", "absent.json"],
            "absent.json",
        ),
    ] {
        scene.export("none", args).fails_with(2).stderr_has(says);
    }
}
