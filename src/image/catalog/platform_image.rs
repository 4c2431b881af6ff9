//! Chooses the image out of which a catalog is read.

use super::refused;
use crate::content::catalog::{Location, labels_of, location};
use crate::error::{Class, Error, Result};
use crate::image::{Layers, Source};
use crate::model::{CatalogFormat, Descriptor, Digest, ManifestKind, Platform, RawManifest};
use crate::oci;
use crate::plan::index_filter::IndexFilter;

/// Longest config of an image that is read, in bytes.
const CONFIG: u64 = 4 << 20;

/// One platform's image of a catalog, and the location of the catalog in it.
#[derive(Debug, Clone)]
pub(crate) struct PlatformImage {
    /// Name of the catalog for errors.
    pub(crate) name: String,
    /// Digest of the top manifest to which the catalog's reference resolves.
    pub(crate) root: Digest,
    /// Platform of the image, if the index names it.
    pub(crate) platform: Option<Platform>,
    /// Path of the catalog in the image, and its format.
    pub(crate) location: Location,
    /// Layers of the image.
    pub(crate) layers: Layers,
}

impl PlatformImage {
    /// Selects the image of a catalog to read, and finds the catalog in it. Blocks.
    ///
    /// # Errors
    ///
    /// When the filter does not select exactly one image, and when the image holds no catalog.
    pub(crate) fn of(
        source: &Source,
        name: String,
        root: RawManifest,
        filter: &IndexFilter,
    ) -> Result<Self> {
        let digest = root.digest;
        let invalid = |error: oci::OciError| {
            let message = format!("The catalog {name} cannot be read");
            Error::new(Class::VerificationFailed, message).caused_by(error)
        };
        let mut facts = oci::parse(&root.bytes, Some(&root.media_type))
            .map_err(invalid)?
            .facts;
        let (mut manifest, mut platform) = (digest, None);
        if facts.kind == ManifestKind::Index {
            let child = filter.select(&facts.children).map_err(|error| {
                Error::usage(format!(
                    "The catalog {name} has several images, and none could be selected"
                ))
                .caused_by(error)
                .hint(
                    "name one of them with --index-filter-by-os; all of them hold the same catalog",
                )
            })?;
            (manifest, platform) = (child.digest, child.platform.clone());
            let raw = source.manifest(&manifest)?;
            facts = oci::parse(&raw.bytes, Some(&raw.media_type))
                .map_err(invalid)?
                .facts;
        }
        let mut blobs = facts.blobs.into_iter();
        let (Some(config), ManifestKind::Image) = (blobs.next(), facts.kind) else {
            let message = format!("The catalog {name}: {manifest} is not an image manifest");
            return Err(Error::new(Class::VerificationFailed, message));
        };
        let layers: Vec<Descriptor> = blobs.collect();
        let config = source.small_blob(&config, CONFIG)?;
        let labels = labels_of(&config).map_err(|error| refused(&name, error))?;
        let location = location(&labels).map_err(|error| refused(&name, error))?;
        let layers = Layers {
            name: name.clone(),
            layers,
        };
        Ok(Self {
            name,
            root: digest,
            platform,
            location,
            layers,
        })
    }

    /// Returns the format of the catalog.
    pub(crate) fn format(&self) -> CatalogFormat {
        match self.location {
            Location::Configs(_) => CatalogFormat::FileBased,
            Location::Database(_) => CatalogFormat::Sqlite,
        }
    }
}
