//! Facts about a catalog on the importing side: the key that signed it, and the original from which
//! it was made.

use super::export::stage;
use crate::support::command::{Airferry, Outcome};
use crate::support::images::{Build, docker_list};
use crate::support::stage::Stage;

fn list(stage: &Stage, more: &[&str]) -> Outcome {
    let mut command = stage.importer.command();
    command.args(["catalog", "list"]).arg(stage.at("bundle"));
    command.args(more);
    Outcome::of(command)
}

#[test]
fn a_list_of_a_bundle_says_whether_anybody_vouches() {
    let (stage, index) = stage();
    stage.export("bundle", &[], &["--catalog", &index]);
    let said = "NOT AUTHENTICATED: no trusted key has signed this bundle";

    let stranger = Airferry::new();
    stranger.run(["keygen", "--out", "stranger"]).succeeds();
    let stranger = stranger.path("stranger.pub");
    let trusted = stage.trusted();
    let outcome = list(&stage, &[]).fails_with(3);
    outcome.stdout_has("2 packages, 3 bundles").stdout_has(said);
    outcome.stderr_has("hint: give the exporter's public key with --trust");
    // Nothing is read of a bundle that none of the given keys has signed.
    let other = ["--trust", stranger.to_str().unwrap()];
    let outcome = list(&stage, &other).fails_with(3);
    assert_eq!(outcome.stdout, "");
    for trust in [&[][..], &other] {
        let waived = list(&stage, &[trust, &["--allow-unsigned"]].concat()).succeeds();
        waived.stdout_has("2 packages, 3 bundles").stdout_has(said);
    }
    let outcome = list(&stage, &["--trust", trusted.to_str().unwrap()]).succeeds();
    outcome.hides("NOT AUTHENTICATED");
    assert_eq!(outcome.stderr, "");
}

#[test]
fn a_filtered_catalog_names_its_filter_and_its_original() {
    let (stage, index) = stage();
    let args = ["--catalog", &index, "--operator", "foo"];
    stage.export("whole", &[], &["--catalog", &index]);
    stage.export("bundle", &[], &args);
    let inspect = |bundle: &str, more: &[&str]| {
        let mut command = stage.importer.command();
        command.arg("inspect").arg(stage.at(bundle)).args(more);
        Outcome::of(command).succeeds()
    };
    let json = ["--output", "json"];
    let whole = inspect("whole", &json).json();
    let original = whole["catalogs"][0]["digest"].as_str().unwrap().to_owned();
    assert!(whole["catalogs"][0].get("original").is_none());
    assert!(whole["catalogs"][0].get("filter").is_none());

    let inspected = inspect("bundle", &json).json();
    let listed = list(&stage, &[&json[..], &["--allow-unsigned"]].concat());
    let listed = listed.succeeds().json();
    for catalog in [&inspected["catalogs"][0], &listed["catalogs"][0]] {
        assert_eq!(catalog["original"], original.as_str());
        let filter = catalog["filter"].as_str().unwrap();
        assert!(filter.contains("foo"), "{filter}");
        assert_ne!(catalog["digest"], original.as_str());
    }
    let made = format!("filtered from {original}, whose signatures do not cover it");
    for text in [
        inspect("bundle", &[]),
        list(&stage, &["--allow-unsigned"]).succeeds(),
    ] {
        text.stdout_has(&made).stdout_has("filtered: ");
    }
    inspect("whole", &[]).hides("filtered");
}

/// Docker's lists have no annotations, so the configs of the images name the list from which they
/// are.
#[test]
fn images_of_a_docker_list_name_the_list() {
    let (stage, _) = stage();
    let host = stage.source.host().to_string();
    let catalog = super::FOO.replace("{host}", &host);
    let files: &[(&str, &[u8])] = &[("configs/foo.json", catalog.as_bytes())];
    let rest = super::CATALOG.replace("{host}", &host);
    let image = |platform| {
        let image = Build::docker("index").label(super::CONFIGS, "/configs");
        let image = image
            .files(files)
            .files(&[("configs/bar.yaml", rest.as_bytes())]);
        image.platform(platform).image()
    };
    let original = docker_list([&image("linux/amd64"), &image("linux/arm64")]);
    let index = stage.publish("ops/list", "v1", &original);
    let bundle = stage.export("bundle", &[], &["--catalog", &index, "--operator", "foo"]);
    let tree = stage.at("tree");
    let mut unpack = stage.importer.command();
    unpack.arg("unpack").arg(&bundle).arg("--to").arg(&tree);
    unpack.args(["--allow-unsigned", "--quiet"]);
    Outcome::of(unpack).succeeds();
    let note = format!(
        "\"airferry.catalog.original-list\":\"{}\"",
        original.digest()
    );
    let configs = std::fs::read_dir(tree.join("v2/ops/list/blobs")).unwrap();
    let configs = configs.filter(|blob| {
        let bytes = std::fs::read(blob.as_ref().unwrap().path()).unwrap();
        String::from_utf8_lossy(&bytes).contains(&note)
    });
    assert_eq!(configs.count(), 2);
}
