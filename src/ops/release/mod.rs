//! Releases of OKD and OpenShift: which ones are meant, what they are made of, who vouches for
//! them.

mod line;
pub(crate) mod payload;
pub mod selection;
pub mod signatures;
pub mod verification;

pub use line::{ComponentLine, ReleaseLine, SignedOver};
