//! Malicious catalogs: each gives one clear error, and soon.

use std::process::Command;

use super::{CATALOG, DATABASE, Shop, index_image};
use crate::support::command::{Airferry, Outcome};
use crate::support::images::{Build, Image};

/// Lists a catalog of one good and one bad file, and checks the error message.
#[track_caller]
fn refused(bad: &[u8], expected: &str) {
    let files: &[(&str, &[u8])] = &[
        ("configs/a.yaml", CATALOG.as_bytes()),
        ("configs/z/evil", bad),
    ];
    let shop = Shop::with(&index_image(files).image());
    let error = shop.list(&[]).fails_with(4);
    error.stderr_has(expected).stderr_has("z/evil, document 1");
}

#[test]
fn documents_that_are_too_much_are_refused_by_name() {
    let line = [b"schema: x\nname: ".as_slice(), &[b'a'; 100 << 20]].concat();
    refused(&line, "its length in bytes, the limit is 33554432");
    let anchors: String = (0..1_000_000).map(|n| format!("a{n}: &b{n} x\n")).collect();
    refused(
        format!("schema: x\n{anchors}").as_bytes(),
        "neither JSON nor YAML",
    );
    let deep = format!("{{\"schema\":{}", "[".repeat(5_000_000));
    refused(deep.as_bytes(), "its nesting, the limit is 100");
    refused(b"name: x\n", "it has no `schema`");
    refused(
        b"schema: olm.bundle\nname: x\npackage: y2\nimage: [a]\n",
        "`image` is not a text",
    );
}

#[test]
fn circles_and_duplicates_are_told_and_do_not_hang() {
    let text = "schema: olm.package\nname: p\ndefaultChannel: c\n---\n\
        schema: olm.package\nname: p\ndefaultChannel: c\n---\n\
        schema: olm.channel\npackage: p\nname: c\nentries:\n\
        - {name: p.v1, replaces: p.v2}\n- {name: p.v2, replaces: p.v1}\n";
    let shop = Shop::with(&index_image(&[("configs/p.yaml", text.as_bytes())]).image());
    let list = shop.list(&[]).succeeds();
    list.stdout_has("p        c *      -     -        2");
    list.stderr_has("`p` of package `p` is defined twice; the second is p.yaml, document 2");
    list.stderr_has("form a cycle through `p.v1`");
    list.stderr_has("names the bundle `p.v1`, which is not in the catalog");
}

#[test]
fn databases_that_run_code_or_are_damaged_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let database = |sql: &str| {
        let path = directory.path().join("x.db");
        let _ = std::fs::remove_file(&path);
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        std::fs::read(&path).unwrap()
    };
    let tables = "CREATE TABLE operatorbundle(name TEXT, bundlepath TEXT); CREATE TABLE \
                  related_image(image TEXT, operatorbundle_name TEXT);";
    let view = "CREATE TABLE operatorbundle(name TEXT, bundlepath TEXT); CREATE VIEW related_image \
                AS WITH RECURSIVE r(image) AS (SELECT 1 UNION ALL SELECT image + 1 FROM r) SELECT \
                image FROM r;";
    let virtual_table = "CREATE VIRTUAL TABLE search USING fts5(a);";
    let rows: String = (0..3000)
        .map(|n| format!("INSERT INTO related_image VALUES('quay.io/a/{n:0>80}:1','x');"))
        .collect();
    let mut damaged = database(&format!("{tables}BEGIN;{rows}COMMIT;"));
    for byte in damaged.iter_mut().skip(3 * 4096).step_by(7) {
        *byte = !*byte;
    }
    for (bytes, expected) in [
        (database(view), "The database has the view `related_image`"),
        (
            database(&format!("{tables}{virtual_table}")),
            "The database has the virtual table `search`",
        ),
        (damaged, "cannot be read"),
        (
            b"SQLite format 3\0 and nothing else".to_vec(),
            "cannot be used",
        ),
        (b"text".to_vec(), "not a database"),
    ] {
        let image = Build::oci("evil")
            .label(DATABASE, "x.db")
            .files(&[("x.db", &bytes)]);
        let shop = Shop::with(&image.image());
        shop.list(&[]).fails_with(4).stderr_has(expected);
    }
}

/// Lists a catalog with at most 400 MiB of memory.
fn list_in_little_memory(image: &Image) -> Outcome {
    let shop = Shop::with(image);
    let mut command = Command::new("sh");
    // Limits the memory that the process writes to, thread stacks included; in KiB.
    let script = "ulimit -d 409600 && exec \"$0\" catalog list \"$@\"";
    command.args(["-c", script]).arg(Airferry::program());
    command.args([&shop.index(), "--tls-verify=false", "--quiet"]);
    Outcome::of(shop.airferry.wrap(command))
}

#[test]
fn small_layers_do_not_take_much_memory() {
    let objects = format!(
        "{{\"schema\":\"x\",\"relatedImages\":[{}{{}}]}}",
        "{\"a\":1},".repeat(3_600_000)
    );
    let configs: &[(&str, &[u8])] = &[("configs/x", objects.as_bytes())];
    let list = list_in_little_memory(&index_image(configs).image()).fails_with(4);
    list.stderr_has("its lists have more than 200000 items");

    // A bundle with 20000 images that belongs to 20000 packages.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "CREATE TABLE operatorbundle(name TEXT, bundlepath TEXT); CREATE TABLE \
               related_image(image TEXT, operatorbundle_name TEXT); CREATE TABLE \
               channel_entry(entry_id, package_name, channel_name, operatorbundle_name); INSERT \
               INTO operatorbundle VALUES('x', 'q.io/a/b:1'); WITH RECURSIVE n(i) AS (SELECT 1 \
               UNION ALL SELECT i + 1 FROM n WHERE i < 20000) INSERT INTO related_image SELECT \
               'q.io/a/' || i, 'x' FROM n; WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 \
               FROM n WHERE i < 20000) INSERT INTO channel_entry SELECT i, 'p' || i, 'c', 'x' FROM \
               n;";
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let bytes = std::fs::read(&path).unwrap();
    let image = Build::oci("evil")
        .label(DATABASE, "x.db")
        .files(&[("x.db", &bytes)]);
    let list = list_in_little_memory(&image.image()).fails_with(4);
    list.stderr_has("the bundle `x` is in two packages, `p1` and `p2`");
}

#[test]
fn a_label_may_name_the_directory_of_a_database() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.db");
    let connection = rusqlite::Connection::open(&path).unwrap();
    let sql = "CREATE TABLE operatorbundle(name TEXT, bundlepath TEXT); CREATE TABLE \
               related_image(image TEXT, operatorbundle_name TEXT); CREATE TABLE package(name \
               TEXT, default_channel TEXT); INSERT INTO package VALUES('found', 'c');";
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let bytes = std::fs::read(&path).unwrap();
    let image = |files: &[(&str, &[u8])]| {
        let build = Build::oci("old").label(DATABASE, "/database").files(files);
        Shop::with(&build.image()).list(&[])
    };
    let list = image(&[("database/a.txt", b"text"), ("database/index.db", &bytes)]);
    list.succeeds().stdout_has("found");
    let list = image(&[("database/a.txt", b"text")]).fails_with(4);
    list.stderr_has("`database` contains no sqlite database");
    let list = image(&[("elsewhere/index.db", &bytes)]).fails_with(4);
    list.stderr_has("names `database`, which does not exist in the image");
}
