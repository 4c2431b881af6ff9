use super::*;

/// No rows.
const NONE: [[&str; 0]; 0] = [];

/// Tables in memory: name, columns, rows.
#[derive(Default)]
struct Memory(Vec<(&'static str, Vec<String>, Vec<Row>)>);

impl Memory {
    fn table<'a, R: AsRef<[&'a str]>>(
        mut self,
        name: &'static str,
        columns: &str,
        rows: &[R],
    ) -> Self {
        let cell = |text: &&str| (*text != "NULL").then(|| (*text).to_owned());
        let rows = rows.iter();
        let rows = rows.map(|row| row.as_ref().iter().map(cell).collect());
        let columns = columns.split(' ').map(str::to_owned).collect();
        self.0.push((name, columns, rows.collect()));
        self
    }
}

impl Tables for Memory {
    fn has(&self, table: &str, column: &str) -> bool {
        self.0
            .iter()
            .any(|(name, columns, _)| *name == table && columns.iter().any(|c| c == column))
    }

    fn rows(
        &self,
        table: &str,
        wanted: &[&str],
        each: &mut dyn FnMut(Row) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError> {
        let (_, columns, rows) = self.0.iter().find(|(name, ..)| *name == table).unwrap();
        for row in rows {
            let cell = |want: &&str| {
                let at = columns.iter().position(|column| column == want).unwrap();
                row[at].clone()
            };
            each(wanted.iter().map(cell).collect())?;
        }
        Ok(())
    }
}

#[test]
fn databases_of_all_ages_are_read() {
    let oldest = Memory::default()
        .table("operatorbundle", "name csv bundle", &[&["a.v1", "x", "y"]])
        .table(
            "related_image",
            "image operatorbundle_name",
            &[
                &["quay.io/a/a:1", "a.v1"],
                &["quay.io/gone/x:1", "gone"],
                &["NULL", "a.v1"],
            ],
        );
    let catalog = read("index.db", &oldest).unwrap();
    assert_eq!(catalog.bundles[0].image, None);
    let images: Vec<String> = catalog
        .images()
        .images
        .into_iter()
        .map(|i| i.text)
        .collect();
    assert_eq!(images, ["quay.io/a/a:1", "quay.io/gone/x:1"]);

    let newest = Memory::default()
        .table("package", "name default_channel", &[&["a", "stable"]])
        .table(
            "channel",
            "name package_name head_operatorbundle_name",
            &[&["stable", "a", "a.v3"]],
        )
        .table(
            "channel_entry",
            "entry_id channel_name package_name operatorbundle_name replaces depth",
            &[
                &["1", "stable", "a", "a.v3", "2", "0"],
                &["2", "stable", "a", "a.v2", "NULL", "1"],
                &["3", "stable", "a", "a.v3", "4", "1"],
                &["4", "stable", "a", "a.v1", "NULL", "2"],
            ],
        )
        .table(
            "operatorbundle",
            "name bundlepath version skiprange replaces skips",
            &[
                &["a.v1", "", "1.0.0", "NULL", "NULL", "NULL"],
                &["a.v2", "quay.io/a/bundle:2", "2.0.0", "NULL", "a.v1", ""],
                &[
                    "a.v3",
                    "quay.io/a/bundle:3",
                    "3.0.0",
                    "<3.0.0",
                    "a.v2",
                    "a.v1",
                ],
            ],
        )
        .table(
            "related_image",
            "image operatorbundle_name",
            &[&["quay.io/a/a:3", "a.v3"]],
        )
        .table(
            "properties",
            "type value operatorbundle_name",
            &[
                &[
                    "olm.gvk",
                    r#"{"group":"g","version":"v1","kind":"K"}"#,
                    "a.v3",
                ],
                &[
                    "olm.package.required",
                    r#"{"packageName":"b","versionRange":">1"}"#,
                    "a.v3",
                ],
            ],
        )
        .table(
            "dependencies",
            "type value operatorbundle_name",
            &[
                &[
                    "olm.package",
                    r#"{"packageName":"b","version":">1"}"#,
                    "a.v3",
                ],
                &[
                    "olm.gvk",
                    r#"{"group":"h","version":"v1","kind":"L"}"#,
                    "a.v3",
                ],
            ],
        );
    let catalog = read("index.db", &newest).unwrap();
    assert_eq!(catalog.problems(), []);
    let channel = &catalog.channels[0];
    assert_eq!(channel.heads()[0].name, "a.v3");
    assert_eq!(channel.heads()[0].replaces.as_deref(), Some("a.v2"));
    assert_eq!(channel.heads()[0].skips, ["a.v1"]);
    assert_eq!(channel.heads()[0].skip_range.as_deref(), Some("<3.0.0"));
    let bundle = catalog.bundle("a", "a.v3").unwrap();
    assert_eq!(bundle.required_packages.len(), 1);
    assert_eq!(bundle.required_apis[0].to_string(), "h/v1 L");
    assert_eq!(bundle.provided_apis[0].to_string(), "g/v1 K");
    assert_eq!(catalog.bundle("a", "a.v1").unwrap().image, None);
    assert_eq!(catalog.images().images.len(), 3);
}

#[test]
fn databases_without_what_mirroring_needs_are_refused() {
    let error = read("x", &Memory::default()).unwrap_err().to_string();
    assert!(error.contains("no table `operatorbundle`"), "{error}");
    let broken = Memory::default()
        .table("operatorbundle", "name", &[&["a.v1"]])
        .table("related_image", "image operatorbundle_name", &NONE)
        .table(
            "properties",
            "type value operatorbundle_name",
            &[&["olm.gvk", "[", "a.v1"]],
        );
    let problems = read("x", &broken).unwrap().problems();
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(
        problems
            .iter()
            .any(|p| p.contains("olm.gvk of bundle `a.v1`")),
        "{problems:?}"
    );
}

/// Packages are known only after all tables were read.
#[test]
fn an_invalid_property_names_the_package_of_its_bundle_and_its_row() {
    let names = ["a.v1", "stray.v1"];
    let broken = entries(&[("a", "a.v1")], &names).table(
        "properties",
        "type value operatorbundle_name",
        &[&["olm.gvk", "[", "a.v1"], &["olm.gvk", "[", "stray.v1"]],
    );
    let problems = read("x.db", &broken).unwrap().problems();
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    for says in [
        "The property olm.gvk of bundle `a.v1` of package `a` is ignored",
        "The property olm.gvk of bundle `stray.v1` is ignored",
        "(x.db, row 1 of `properties`)",
    ] {
        assert!(problems.iter().any(|p| p.contains(says)), "{problems:?}");
    }
}

/// A database with these rows of `channel_entry` (package, bundle) and these bundles.
fn entries(rows: &[(&str, &str)], bundles: &[&str]) -> Memory {
    let numbers: Vec<String> = (0..rows.len()).map(|n| n.to_string()).collect();
    let rows: Vec<[&str; 4]> = rows
        .iter()
        .zip(&numbers)
        .map(|((package, bundle), number)| [number.as_str(), package, "c", bundle])
        .collect();
    let bundles: Vec<[&str; 2]> = bundles.iter().map(|name| [*name, "q.io/a/b:1"]).collect();
    Memory::default()
        .table(
            "package",
            "name default_channel",
            &[&["a", "c"], &["b", "c"]],
        )
        .table("channel", "package_name name", &[&["a", "c"], &["b", "c"]])
        .table(
            "channel_entry",
            "entry_id package_name channel_name operatorbundle_name",
            &rows,
        )
        .table("operatorbundle", "name bundlepath", &bundles)
        .table(
            "related_image",
            "image operatorbundle_name",
            &[&["q.io/a/i:1", "x3"]],
        )
}

#[test]
fn a_bundle_of_a_database_has_one_package() {
    let twice = entries(&[("a", "x"), ("a", "x"), ("b", "y")], &["x", "y"]);
    let catalog = read("x.db", &twice).unwrap();
    let packages: Vec<&str> = catalog.bundles.iter().map(|b| b.package.as_str()).collect();
    assert_eq!(packages, ["a", "b"]);
    let error = read("x.db", &entries(&[("a", "x"), ("b", "x")], &["x"]));
    assert_eq!(
        error.unwrap_err().to_string(),
        "The catalog's database cannot be used: the bundle `x` is in two packages, `a` and `b`"
    );
}

#[test]
fn bundles_of_a_database_that_are_in_no_channel_are_no_package() {
    let names = ["x0", "x1", "x2", "x3", "x4", "x5", "x6"];
    let catalog = read("x.db", &entries(&[("a", "x0"), ("b", "y")], &names)).unwrap();
    assert_eq!(Vec::from_iter(catalog.package_names()), ["a", "b"]);
    let problems: Vec<String> = catalog.problems().iter().map(ToString::to_string).collect();
    let stranded = "Bundles in no channel, so that they cannot be installed: x1, x2, x3, x4, x5 \
                    and 1 more";
    assert!(problems.contains(&stranded.to_owned()), "{problems:?}");
    assert!(
        problems.iter().all(|problem| !problem.contains("``")),
        "{problems:?}"
    );
    // Their images are mirrored.
    assert_eq!(catalog.images().images.len(), 2);
}

#[test]
fn a_text_that_many_rows_copy_counts_for_each_copy() {
    // 1000 entries replace one bundle with a long name.
    let long = "l".repeat(200_000);
    let numbers: Vec<String> = (1..=1000).map(|n| n.to_string()).collect();
    let mut rows: Vec<[&str; 5]> = vec![["0", "a", "c", &long, "NULL"]];
    rows.extend(numbers.iter().map(|n| [n.as_str(), "a", "c", n, "0"]));
    let database = Memory::default()
        .table(
            "channel_entry",
            "entry_id package_name channel_name operatorbundle_name replaces",
            &rows,
        )
        .table("operatorbundle", "name", &NONE)
        .table("related_image", "image operatorbundle_name", &NONE);
    let error = read("x.db", &database).unwrap_err().to_string();
    assert_eq!(error, "The catalog has more than 134217728 bytes of names");
}

#[test]
fn before_the_first_migration_images_are_those_of_the_manifests() {
    let csv = r#"{"spec":{"relatedImages":[{"name":"x","image":"q.io/a/x:1"},{"image":""}],
        "install":{"spec":{"deployments":[{"spec":{"template":{"spec":{
        "containers":[{"image":"q.io/a/op:1"},{"image":"q.io/a/x:1"}],
        "initContainers":[{"image":"q.io/a/init:1"}]}}}}]}}}}"#;
    let oldest = Memory::default().table(
        "operatorbundle",
        "name csv bundle",
        &[
            &["a.v1", csv, "y"],
            &["a.v2", "x", "y"],
            &["a.v3", "NULL", "y"],
        ],
    );
    let catalog = read("index.db", &oldest).unwrap();
    let bundle = catalog.bundles.iter().find(|b| b.name == "a.v1").unwrap();
    let images: Vec<&str> = bundle
        .related_images
        .iter()
        .map(|r| r.image.as_str())
        .collect();
    assert_eq!(images, ["q.io/a/init:1", "q.io/a/op:1", "q.io/a/x:1"]);
    assert_eq!(catalog.images().images.len(), 3);
    assert_eq!(catalog.bundles.len(), 3);
}
