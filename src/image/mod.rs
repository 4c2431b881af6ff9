//! Reads files of an image's visible tree, across layers, from a registry or a bundle.
//!
//! Everything here blocks: call it within [`crate::ops::blocking`]. Each layer is read once as a
//! stream, from the top down, in bounded memory; a file hidden by an upper layer is never passed
//! on. Links are followed inside the image: those on the wanted path itself, and those from a
//! wanted directory to files (not to directories, because such links can form cycles). If the
//! target of a link was already passed, its layer is read once more.
//!
//! The digest of a layer is verified only after its last byte. Callers must therefore not trust
//! what `visit` gives before it returns `Ok`, and must not store it under its final name.

mod bridge;
pub(crate) mod catalog;
pub(crate) mod release;
mod source;
mod walk;

use std::collections::BTreeMap;
use std::io::Read;

pub(crate) use bridge::blocking_reader;
pub(crate) use source::{BaseBlobs, Source};

use crate::error::{Class, Error, Result};
use crate::model::Descriptor;
use crate::oci::layer::ImagePath;

/// An image whose files are read.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    /// Name of the image for errors.
    pub(crate) name: String,
    /// Layers in the manifest's order, the lowest first.
    pub(crate) layers: Vec<Descriptor>,
}

/// Limits of reading.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caps {
    /// Bytes of one layer, decompressed.
    pub(crate) layer: u64,
    /// Bytes of one wanted file.
    pub(crate) file: u64,
    /// Bytes of all wanted files together; a file counts once for each of its names.
    pub(crate) total: u64,
}

/// A wanted file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    /// The paths under which it is wanted: its own, or those of links to it. Never empty.
    pub(crate) paths: Vec<ImagePath>,
    /// Its size in bytes.
    pub(crate) size: u64,
}

/// Passes every visible file at or below the wanted paths to `take`, in the order in which the
/// layers hold them. Returns the wanted paths at and below which there was no file.
///
/// # Errors
///
/// When a layer cannot be read, is broken, too large, or has another digest; when a wanted file is
/// larger than the caps, or layers contradict themselves about it, so that tools could extract
/// different files; any error of `take`.
pub(crate) fn visit(
    source: &Source,
    image: &Layers,
    wanted: &[ImagePath],
    caps: Caps,
    take: &mut dyn FnMut(&File, &mut dyn Read) -> Result<()>,
) -> Result<Vec<ImagePath>> {
    for layer in &image.layers {
        if !layer.media_type.as_str().contains(".tar") {
            let message = format!(
                "The image {} has the layer {} of the type `{}`, which is not a tar",
                image.name,
                layer.digest,
                layer.media_type.as_str().escape_debug()
            );
            return Err(Error::new(Class::VerificationFailed, message));
        }
    }
    let mut open = |index: usize| {
        let layer = image.layers.iter().rev().nth(index);
        layer.map(|layer| source.blob(layer)).transpose()
    };
    walk::Walk::new(&image.name, wanted, caps, take).run(&mut open)
}

/// Reads all visible files at or below the wanted paths into memory; meant for small files.
///
/// # Errors
///
/// As [`visit`].
pub(crate) fn collect(
    source: &Source,
    image: &Layers,
    wanted: &[ImagePath],
    caps: Caps,
) -> Result<BTreeMap<ImagePath, Vec<u8>>> {
    let mut files = BTreeMap::new();
    visit(source, image, wanted, caps, &mut |file, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|error| {
            Error::new(Class::VerificationFailed, "A file cannot be read").caused_by(error)
        })?;
        // The caps count the bytes once for each name, so these copies are counted too.
        if let Some((last, others)) = file.paths.split_last() {
            files.extend(others.iter().map(|path| (path.clone(), bytes.clone())));
            files.insert(last.clone(), bytes);
        }
        Ok(())
    })?;
    Ok(files)
}
