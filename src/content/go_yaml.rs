//! YAML that upstream publishes, read as `sigs.k8s.io/yaml` reads it into a Go type: its first
//! document, of a key twice the last, made JSON with sorted keys, and that read as by
//! `encoding/json` ([`go_json`]). What follows the first document is not looked at.
//!
//! A number or truth value where a Go type has a text becomes one ([`Text`]).

use serde::Deserialize;
use serde::de::{DeserializeOwned, Visitor};
use serde_json::Value;

use crate::content::go_json;
use crate::encoding::yaml::{self, Duplicates, YamlError, YamlLimits};

/// Why a document cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoYamlError {
    /// It is no YAML, or breaks a cap.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// It is JSON or YAML of another shape, or begins like JSON and is none.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Reads the first document of a stream. `fields` as for [`go_json::read`].
///
/// # Errors
///
/// When it is neither JSON nor YAML, breaks a cap, is no object, or is not a `T`.
pub fn read<T: DeserializeOwned>(
    bytes: &[u8],
    fields: &[&str],
    limits: &YamlLimits,
) -> Result<T, GoYamlError> {
    // Nearly every document is JSON; its reader is faster, and its message is the better one.
    let value = match serde_json::from_str(&String::from_utf8_lossy(bytes)) {
        Ok(value) => value,
        Err(error) => match (yaml_value(bytes, limits), bytes.first()) {
            (Ok(value), _) => value,
            (Err(_), Some(b'{')) => return Err(GoYamlError::Json(error)),
            (Err(error), _) => return Err(GoYamlError::Yaml(error)),
        },
    };
    Ok(go_json::read(value.to_string().as_bytes(), fields)?)
}

fn yaml_value(mut bytes: &[u8], limits: &YamlLimits) -> Result<Value, YamlError> {
    let mut documents = yaml::stream(&mut bytes, limits, Duplicates::LastCounts);
    documents.next().unwrap_or(Ok(Value::Null))
}

/// A text, or what `sigs.k8s.io/yaml` makes one where a text is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Text(pub String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextVisitor)
    }
}

struct TextVisitor;

impl Visitor<'_> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E>(self, text: &str) -> Result<Text, E> {
        Ok(Text(text.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
        Ok(Text(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
        Ok(Text(shortest(value)))
    }
}

/// As `strconv.FormatFloat(value, 'g', -1, 32)` of Go: the shortest digits for 32 bits, with an
/// exponent below -4 and from 6 on.
fn shortest(value: f64) -> String {
    let value = value as f32;
    let written = format!("{value:e}");
    match written
        .split_once('e')
        .map(|(digits, exponent)| (digits, exponent.parse::<i32>()))
    {
        Some((_, Ok(-4..=5))) => value.to_string(),
        Some((digits, Ok(exponent))) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => written,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LIMITS: YamlLimits = YamlLimits {
        bytes: 10_000,
        nodes: 1_000,
        depth: 20,
    };

    #[derive(Debug, Deserialize, Default)]
    #[serde(default)]
    struct Thing {
        kind: Text,
        tags: Option<Vec<Option<BTreeMap<String, Text>>>>,
    }

    fn thing(text: &str) -> Result<Thing, GoYamlError> {
        read(text.as_bytes(), &["kind", "tags"], &LIMITS)
    }

    #[test]
    fn the_first_document_counts_in_either_form() {
        for text in [
            "{\"kind\": \"a\"}",
            "\u{feff}{\"kind\": \"a\"}",
            "{\"kind\": \"a\"}\n---\n",
            "{\"kind\": \"a\"}\n---\nkind: b\n",
            "# note\n---\nkind: a\n...\n{",
            "kind: b\nkind: a\n",
            "{\"kind\": \"b\", \"kind\": \"a\"}",
            // Keys are sorted before Go looks at them.
            "{\"kind\": \"a\", \"Kind\": \"b\"}",
            "kind: a\nKIND: b\n",
            "Kind: a\nkind: null\n",
        ] {
            assert_eq!(thing(text).unwrap().kind.0, "a", "{text:?}");
        }
        for text in [
            "",
            "[]",
            "x",
            "kind: [a]\n",
            "kind: {a: b}",
            "{\"kind\": \"a\"",
            "a: b: c\n",
        ] {
            assert!(thing(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn numbers_become_texts_where_texts_are_meant() {
        let read = thing("kind: true\ntags: [null, {a: 5, b: 1.50, c: -7, d: 4.10, e: '05'}]\n");
        let read = read.unwrap();
        assert_eq!(read.kind.0, "true");
        let tags = read.tags.unwrap();
        assert!(tags[0].is_none());
        let tag: Vec<&str> = tags[1]
            .as_ref()
            .unwrap()
            .values()
            .map(|t| t.0.as_str())
            .collect();
        assert_eq!(tag, ["5", "1.5", "-7", "4.1", "05"]);
        for (value, expected) in [
            (1000.0, "1000"),
            (0.1, "0.1"),
            (123_456_789.0, "1.2345679e+08"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e6, "1e+06"),
            (-1e21, "-1e+21"),
        ] {
            assert_eq!(shortest(value), expected);
        }
    }
}
