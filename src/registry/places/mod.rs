//! Where repositories may be read.

mod endpoint;
mod mirrors;
mod registries_conf;
mod rules;
mod scheme;

pub(in crate::registry) use endpoint::{Endpoint, Places};
pub use mirrors::Mirrors;
pub use registries_conf::MirrorsError;
pub(in crate::registry) use scheme::Schemes;
