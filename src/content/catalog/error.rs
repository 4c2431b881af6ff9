//! Why a catalog cannot be read.

use super::Place;

/// Why a catalog cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CatalogError {
    /// The bytes behind a file could not be read.
    #[error("The catalog's file `{}` cannot be read", file.escape_debug())]
    Read {
        /// The file.
        file: String,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// A document breaks a cap.
    #[error("The catalog's {place} is not acceptable: {what}, the limit is {limit}")]
    Limit {
        /// Where.
        place: Place,
        /// What is too much.
        what: &'static str,
        /// The limit: bytes or a count, as `what` says.
        limit: u64,
    },
    /// The catalog as a whole breaks a cap.
    #[error("The catalog has more than {limit} {what}")]
    TooMuch {
        /// Of what.
        what: &'static str,
        /// The cap (a count).
        limit: u64,
    },
    /// A document is neither JSON nor YAML.
    #[error("The catalog's {place} is neither JSON nor YAML: {message}")]
    Syntax {
        /// Where.
        place: Place,
        /// What the parser says.
        message: String,
    },
    /// A document is not what its schema says.
    #[error("The catalog's {place} is not valid: {message}")]
    Invalid {
        /// Where.
        place: Place,
        /// What is wrong.
        message: String,
    },
    /// An ignore file cannot be used.
    #[error("The catalog's `{}` cannot be used", file.escape_debug())]
    IgnoreFile {
        /// The file.
        file: String,
        /// What is wrong with it.
        #[source]
        source: super::IgnoreFileTooLong,
    },
    /// The database cannot be used.
    #[error("The catalog's database cannot be used: {message}")]
    Database {
        /// Why.
        message: String,
    },
    /// The image's config is none.
    #[error("The image's config cannot be read")]
    Config(#[source] serde_json::Error),
    /// The image holds no catalog that we know.
    #[error("The image is no catalog: it has neither the label `{configs}` nor `{database}`")]
    NoLabel {
        /// The label of file-based catalogs.
        configs: &'static str,
        /// The label of databases.
        database: &'static str,
    },
    /// A label names a place that cannot be one.
    #[error("The label `{label}` says `{}`, which is no path in an image", value.escape_debug())]
    LabelPath {
        /// The label.
        label: &'static str,
        /// What it says, shortened.
        value: String,
    },
    /// The place that the label names is not there.
    #[error("The image has nothing at `{}`, where its label says that the catalog is", path.escape_debug())]
    Missing {
        /// The place.
        path: String,
    },
}

impl CatalogError {
    /// Whether it is about one document, so that nothing is wrong when that is ignored.
    pub(super) fn concerns_one_document(&self) -> bool {
        matches!(
            self,
            Self::Limit { .. } | Self::Syntax { .. } | Self::Invalid { .. }
        )
    }
}
