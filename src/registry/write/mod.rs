//! Writing.

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
pub(in crate::registry) use upload_way::UploadWay;
