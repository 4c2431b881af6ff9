//! One file for each verb: gather facts, plan, perform.

pub mod catalog;
mod context;
mod error;
mod examine;
pub mod export;
mod finding;
mod hits;
mod image_files;
pub mod import;
pub mod inspect;
pub mod keygen;
mod manifests;
mod mapping;
mod metadata;
mod pipeline;
pub mod release;
pub mod resources;
pub mod sign;
pub mod source_error;
pub mod survey;
mod trust;
pub mod unpack;
pub mod verify;

pub use context::Context;
pub use error::{Class, Error, Result, chain};
pub use finding::{Finding, FindingKind};
pub use trust::{Authentication, Trust, Vouched};

/// Runs blocking work away from the asynchronous threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|join| Error::internal("A worker failed", join))?
}

/// Whether a count is nothing: reports leave such fields out.
fn is_zero<T: Default + PartialEq>(count: &T) -> bool {
    *count == T::default()
}
