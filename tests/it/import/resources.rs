//! Files that an import writes for the cluster, and its report if they cannot be written.

use super::*;

fn bundle(stage: &Stage) -> std::path::PathBuf {
    let image = Build::docker("app").layer(2000).image();
    let reference = stage.publish("team/app", "v1", &image);
    stage.export("bundle", &[&reference], &[])
}

#[test]
fn a_directory_that_cannot_be_written_is_found_out_before_the_upload() {
    let stage = Stage::new();
    let bundle = bundle(&stage);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    for nowhere in ["/proc/nope", "/dev/null/out"] {
        let refused = stage.import(&bundle, &host, &["--resources", nowhere]);
        refused.fails_with(8).stderr_has(nowhere);
    }
    let catalog = ask(&host, "GET", "_catalog");
    assert!(
        catalog.text.contains("\"repositories\":[]"),
        "{}",
        catalog.text
    );
    // A dry run does not make the directory either.
    let out = stage.at("out");
    let more = ["--resources", out.to_str().unwrap(), "--dry-run"];
    stage.import(&bundle, &host, &more).succeeds();
    assert!(!out.exists());
}

#[test]
fn a_file_that_cannot_be_written_does_not_cost_the_report() {
    let stage = Stage::new();
    let bundle = bundle(&stage);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let out = stage.at("out");
    fs::create_dir_all(out.join("mapping.txt/in the way")).unwrap();
    let more = ["--resources", out.to_str().unwrap()];
    let failed = stage.import(&bundle, &host, &more).fails_with(8);
    failed.stdout_has(&format!("team/app:v1 -> {host}/team/app:v1"));
    failed.stdout_has("the cluster resources were NOT WRITTEN");
    failed
        .stderr_has("mapping.txt")
        .stderr_has("`airferry cluster-resources`");
    let report = fs::read_to_string(out.join("import-report.json")).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["images"][0]["state"], "committed");
    let more = [&more[..], &["--output", "json"]].concat();
    let json = stage.import(&bundle, &host, &more).fails_with(8).json();
    let reason = json["resources_problem"]["reason"].as_str().unwrap();
    assert!(reason.contains("mapping.txt"), "{reason}");
}
