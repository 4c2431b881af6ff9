//! Checks the CDDL and the annotated manifest of bundle-format.md against the test vectors.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may read files and panic"
)]

use crate::bundle::{Vector, root, vector_files};
use crate::support::source;
use std::path::Path;

fn document() -> String {
    source::read(Path::new("bundle-format.md"))
}

/// Returns the part of a text between two others.
fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect(start);
    rest.split_once(end).expect(end).0
}

/// Vectors that break only the grammar of a text or a length, which the CDDL does not express.
const BEYOND_CDDL: [&str; 19] = [
    "blocks-remainder",
    "bad-tag",
    "dot-dot",
    "short-reference",
    "upper-case-repository",
    "port-0",
    "port-65536",
    "port-080",
    "port-empty",
    "port-8a",
    "ipv6-open",
    "index-docker-io",
    "docker-io-one-component",
    "registry-without-dot",
    "path-256",
    "tag-129",
    "platform-one-word",
    "platform-four-words",
    "release-version",
];

#[test]
fn the_cddl_takes_good_documents_and_refuses_other_keys_and_types() {
    let document = document();
    let cddl = between(&document, "```cddl\n", "```");
    let (mut taken, mut refused) = (0, 0);
    for path in vector_files() {
        let vector = Vector::parse(&std::fs::read_to_string(&path).unwrap());
        let kind = vector.kind.as_str();
        if !matches!(kind, "manifest" | "inventory") {
            continue;
        }
        let fits = cddl_cat::validate_cbor_bytes(kind, cddl, &vector.sections[kind]);
        let name = path.file_stem().unwrap().to_str().unwrap();
        match vector.expect.map(|rule| rule.0) {
            None => {
                assert!(fits.is_ok(), "{name}: {fits:?}");
                taken += 1;
            }
            Some(12) if !BEYOND_CDDL.contains(&name) => {
                assert!(fits.is_err(), "{name} is accepted");
                refused += 1;
            }
            Some(_) => {}
        }
    }
    assert!(taken >= 15 && refused >= 10, "{taken} {refused}");
}

#[test]
fn the_annotated_manifest_has_the_bytes_of_the_vector() {
    let document = document();
    let dump = between(&document, "what follows a semicolon explains.\n", "\n## ");
    let mut bytes = Vec::new();
    for line in dump.lines() {
        // No text of this manifest contains a semicolon or a quotation mark.
        let shown = line.split(';').next().unwrap();
        for (index, part) in shown.split('"').enumerate() {
            if index % 2 == 1 {
                bytes.extend_from_slice(part.as_bytes());
                continue;
            }
            for byte in part.split_whitespace() {
                bytes.push(u8::from_str_radix(byte, 16).unwrap());
            }
        }
    }
    assert_eq!(
        bytes,
        std::fs::read(root().join("whole/manifest.cbor")).unwrap()
    );
}
