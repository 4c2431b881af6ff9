//! The request of a listing of catalogs.

use std::path::PathBuf;

use crate::bundle::trust::Trust;
use crate::model::Reference;
use crate::plan::index_filter::IndexFilter;
use crate::registry::Client;

/// Place whose catalogs are listed.
#[derive(Debug)]
pub enum CatalogOrigin {
    /// A registry.
    Registry {
        /// Reference of the catalog.
        reference: Reference,
        /// Client of the registry.
        client: Client,
    },
    /// A bundle: all its catalogs are listed.
    Bundle {
        /// Directory of the bundle.
        directory: PathBuf,
        /// Keys that are trusted.
        trust: Trust,
        /// True to accept a bundle that no trusted key signed.
        allow_unsigned: bool,
    },
}

/// Request of `airferry catalog list`.
#[derive(Debug)]
pub struct Request {
    /// Place of the catalogs.
    pub from: CatalogOrigin,
    /// Package to show in full. If `None`, all packages are shown in short.
    pub package: Option<String>,
    /// Selects the platform whose image is read.
    pub filter: IndexFilter,
}
