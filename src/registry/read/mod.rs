//! Read operations: blobs, manifests, tags, referrers, a registry's root, and documents of other
//! web servers.
//!
//! Each file adds its operations to `Client`. Nothing here changes a registry or uses files:
//! bytes are returned to the caller, which stores them. This module must not depend on `write`.

mod documents;
mod download;
mod download_way;
mod manifest;
mod paging;
mod parts;
mod ping;
mod presence;
mod ranges;
mod referrers;
mod survey;
mod tags;

pub use documents::DocumentRequest;
pub use download::BlobDownload;
pub(super) use manifest::CONTENT_DIGEST;
pub use manifest::{Fetched, ManifestHead, Selector};
pub use ping::{Authentication, Ping};
pub(super) use ranges::blob_name;
pub use referrers::{Referrer, Referrers, ReferrersSource};
pub use survey::{Known, Software};
