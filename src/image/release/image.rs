//! Reads an image of a release or component: a single manifest, or one out of a list.

use crate::error::{Class, Error, Result};
use crate::image::Source;
use crate::model::{Descriptor, Digest, ManifestFacts, ManifestKind, Platform};
use crate::oci;

/// A manifest that was read: of an image or of a list.
#[derive(Debug)]
pub(crate) struct Image {
    /// Its digest.
    pub(crate) digest: Digest,
    /// Its parsed content.
    pub(crate) facts: ManifestFacts,
    /// True if it was selected from a list.
    pub(crate) in_list: bool,
}

impl Image {
    /// Reads the manifest of an image or a list. Blocks.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or is neither an image nor a list.
    pub(crate) fn read(source: &Source, digest: &Digest, name: &str) -> Result<Self> {
        let raw = source.manifest(digest)?;
        let document = oci::parse(&raw.bytes, Some(&raw.media_type)).map_err(|error| {
            let message = format!("The manifest of {name} cannot be used");
            Error::new(Class::VerificationFailed, message).caused_by(error)
        })?;
        Ok(Self {
            digest: *digest,
            facts: document.facts,
            in_list: false,
        })
    }

    /// Reads the image for a platform. If a list lacks it, reads linux/amd64, or else the list's
    /// first image. Blocks.
    ///
    /// # Errors
    ///
    /// As [`Self::read`]; when the list has no images, or its entry is a list again.
    pub(crate) fn for_platform(
        source: &Source,
        digest: &Digest,
        platform: Option<&Platform>,
        name: &str,
    ) -> Result<Self> {
        let top = Self::read(source, digest, name)?;
        if top.facts.kind == ManifestKind::Image {
            return Ok(top);
        }
        let amd64 = Platform {
            os: "linux".to_owned(),
            architecture: "amd64".to_owned(),
            variant: None,
        };
        let find = |wanted: &Platform| {
            let mut children = top.facts.children.iter();
            children.find(|child| {
                let platform = child.platform.as_ref();
                platform.is_some_and(|platform| wanted.selects(platform))
            })
        };
        let child = platform.and_then(find).or_else(|| find(&amd64));
        let child = child.or_else(|| top.facts.children.first());
        let child = child.ok_or_else(|| {
            let message = format!("{name} is an index without images");
            Error::new(Class::VerificationFailed, message)
        })?;
        let image = Self::read(source, &child.digest, name)?;
        if image.facts.kind != ManifestKind::Image {
            let message = format!("{name} is an index of indexes");
            return Err(Error::new(Class::VerificationFailed, message));
        }
        Ok(Self {
            in_list: true,
            ..image
        })
    }

    /// Returns the layers, the lowest first.
    pub(crate) fn layers(&self) -> &[Descriptor] {
        self.facts.blobs.get(1..).unwrap_or_default()
    }

    /// Returns the sum of the layers' sizes in bytes, as stored.
    pub(crate) fn size(&self) -> u64 {
        let sizes = self.layers().iter().map(|layer| layer.size);
        sizes.fold(0, u64::saturating_add)
    }
}
