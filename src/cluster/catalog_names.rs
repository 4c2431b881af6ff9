//! Decides the names of the objects of catalogs: chosen ones, those of oc-mirror, or our own.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::object_name::{ObjectName, ObjectNameError, tell_apart};
use super::{Catalog, ClusterError, Content, NameStyle, Options};
use crate::model::{NameError, Reference};

/// A chosen name for the objects of a catalog: `NAME` or `CATALOG=NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenName {
    /// The catalog as the bundle names it; absent if the bundle has one catalog only.
    pub catalog: Option<Reference>,
    /// The name.
    pub name: ObjectName,
}

/// Error from reading a chosen name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChosenNameError {
    /// What stands before `=` is not a reference.
    #[error("`{}` is not a catalog: write NAME or CATALOG=NAME", text.escape_debug())]
    Catalog {
        /// The text before `=`.
        text: String,
        /// The reason.
        source: NameError,
    },
    /// The name is invalid.
    #[error(transparent)]
    Name(#[from] ObjectNameError),
}

impl FromStr for ChosenName {
    type Err = ChosenNameError;

    fn from_str(text: &str) -> Result<Self, ChosenNameError> {
        let (catalog, name) = match text.rsplit_once('=') {
            Some((catalog, name)) => (Some(catalog), name),
            None => (None, text),
        };
        let reference = |text: &str| {
            text.parse().map_err(|source| ChosenNameError::Catalog {
                text: text.chars().take(100).collect(),
                source,
            })
        };
        Ok(Self {
            catalog: catalog.map(reference).transpose()?,
            name: name.parse()?,
        })
    }
}

/// The names of one catalog's objects.
pub(super) struct CatalogNames {
    /// Distinguishes the catalog's files and mirror policies.
    pub(super) stem: ObjectName,
    /// Name of the CatalogSource.
    pub(super) source: String,
    /// Name of the ClusterCatalog.
    pub(super) cluster: String,
}

/// Names each catalog of the content.
pub(super) fn of(content: &Content, options: &Options) -> Vec<CatalogNames> {
    let catalogs = &content.catalogs;
    let mut stems: Vec<(ObjectName, &Reference)> = Vec::new();
    for catalog in catalogs {
        let name = match (chosen(catalog, options), &options.name) {
            (Some(chosen), _) => chosen.clone(),
            (None, Some(prefix)) => ObjectName::from_text(&format!("{prefix}-{}", catalog.name)),
            (None, None) => catalog.name.clone(),
        };
        stems.push((name, &catalog.image));
    }
    tell_apart(&mut stems);
    let named = stems.into_iter().zip(catalogs).map(|((stem, _), catalog)| {
        let is_ours = options.name.is_some() || chosen(catalog, options).is_some();
        let prefixed = |prefix: &str| match content.style {
            NameStyle::OcMirror if !is_ours => format!("{prefix}-{stem}"),
            _ => stem.to_string(),
        };
        CatalogNames {
            source: prefixed("cs"),
            cluster: prefixed("cc"),
            stem,
        }
    });
    named.collect()
}

/// Checks the chosen names against the catalogs that there are.
///
/// # Errors
///
/// [`ClusterError::UnknownCatalog`], [`ClusterError::SeveralCatalogs`] and
/// [`ClusterError::SameName`].
pub fn check_names(content: &Content, options: &Options) -> Result<(), ClusterError> {
    let known = || content.catalogs.iter().map(|c| c.requested.to_string());
    for one in &options.catalog_names {
        match &one.catalog {
            Some(catalog) if !content.catalogs.iter().any(|c| c.requested == *catalog) => {
                return Err(ClusterError::UnknownCatalog {
                    catalog: Box::new(catalog.clone()),
                    known: known().collect(),
                });
            }
            None if content.catalogs.len() > 1 => {
                return Err(ClusterError::SeveralCatalogs {
                    name: one.name.to_string(),
                    known: known().collect(),
                });
            }
            _ => {}
        }
    }
    let mut taken: BTreeMap<String, &Catalog> = BTreeMap::new();
    let chosen_first = |catalog: &&Catalog| chosen(catalog, options).is_none();
    let mut catalogs: Vec<&Catalog> = content.catalogs.iter().collect();
    catalogs.sort_by_key(chosen_first);
    for catalog in catalogs {
        let name = chosen(catalog, options).unwrap_or(&catalog.name);
        let is_chosen = |catalog: &Catalog| chosen(catalog, options).is_some();
        if let Some(other) = taken.insert(name.to_string(), catalog)
            && (is_chosen(catalog) || is_chosen(other))
        {
            return Err(ClusterError::SameName {
                name: name.to_string(),
                catalogs: [catalog, other].map(|c| c.requested.to_string()).into(),
            });
        }
    }
    Ok(())
}

fn chosen<'a>(catalog: &Catalog, options: &'a Options) -> Option<&'a ObjectName> {
    let is_meant = |one: &&ChosenName| match &one.catalog {
        Some(named) => *named == catalog.requested,
        None => true,
    };
    options
        .catalog_names
        .iter()
        .rev()
        .find(is_meant)
        .map(|one| &one.name)
}
