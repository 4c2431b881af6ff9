//! `export --leave-out`: what is left out on purpose is recorded, shown, and no fault.

use std::fs;

use serde_json::Value;

use super::export::stage;
use super::{CATALOG, index_image};
use crate::support::command::Outcome;
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::Build;
use crate::support::images::publish::send;
use crate::support::stage::Stage;

/// A catalog of which one bundle needs an image that its registry deleted.
fn stage_without(gone: &str) -> (Stage, String) {
    let (stage, index) = stage();
    let host = stage.source.host().to_string();
    let yaml = CATALOG
        .replace(
            "{host}/bar/operator:v1.10.0",
            &format!("{{host}}/bar/{gone}"),
        )
        .replace("{host}", &host);
    let image = index_image(&[("configs/bar.yaml", yaml.as_bytes())]).image();
    stage.publish("ops/index", "v1", &image);
    (stage, index)
}

fn repositories(host: &str) -> String {
    send(host, "GET", "/v2/_catalog", "", b"").text
}

#[test]
fn a_bundle_is_left_out_and_said_everywhere() {
    let (stage, index) = stage_without("gone:v9");
    let catalog = ["--catalog", &index];
    let lacking = stage.try_export("lacking", &[], &catalog).fails_with(5);
    lacking.stderr_has("--leave-out bundle:bar.v1.10.0");
    let leave = ["--leave-out", "bundle:bar.v1.10.0"];
    let done = stage
        .try_export("whole", &[], &[catalog, leave].concat())
        .succeeds();
    let row = "/bar/gone:v9: left out by `--leave-out bundle:bar.v1.10.0` (needed by bar.v1.10.0 of package bar)";
    done.stdout_has("left out on purpose: 2 images")
        .stdout_has(row);
    let again = stage
        .try_export("whole", &[], &[catalog, leave].concat())
        .succeeds();
    again.stdout_has("complete already").stdout_has(row);

    let bundle = stage.at("whole");
    stage.verify(&bundle, &[]).succeeds().stdout_has(row);
    let json = stage
        .verify(&bundle, &["--output", "json"])
        .succeeds()
        .json();
    assert_eq!(json["left_out"].as_array().unwrap().len(), 2);
    for format in ["text", "json"] {
        let mut command = stage.importer.command();
        command
            .arg("inspect")
            .arg(&bundle)
            .args(["--output", format]);
        let shown = Outcome::of(command).succeeds();
        shown
            .stdout_has("bundle:bar.v1.10.0")
            .stdout_has("/bar/gone:v9");
    }
    let target = DockerRegistry::start();
    let (host, out) = (target.host().to_string(), stage.at("out"));
    let more = ["--profile", "plain", "--resources", out.to_str().unwrap()];
    stage
        .import(&bundle, &host, &more)
        .succeeds()
        .stdout_has(row);
    let there = repositories(&host);
    assert!(
        there.contains("ops/index") && there.contains("bar/bundle"),
        "{there}"
    );
    let report = fs::read(out.join("import-report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(report["left_out"][0]["by"], "bundle:bar.v1.10.0");
}

#[test]
fn packages_and_patterns_are_left_out_and_unknown_names_are_refused() {
    let (stage, index) = stage();
    let with = |name: &str, what: &str| {
        stage.try_export(name, &[], &["--catalog", &index, "--leave-out", what])
    };
    with("unknown", "bundle:bar.v1.10.1")
        .fails_with(2)
        .stderr_has("`bar.v1.10.0`");
    with("unknown", "package:baz")
        .fails_with(2)
        .stderr_has("`bar`");
    with("unknown", "image:*/nothing:*")
        .fails_with(2)
        .stderr_has("No image matches");
    with("unknown", "image:*")
        .fails_with(2)
        .stderr_has("narrow the pattern");
    with("unknown", "operator:bar")
        .fails_with(2)
        .stderr_has("package:NAME");
    let package = with("package", "package:bar").succeeds();
    package.stdout_has("left out on purpose: 4 images");
    let pattern = with("pattern", "image:*/bar/operator:*").succeeds();
    pattern.stdout_has("left out on purpose: 2 images");
    // The bundle of another request is not continued.
    stage
        .try_export("pattern", &[], &["--catalog", &index])
        .fails_with(2);

    let image = Build::docker("app").layer(500).image();
    let app = stage.publish("team/app", "v1", &image);
    let tool = stage.publish("team/tool", "v1", &image);
    let leave = ["--leave-out", "image:*/team/tool:*"];
    let plain = stage.try_export("plain", &[&app, &tool], &leave).succeeds();
    plain.stdout_has(&format!("{tool}: left out by"));
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    stage.import(&stage.at("plain"), &host, &[]).succeeds();
    assert!(!repositories(&host).contains("team/tool"));
    stage
        .try_export("nothing", &[&tool], &leave)
        .fails_with(2)
        .stderr_has("Everything was left out");
}
