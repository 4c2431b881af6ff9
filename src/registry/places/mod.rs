//! Where a repository may be read: mirrors and rewrites of `registries.conf`, and the scheme that a
//! host speaks.
//!
//! This room knows names and settings. It asks a host whether it speaks TLS, and nothing else: it
//! knows neither credentials nor what a registry can be asked for.

mod endpoint;
mod mirrors;
mod registries_conf;
mod rules;
mod scheme;

pub(super) use endpoint::{Endpoint, Places};
pub use mirrors::Mirrors;
pub use registries_conf::MirrorsError;
pub(super) use scheme::Schemes;
