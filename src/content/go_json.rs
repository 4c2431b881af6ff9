//! Reads JSON that upstream publishes by the rules of Go's `encoding/json`, because `oc`, `opm` and
//! the cluster's operators read release payloads, update graphs and image configs that way.
//!
//! The last of several equal keys wins, `null` counts as an absent field, field names match in any
//! case, and bytes that are not UTF-8 are replaced. OCI and Docker manifests are not read by this
//! module: `oci` refuses a manifest that could be read in two ways.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads a document. `fields` lists the names of all fields of `T` and of the types inside it,
/// canonical_key as serde expects them. Other keys (those of maps) keep their spelling, unless they
/// differ from one of these names in case only.
///
/// The caller limits the length of `bytes`; the parsed values need about ten times as much memory.
///
/// # Errors
///
/// When the text is not JSON, has data after the first value, is nested deeper than 128, is not an
/// object, or does not fit `T`.
pub fn read<T: DeserializeOwned>(bytes: &[u8], fields: &[&str]) -> Result<T, serde_json::Error> {
    match value(bytes, fields)? {
        // serde accepts a list for a struct; Go does not.
        value @ Value::Object(_) => serde_json::from_value(value),
        _ => Err(serde::de::Error::custom("it is not a JSON object")),
    }
}

/// Returns the document with duplicate keys merged, keys canonical_key as in `fields`, and `null` members
/// removed.
///
/// # Errors
///
/// As [`read`].
pub fn value(bytes: &[u8], fields: &[&str]) -> Result<Value, serde_json::Error> {
    let text = String::from_utf8_lossy(bytes);
    let read: Ordered = serde_json::from_str(&text)?;
    Ok(read.merged(fields))
}

/// True if Go's `encoding/json` takes two keys for the same: Unicode simple folding, which besides
/// ASCII case maps U+017F to `s` and U+212A to `k`.
pub(super) fn same_key(written: &str, key: &str) -> bool {
    let fold = |c: char| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    };
    written.chars().map(fold).eq(key.chars().map(fold))
}

/// A JSON value whose objects keep the order of their keys, and duplicates.
enum Ordered {
    Scalar(Value),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl Ordered {
    /// Merges duplicate keys and drops `null` members.
    fn merged(self, fields: &[&str]) -> Value {
        let pairs = match self {
            Self::Scalar(value) => return value,
            Self::List(items) => {
                return items.into_iter().map(|item| item.merged(fields)).collect();
            }
            Self::Object(pairs) => pairs,
        };
        let mut object = Map::new();
        for (key, value) in pairs {
            let value = value.merged(fields);
            if !value.is_null() {
                object.insert(canonical_key(&key, fields).to_owned(), value);
            }
        }
        Value::Object(object)
    }
}

/// The field name that a key matches; the key itself if it matches none.
fn canonical_key<'a>(key: &'a str, fields: &[&'a str]) -> &'a str {
    let known = fields.iter().find(|field| same_key(key, field));
    known.copied().unwrap_or(key)
}

impl<'de> serde::Deserialize<'de> for Ordered {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'de> serde::de::Visitor<'de> for Values {
    type Value = Ordered;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Ordered, E> {
        Ok(Ordered::Scalar(value.into()))
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Ordered, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Ordered::List(items))
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Ordered, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(Ordered::Object(pairs))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_said_twice_is_read_as_go_reads_it() {
        let fields = ["kind", "apiVersion", "tags"];
        for (text, expected) in [
            (r#"{"kind":"a","kind":"b"}"#, json!({"kind": "b"})),
            (r#"{"Kind":"a","KIND":null}"#, json!({"kind": "a"})),
            (r#"{"kind":"a","\u212aind":"b"}"#, json!({"kind": "b"})),
            (
                r#"{"tags":[{"APIVersion":1},null]}"#,
                json!({"tags": [{"apiVersion": 1}, null]}),
            ),
            (
                r#"{"other":{"x":1,"x":2,"X":3}}"#,
                json!({"other": {"x": 2, "X": 3}}),
            ),
        ] {
            assert_eq!(value(text.as_bytes(), &fields).unwrap(), expected, "{text}");
        }
        let broken = value(b"{\"a\":\"x\xffy\"}", &[]).unwrap();
        assert_eq!(broken, json!({"a": "x\u{fffd}y"}));
    }

    #[test]
    fn what_is_no_json_stays_refused() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for text in ["", "{", "{} {}", "{\"a\":1,}", "\u{feff}{}", &deep] {
            assert!(value(text.as_bytes(), &[]).is_err(), "{text:?}");
        }
    }
}
