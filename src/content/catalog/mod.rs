//! Operator catalogs: what an index image says of packages, channels and bundles.
//!
//! A catalog can be a gigabyte of documents, most of it manifests that only the cluster reads.
//! So reading takes two passes. The first one keeps an index, the [`Catalog`]: names, versions,
//! edges, images, and where each document stands. Whoever needs documents whole (the filter
//! does) streams the files again with [`Documents`] and keeps those whose [`Place`] it wants.
//!
//! Two formats: file-based catalogs ([`Indexer`], docs/oc-compatibility.md, section 7.1) and the
//! database of the 4.5-4.10 era ([`sqlite`], docs/oc-compatibility.md, section 7.3). Which of them
//! an image holds, its labels say ([`location`]). Nothing here opens a file or an image: bytes and
//! rows in, values out.

mod documents;
mod edit;
mod error;
mod fbc;
mod ignore_file;
mod ignore_pattern;
mod images;
mod labels;
mod model;
mod object;
mod object_files;
mod problem;
mod serve;
pub mod sqlite;

#[cfg(test)]
mod tests;

pub use documents::{Document, Documents};
pub use edit::Edit;
pub use error::CatalogError;
pub use fbc::Indexer;
pub use ignore_file::{IgnoreFile, IgnoreFileTooLong};
pub use images::{BadImage, CatalogImage, CatalogImages, NamedBy};
pub use labels::{Location, labels_of, location};
pub use model::*;
pub use object_files::with_object_files;
pub use problem::Problem;
pub use serve::{serve_arguments, without_cache};

/// Caps on what a catalog may make us keep or do.
#[derive(Debug, Clone, Copy)]
pub struct CatalogLimits;

impl CatalogLimits {
    /// One document, in bytes. The largest real ones have a few MiB: a bundle's manifests must
    /// fit into the API server's database when they are installed.
    pub const DOCUMENT: usize = 32 << 20;
    /// Documents of one catalog (a count).
    pub const DOCUMENTS: u64 = 1_000_000;
    /// All files of one catalog together, in bytes.
    pub const TOTAL: u64 = 8 << 30;
    /// What the index of a catalog keeps, in bytes of text; 3000 bundles have about 10 MiB.
    pub const INDEX: usize = 128 << 20;
    /// The ignore files of one catalog together, in bytes. Real ones have less than 1 KiB.
    pub const IGNORE_FILES: usize = 256 << 10;
    /// Nesting of lists and maps in a document (a count).
    pub const DEPTH: usize = 100;
    /// Scalars, lists and maps of one YAML document (a count).
    pub const NODES: usize = 500_000;
}
