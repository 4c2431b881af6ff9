//! Reads the chunks of an opened bundle: OCI manifests and blobs.

mod block;
mod manifests;
mod metadata;
mod stored_blob;
mod verified_blob;

pub(crate) use manifests::Manifests;
pub(crate) use metadata::read_metadata;
pub(crate) use stored_blob::StoredBlob;
pub(crate) use verified_blob::VerifiedBlob;
