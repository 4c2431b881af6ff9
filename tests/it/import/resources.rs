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

/// The files below a directory of resources, without the list and the report.
fn objects(out: &Path) -> Vec<String> {
    let own = ["airferry.sha256", "import-report.json"];
    let mut found = files(out);
    found.retain(|file| !own.contains(&file.as_str()));
    found
}

#[test]
fn files_of_an_earlier_run_are_removed_unless_somebody_changed_them() {
    let stage = Stage::new();
    let image = Build::docker("app").layer(2000).image();
    let by_tag = stage.publish("team/app", "v1", &image);
    let by_digest = format!("{}/team/app@{}", stage.source.host(), image.digest());
    let tagged = stage.export("tagged", &[&by_tag], &[]);
    let pinned = stage.export("pinned", &[&by_digest], &[]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let out = stage.at("out");
    let more = ["--resources", out.to_str().unwrap()];
    let itms = out.join("apply/imageTagMirrorSet.yaml");
    fs::create_dir_all(out.join("apply")).unwrap();
    fs::write(out.join("apply/own.yaml"), "mine").unwrap();

    stage.import(&tagged, &host, &more).succeeds();
    assert!(itms.exists());
    let mut check = std::process::Command::new("sha256sum");
    check.args(["-c", "airferry.sha256"]).current_dir(&out);
    assert!(check.output().unwrap().status.success());
    let second = stage.import(&pinned, &host, &more).succeeds();
    assert!(!itms.exists());
    second.stderr_has("Files of an earlier run were removed from");
    second.stderr_has(": apply/imageTagMirrorSet.yaml. ");
    assert!(out.join("apply/own.yaml").exists());

    // What is replaced and is not from airferry is saved, once.
    let mapping = out.join("mapping.txt");
    let own = fs::read_to_string(&mapping).unwrap();
    fs::write(&mapping, "edited").unwrap();
    let third = stage.import(&pinned, &host, &more).succeeds();
    third.stderr_has("mapping.txt.bak` and is replaced");
    assert_eq!(fs::read_to_string(&mapping).unwrap(), own);
    let saved = out.join("mapping.txt.bak");
    assert_eq!(fs::read_to_string(&saved).unwrap(), "edited");
    let again = stage.import(&pinned, &host, &more).succeeds();
    assert!(!again.stderr.contains("is replaced"), "{again}");
    fs::remove_file(saved).unwrap();

    stage.import(&tagged, &host, &more).succeeds();
    fs::write(&itms, "changed").unwrap();
    for _ in 0..2 {
        let third = stage.import(&pinned, &host, &more).succeeds();
        third.stderr_has("imageTagMirrorSet.yaml` is from an earlier run");
        assert_eq!(fs::read_to_string(&itms).unwrap(), "changed");
    }
    // A list that names other files removes none of them.
    let digest = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
    fs::write(stage.at("victim.yaml"), "foo").unwrap();
    fs::write(
        out.join("airferry.sha256"),
        format!("{digest}  ../victim.yaml\n"),
    )
    .unwrap();
    stage.import(&pinned, &host, &more).succeeds();
    assert!(stage.at("victim.yaml").exists());
}

#[test]
fn objects_of_bundles_with_different_content_have_different_names() {
    let stage = Stage::new();
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let mut names = Vec::new();
    for (bundle, repository) in [("may", "team/a"), ("june", "team/b"), ("again", "team/a")] {
        let image = Build::docker(repository).layer(2000).image();
        let reference = stage.publish(repository, "v1", &image);
        let made = stage.export(bundle, &[&reference], &[]);
        let out = stage.at(&format!("out-{bundle}"));
        let more = ["--resources", out.to_str().unwrap()];
        stage.import(&made, &host, &more).succeeds();
        assert_eq!(
            objects(&out),
            [
                "apply/imageDigestMirrorSet.yaml",
                "apply/imageTagMirrorSet.yaml",
                "before-4.13/imageContentSourcePolicy.yaml",
                "install-config-imageContentSources.yaml",
                "install-config-imageDigestSources.yaml",
                "mapping.txt",
            ]
        );
        let text = fs::read_to_string(out.join("apply/imageDigestMirrorSet.yaml")).unwrap();
        let name = text.lines().find(|line| line.starts_with("  name: "));
        names.push(name.unwrap().to_owned());
    }
    assert_ne!(names[0], names[1]);
    assert_eq!(names[0], names[2]);
    let out = stage.at("out-oc-mirror");
    let more = [
        "--resources",
        out.to_str().unwrap(),
        "--profile",
        "oc-mirror",
    ];
    stage.import(&stage.at("may"), &host, &more).succeeds();
    for (file, name) in [
        ("imageDigestMirrorSet.yaml", "  name: idms-generic-0\n"),
        ("imageTagMirrorSet.yaml", "  name: itms-generic-0\n"),
    ] {
        let text = fs::read_to_string(out.join("apply").join(file)).unwrap();
        assert!(text.contains(name), "{text}");
    }
}
