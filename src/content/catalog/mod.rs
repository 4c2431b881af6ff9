//! Operator catalogs: the packages, channels and bundles in an index image.
//!
//! A catalog can be a gigabyte of documents, most of it manifests that only the cluster reads. So
//! reading takes two passes. The first one builds an index, the [`Catalog`]: names, versions,
//! edges, images, and the place of each document. A caller that needs whole documents (the filter
//! does) streams the files again with [`Documents`] and keeps those whose [`Place`] it wants.
//!
//! Two formats: file-based catalogs ([`Indexer`], docs/oc-compatibility.md, section 7.1) and the
//! database of the 4.5-4.10 era ([`sqlite`], docs/oc-compatibility.md, section 7.3). The labels of
//! an image state its format ([`location`]). Nothing here opens a file or an image: bytes and rows
//! in, values out.

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
pub use serve::{ShellLine, serving, without_cache};

/// Limits on the memory and time that a catalog may use.
#[derive(Debug, Clone, Copy)]
pub struct CatalogLimits;

impl CatalogLimits {
    /// Maximum length of a document in bytes. The largest real ones have a few MiB: a bundle's
    /// manifests must fit into the API server's database when they are installed.
    pub const DOCUMENT: usize = 32 << 20;
    /// Maximum number of documents in a catalog.
    pub const DOCUMENTS: u64 = 1_000_000;
    /// Maximum length in bytes of all files of a catalog together.
    pub const TOTAL: u64 = 8 << 30;
    /// Maximum length in bytes of the texts in a catalog's index; 3000 bundles have about 10 MiB.
    pub const INDEX: usize = 128 << 20;
    /// Maximum length in bytes of all ignore files of a catalog together. Real ones have less than
    /// 1 KiB.
    pub const IGNORE_FILES: usize = 256 << 10;
    /// Maximum depth of nested lists and maps in a document.
    pub const DEPTH: usize = 100;
    /// Maximum number of scalars, lists and maps in a YAML document.
    pub const NODES: usize = 500_000;
}
