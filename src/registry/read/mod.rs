//! Reading.

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
pub(in crate::registry) use download::blob_name;
pub(in crate::registry) use manifest::CONTENT_DIGEST;
pub use manifest::{Fetched, ManifestHead, Selector};
pub(in crate::registry) use parts::Verdict;
pub use ping::{Authentication, Ping};
pub use referrers::{Referrer, Referrers, ReferrersSource};
