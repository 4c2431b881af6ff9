//! Changes a document of a catalog, and only the parts that the filter affects.
//!
//! A filtered catalog must state the same as the original about what it keeps, so values keep their
//! original text: only the list or the name that the filter changes is rewritten.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::object::{FaultText, Object};
use super::{CatalogError, Document};
use crate::content::go_json::same_key;

/// The change to a document that the filter keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Edit {
    /// No change.
    Keep,
    /// Sets the default channel of a package.
    DefaultChannel(String),
    /// Keeps only the entries with these names in a channel.
    Entries(BTreeSet<String>),
    /// Removes entries from a deprecations document.
    Deprecated {
        /// The subjects of the removed entries: schema, and name (empty if there is none).
        gone: BTreeSet<(String, String)>,
    },
}

impl Edit {
    /// Returns the document's text after the change.
    ///
    /// # Errors
    ///
    /// When the document does not match the index.
    pub fn apply(&self, document: &Document) -> Result<String, CatalogError> {
        let edited = match self {
            Self::Keep => Ok(document.json.clone()),
            Self::DefaultChannel(channel) => set_default_channel(&document.json, channel),
            Self::Entries(names) => retain(&document.json, |entry| {
                let name = entry.text("name")?.unwrap_or_default();
                Ok(names.contains(&name))
            }),
            Self::Deprecated { gone } => retain(&document.json, |entry| {
                let Some(about) = entry.object("reference") else {
                    return Ok(true);
                };
                let schema = about.text("schema")?.unwrap_or_default();
                let name = about.text("name")?.unwrap_or_default();
                Ok(!gone.contains(&(schema, name)))
            }),
        };
        edited.map_err(|message| CatalogError::Invalid {
            place: document.place.clone(),
            message,
        })
    }
}

fn set_default_channel(json: &str, channel: &str) -> Result<String, FaultText> {
    const KEY: &str = "defaultChannel";
    let object = Object::parse(json)?;
    let value = serde_json::Value::from(channel).to_string();
    let mut fields = Vec::new();
    for (key, old) in object.fields() {
        if !same_key(key, KEY) {
            fields.push((key, old.get()));
        }
    }
    fields.push((KEY, &value));
    Ok(write_object(&fields))
}

/// Keeps the objects of the list `entries` for which `stays` is true.
fn retain(
    json: &str,
    stays: impl Fn(&Object<'_>) -> Result<bool, FaultText>,
) -> Result<String, FaultText> {
    const KEY: &str = "entries";
    let object = Object::parse(json)?;
    let mut kept: Vec<&str> = Vec::new();
    if let Some(list) = object.get(KEY) {
        let entries: Vec<&RawValue> =
            serde_json::from_str(list.get()).map_err(|_| format!("`{KEY}` is not a list"))?;
        for entry in entries {
            // Drop `null` entries, as the index does.
            if entry.get() != "null" && stays(&Object::parse(entry.get())?)? {
                kept.push(entry.get());
            }
        }
    }
    let list = format!("[{}]", kept.join(","));
    let fields = object
        .fields()
        .map(|(key, value)| match same_key(key, KEY) {
            true => (key, list.as_str()),
            false => (key, value.get()),
        });
    Ok(write_object(&fields.collect::<Vec<_>>()))
}

pub(super) fn write_object(fields: &[(&str, &str)]) -> String {
    let mut text = String::from("{");
    for (index, (key, value)) in fields.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(*key).to_string());
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::catalog::Place;

    fn apply(edit: &Edit, json: &str) -> String {
        let place = Place {
            file: "f".into(),
            table: None,
            number: 1,
        };
        let json = json.to_owned();
        let repeated_key = None;
        let document = Document {
            place,
            json,
            repeated_key,
        };
        edit.apply(&document).unwrap()
    }

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn only_what_must_change_changes() {
        let channel = r#"{"schema":"olm.channel","x":1.50,"Entries":[ {"name":"a","y": 1e3},null,{"name":"b"} ],"z":"\u00e4"}"#;
        assert_eq!(apply(&Edit::Keep, channel), channel);
        assert_eq!(
            apply(&Edit::Entries(names(&["a"])), channel),
            r#"{"schema":"olm.channel","x":1.50,"Entries":[{"name":"a","y": 1e3}],"z":"\u00e4"}"#
        );
    }

    #[test]
    fn a_default_channel_is_replaced_or_added() {
        let edit = Edit::DefaultChannel("fa\"st".to_owned());
        for package in [
            r#"{"DefaultChannel":"stable","name":"p"}"#,
            r#"{"name":"p"}"#,
        ] {
            assert_eq!(
                apply(&edit, package),
                r#"{"name":"p","defaultChannel":"fa\"st"}"#
            );
        }
    }

    #[test]
    fn deprecations_lose_what_is_gone() {
        let json = r#"{"entries":[{"reference":{"schema":"olm.package"},"message":"m"},{"reference":{"schema":"olm.bundle","name":"a"},"message":"n"}]}"#;
        let gone = [("olm.bundle".to_owned(), "a".to_owned())].into();
        assert_eq!(
            apply(&Edit::Deprecated { gone }, json),
            r#"{"entries":[{"reference":{"schema":"olm.package"},"message":"m"}]}"#
        );
    }
}
