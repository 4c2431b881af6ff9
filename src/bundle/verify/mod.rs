//! Whether every byte of a bundle is what its manifest says, and where it belongs.

mod accounting;
mod content;

pub use accounting::Accounting;
pub(crate) use accounting::count_bytes;
pub(crate) use content::check_content;
