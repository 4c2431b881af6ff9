//! Implements the commands, one module for each: gather facts, plan, perform.

pub mod catalog;
pub mod cluster_files;
pub mod cluster_resources;
mod context;
pub mod doctor;
pub mod export;
pub mod import;
pub mod inspect;
pub mod keygen;
mod mapping;
pub mod release;
pub mod sign;
mod source_error;
pub mod survey;
pub mod unpack;
pub mod verify;

pub use context::Context;

use crate::error::{Error, Result};

/// Runs blocking work on a thread outside the asynchronous ones.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|join| Error::internal("A worker failed", join))?
}
