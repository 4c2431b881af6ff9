//! Write operations: blobs, mounted from another repository or uploaded, and manifests.
//!
//! Each file adds its operations to `Client`, and may read back what a registry claims to have
//! stored (`read`). The caller supplies a blob's bytes and stores sessions between two runs: this
//! module must not depend on files.

mod blob;
mod location;
mod probe;
mod push;
mod session;
mod transfer;
mod upload;
mod upload_way;

pub use blob::{BlobSource, BlobUpload, PositionListener, Uploaded};
pub use probe::Removal;
pub use push::PushedManifest;
pub use session::{MemorySessions, SessionStore, SessionTextError, UploadSession};
pub use upload::Mount;
