//! One module for each verb: gather facts, plan, perform.

pub mod catalog;
pub mod cluster_files;
mod context;
pub mod export;
pub mod import;
pub mod inspect;
pub mod keygen;
mod mapping;
pub mod release;
pub mod resources;
pub mod sign;
pub mod source_error;
pub mod survey;
pub mod unpack;
pub mod verify;

pub use context::Context;

use crate::error::{Error, Result};

/// Runs blocking work away from the asynchronous threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|join| Error::internal("A worker failed", join))?
}
