//! Catalogs that were made to harm: one clear error each, and soon.

use super::{CATALOG, DATABASE, Shop, index_image};
use crate::support::images::Build;

/// Lists a catalog of one good and one bad file; what stderr says.
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
    list.stderr_has("`p` of package `p` is described twice: p.yaml, document 2");
    list.stderr_has("replace each other in a circle: `p.v1`");
    list.stderr_has("names the bundle `p.v1`, which is not there");
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
    let tables = "CREATE TABLE operatorbundle(name TEXT, bundlepath TEXT); \
        CREATE TABLE related_image(image TEXT, operatorbundle_name TEXT);";
    let view = "CREATE TABLE operatorbundle(name TEXT, bundlepath TEXT); CREATE VIEW related_image AS \
        WITH RECURSIVE r(image) AS (SELECT 1 UNION ALL SELECT image + 1 FROM r) SELECT image FROM r;";
    let trigger = "CREATE TRIGGER t AFTER INSERT ON related_image BEGIN SELECT 1; END;";
    let rows: String = (0..3000)
        .map(|n| format!("INSERT INTO related_image VALUES('quay.io/a/{n:0>80}:1','x');"))
        .collect();
    let mut damaged = database(&format!("{tables}BEGIN;{rows}COMMIT;"));
    for byte in damaged.iter_mut().skip(3 * 4096).step_by(7) {
        *byte = !*byte;
    }
    for (bytes, expected) in [
        (database(view), "It has the view `related_image`"),
        (
            database(&format!("{tables}{trigger}")),
            "It has the trigger `t`",
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
