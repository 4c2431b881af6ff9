//! Releases of OKD and OpenShift, read from a mirror, from where they are published, or from a
//! bundle: who signed them, what they are made of, and the programs in them.

mod archive;
pub mod extract;
pub mod info;
mod payload;
pub mod proof;
pub mod signatures;
mod text;
mod verification;

pub use payload::From;
pub use verification::{Verification, Vouching};
