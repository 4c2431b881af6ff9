//! Releases of OKD and OpenShift, read from a mirror, from where they are published, or from a
//! bundle: which ones are meant, who signed them, what they are made of, and the programs in
//! them.

mod archive;
pub(crate) mod carried_signatures;
pub(crate) mod contents;
pub mod extract;
pub mod info;
mod line;
mod payload;
pub mod proof;
pub mod selection;
pub mod signatures;
mod text;
mod verification;

pub use line::{ComponentLine, ReleaseLine, SignedOver};
pub use payload::From;
pub use verification::{Verification, Vouching};
