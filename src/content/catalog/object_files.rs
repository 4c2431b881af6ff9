//! Manifests of bundles in separate files: the property `olm.bundle.object` with `ref`, a path
//! relative to the directory of the document's file.
//!
//! A filtered catalog does not have these files, so their contents are put into the documents, as
//! `data` in base64. Both forms mean the same to `opm`, and newer versions support only `data`.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use super::edit::write_object;
use super::object::{FaultText, Object};
use super::{CatalogError, Place};
use crate::content::go_json::same_key;

/// The type of the property.
pub(super) const PROPERTY: &str = "olm.bundle.object";

/// Maximum length in bytes of a property value that is checked for a `ref`. A value with `data` is
/// as long as a manifest, and is not parsed.
const LONGEST: usize = 8192;

/// Returns the path below the catalog's directory to which a property refers; `None` for a property
/// without `ref`.
///
/// # Errors
///
/// When `opm` would not open the path.
pub(super) fn path_of(property: &Object<'_>, file: &str) -> Result<Option<String>, FaultText> {
    let short = property.get("value").filter(|v| v.get().len() <= LONGEST);
    let Some(value) = short.and_then(|value| Object::parse(value.get()).ok()) else {
        return Ok(None);
    };
    let Some(reference) = value.text("ref")? else {
        return Ok(None);
    };
    let outside = || "its `ref` points outside the catalog".to_owned();
    if reference.starts_with('/') {
        return Err(outside());
    }
    let mut path: Vec<&str> = file.split('/').collect();
    path.pop();
    for name in reference.split('/') {
        match name {
            "" | "." => {}
            ".." => path.pop().map(|_| ()).ok_or_else(outside)?,
            name => path.push(name),
        }
    }
    Ok(Some(path.join("/")))
}

/// Replaces references to `files`, keyed by path, in a bundle's document with their contents.
/// References to other files are kept.
///
/// # Errors
///
/// When the document does not match the index.
pub fn with_object_files(
    json: String,
    place: &Place,
    files: &BTreeMap<String, Vec<u8>>,
) -> Result<String, CatalogError> {
    if files.is_empty() {
        return Ok(json);
    }
    inlined(&json, &place.file, files).map_err(|message| CatalogError::Invalid {
        place: place.clone(),
        message,
    })
}

fn inlined(json: &str, file: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<String, FaultText> {
    const KEY: &str = "properties";
    let object = Object::parse(json)?;
    let Some(list) = object.get(KEY) else {
        return Ok(json.to_owned());
    };
    let old: Vec<&RawValue> =
        serde_json::from_str(list.get()).map_err(|_| format!("`{KEY}` is not a list"))?;
    let mut properties = Vec::new();
    for property in old {
        properties.push(match content(property, file, files)? {
            None => property.get().to_owned(),
            Some(content) => {
                let data = STANDARD.encode(content);
                format!(r#"{{"type":"{PROPERTY}","value":{{"data":"{data}"}}}}"#)
            }
        });
    }
    let list = format!("[{}]", properties.join(","));
    let fields = object.fields().map(|(key, value)| {
        let is_it = same_key(key, KEY);
        (key, if is_it { list.as_str() } else { value.get() })
    });
    Ok(write_object(&fields.collect::<Vec<_>>()))
}

/// The content of the file to which a property refers.
fn content<'f>(
    property: &RawValue,
    file: &str,
    files: &'f BTreeMap<String, Vec<u8>>,
) -> Result<Option<&'f [u8]>, FaultText> {
    // Skip `null` properties, as the index does.
    if property.get() == "null" {
        return Ok(None);
    }
    let property = Object::parse(property.get())?;
    if property.text("type")?.as_deref() != Some(PROPERTY) {
        return Ok(None);
    }
    // Keep a reference that opm would not open.
    let path = path_of(&property, file).ok().flatten();
    Ok(path.and_then(|path| files.get(&path)).map(Vec::as_slice))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_paths_from_the_document_on() {
        for (reference, expected) in [
            ("objects/csv.yaml", Ok(Some("p/objects/csv.yaml"))),
            ("./x", Ok(Some("p/x"))),
            ("../q/x", Ok(Some("q/x"))),
            ("", Ok(None)),
            ("../../x", Err(())),
            ("/x", Err(())),
        ] {
            let text = serde_json::json!({"value": {"ref": reference}}).to_string();
            let path = path_of(&Object::parse(&text).unwrap(), "p/catalog.yaml");
            let path = path.map_err(|_| ());
            assert_eq!(path, expected.map(|p| p.map(str::to_owned)), "{reference}");
        }
        let data = Object::parse(r#"{"value":{"data":"eA=="}}"#).unwrap();
        assert_eq!(path_of(&data, "f"), Ok(None));
    }

    #[test]
    fn only_what_is_referred_to_is_written_anew() {
        let json = concat!(
            r#"{"schema":"olm.bundle","x":1.50,"Properties":[{"type":"olm.package","value":{"v":1e3}},null,"#,
            r#"{"type":"olm.bundle.object","value":{"data":"eA=="}},"#,
            r#"{"value":{"ref":"o/a.yaml"},"type":"olm.bundle.object"},"#,
            r#"{"type":"olm.bundle.object","value":{"ref":"o/gone.yaml"}}],"z":"\u00e4"}"#
        );
        let place = Place {
            file: "p/catalog.json".into(),
            table: None,
            number: 1,
        };
        let files = BTreeMap::from([("p/o/a.yaml".to_owned(), b"kind: X\n".to_vec())]);
        let made = with_object_files(json.to_owned(), &place, &files).unwrap();
        let inline = r#"{"type":"olm.bundle.object","value":{"data":"a2luZDogWAo="}}"#;
        let refers = r#"{"value":{"ref":"o/a.yaml"},"type":"olm.bundle.object"}"#;
        assert_eq!(made, json.replace(refers, inline));
        let none = BTreeMap::new();
        assert_eq!(
            with_object_files(json.to_owned(), &place, &none).unwrap(),
            json
        );
    }
}
