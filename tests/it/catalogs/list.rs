//! `airferry catalog list` from a registry.

use super::{CATALOG, DATABASE, FOO, Shop, index_image};
use crate::support::images::{Build, index};

#[test]
fn a_catalog_is_listed_with_channels_heads_and_versions() {
    let files: [(&str, &[u8]); 4] = [
        ("configs/bar/index.yaml", CATALOG.as_bytes()),
        ("configs/foo/catalog", FOO.as_bytes()),
        ("configs/README.md", b"# Not a catalog"),
        ("configs/.indexignore", b"*.md\n"),
    ];
    let shop = Shop::with(&index_image(&files).image());
    let list = shop.list(&[]).succeeds();
    list.stdout_has("2 packages, 3 bundles, 5 images");
    let table = list.stdout.split_once("\n\n").unwrap().1.to_owned();
    assert_eq!(
        table,
        "PACKAGE  CHANNEL   HEAD         VERSION  BUNDLES  SIZE\n\
         bar      alpha     bar.v1.10.0  1.10.0   1\n\
         bar      stable *  bar.v1.10.0  1.10.0   2\n\
         foo      beta *    foo.v0.1.0   0.1.0    1\n"
    );
    let bar = shop
        .list(&["--package", "bar", "--output", "json"])
        .succeeds();
    let bar = &bar.json()["catalogs"][0]["package"][0];
    let versions: Vec<&str> = bar["bundles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bundle| bundle["version"].as_str().unwrap())
        .collect();
    assert_eq!(versions, ["1.0.0", "1.10.0"], "sorted as versions are");
    let error = shop.list(&["--package", "qux"]).fails_with(2);
    error.stderr_has("no package `qux`");
}

#[test]
fn what_upper_layers_remove_is_not_there() {
    let broken: &[(&str, &[u8])] = &[
        ("configs/old.yaml", b"no catalog: ["),
        ("configs/gone/x.yaml", b"no catalog: ["),
        ("configs/bar.yaml", b"no catalog: ["),
    ];
    let mended: &[(&str, &[u8])] = &[
        ("configs/.wh.old.yaml", b""),
        ("configs/.wh.gone", b""),
        ("configs/bar.yaml", CATALOG.as_bytes()),
        ("tmp/cache/x", b"no catalog: ["),
    ];
    let shop = Shop::with(&index_image(broken).files(mended).image());
    shop.list(&[]).succeeds().stdout_has("1 package, 2 bundles");
}

#[test]
fn one_platform_of_an_index_is_read() {
    let catalog: &[(&str, &[u8])] = &[("configs/bar.yaml", CATALOG.as_bytes())];
    let image = |platform| index_image(catalog).platform(platform).image();
    let shop = Shop::with(&index([&image("linux/arm64/v8"), &image("linux/s390x")]));
    let error = shop.list(&[]).fails_with(2);
    error.stderr_has("exactly one image of the index, but selects none of");
    error.stderr_has("linux/arm64/v8, linux/s390x");
    shop.list(&["--index-filter-by-os", "linux/.*"])
        .fails_with(2)
        .stderr_has("selects 2");
    shop.list(&["--filter-by-os", "s390"])
        .succeeds()
        .stdout_has("read for linux/s390x");
    shop.push(
        "ops/index",
        &index([&image("linux/arm64"), &image("linux/amd64")]),
    );
    shop.list(&[]).succeeds().stdout_has("read for linux/amd64");
}

#[test]
fn databases_of_older_days_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("index.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database
        .execute_batch(
            "CREATE TABLE operatorbundle(name TEXT PRIMARY KEY, csv TEXT, bundlepath TEXT, version TEXT, skiprange TEXT);
             CREATE TABLE package(name TEXT PRIMARY KEY, default_channel TEXT);
             CREATE TABLE channel(name TEXT, package_name TEXT, head_operatorbundle_name TEXT, PRIMARY KEY(name, package_name));
             CREATE TABLE channel_entry(entry_id INTEGER PRIMARY KEY, channel_name TEXT, package_name TEXT,
                 operatorbundle_name TEXT, replaces INTEGER, depth INTEGER);
             CREATE TABLE related_image(image TEXT, operatorbundle_name TEXT);
             INSERT INTO operatorbundle VALUES ('a.v1', x'00ff', 'quay.io/a/bundle:1', '1.0.0', NULL),
                 ('a.v2', NULL, 'quay.io/a/bundle:2', '2.0.0', '<2.0.0');
             INSERT INTO package VALUES ('a', 'stable');
             INSERT INTO channel VALUES ('stable', 'a', 'a.v2');
             INSERT INTO channel_entry VALUES (1, 'stable', 'a', 'a.v2', 2, 0), (2, 'stable', 'a', 'a.v1', NULL, 1);
             INSERT INTO related_image VALUES ('quay.io/a/a:2', 'a.v2'), ('quay.io/a/bundle:2', 'a.v2');",
        )
        .unwrap();
    drop(database);
    let bytes = std::fs::read(&path).unwrap();
    let image = Build::docker("old")
        .label(DATABASE, "/database/index.db")
        .files(&[("database/index.db", &bytes)])
        .image();
    let shop = Shop::with(&image);
    let list = shop.list(&[]).succeeds();
    list.stdout_has("SQLite catalog");
    list.stdout_has("1 package, 2 bundles, 3 images");
    list.stdout_has("a        stable *  a.v2  2.0.0    2\n");
    assert_eq!(list.stderr, "", "nothing is wrong with it");
}

#[test]
fn what_is_no_catalog_is_said() {
    let shop = Shop::with(&Build::oci("plain").layer(100).image());
    shop.list(&[])
        .fails_with(2)
        .stderr_has("has neither the label");
    let empty = Build::oci("empty")
        .label(super::CONFIGS, "/configs")
        .layer(100);
    shop.push("ops/index", &empty.image());
    shop.list(&[])
        .fails_with(4)
        .stderr_has("names `configs`, which does not exist");
    let mut absent = shop.airferry.command();
    let reference = format!("{}/ops/absent:v1", shop.registry.host());
    absent.args(["catalog", "list", &reference, "--tls-verify=false"]);
    crate::support::command::Outcome::of(absent)
        .fails_with(5)
        .stderr_has("cannot be read from its registry");
}
