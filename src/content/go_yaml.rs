//! Reads YAML that upstream publishes as `sigs.k8s.io/yaml` reads it into a Go type: it takes the
//! first document, lets the last of several equal keys win, converts to JSON with sorted keys, and
//! reads that as `encoding/json` does ([`go_json`]). Anything after the first document is ignored.
//!
//! Where the Go type has a string, a number or boolean is converted to one ([`Text`]).

use serde::Deserialize;
use serde::de::{DeserializeOwned, Visitor};
use serde_json::Value;

use crate::content::go_json;
use crate::encoding::yaml::{self, Duplicates, YamlError, YamlLimits};

/// Error from reading a document.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GoYamlError {
    /// The document is not YAML, or exceeds a limit.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// The document has another shape, or begins like JSON and is not JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Reads the first document of a stream. `fields` is the same as for [`go_json::read`].
///
/// # Errors
///
/// When it is neither JSON nor YAML, exceeds a limit, is not an object, or does not fit `T`.
pub fn read<T: DeserializeOwned>(
    bytes: &[u8],
    fields: &[&str],
    limits: &YamlLimits,
) -> Result<T, GoYamlError> {
    // Try JSON first: nearly every document is JSON, its parser is faster, and its error is
    // clearer.
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

/// A string, or a scalar that `sigs.k8s.io/yaml` converts where a string is expected.
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

/// Formats like Go's `strconv.FormatFloat(value, 'g', -1, 32)`: the shortest digits for 32 bits,
/// with an exponent below -4 and from 6 on.
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
            // The conversion to JSON sorts the keys before Go reads them.
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
