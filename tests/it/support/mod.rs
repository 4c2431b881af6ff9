//! What several test modules share.

pub(crate) mod docker_registry;
pub(crate) mod fake_registry;
