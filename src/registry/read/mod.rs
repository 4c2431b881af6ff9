//! What can be read: blobs, manifests, tags, referrers, a registry's root, and documents of other
//! web servers.
//!
//! Each file adds to `Client` what it reads. Nothing here changes a registry, and nothing here knows
//! files: bytes are delivered, and who keeps them is the caller's business. It does not know
//! `write`.

mod documents;
mod download;
mod manifest;
mod paging;
mod parts;
mod ping;
mod presence;
mod ranges;
mod referrers;
mod tags;

pub use documents::DocumentRequest;
pub use download::BlobDownload;
pub(super) use manifest::CONTENT_DIGEST;
pub use manifest::{Fetched, ManifestHead, Selector};
pub use ping::{Authentication, Ping};
pub(super) use ranges::blob_name;
pub use referrers::{Referrer, Referrers, ReferrersSource};
