use proptest::prelude::*;

use super::*;

#[test]
fn strings_stay_bare_where_they_can() {
    for plain in [
        "a",
        "quay.io/okd/scos-release",
        "m.lan:8443/x",
        "4.18.1",
        "v1",
        "a b",
        "a#b",
        "a:b",
        "-x",
        "a,b",
        "a'b",
        "sha256:00",
        "127.0.0.1:x",
        "1a",
        "0xyz",
        "e3",
        "M\u{e4}rz",
        "nano",
        "nullable",
        "a{b}",
        "2024-01-rc1",
        "1.2.3-4",
    ] {
        assert_eq!(scalar(plain), plain);
    }
}

#[test]
fn what_looks_like_another_type_is_double_quoted() {
    for text in [
        "true",
        "True",
        "no",
        "Y",
        "null",
        "~",
        "1",
        "-1",
        "+1.5",
        "1e3",
        "1_000",
        "0x1F",
        "0o17",
        "0b1",
        "017",
        ".5",
        "5.",
        ".inf",
        "-.Inf",
        ".NaN",
        "1:20",
        "190:20:30.15",
        "2001-12-14",
        "2001-12-14t21:59:43.10-05:00",
        "<<",
        "=",
        "",
    ] {
        assert_eq!(scalar(text), format!("\"{text}\""));
    }
}

#[test]
fn what_looks_like_syntax_is_single_quoted() {
    for (text, expected) in [
        ("*.redhat.io", "'*.redhat.io'"),
        ("a: b", "'a: b'"),
        ("x:", "'x:'"),
        ("a #b", "'a #b'"),
        (" a", "' a'"),
        ("a ", "'a '"),
        ("- a", "'- a'"),
        ("-", "'-'"),
        ("---", "'---'"),
        ("...", "'...'"),
        ("[::1]:5000/a", "'[::1]:5000/a'"),
        ("'a'", "'''a'''"),
        ("@a", "'@a'"),
    ] {
        assert_eq!(scalar(text), expected);
    }
}

#[test]
fn what_cannot_be_seen_is_escaped() {
    for (text, expected) in [
        ("a\nb\t\"\\", r#""a\nb\t\"\\""#),
        (
            "\0\u{85}\u{202e}\u{feff}\u{1f600}",
            r#""\x00\x85\u202E\uFEFF\U0001F600""#,
        ),
    ] {
        assert_eq!(scalar(text), expected);
    }
}

#[test]
fn blocks_are_laid_out_like_sigs_yaml() {
    let list = Node::List(vec![
        Node::map([
            ("source", Node::text("s")),
            (
                "mirrors",
                Node::List(vec![Node::text("m"), Node::text("1")]),
            ),
        ]),
        Node::List(vec![Node::text("x"), Node::List(Vec::new())]),
    ]);
    let labels = BTreeMap::from([("a/b".to_owned(), "true".to_owned())]);
    let tree = Node::map([
        (
            "spec",
            Node::map([("list", list), ("empty", Node::map([]))]),
        ),
        ("labels", Node::Strings(labels)),
    ]);
    let expected = r#"labels:
  a/b: "true"
spec:
  empty: {}
  list:
  - mirrors:
    - m
    - "1"
    source: s
  - - x
    - []
"#;
    assert_eq!(tree.to_yaml(), expected);
    assert_eq!(Node::text("no").to_yaml(), "\"no\"\n");
}

/// Strings that are likely to be misread.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[-+.:0-9exobtTzZ_ ]{0,12}",
        "[-?:#*&!|>'\"%@`{}\\[\\],~=<a ]{0,6}",
        "[yYnNoOtrueTRUEfalsenul~]{1,5}",
        "[a \n\r\t\u{85}\u{2028}\u{feff}\u{e000}]{0,5}",
    ]
}

fn any_node() -> impl Strategy<Value = Node> {
    use proptest::collection::{btree_map, vec};
    let key = prop_oneof![
        Just("a"),
        Just("b"),
        Just("mirrors"),
        Just("true"),
        Just("7")
    ];
    let leaf = any_text().prop_map(Node::Text);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            btree_map(key.clone(), inner.clone(), 0..4).prop_map(Node::Map),
            vec(inner, 0..4).prop_map(Node::List),
            btree_map(any_text(), any_text(), 0..4).prop_map(Node::Strings),
        ]
    })
}

fn as_json(node: &Node) -> serde_json::Value {
    use serde_json::{Map, Value};
    match node {
        Node::Text(text) => text.as_str().into(),
        Node::Map(entries) => {
            let pairs = entries.iter().map(|(k, v)| ((*k).to_owned(), as_json(v)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Node::Strings(entries) => {
            let pairs = entries.iter().map(|(k, v)| (k.clone(), v.as_str().into()));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Node::Number(number) => (*number).into(),
        Node::List(items) => items.iter().map(as_json).collect(),
    }
}

proptest! {
    #[test]
    fn a_reader_gets_the_tree_back(node in any_node()) {
        let yaml = node.to_yaml();
        let read: serde_json::Value = serde_saphyr::from_str(&yaml)
            .map_err(|error| TestCaseError::fail(format!("{error}\n{yaml}")))?;
        prop_assert_eq!(read, as_json(&node), "{}", yaml);
    }
}
