//! Releases of OKD and OpenShift: what goes beyond carrying their images.

pub mod signatures;
