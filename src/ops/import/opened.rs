//! Opens a bundle for an import.

use std::sync::Arc;

use super::request::Request;
use crate::bundle::open::{Bundle, Scope, Waivers, open_bundle};
use crate::bundle::read::Manifests;
use crate::error::Result;

/// A bundle that passed the checks for an import, and its OCI manifests.
pub(super) struct Opened {
    pub(super) bundle: Arc<Bundle>,
    pub(super) manifests: Arc<Manifests>,
}

/// Opens a bundle, verifies documents and metadata, and reads the OCI manifests.
pub(super) fn open(request: &Request) -> Result<Opened> {
    let waivers = Waivers {
        unsigned: request.allow_unsigned,
        incomplete: request.allow_incomplete,
    };
    let (directory, trust) = (&request.bundle, &request.trust);
    let bundle = open_bundle(directory, trust, waivers, Scope::Everything)?;
    let bundle = Arc::new(bundle);
    let manifests = Arc::new(Manifests::read(&bundle)?);
    Ok(Opened { bundle, manifests })
}
