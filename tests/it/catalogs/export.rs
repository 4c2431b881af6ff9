//! `airferry export --catalog`, and the resulting bundle on the importing side.

use super::{CATALOG, FOO, index_image};
use crate::support::command::Outcome;
use crate::support::images::Build;
use crate::support::stage::Stage;

/// The members of the catalog, as `repository:tag`.
const MEMBERS: [(&str, &str); 5] = [
    ("bar/bundle", "v1.0.0"),
    ("bar/bundle", "v1.10.0"),
    ("bar/operator", "v1.0.0"),
    ("bar/operator", "v1.10.0"),
    ("foo/bundle", "v0.1.0"),
];

/// Makes a stage with the catalog and its members; also returns the catalog's reference.
pub(super) fn stage() -> (Stage, String) {
    let stage = Stage::new();
    for (repository, tag) in MEMBERS {
        let image = Build::oci(&format!("{repository} {tag}"))
            .layer(2000)
            .image();
        stage.publish(repository, tag, &image);
    }
    let host = stage.source.host().to_string();
    let (yaml, json) = (
        CATALOG.replace("{host}", &host),
        FOO.replace("{host}", &host),
    );
    let files: &[(&str, &[u8])] = &[
        ("configs/bar.yaml", yaml.as_bytes()),
        ("configs/foo.json", json.as_bytes()),
    ];
    let index = stage.publish("ops/index", "v1", &index_image(files).image());
    (stage, index)
}

#[test]
fn a_catalog_brings_every_image_that_it_names() {
    let (stage, index) = stage();
    let planned = stage.try_export("bundle", &[], &["--catalog", &index, "--dry-run"]);
    planned.succeeds().stdout_has("with 5 images");
    let bundle = stage.export("bundle", &[], &["--catalog", &index]);
    let again = stage
        .try_export("bundle", &[], &["--catalog", &index])
        .succeeds();
    again.stdout_has("complete already");
    stage.verify(&bundle, &[]).succeeds();

    let mut list = stage.importer.command();
    list.args(["catalog", "list"])
        .arg(&bundle)
        .args(["--output", "json", "--trust"])
        .arg(stage.trusted());
    let list = Outcome::of(list).succeeds().json();
    assert_eq!(list["authenticated"], true);
    let catalog = &list["catalogs"][0];
    assert_eq!(catalog["images"], 5);
    assert_eq!(catalog["image"], index.as_str());
    let sizes: Vec<u64> = catalog["package"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["bytes"].as_u64().unwrap())
        .collect();
    assert_eq!(
        catalog["bytes"].as_u64().unwrap(),
        sizes.iter().sum::<u64>()
    );
    assert!(sizes.iter().all(|size| *size > 1000), "{sizes:?}");
}

#[test]
fn a_missing_member_is_named_and_the_rest_is_carried() {
    let (stage, index) = stage();
    let host = stage.source.host();
    let bad = CATALOG
        .replace("{host}/bar/operator:v1.0.0", &format!("{host}/bar/gone:v1"))
        .replace("{host}", host.to_string().as_str());
    let files: &[(&str, &[u8])] = &[("configs/bar.yaml", bad.as_bytes())];
    stage.publish("ops/index", "v1", &index_image(files).image());
    let outcome = stage
        .try_export("bundle", &[], &["--catalog", &index])
        .fails_with(5);
    outcome.stderr_has("bar/gone:v1");
    outcome.stdout_has("with 4 images, 1 of them missing");
    // When the missing image is there, the same command completes the bundle.
    stage.publish("bar/gone", "v1", &Build::oci("late").layer(100).image());
    let outcome = stage
        .try_export("bundle", &[], &["--catalog", &index])
        .succeeds();
    outcome.stdout_has("sealed generation 2");
}

#[test]
fn another_catalog_is_another_request() {
    let (stage, index) = stage();
    let bundle = stage.export("bundle", &[], &["--catalog", &index]);
    assert!(bundle.join("manifest.cbor").exists());
    stage
        .try_export("bundle", &[&index], &[])
        .fails_with(2)
        .stderr_has("another request");
}

/// A filtered catalog must not take a name by which another catalog refers to the whole one.
#[test]
fn a_catalog_that_is_made_anew_and_named_by_another_is_refused() {
    let (stage, index) = stage();
    let other = r#"{"schema":"olm.package","name":"top","defaultChannel":"a"}
{"schema":"olm.channel","package":"top","name":"a","entries":[{"name":"top.v1.0.0"}]}
{"schema":"olm.bundle","package":"top","name":"top.v1.0.0","image":"{index}",
 "properties":[{"type":"olm.package","value":{"packageName":"top","version":"1.0.0"}}]}"#;
    let other = other.replace("{index}", &index);
    let files: &[(&str, &[u8])] = &[("configs/top.json", other.as_bytes())];
    let other = stage.publish("ops/other", "v1", &index_image(files).image());
    let config = stage.exporter.path("set.yaml");
    let text = format!(
        "apiVersion: mirror.openshift.io/v2alpha1\nkind: ImageSetConfiguration\nmirror:\n  \
         operators:\n  - catalog: {index}\n    packages: [{{name: foo}}]\n  - catalog: {other}\n    \
         full: true\n"
    );
    std::fs::write(&config, text).unwrap();
    let more = ["--catalog-config", config.to_str().unwrap()];
    let refused = stage.try_export("bundle", &[], &more).fails_with(2);
    refused.stderr_has(&format!(
        "{index} is requested both unfiltered and as a filtered"
    ));
    assert!(!stage.at("bundle").join("export.plan").exists());
}
