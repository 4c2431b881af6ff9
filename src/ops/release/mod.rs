//! Releases of OKD and OpenShift, read from a mirror, from where they are published, or from a
//! bundle: which ones are meant, who signed them, what they are made of, and the programs in
//! them.

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
pub use verification::{Accepted, Release, Verification, Vouching};
