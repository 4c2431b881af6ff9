//! Places from which a repository may be read: mirrors and rewrites of `registries.conf`, and the
//! scheme of a host.
//!
//! This module works on names and settings. It sends only probes for TLS; it must not depend on
//! credentials or on the operations on a registry.

mod endpoint;
mod mirrors;
mod registries_conf;
mod rules;
mod scheme;

pub(super) use endpoint::{Endpoint, Places};
pub use mirrors::Mirrors;
pub use registries_conf::MirrorsError;
pub(super) use scheme::Schemes;
