//! What a listing is asked for.

use std::path::PathBuf;

use crate::bundle::trust::Trust;
use crate::model::Reference;
use crate::plan::index_filter::IndexFilter;
use crate::registry::Client;

/// Where catalogs are listed from.
#[derive(Debug)]
pub enum CatalogOrigin {
    /// A registry.
    Registry {
        /// The catalog.
        reference: Reference,
        /// Talks to the registry.
        client: Client,
    },
    /// A bundle: all its catalogs.
    Bundle {
        /// Its directory.
        directory: PathBuf,
        /// Whom to trust.
        trust: Trust,
        /// Accept that no trusted key has signed.
        allow_unsigned: bool,
    },
}

/// What `airferry catalog list` is asked for.
#[derive(Debug)]
pub struct Request {
    /// Where from.
    pub from: CatalogOrigin,
    /// The package to show in full; all in short when absent.
    pub package: Option<String>,
    /// Which platform's image is read.
    pub filter: IndexFilter,
}
