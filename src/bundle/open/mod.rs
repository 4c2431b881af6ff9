//! Opens a bundle: reads it from its root inwards, and reports what is wrong with it.

mod beside;
mod examine;
mod hits;

pub(crate) use examine::{
    Bundle, Examination, Owner, Scope, Unproven, Waivers, add_hints, examine, open_bundle,
    unreadable,
};
pub(crate) use hits::Hits;
