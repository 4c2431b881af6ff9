//! Reads files with a release's signatures for a cluster: the ConfigMap of
//! docs/oc-compatibility.md, section 2.6, in any form that `oc apply -f` accepts.
//!
//! JSON or YAML regardless of the file's name, several documents, objects within a `List`. Nothing
//! is verified here: the caller must verify every signature that is returned.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::encoding::yaml::{self, Duplicates, YamlLimits};
use crate::model::Digest;

/// Maximum length of the file in bytes: nine signatures of maximum length in base64, with room to
/// spare.
pub const LIMIT: u64 = 1 << 20;

const LIMITS: YamlLimits = YamlLimits {
    bytes: LIMIT,
    nodes: 10_000,
    depth: 32,
};

/// Returns the signatures of a release in such a file, in the order of the objects and then of the
/// entries' names. Content that cannot be decoded is returned as it is, so that it counts as a bad
/// signature, not as a missing one.
pub fn signatures_in(text: &[u8], release: &Digest) -> Vec<Vec<u8>> {
    let documents: Vec<Value> = match yaml::documents(text, &LIMITS, Duplicates::LastCounts) {
        Ok(documents) => documents,
        Err(_) => return vec![text.to_vec()],
    };
    if !documents.iter().all(Value::is_object) {
        return vec![text.to_vec()];
    }
    // Like the cluster, accept anything after the digest.
    let name = format!("sha256-{}", release.hex());
    let mut found = Vec::new();
    for document in &documents {
        match document.get("items").and_then(Value::as_array) {
            Some(items) => items.iter().for_each(|item| add(item, &name, &mut found)),
            None => add(document, &name, &mut found),
        }
    }
    found
}

/// Adds the entries of an object whose names begin with `name`.
fn add(object: &Value, name: &str, found: &mut Vec<Vec<u8>>) {
    let data = object.get("binaryData").and_then(Value::as_object);
    for (entry, value) in data.into_iter().flatten() {
        if entry.starts_with(name) {
            found.push(decoded(value));
        }
    }
}

/// Decodes an entry from base64. Like Go's decoder, skips line ends.
fn decoded(value: &Value) -> Vec<u8> {
    let Some(text) = value.as_str() else {
        return value.to_string().into_bytes();
    };
    let joined: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    STANDARD
        .decode(joined)
        .unwrap_or_else(|_| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_that_oc_applies_is_read() {
        let hex = "ab".repeat(32);
        let release = Digest::from_hex(&hex).unwrap();
        let json = format!(
            "{{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{{\"name\":\
             \"sha256-{hex}\",\"creationTimestamp\":null}},\"binaryData\":{{\
             \"sha256-{hex}-1\":\"owGb\",\"sha256-{hex}-2\":\"c2Vjb25k\"}}}}\n"
        );
        let yaml = format!(
            "# by hand\napiVersion: v1\nkind: ConfigMap\nbinaryData:\n  sha256-{hex}-1: |\n    \
             ow\n    Gb\n  sha256-{hex}-2: c2Vjb25k\n  sha256-{}-1: AAAA\n",
            "cd".repeat(32)
        );
        let other = "---\napiVersion: v1\nkind: ConfigMap\ndata: {a: b}\n---\n";
        let indented = yaml.trim_start_matches("# by hand\n").replace('\n', "\n  ");
        for text in [
            json.clone(),
            format!("\u{feff}{}", json.replace(',', ",\r\n ")),
            yaml.clone(),
            format!("{other}{yaml}"),
            format!("{{\"kind\":\"List\",\"items\":[{json}]}}"),
            format!("kind: List\nitems:\n- {indented}\n"),
            json.replace("-1\"", "\""),
            json.replace("\"kind\"", "\"kind\":\"x\",\"kind\""),
        ] {
            let signatures = [vec![0xa3, 0x01, 0x9b], b"second".to_vec()];
            assert_eq!(
                signatures_in(text.as_bytes(), &release),
                signatures,
                "{text}"
            );
        }
        let none = Digest::from_hex(&"ef".repeat(32)).unwrap();
        assert!(signatures_in(json.as_bytes(), &none).is_empty());
    }

    #[test]
    fn what_is_damaged_is_not_nothing() {
        let hex = "ab".repeat(32);
        let release = Digest::from_hex(&hex).unwrap();
        for text in [&b"{"[..], b"\xa3\x01\x9b\x00", b"text"] {
            assert_eq!(signatures_in(text, &release), [text]);
        }
        let bad = format!("binaryData: {{sha256-{hex}-1: '!', sha256-{hex}-2: [1]}}\n");
        let found = signatures_in(bad.as_bytes(), &release);
        assert_eq!(found, [b"!".to_vec(), b"[1]".to_vec()]);
    }
}
