//! Catalogs with irregular entries, as upstream publishes them: each affects only itself, and is
//! reported on both sides.

use std::fs;

use serde_json::Value;

use super::export::stage;
use super::{CATALOG, DATABASE, FOO, Shop, index_image};
use crate::support::command::Outcome;
use crate::support::docker_registry::DockerRegistry;
use crate::support::images::Build;
use crate::support::images::publish::send;
use crate::support::proxy::{Fate, Proxy};
use crate::support::stage::Stage;

/// A digest with one digit too many.
fn too_long() -> String {
    format!("sha256:{}", "a".repeat(65))
}

/// Makes the stage of the exports with a catalog that also names an artifact by `oci://`, a text
/// that is no reference, and an image that is on no registry.
fn odd_stage() -> (Stage, String) {
    let (stage, index) = stage();
    let host = stage.source.host().to_string();
    let wasm = Build::oci("wasm").layer(100).image();
    stage.publish("wasm/shim", "v1", &wasm);
    let related = format!(
        "- {{name: a, image: \"{{host}}/bar/operator:v1.0.0\"}}\n\
         - {{name: b, image: \"oci://{host}/wasm/shim:v1\"}}\n\
         - {{name: c, image: \"{host}/bar/x@{}\"}}\n\
         - {{name: d, image: \"oci:///home/somebody/x\"}}",
        too_long()
    );
    let yaml = CATALOG.replace(
        "- {name: operator, image: \"{host}/bar/operator:v1.0.0\"}",
        &related,
    );
    let (yaml, json) = (yaml.replace("{host}", &host), FOO.replace("{host}", &host));
    let files: &[(&str, &[u8])] = &[
        ("configs/bar.yaml", yaml.as_bytes()),
        ("configs/foo.json", json.as_bytes()),
    ];
    stage.publish("ops/index", "v1", &index_image(files).image());
    (stage, index)
}

fn inspect(stage: &Stage, bundle: &str) -> Value {
    let mut command = stage.importer.command();
    command.arg("inspect").arg(stage.at(bundle));
    command.args(["--output", "json"]);
    Outcome::of(command).succeeds().json()
}

fn tags(host: &str, repository: &str) -> String {
    send(host, "GET", &format!("/v2/{repository}/tags/list"), "", b"").text
}

#[test]
fn a_text_that_is_no_reference_costs_itself_and_is_named_on_both_sides() {
    let (stage, index) = odd_stage();
    let dry = stage.try_export("dry", &[], &["--catalog", &index, "--dry-run"]);
    dry.fails_with(5).stderr_has("bar.v1.0.0 of package bar");
    let done = stage
        .try_export("odd", &[], &["--catalog", &index])
        .fails_with(5);
    let (long, disk) = (
        too_long(),
        "`oci:///home/somebody/x`: not an image reference",
    );
    done.stderr_has("2 of 9 images are missing")
        .stderr_has(&long)
        .stderr_has(disk)
        .stderr_has("(needed by bar.v1.0.0 of package bar)")
        .stdout_has("with 6 images");
    // The same command finds nothing to complete, and reports the same.
    let again = stage.try_export("odd", &[], &["--catalog", &index]);
    again.fails_with(5).stdout_has("still incomplete");

    let seen = inspect(&stage, "odd");
    assert_eq!(seen["complete"], false);
    let row = &seen["catalogs"][0]["malformed"][1];
    assert_eq!(row["text"], "oci:///home/somebody/x");
    assert_eq!(row["needed_by"][0]["package"], "bar");
    let bundle = stage.at("odd");
    let verified = stage.verify(&bundle, &[]).fails_with(5);
    verified.stdout_has(disk).stdout_has("needed by bar.v1.0.0");
    stage.verify(&bundle, &["--allow-incomplete"]).succeeds();

    let target = DockerRegistry::start();
    let (host, out) = (target.host().to_string(), stage.at("out"));
    let resources = ["--resources", out.to_str().unwrap()];
    let refused = stage.import(&bundle, &host, &resources).fails_with(5);
    refused.stderr_has("--allow-incomplete").stderr_has(disk);
    let more = [&["--allow-incomplete"], &resources[..]].concat();
    let done = stage.import(&bundle, &host, &more).fails_with(5);
    done.stdout_has(&format!("  missing: {disk}"))
        .stderr_has(&long);
    assert!(tags(&host, "ops/index").contains("v1"), "{done}");
    assert!(tags(&host, "wasm/shim").contains("v1"), "{done}");
    assert!(out.join("apply/catalogSource.yaml").exists(), "{done}");
    let report = fs::read(out.join("import-report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let rows = report["catalogs"][0]["malformed"].as_array().unwrap();
    assert_eq!(
        (rows.len(), &report["catalogs"][0]["state"]),
        (2, &"committed".into())
    );
}

#[test]
fn a_missing_artifact_is_named_with_its_bundle() {
    let (stage, index) = stage();
    let host = stage.source.host().to_string();
    let yaml = CATALOG
        .replace(
            "{host}/bar/operator:v1.0.0",
            &format!("oci://{host}/wasm/gone:v1"),
        )
        .replace("{host}", &host);
    let files: &[(&str, &[u8])] = &[("configs/bar.yaml", yaml.as_bytes())];
    stage.publish("ops/index", "v1", &index_image(files).image());
    let export = |more: &[&str]| {
        let args = [&["--catalog", index.as_str()], more].concat();
        stage.try_export("gone", &[], &args).fails_with(5)
    };
    let done = export(&[]);
    done.stderr_has(&format!("{host}/wasm/gone:v1"));
    done.stderr_has("(needed by bar.v1.0.0 of package bar)");
    let seen = inspect(&stage, "gone");
    let images = seen["images"].as_array().unwrap();
    let gone = images.iter().find(|image| image.get("problem").is_some());
    assert_eq!(gone.unwrap()["needed_by"][0]["name"], "bar.v1.0.0");
    stage
        .verify(&stage.at("gone"), &[])
        .fails_with(5)
        .stdout_has("needed by bar.v1.0.0 of package bar");
}

#[test]
fn images_chosen_by_a_mapping_are_a_way_around() {
    let (stage, index) = odd_stage();
    let host = stage.source.host().to_string();
    let file = stage.at("mapping.txt");
    let line = format!("{host}/bar/operator:v1.0.0=m.lan/bar/operator:v1.0.0\n");
    fs::write(&file, line).unwrap();
    let file = file.to_str().unwrap();
    let args = ["--catalog", &index, "--mapping", file];
    let done = stage.try_export("chosen", &[], &args).succeeds();
    done.stdout_has("1 of 8 images, as listed in a mapping");
    assert_eq!(inspect(&stage, "chosen")["complete"], true);
    // A reference that the operator types is still checked.
    let typed = format!("{host}/bar/x@{}", too_long());
    stage.try_export("typed", &[&typed], &[]).fails_with(2);
    let mut ahead = stage.importer.command();
    ahead.args([
        "cluster-resources",
        "--catalog",
        &index,
        "--to",
        "m.lan/olm",
    ]);
    ahead.arg("--resources").arg(stage.at("ahead"));
    ahead.args(["--tls-verify=false", "--quiet"]);
    let ahead = Outcome::of(ahead).succeeds();
    ahead.stderr_has("needed by bar.v1.0.0 of package bar");
    let mapping = fs::read_to_string(stage.at("ahead").join("mapping.txt")).unwrap();
    assert!(mapping.contains("/wasm/shim:v1="), "{mapping}");
}

#[test]
fn a_catalog_becomes_visible_although_the_target_refuses_a_member() {
    let (stage, index) = stage();
    let bundle = stage.export("bundle", &[], &["--catalog", &index]);
    let target = DockerRegistry::start();
    let host = target.host().to_string();
    let proxy = Proxy::before(&host);
    proxy.rule(|method, target| {
        match method == "PUT" && target.contains("bar-operator/manifests/v1.0.0") {
            true => Fate::Answer(403, "DENIED"),
            false => Fate::Pass,
        }
    });
    let (to, out) = (format!("{}/olm", proxy.host()), stage.at("out"));
    let more = ["--retries", "0", "--resources", out.to_str().unwrap()];
    let done = stage.import(&bundle, &to, &more).fails_with(7);
    done.stderr_has("1 of 6 images is not on the target")
        .stderr_has("(needed by bar.v1.0.0 of package bar)")
        .stdout_has(&format!(
            "  missing: {}/bar/operator:v1.0.0",
            stage.source.host()
        ));
    assert!(tags(&host, "olm/ops-index").contains("v1"), "{done}");
    assert!(out.join("apply/catalogSource.yaml").exists(), "{done}");
    proxy.rule(|_, _| Fate::Pass);
    stage.import(&bundle, &to, &more).succeeds();
}

#[test]
fn one_image_under_two_tags_is_named_by_two_lines() {
    let (stage, index) = stage();
    let host = stage.source.host().to_string();
    let image = Build::oci("twice").layer(100).image();
    stage.publish("bar/twice", "1", &image);
    let digest = image.digest();
    let yaml = CATALOG
        .replace(
            "{host}/bar/operator:v1.0.0",
            &format!("{host}/bar/twice:1@{digest}"),
        )
        .replace(
            "{host}/bar/operator:v1.10.0",
            &format!("{host}/bar/twice:2@{digest}"),
        )
        .replace("{host}", &host);
    let files: &[(&str, &[u8])] = &[("configs/bar.yaml", yaml.as_bytes())];
    stage.publish("ops/index", "v1", &index_image(files).image());
    let ahead = |to: &str, out: &str, more: &[&str]| {
        let mut command = stage.importer.command();
        command.args(["cluster-resources", "--catalog", &index, "--to", to]);
        command.arg("--resources").arg(stage.at(out));
        command.args(["--tls-verify=false", "--quiet"]).args(more);
        Outcome::of(command).succeeds();
        fs::read_to_string(stage.at(out).join("mapping.txt")).unwrap()
    };
    let target = DockerRegistry::start();
    let to = format!("{}/olm", target.host());
    let own = ahead(&to, "own", &[]);
    let source = format!("{host}/bar/twice@{digest}={to}/bar-twice");
    for tag in ["1", "2"] {
        assert!(own.contains(&format!("{source}:{tag}\n")), "{own}");
    }
    // The written mapping is read back, with the same meaning.
    let file = stage.at("own/mapping.txt");
    let file = file.to_str().unwrap();
    assert_eq!(ahead(&to, "again", &["--mapping", file]), own);
    let args = ["--catalog", &index, "--mapping", file];
    let bundle = stage.export("bundle", &[], &args);
    stage.import(&bundle, &to, &["--mapping", file]).succeeds();
    let there = tags(&target.host().to_string(), "olm/bar-twice");
    assert!(
        there.contains("\"1\"") && there.contains("\"2\""),
        "{there}"
    );

    // More names than the catalog has, as `oc image mirror -f` takes them.
    let more = own.replace("bar-twice:1\n", &format!("bar-twice:1 {to}/bar-twice:3\n"));
    let more = format!("{more}{source}:4\n").replace('\n', "\r\n");
    fs::write(stage.at("more.txt"), &more).unwrap();
    let file = stage.at("more.txt");
    let lines = ahead(&to, "more", &["--mapping", file.to_str().unwrap()]);
    for tag in ["1", "2", "3", "4"] {
        assert!(lines.contains(&format!("{source}:{tag}\n")), "{lines}");
    }
}

#[test]
fn a_key_twice_is_read_as_opm_reads_it_and_told() {
    let yaml = CATALOG.replace(
        "defaultChannel: stable",
        "defaultChannel: x\ndefaultChannel: stable",
    );
    let json = FOO.replace(
        "\"defaultChannel\":\"beta\"",
        "\"DefaultChannel\":\"x\",\"defaultChannel\":\"beta\"",
    );
    let files: &[(&str, &[u8])] = &[
        ("configs/bar.yaml", yaml.as_bytes()),
        ("configs/foo.json", json.as_bytes()),
    ];
    let shop = Shop::with(&index_image(files).image());
    let list = shop.list(&[]).succeeds();
    list.stdout_has("stable *").stdout_has("beta *");
    list.stderr_has(
        "The key `defaultChannel` occurs twice in one map; the last one counts: bar.yaml",
    );
    list.stderr_has("the last one counts: foo.json, document 1");
}

/// The schema as `opm` has written it since 2020, and a row of each kind.
const OPM: &str = "
    PRAGMA foreign_keys = ON;
    CREATE TABLE schema_migrations (version bigint NOT NULL, timestamp DATETIME DEFAULT CURRENT_TIMESTAMP);
    CREATE TABLE api (group_name TEXT, version TEXT, kind TEXT, plural TEXT NOT NULL,
        PRIMARY KEY(group_name, version, kind));
    CREATE TABLE operatorbundle (name TEXT PRIMARY KEY, csv TEXT, bundle TEXT, bundlepath TEXT,
        skiprange TEXT, version TEXT, replaces TEXT, skips TEXT, substitutesfor TEXT);
    CREATE TABLE package (name TEXT PRIMARY KEY, default_channel TEXT);
    CREATE TABLE channel (name TEXT, package_name TEXT, head_operatorbundle_name TEXT,
        PRIMARY KEY(name, package_name),
        FOREIGN KEY(head_operatorbundle_name) REFERENCES operatorbundle(name) ON DELETE CASCADE);
    CREATE TABLE channel_entry (entry_id INTEGER PRIMARY KEY, channel_name TEXT, package_name TEXT,
        operatorbundle_name TEXT, replaces INTEGER, depth INTEGER,
        FOREIGN KEY(replaces) REFERENCES channel_entry(entry_id) DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE related_image (image TEXT, operatorbundle_name TEXT,
        FOREIGN KEY(operatorbundle_name) REFERENCES operatorbundle(name) ON DELETE CASCADE);
    CREATE TABLE api_provider (group_name TEXT, version TEXT, kind TEXT, operatorbundle_name TEXT);
    CREATE TABLE properties (type TEXT, value TEXT, operatorbundle_name TEXT,
        operatorbundle_version TEXT, operatorbundle_path TEXT);
    CREATE TABLE deprecated (operatorbundle_name TEXT PRIMARY KEY);
    CREATE UNIQUE INDEX pk ON operatorbundle(name, version, bundlepath);
    CREATE TRIGGER api_provider_cleanup AFTER DELETE ON api_provider
        WHEN NOT EXISTS (SELECT 1 FROM api_provider WHERE group_name = OLD.group_name)
        BEGIN DELETE FROM api WHERE group_name = OLD.group_name; END;
    INSERT INTO schema_migrations(version) VALUES(11);
    INSERT INTO operatorbundle(name, bundlepath, version) VALUES('x.v1.0.0', '{host}/x/bundle:v1', '1.0.0');
    INSERT INTO package VALUES('x', 'stable');
    INSERT INTO channel VALUES('stable', 'x', 'x.v1.0.0');
    INSERT INTO channel_entry VALUES(1, 'stable', 'x', 'x.v1.0.0', NULL, 0);
    INSERT INTO related_image VALUES('{host}/x/op:v1', 'x.v1.0.0'), ('', 'x.v1.0.0'), (NULL, 'x.v1.0.0');
    INSERT INTO properties VALUES('olm.package', '{\"packageName\":\"x\",\"version\":\"1.0.0\"}', 'x.v1.0.0', '1.0.0', ''),
        ('olm.gvk', '{\"Group\":\"g\",\"kind\":\"K\",\"kind\":\"L\",\"version\":\"v1\"}', 'x.v1.0.0', '1.0.0', ''),
        ('olm.gvk', 'nonsense', 'x.v1.0.0', '1.0.0', '');";

#[test]
fn a_database_with_opm_s_triggers_is_carried_whole() {
    let stage = Stage::new();
    let host = stage.source.host().to_string();
    for repository in ["x/bundle", "x/op"] {
        stage.publish(repository, "v1", &Build::oci(repository).layer(100).image());
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection
        .execute_batch(&OPM.replace("{host}", &host))
        .unwrap();
    drop(connection);
    let bytes = fs::read(&path).unwrap();
    let files: &[(&str, &[u8])] = &[("database/index.db", &bytes)];
    let image = Build::oci("old").label(DATABASE, "/database/index.db");
    let index = stage.publish("ops/old", "v1", &image.files(files).image());
    let done = stage
        .try_export("bundle", &[], &["--catalog", &index])
        .succeeds();
    done.stdout_has("with 2 images");
    done.stderr_has("The property olm.gvk of bundle `x.v1.0.0`");
    let mut list = stage.importer.command();
    list.args(["catalog", "list"]).arg(stage.at("bundle"));
    list.arg("--trust").arg(stage.trusted());
    let list = Outcome::of(list).succeeds();
    list.stdout_has("1 package, 1 bundle")
        .stdout_has("x.v1.0.0");
}
