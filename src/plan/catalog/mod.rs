//! The filter of operator catalogs: keeps the packages, channels and versions that a person
//! requests, and what they require, and records the reason for every bundle
//! (docs/oc-compatibility.md, section 5.2).
//!
//! The result is a catalog that OLM accepts: every package has its default channel, every channel
//! has one head from which all of its bundles are reached, and every entry has its bundle. If a
//! request cannot be kept in this form, the result is an error that names it, never a smaller
//! catalog.

mod dependencies;
mod edits;
mod error;
mod facts;
mod graph;
mod kept;
mod parse;
mod range;
mod request;
mod select;

#[cfg(test)]
mod tests;

pub use edits::edits;
pub use error::{FilterError, FilterProblem};
pub use kept::{FilterWarning, Kept, KeptBundle, KeptPackage, Reason, Requirement};
pub use parse::{FilterParseError, OperatorSpec};
pub use range::{VersionBounds, VersionBoundsError, VersionRange, VersionRangeError};
pub use request::{CatalogFilter, PackageFilter};

use crate::content::catalog::Catalog;

/// Decides which part of a catalog is kept.
///
/// # Errors
///
/// Everything that keeps the filter from giving a valid catalog: names that the catalog does not
/// have, default channels that would be lost, channels with an invalid graph.
pub fn filter(catalog: &Catalog, filter: &CatalogFilter) -> Result<Kept, FilterError> {
    let facts = facts::Facts::new(catalog);
    let (mut kept, mut problems) = select::select(&facts, filter);
    if problems.is_empty() && filter.dependencies {
        dependencies::resolve(&facts, &mut kept, &mut problems);
    }
    if problems.is_empty() && !filter.dependencies {
        kept.warnings.extend(dependencies::unmet(&facts, &kept));
    }
    problems.sort();
    problems.dedup();
    kept.warnings.sort();
    kept.warnings.dedup();
    match problems.is_empty() {
        true => Ok(kept),
        false => Err(FilterError { problems }),
    }
}
