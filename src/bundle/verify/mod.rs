//! Verifies that every byte of a bundle is the one that its manifest implies, and accounts for
//! all of them.

mod accounting;
mod attributes;
mod content;

pub use accounting::Accounting;
pub(crate) use accounting::count_bytes;
pub(crate) use attributes::list_attributes;
pub(crate) use content::check_content;
