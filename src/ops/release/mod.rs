//! Releases of OKD and OpenShift, read from a mirror, from the registry of their publisher, or
//! from a bundle: selects them, verifies their signatures, describes their components, and
//! extracts their programs.

mod archive;
pub mod extract;
pub mod info;
mod line;
mod payload;
pub mod proof;
mod release_txt;
pub mod selection;
pub mod signatures;
mod signer;
mod verification;

pub use line::{ComponentLine, ReleaseLine, SignedOver};
pub use payload::ReleaseOrigin;
pub use signer::ReleaseSigner;
pub use verification::{Accepted, Release, SignatureStatus, Verification};
