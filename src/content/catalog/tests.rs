//! The index of valid and of hostile catalogs.

use std::cell::Cell;
use std::io::Read;

use proptest::prelude::*;

use super::*;

fn index(files: &[(&str, &str)]) -> Result<Catalog, CatalogError> {
    let mut indexer = Indexer::new();
    for (name, text) in files {
        indexer.add(name, text.as_bytes())?;
    }
    indexer.finish()
}

fn documents(text: &str) -> Vec<String> {
    Documents::new("f", text.as_bytes())
        .map(|document| document.unwrap().json)
        .collect()
}

const YAML: &str = r#"---
# a comment
schema: olm.package
name: bar
defaultChannel: stable
---
schema: olm.channel
package: bar
name: stable
entries:
  - name: bar.v1
    skipRange: "<1.0.0"
  - name: bar.v2
    replaces: bar.v1
    skips: [bar.v1-hotfix]
---
schema: olm.bundle
package: bar
name: bar.v2
image: test.registry/bar/bundle:v2
properties:
- type: olm.package
  value: {packageName: bar, version: 2.0.0}
- type: olm.gvk
  value: {group: test.bar, kind: Bar, version: v1}
- type: olm.gvk.required
  value: {group: test.foo, kind: Foo, version: v1}
- type: olm.package.required
  value: {packageName: foo, versionRange: ">=1.0.0"}
- type: olm.constraint
  value: {failureMessage: x}
- type: olm.bundle.object
  value: {data: eyJ4IjoxfQ==}
relatedImages:
- {name: operator, image: "test.registry/bar/bar:v2"}
- {name: none, image: ""}
"#;

const JSON: &str = r#"{"schema":"olm.bundle","name":"bar.v1","package":"bar","image":"test.registry/bar/bundle:v1"}
{ "Schema": "olm.deprecations", "package": "bar",
  "entries": [{"reference":{"schema":"olm.bundle","name":"bar.v1"},"message":"old}{\"" }] }
{"schema":"example.meta","name":"m","entries":7,"relatedImages":[{"image":"test.registry/meta:1"}]}"#;

#[test]
fn both_formats_make_one_index() {
    let catalog = index(&[("a/index.yaml", YAML), ("b", JSON)]).unwrap();
    assert_eq!(
        catalog,
        index(&[("b", JSON), ("a/index.yaml", YAML)]).unwrap()
    );
    assert_eq!(
        catalog.packages[0].default_channel.as_deref(),
        Some("stable")
    );
    let channel = &catalog.channels[0];
    assert_eq!(channel.entries[0].skip_range.as_deref(), Some("<1.0.0"));
    assert_eq!(channel.heads().len(), 1);
    assert_eq!(channel.heads()[0].name, "bar.v2");
    let bundle = catalog.bundle("bar", "bar.v2").unwrap();
    assert_eq!(bundle.version.as_deref(), Some("2.0.0"));
    assert_eq!(bundle.provided_apis[0].to_string(), "test.bar/v1 Bar");
    assert_eq!(bundle.required_apis[0].kind, "Foo");
    assert_eq!(bundle.required_packages[0].version_range, ">=1.0.0");
    assert!(bundle.has_constraints);
    assert_eq!(bundle.place.to_string(), "a/index.yaml, document 3");
    assert_eq!(bundle.related_images.len(), 1);
    assert_eq!(
        catalog.deprecations[0].entries[0].name.as_deref(),
        Some("bar.v1")
    );
    assert_eq!(catalog.others[0].schema, "example.meta");
    let images: Vec<(String, String)> = catalog
        .images()
        .images
        .into_iter()
        .map(|image| (image.text, image.named_by.first().unwrap().to_string()))
        .collect();
    let expected = [
        ("test.registry/bar/bar:v2", "bundle `bar.v2`"),
        ("test.registry/bar/bundle:v1", "bundle `bar.v1`"),
        ("test.registry/bar/bundle:v2", "bundle `bar.v2`"),
        ("test.registry/meta:1", "example.meta `m` (b, document 3)"),
    ];
    assert_eq!(images, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(
        catalog.problems(),
        [Problem::NoVersion {
            package: "bar".to_owned(),
            bundle: "bar.v1".to_owned(),
        }]
    );
}

#[test]
fn documents_end_where_they_end() {
    for (text, expected) in [
        ("", vec![]),
        ("\n\n# nothing\n---\n---\n...\n", vec![]),
        ("\u{feff}a: 1\n", vec![r#"{"a":1}"#]),
        (
            "%YAML 1.2\n---\na: 1\n...\n---\nb: 2",
            vec![r#"{"a":1}"#, r#"{"b":2}"#],
        ),
        (
            "  a: 1\n  b: 2\n---\n{\"c\": \"}\\\"{\"}\n",
            vec![r#"{"a":1,"b":2}"#, r#"{"c": "}\"{"}"#],
        ),
        (
            "{\"a\":1}{\"b\":[{}]} {\"c\":{}}",
            vec![r#"{"a":1}"#, r#"{"b":[{}]}"#, r#"{"c":{}}"#],
        ),
        (
            "--- # x\na: |\n  one\n  ---\n  two\n---\nb: 1\n",
            vec![r#"{"a":"one\n---\ntwo\n"}"#, r#"{"b":1}"#],
        ),
        ("{a: 1, b: x}\n", vec![r#"{"a":1,"b":"x"}"#]),
        ("a: 1\r\n---\r\nb: 2\r\n", vec![r#"{"a":1}"#, r#"{"b":2}"#]),
        ("a: ---x\n----: 2\n", vec![r#"{"----":2,"a":"---x"}"#]),
        (
            "--- {\"a\":1}\n--- {\"b\":1}\n",
            vec![r#"{"a":1}"#, r#"{"b":1}"#],
        ),
        (
            "# c\n{\"a\":1}\n{\"b\":1}\n",
            vec![r#"{"a":1}"#, r#"{"b":1}"#],
        ),
    ] {
        assert_eq!(documents(text), expected, "{text:?}");
    }
}

/// Returns a few bytes per read, so that every position is a boundary between two reads once.
struct Dribble<'a>(&'a [u8], usize);

impl Read for Dribble<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.1.min(into.len()).min(self.0.len());
        into[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

proptest! {
    #[test]
    fn documents_do_not_depend_on_how_they_are_read(
        texts in proptest::collection::vec("[a-z{}\"\\\\ \n#-]{0,20}", 1..6),
        step in 1_usize..9,
        style in 0_u8..3,
    ) {
        let values: Vec<serde_json::Value> =
            texts.iter().map(|text| serde_json::json!({ "k": text, "l": [text] })).collect();
        let mut stream = String::new();
        for value in &values {
            match style {
                0 => stream.push_str(&value.to_string()),
                1 => stream.push_str(&format!("{value:#}\n")),
                _ => stream.push_str(&format!("---\n{value}\n")),
            }
        }
        let read: Vec<serde_json::Value> = Documents::new("f", Dribble(stream.as_bytes(), step))
            .map(|document| serde_json::from_str(&document.unwrap().json).unwrap())
            .collect();
        prop_assert_eq!(read, values);
    }

    #[test]
    fn no_bytes_make_it_panic_or_loop(bytes in proptest::collection::vec(
        prop_oneof![Just(b'{'), Just(b'}'), Just(b'"'), Just(b'\\'), Just(b'-'), Just(b'.'), Just(b'\n'),
            Just(b' '), Just(b':'), Just(b'#'), Just(b'%'), Just(b'['), any::<u8>()], 0..60)) {
        let count = Documents::new("f", bytes.as_slice()).take(100).count();
        prop_assert!(count < 100);
        let mut indexer = Indexer::new();
        let _ = indexer.add("f", bytes.as_slice());
        let _ = indexer.finish();
    }
}

/// An endless stream of one byte after a prefix; counts the bytes read.
struct Endless<'a>(&'a [u8], u8, &'a Cell<usize>);

impl Read for Endless<'_> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            into.fill(self.1);
            self.2.set(self.2.get() + into.len());
            return Ok(into.len());
        }
        self.0.read(into)
    }
}

#[test]
fn endless_lines_and_documents_are_refused_early() {
    for (beginning, then) in [
        (&b"{\"schema\":\"olm.bundle\",\"x\":\""[..], b'a'),
        (b"schema: olm.bundle\nx: ", b'a'),
        (b"schema: olm.bundle\n", b'\n'),
        (b"#", b'#'),
        (b"{\"x\":[", b' '),
    ] {
        let taken = Cell::new(0);
        let error = Documents::new("evil.yaml", Endless(beginning, then, &taken))
            .next()
            .unwrap()
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("evil.yaml, document 1"), "{text}");
        assert!(matches!(error, CatalogError::Limit { .. }), "{text}");
        assert!(taken.get() < CatalogLimits::DOCUMENT + (1 << 20));
    }
}

#[test]
fn bombs_and_depth_are_refused() {
    let deep_json = format!("{{\"schema\":\"x\",\"a\":{}", "[".repeat(1_000_000));
    let deep_yaml = format!("schema: x\na: {}", "[".repeat(100_000));
    let mut laughs = String::from("schema: x\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for level in 1..10 {
        let list = vec![format!("*a{}", level - 1); 10].join(",");
        laughs.push_str(&format!("a{level}: &a{level} [{list}]\n"));
    }
    let anchors: String = (0..300_000).map(|n| format!("a{n}: &b{n} x\n")).collect();
    let anchors = format!("schema: x\n{anchors}");
    for text in [deep_json, deep_yaml, laughs, anchors] {
        let error = index(&[("ok.yaml", YAML), ("bomb", &text)]).unwrap_err();
        assert!(error.to_string().contains("bomb, document 1"), "{error}");
    }
}

#[test]
fn what_is_no_catalog_is_named() {
    for (text, expected) in [
        ("name: x\n", "it has no `schema`"),
        ("{\"schema\":\"\"}", "it has no `schema`"),
        ("- a\n", "expected an object"),
        ("just text\n", "expected an object"),
        (
            "schema: olm.bundle\npackage: p\nname: x\nimage: {a: b}\n",
            "`image` is not a text",
        ),
        (
            "schema: olm.bundle\npackage: p\nname: x\nrelatedImages: {a: b}\n",
            "`relatedImages` is not a list",
        ),
        ("{\"schema\":\"x\"}}", "neither JSON nor YAML"),
        ("{\"schema\":\"x\"", "neither JSON nor YAML"),
        ("\u{0}", "neither JSON nor YAML"),
    ] {
        let error = index(&[("f.yaml", text)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        assert!(error.contains("f.yaml, document "), "{error}");
    }
    let mut indexer = Indexer::new();
    indexer.add("f", &b"a: \xff"[..]).unwrap();
    let error = indexer.finish().unwrap_err();
    assert!(error.to_string().contains("not UTF-8"), "{error}");
}

#[test]
fn documents_that_lack_names_are_read_as_opm_renders_them() {
    let text = "\
schema: olm.bundle\nname: x\nimage: q.io/a/b:1\nproperties: [{value: 1}]
---\nschema: olm.bundle\npackage: p\nimage: q.io/a/c:1
---\nschema: olm.channel\npackage: p\nentries: [{}, {}, {name: x}]
---\nschema: olm.package
---\nschema: olm.deprecations\nentries: [{}, {reference: {name: x}}]
";
    let catalog = index(&[("f.yaml", text)]).unwrap();
    let found = catalog.images();
    let images: Vec<&str> = found
        .images
        .iter()
        .map(|image| image.text.as_str())
        .collect();
    assert_eq!(images, ["q.io/a/b:1", "q.io/a/c:1"]);
    let problems: Vec<String> = catalog.problems().iter().map(|p| p.to_string()).collect();
    let lacks: Vec<&str> = problems
        .iter()
        .filter_map(|p| p.strip_suffix(", document 1"))
        .collect();
    assert_eq!(
        lacks,
        [
            "A property of an olm.bundle has no `type`; OLM refuses such a catalog: f.yaml",
            "An olm.bundle has no `package`; OLM refuses such a catalog: f.yaml",
        ]
    );
    for expected in [
        "An olm.bundle has no `name`; OLM refuses such a catalog: f.yaml, document 2",
        "An olm.channel has no `name`; OLM refuses such a catalog: f.yaml, document 3",
        "An entry of an olm.channel has no `name`; OLM refuses such a catalog: f.yaml, document 3",
        "An olm.package has no `name`; OLM refuses such a catalog: f.yaml, document 4",
        "An olm.deprecations has no `package`; OLM refuses such a catalog: f.yaml, document 5",
        "An entry of an olm.deprecations has no `reference`; OLM refuses such a catalog: f.yaml, \
         document 5",
        "An entry of an olm.deprecations has no `schema`; OLM refuses such a catalog: f.yaml, \
         document 5",
    ] {
        assert_eq!(
            problems.iter().filter(|p| *p == expected).count(),
            1,
            "{expected}: {problems:#?}"
        );
    }
}

#[test]
fn whole_numbers_are_written_as_go_writes_them() {
    let text = "schema: x\nn: [0644, 1e3, 0899, -2.0, 1.5, 1e300]\n";
    assert_eq!(
        documents(text),
        [r#"{"n":[420,1000,899,-2,1.5,1e+300],"schema":"x"}"#]
    );
}

#[test]
fn a_document_of_an_unknown_schema_may_have_any_shape() {
    for odd in [
        "image: {a: b}\n",
        "image: 7\n",
        "relatedImages: text\n",
        "relatedImages: {a: q.io/a/z:1}\n",
        "relatedImages: [q.io/a/z:1, 1, null, [], {image: [x]}]\n",
    ] {
        let text = format!("{YAML}---\nschema: custom.thing\n{odd}");
        let catalog = index(&[("f", &text)]).unwrap();
        assert_eq!(catalog.others.last().unwrap().schema, "custom.thing");
        assert_eq!(
            catalog.images(),
            index(&[("f", YAML)]).unwrap().images(),
            "{odd}"
        );
    }
    let text = "schema: x\nimage: q.io/a/a:1\nrelatedImages: [q, {name: 1, image: q.io/a/b:1}]\n";
    let images = index(&[("f", text)]).unwrap().images().images;
    let texts: Vec<&str> = images.iter().map(|image| image.text.as_str()).collect();
    assert_eq!(texts, ["q.io/a/a:1", "q.io/a/b:1"]);
}

#[test]
fn a_package_in_two_documents_is_a_problem() {
    let package = "schema: olm.package\nname: a\ndefaultChannel: c\n";
    let twice = format!("{package}---\n{package}");
    let catalog = index(&[("f", &twice)]).unwrap();
    let problems: Vec<String> = catalog.problems().iter().map(Problem::to_string).collect();
    assert_eq!(
        problems[0],
        "The package `a` of package `a` is defined twice; the second is f, document 2"
    );
    assert!(problems[1].contains("default channel `c`"), "{problems:?}");
}

#[test]
fn of_a_key_twice_the_last_counts_and_is_a_problem() {
    let yaml = "schema: olm.package\nname: a\ndefaultChannel: x\nname: b\n---\n\
        schema: olm.deprecations\npackage: b\nentries:\n- reference: {schema: olm.package}\n  \
        message: old\n  message: very old\n";
    let json = concat!(
        r#"{"schema":"olm.bundle","package":"b","name":"b.v1","image":"q.io/a/a:1","Image":"q.io/a/b:1","#,
        r#""image":null,"relatedImages":[{"image":"q.io/a/c:1","image":"q.io/a/d:1"}]}"#
    );
    let catalog = index(&[("a.yaml", yaml), ("b.json", json)]).unwrap();
    assert_eq!(catalog.packages[0].name, "b");
    let images: Vec<String> = catalog
        .images()
        .images
        .into_iter()
        .map(|i| i.text)
        .collect();
    assert_eq!(images, ["q.io/a/b:1", "q.io/a/d:1"]);
    let problems: Vec<String> = catalog.problems().iter().map(Problem::to_string).collect();
    for expected in [
        "The key `name` occurs twice in one map; the last one counts: a.yaml, document 1",
        "The key `message` occurs twice in one map; the last one counts: a.yaml, document 2",
        "The key `image` occurs twice in one map; the last one counts: b.json, document 1",
    ] {
        assert!(
            problems.contains(&expected.to_owned()),
            "{expected}: {problems:?}"
        );
    }
}

#[test]
fn marks_line_ends_and_bytes_are_read_as_opm_reads_them() {
    let mut indexer = Indexer::new();
    let stream = b"\xef\xbb\xbfschema: olm.package\r\nname: a\r\n---\r\n\xef\xbb\xbf{\"schema\":\"m\",\"name\":\"x\xff\"}\n---\n\
        ---\n# nothing\n--- \nschema: olm.channel\npackage: a\nname: c\ncreationTimestamp: null\nunknown: {x: [1]}\n";
    indexer.add("f", &stream[..]).unwrap();
    let catalog = indexer.finish().unwrap();
    assert_eq!(catalog.packages[0].name, "a");
    assert_eq!(catalog.others[0].name.as_deref(), Some("x\u{fffd}"));
    assert_eq!(catalog.channels[0].name, "c");
}

#[test]
fn a_property_that_cannot_be_understood_is_a_problem() {
    let text = "schema: olm.bundle\npackage: p\nname: p.v1\nimage: q.io/a/b:1\nproperties:\n\
        - {type: olm.package, value: {packageName: p, version: 1.0}}\n- {type: olm.gvk, value: [1]}\n\
        - {type: olm.gvk.required, value: {group: g, version: v, kind: K}}\n";
    let catalog = index(&[("f", text)]).unwrap();
    assert_eq!(catalog.bundles[0].required_apis[0].kind, "K");
    let problems: Vec<String> = catalog.problems().iter().map(Problem::to_string).collect();
    let expected = "The property olm.package of bundle `p.v1` of package `p` is ignored: `version` is not a text (f, document 1)";
    assert!(problems.contains(&expected.to_owned()), "{problems:?}");
}

#[test]
fn ignored_files_count_for_nothing_whenever_they_come() {
    let files = [
        ("README.md", "no catalog"),
        ("c/index.yaml", YAML),
        ("t/x.json", JSON),
    ];
    let ignore = (".indexignore", "*.md\nt/\n");
    let expected = index(&[("c/index.yaml", YAML)]).unwrap();
    let [readme, yaml, json] = files;
    assert_eq!(index(&[ignore, readme, yaml, json]).unwrap(), expected);
    assert_eq!(index(&[readme, yaml, json, ignore]).unwrap(), expected);
    let error = index(&files).unwrap_err().to_string();
    assert!(error.contains("README.md, document 1"), "{error}");
    let mut indexer = Indexer::new();
    indexer.add("t/x.json", JSON.as_bytes()).unwrap();
    indexer.add_alias("t/x.json", "link.json");
    indexer.add(ignore.0, ignore.1.as_bytes()).unwrap();
    assert_eq!(indexer.finish().unwrap().others.len(), 1);
}

#[test]
fn an_ignore_file_with_a_mistake_costs_that_line_and_is_told() {
    let ignore = ("c/.indexignore", "[\n*.{json,yaml}\n*.md\n");
    let catalog = index(&[ignore, ("c/index.yaml", YAML), ("c/x.md", "no catalog")]).unwrap();
    let expected = index(&[("c/index.yaml", YAML)]).unwrap();
    assert_eq!(catalog.bundles, expected.bundles);
    let problems: Vec<String> = catalog.problems().iter().map(Problem::to_string).collect();
    let told = "Line 1 of `c/.indexignore` matches nothing: a bracket is not closed";
    assert!(problems.contains(&told.to_owned()), "{problems:?}");
}

#[test]
fn circles_are_found_and_do_not_hang() {
    let channel = |entries: &str| {
        let text = format!("schema: olm.channel\npackage: p\nname: c\nentries: {entries}\n");
        let catalog = index(&[("f", &text)]).unwrap();
        let heads = catalog.channels[0].heads().len();
        let circle = catalog
            .problems()
            .into_iter()
            .find_map(|problem| match problem {
                Problem::Cycle { bundle, .. } => Some(bundle),
                _ => None,
            });
        (heads, circle)
    };
    assert_eq!(
        channel("[{name: a, replaces: b}, {name: b, replaces: a}]"),
        (0, Some("a".to_owned()))
    );
    assert_eq!(
        channel("[{name: a, replaces: a}]"),
        (1, Some("a".to_owned()))
    );
    assert_eq!(
        channel("[{name: z, replaces: q}, {name: q, replaces: p}, {name: p, replaces: q}]"),
        (1, Some("p".to_owned()))
    );
    assert_eq!(
        channel("[{name: c, replaces: b}, {name: b, replaces: a}, {name: a}]"),
        (1, None)
    );
    let long: Vec<String> = (0..20_000)
        .map(|n| format!("{{name: b{n}, replaces: b{}}}", n + 1))
        .collect();
    assert_eq!(channel(&format!("[{}]", long.join(","))), (1, None));
    let circle: Vec<String> = (0..20_000)
        .map(|n| format!("{{name: b{n}, replaces: b{}}}", (n + 1) % 20_000))
        .collect();
    assert_eq!(
        channel(&format!("[{}]", circle.join(","))),
        (0, Some("b0".to_owned()))
    );
}

#[test]
fn images_that_are_none_are_named_with_their_bundles() {
    let text = "schema: olm.bundle\npackage: p\nname: p.v1\nimage: oci:/tmp/x\nrelatedImages:\n\
        - image: oci:///home/x:latest\n- image: https://quay.io/a/b\n- image: docker://quay.io/a/b\n\
        - image: quay.io/A/b\n- image: quay.io/a/b\n";
    let catalog = index(&[("f", text)]).unwrap();
    let found = catalog.images();
    let bad = &found.bad;
    let texts: Vec<&str> = bad.iter().map(|bad| bad.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "docker://quay.io/a/b",
            "https://quay.io/a/b",
            "oci:///home/x:latest",
            "oci:/tmp/x",
            "quay.io/A/b"
        ]
    );
    assert_eq!(
        bad[3].to_string(),
        "`oci:/tmp/x`: not an image reference: it names a local file or directory, not an image on a \
         registry \
         (needed by p.v1 of package p)"
    );
    // The other images are carried.
    assert_eq!(found.images[0].text, "quay.io/a/b");
    assert_eq!(found.malformed().len(), 5);
}

#[test]
fn an_invalid_reference_leaves_the_others_usable() {
    let digest = |digits: usize| format!("sha256:{}", "a".repeat(digits));
    let odd = [
        format!("q.io/a/b@{}", digest(65)),
        format!("q.io/a/b@{}", digest(54)),
        "q.io/a/b@".to_owned(),
        format!("q.io/a/b@sha256:{}", digest(64)),
        "oci:///disk/x".to_owned(),
        "oci://disk/x".to_owned(),
        "q.io/a/\u{202e}b".to_owned(),
        " ".to_owned(),
        "x".repeat(5000),
    ];
    let mut text =
        "schema: olm.bundle\npackage: p\nname: p.v1\nimage: q.io/a/b:1\nrelatedImages:\n\
        - image: oci://q.io/wasm/shim:v1\n- image: \"\"\n- {name: none}\n"
            .to_owned();
    for odd in &odd {
        text.push_str(&format!("- image: {}\n", serde_json::json!(odd)));
    }
    let catalog = index(&[("f", &text)]).unwrap();
    assert_eq!(catalog.empty_images, 2);
    let found = catalog.images();
    let good: Vec<(String, String)> = found
        .members()
        .into_iter()
        .map(|member| (member.image.to_string(), member.written))
        .collect();
    let expected = [
        ("q.io/a/b:1", "q.io/a/b:1"),
        ("q.io/wasm/shim:v1", "oci://q.io/wasm/shim:v1"),
    ];
    assert_eq!(good, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let rows = found.malformed();
    assert_eq!(rows.len(), odd.len());
    for row in rows {
        assert_eq!(row.needed_by[0].to_string(), "p.v1 of package p");
        assert!(
            row.text.len() <= 1024 && !row.text.contains('\u{202e}'),
            "{row}"
        );
    }
}

#[test]
fn the_images_of_a_document_share_its_name() {
    let images: Vec<String> = (0..100)
        .map(|n| format!("{{image: q.io/a/b:{n}}}"))
        .collect();
    let name = "n".repeat(1000);
    let text = format!(
        "schema: x\nname: {name}\nrelatedImages: [{}]\n",
        images.join(",")
    );
    let catalog = index(&[("f", &text)]).unwrap();
    let names = catalog.other_images.iter().map(|(by, _)| match by {
        NamedBy::Document { name, .. } => name.as_ref().unwrap().as_ptr(),
        NamedBy::Bundle { .. } => unreachable!("there is none"),
    });
    let names: std::collections::BTreeSet<_> = names.collect();
    assert_eq!((catalog.other_images.len(), names.len()), (100, 1));
}

#[test]
fn the_description_of_a_package_is_found_among_many() {
    let mut catalog = Catalog::default();
    for name in ["a", "b", "b", "d"] {
        let number = catalog.packages.len() as u64;
        let place = Place {
            file: "f".into(),
            table: None,
            number,
        };
        let (name, default_channel) = (name.to_owned(), None);
        catalog.packages.push(Package {
            name,
            default_channel,
            place,
        });
    }
    let number = |name: &str| catalog.package(name).map(|package| package.place.number);
    assert_eq!(
        ["", "a", "b", "c", "d", "e"].map(number),
        [None, Some(0), Some(1), None, Some(3), None]
    );
}
