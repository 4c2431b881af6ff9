//! Opens a bundle: reads it from its root inwards, and reports what is wrong with it.

mod affected_images;
mod examine;
mod foreign_files;

pub(crate) use affected_images::AffectedImages;
pub(crate) use examine::{
    Bundle, Examination, Owner, Scope, UnsignedPolicy, Waivers, add_hints, examine, open_bundle,
    unreadable,
};
