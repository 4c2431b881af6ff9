//! Finds the catalog in an image by its labels (docs/oc-compatibility.md, section 4.1).

use std::collections::BTreeMap;

use super::CatalogError;
use crate::content::go_json;

/// Label of an image whose catalog is a directory of files.
const CONFIGS: &str = "operators.operatorframework.io.index.configs.v1";
/// Label of an image whose catalog is a sqlite database.
const DATABASE: &str = "operators.operatorframework.io.index.database.v1";

/// Location of the catalog: a path in the image, without leading and trailing slashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A directory of files.
    Configs(String),
    /// A sqlite database.
    Database(String),
}

/// Locates the catalog by the labels of an image's config. The file-based catalog wins, as in `oc`.
///
/// For an image without labels, `oc` searches the whole file system for a database. Such images
/// were never published as catalogs, so here they are an error.
///
/// # Errors
///
/// [`CatalogError::NoLabel`] when the image has neither label, [`CatalogError::LabelPath`] when the
/// label's value is not a path.
pub fn location(labels: &BTreeMap<String, String>) -> Result<Location, CatalogError> {
    if let Some(path) = labels.get(CONFIGS) {
        return Ok(Location::Configs(clean(CONFIGS, path)?));
    }
    match labels.get(DATABASE) {
        Some(path) => Ok(Location::Database(clean(DATABASE, path)?)),
        None => Err(CatalogError::NoLabel {
            configs: CONFIGS,
            database: DATABASE,
        }),
    }
}

/// Reads the labels from an image's config (OCI image-spec, config.md, `config.Labels`), as `oc`
/// and `opm` read it: with the rules of Go's `encoding/json`.
///
/// # Errors
///
/// [`CatalogError::Config`] when the config is not JSON, or its labels are not strings.
pub fn labels_of(config: &[u8]) -> Result<BTreeMap<String, String>, CatalogError> {
    #[derive(serde::Deserialize)]
    struct Image {
        #[serde(default)]
        config: Option<Config>,
    }
    #[derive(serde::Deserialize)]
    struct Config {
        #[serde(default, rename = "Labels")]
        labels: Option<BTreeMap<String, String>>,
    }
    let image: Image =
        go_json::read(config, &["config", "Labels"]).map_err(CatalogError::Config)?;
    let labels = image.config.and_then(|config| config.labels);
    Ok(labels.unwrap_or_default())
}

/// Returns a path without empty and `.` components.
fn clean(label: &'static str, path: &str) -> Result<String, CatalogError> {
    let components: Vec<&str> = path
        .split('/')
        .filter(|component| !matches!(*component, "" | "."))
        .collect();
    if components.is_empty() || components.contains(&"..") || path.contains(char::is_control) {
        let value = path.chars().take(100).collect();
        return Err(CatalogError::LabelPath { label, value });
    }
    Ok(components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn configs_win() {
        let both = labels(&[(CONFIGS, "/configs/"), (DATABASE, "/database/index.db")]);
        assert_eq!(
            location(&both).unwrap(),
            Location::Configs("configs".to_owned())
        );
        let old = labels(&[(DATABASE, "./database//index.db")]);
        assert_eq!(
            location(&old).unwrap(),
            Location::Database("database/index.db".to_owned())
        );
    }

    #[test]
    fn what_is_no_path_is_refused() {
        assert!(matches!(
            location(&labels(&[])),
            Err(CatalogError::NoLabel { .. })
        ));
        for bad in ["", "/", "./", "/../etc", "a/..", "a\nb"] {
            let error = location(&labels(&[(CONFIGS, bad)])).unwrap_err();
            assert!(matches!(error, CatalogError::LabelPath { .. }), "{bad:?}");
        }
    }

    #[test]
    fn labels_are_read_from_configs() {
        let config = br#"{"architecture":"amd64","config":{"Labels":{"a":"b"},"Env":[]}}"#;
        assert_eq!(labels_of(config).unwrap(), labels(&[("a", "b")]));
        let twice =
            b"{\"config\":{\"labels\":{\"a\":\"x\",\"a\":\"b\",\"n\":null}},\"author\":\"\xff\"}";
        assert_eq!(labels_of(twice).unwrap(), labels(&[("a", "b")]));
        for none in ["{}", r#"{"config":null}"#, r#"{"config":{"Labels":null}}"#] {
            assert!(labels_of(none.as_bytes()).unwrap().is_empty(), "{none}");
        }
        for bad in ["", r#"{"config":{"Labels":{"a":1}}}"#] {
            assert!(labels_of(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
