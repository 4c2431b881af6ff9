//! Errors from reading a catalog.

use super::Place;

/// Error from reading a catalog.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The bytes of a file cannot be read.
    #[error("The catalog's file `{}` cannot be read", file.escape_debug())]
    Read {
        /// Path of the file.
        file: String,
        /// The underlying error.
        #[source]
        source: std::io::Error,
    },
    /// A document exceeds a limit.
    #[error("The catalog's {place} exceeds a limit: {what}, the limit is {limit}")]
    Limit {
        /// The document.
        place: Place,
        /// The quantity that exceeds the limit.
        what: &'static str,
        /// The limit: bytes or a count, according to `what`.
        limit: u64,
    },
    /// The catalog as a whole exceeds a limit.
    #[error("The catalog has more than {limit} {what}")]
    TooMuch {
        /// The items that are counted.
        what: &'static str,
        /// The limit (a count).
        limit: u64,
    },
    /// A document is neither JSON nor YAML.
    #[error("The catalog's {place} is neither JSON nor YAML: {message}")]
    Syntax {
        /// The document.
        place: Place,
        /// The parser's message.
        message: String,
    },
    /// A document does not fit its schema.
    #[error("The catalog's {place} is not valid: {message}")]
    Invalid {
        /// The document.
        place: Place,
        /// The fault, as a clause.
        message: String,
    },
    /// An ignore file cannot be used.
    #[error("The catalog's `{}` cannot be used", file.escape_debug())]
    IgnoreFile {
        /// Path of the file.
        file: String,
        /// The reason.
        #[source]
        source: super::IgnoreFileTooLong,
    },
    /// The database cannot be used.
    #[error("The catalog's database cannot be used: {message}")]
    Database {
        /// The reason.
        message: String,
    },
    /// The image's config is not valid JSON, or its labels are not strings.
    #[error("The image's config cannot be read")]
    Config(#[source] serde_json::Error),
    /// The image has no label of a known catalog format.
    #[error("The image is not a catalog: it has neither the label `{configs}` nor `{database}`")]
    NoLabel {
        /// The label of file-based catalogs.
        configs: &'static str,
        /// The label of databases.
        database: &'static str,
    },
    /// A label's value is not a path in an image.
    #[error("The value `{}` of the label `{label}` is not a path in an image", value.escape_debug())]
    LabelPath {
        /// Name of the label.
        label: &'static str,
        /// The label's value, shortened.
        value: String,
    },
    /// The path in the label does not exist in the image.
    #[error("The catalog's label names `{}`, which does not exist in the image", path.escape_debug())]
    Missing {
        /// The path.
        path: String,
    },
}

impl CatalogError {
    /// True if the error is about one document, so that it does not matter if the document's file
    /// is ignored.
    pub(super) fn concerns_one_document(&self) -> bool {
        matches!(
            self,
            Self::Limit { .. } | Self::Syntax { .. } | Self::Invalid { .. }
        )
    }
}
