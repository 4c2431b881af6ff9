//! What can be written: blobs, mounted from another repository or uploaded, and manifests.
//!
//! Each file adds to `Client` what it writes. It reads back what a registry says that it has taken
//! (`read`). Where a blob's bytes come from, and where sessions are kept between two runs, is the
//! caller's: this room knows no files.

mod blob;
mod location;
mod push;
mod session;
mod transfer;
mod upload;
mod upload_way;

pub use blob::{BlobSource, BlobUpload, PositionListener, Uploaded};
pub use push::PushedManifest;
pub use session::{MemorySessions, SessionStore, SessionTextError, UploadSession};
pub use upload::Mount;
