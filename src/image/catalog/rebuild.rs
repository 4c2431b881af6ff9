//! Makes the image of a filtered catalog: the original image with two layers on top.
//!
//! The lower layer hides the original's catalog and its cache; the upper one holds the kept
//! documents, one file per package (docs/oc-compatibility.md, section 5.3). Every platform's image
//! gets the same two layers. Nothing depends on a clock or on the order of reading, so the same
//! original and the same filter give the same digest. Documents pass through a temporary file:
//! memory does not grow with the catalog.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::layer::{LayerWriter, MadeLayer, blob_of, copy, unwritable};
use super::{PlatformImage, contents, documents, refused};
use crate::bundle::write::made::MadeBlob;
use crate::content::catalog::{
    Catalog, Edit, Location, Place, ShellLine, serving, with_object_files, without_cache,
};
use crate::error::{Class, Error, Result};
use crate::image::Source;
use crate::model::{Descriptor, Digest, ManifestKind, MediaType, Platform, RawManifest, Reference};
use crate::oci::derive::{self, Command, NewLayer};
use crate::plan::catalog::{Kept, edits};
use crate::sys::media::Reader;
use crate::sys::spool::Spool;
use crate::{format::hash::sha256, oci};

/// Longest config of an image, in bytes.
const CONFIG: u64 = 4 << 20;

/// Annotations and labels that name the original image (OCI image-spec, annotations.md).
const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";
const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Label with the digest of the original list. Docker lists have no annotations that could hold
/// it, so their images carry it.
const ORIGINAL_LIST: &str = "airferry.catalog.original-list";

/// An image made by this program, with its manifests and new blobs.
#[derive(Debug)]
pub(crate) struct MadeImage {
    /// Digest of its top manifest.
    pub(crate) root: Digest,
    /// All its manifests, each with the platform that the index names for it.
    pub(crate) manifests: Vec<(RawManifest, Option<Platform>)>,
    /// Its blobs that the original does not have.
    pub(crate) blobs: Vec<MadeBlob>,
}

/// One platform's image of the original catalog.
struct Original {
    raw: RawManifest,
    platform: Option<Platform>,
    config: Vec<u8>,
    command: Command,
}

/// Makes the image of a filtered catalog. `platforms` are the wanted platforms; empty means all.
/// Blocks.
///
/// # Errors
///
/// When the original cannot be read again or is not built like an image, and when there is no room
/// for temporary files.
pub(crate) fn rebuild(
    source: &Source,
    image: &PlatformImage,
    reference: &Reference,
    catalog: &Catalog,
    kept: &Kept,
    platforms: &[Platform],
) -> Result<MadeImage> {
    let Location::Configs(directory) = &image.location else {
        return Err(cannot_filter_database(&image.name));
    };
    let root = source.manifest(&image.root)?;
    let originals = read_originals(source, image, &root, platforms)?;
    let caches: BTreeSet<String> = originals
        .iter()
        .filter_map(|original| cache_of(&original.command))
        .collect();
    let base = base_name(reference);
    let lower = hiding_layer(directory, &caches)?;
    let upper = catalog_layer(source, image, catalog, kept, directory)?;
    let layers = [
        new_layer(&lower, format!("airferry: hide /{directory} of {base}")),
        new_layer(
            &upper,
            format!("airferry: /{directory} with what is kept of it"),
        ),
    ];
    let derived = |error| {
        let message = format!(
            "The filtered image of the catalog {} cannot be made",
            image.name
        );
        Error::new(Class::VerificationFailed, message).caused_by(error)
    };
    let notes = |original: &Digest| -> BTreeMap<String, String> {
        let digest = (BASE_DIGEST.to_owned(), original.to_string());
        [digest, (BASE_NAME.to_owned(), base.clone())].into()
    };
    // Docker lists cannot hold annotations: their images name the original list instead.
    let list_notes = (root.media_type.as_str() == MediaType::DOCKER_LIST)
        .then(|| (ORIGINAL_LIST.to_owned(), root.digest.to_string()));
    let mut made = MadeImage {
        root: root.digest,
        manifests: Vec::new(),
        blobs: vec![lower.blob, upper.blob],
    };
    let mut children = BTreeMap::new();
    for original in originals {
        let mut notes = notes(&original.raw.digest);
        notes.extend(list_notes.clone());
        let command = &original.command;
        let served = serving(&command.entrypoint, &command.arguments, directory);
        let (entrypoint, arguments) = served.map_err(|error| shell_line(&image.name, error))?;
        let command = Command {
            entrypoint,
            arguments,
        };
        let config =
            derive::config(&original.config, &layers, &command, &notes).map_err(derived)?;
        let config = blob_of(&config)?;
        let descriptor = (config.digest, config.content.len());
        let media_type = original.raw.media_type;
        let bytes = derive::manifest(
            &original.raw.bytes,
            &media_type,
            descriptor,
            &layers,
            &notes,
        )
        .map_err(derived)?;
        let digest = sha256(&bytes);
        children.insert(original.raw.digest, (digest, bytes.len() as u64));
        if made.blobs.iter().all(|blob| blob.digest != config.digest) {
            made.blobs.push(config);
        }
        made.root = digest;
        let raw = RawManifest {
            digest,
            media_type,
            bytes,
        };
        made.manifests.push((raw, original.platform));
    }
    if !children.contains_key(&root.digest) {
        let media_type = root.media_type;
        let bytes = derive::index(&root.bytes, &media_type, &children, &notes(&root.digest))
            .map_err(derived)?;
        made.root = sha256(&bytes);
        let raw = RawManifest {
            digest: made.root,
            media_type,
            bytes,
        };
        made.manifests.push((raw, None));
    }
    Ok(made)
}

/// The error for a filter on a catalog that is a database.
pub(crate) fn cannot_filter_database(name: &str) -> Error {
    let message = format!("The catalog {name} is a sqlite database, which cannot be filtered");
    Error::usage(message).hint(
        "export the catalog unfiltered, or use a file-based catalog (FBC; published since 4.11)",
    )
}

/// Returns the name of the original for annotations. A tag replaces the digest: the digest has an
/// annotation of its own.
fn base_name(reference: &Reference) -> String {
    match (&reference.tag, reference.digest) {
        (Some(tag), _) => reference.repository.tagged(tag.clone()).to_string(),
        (None, _) => reference.to_string(),
    }
}

fn new_layer(layer: &MadeLayer, created_by: String) -> NewLayer {
    NewLayer {
        diff_id: layer.diff_id,
        digest: layer.blob.digest,
        size: layer.blob.content.len(),
        created_by,
    }
}

/// Returns the wanted images of the original. Children that are not images, such as attestations,
/// are left out: they describe images that change here.
fn read_originals(
    source: &Source,
    image: &PlatformImage,
    root: &RawManifest,
    platforms: &[Platform],
) -> Result<Vec<Original>> {
    let invalid = |error: &dyn std::error::Error| {
        let message = format!("The catalog {} cannot be read", image.name);
        Error::new(Class::VerificationFailed, message).caused_by(crate::error::chain(error))
    };
    let document = oci::parse(&root.bytes, Some(&root.media_type)).map_err(|e| invalid(&e))?;
    let mut waiting = Vec::new();
    if document.facts.kind == ManifestKind::Index {
        for child in document.facts.children {
            let platform = child.platform.clone();
            let known = platform
                .as_ref()
                .is_none_or(|p| p.to_string() != "unknown/unknown");
            let wanted = |platform: &Platform| platforms.iter().any(|p| p.selects(platform));
            let wanted = platforms.is_empty() || platform.as_ref().is_none_or(wanted);
            if known && wanted {
                waiting.push((source.manifest(&child.digest)?, platform));
            }
        }
    } else {
        waiting.push((root.clone(), None));
    }
    let mut originals: Vec<Original> = Vec::new();
    for (raw, platform) in waiting {
        if originals.iter().any(|known| known.raw.digest == raw.digest) {
            continue;
        }
        let document = oci::parse(&raw.bytes, Some(&raw.media_type)).map_err(|e| invalid(&e))?;
        let (Some(config), ManifestKind::Image) =
            (document.facts.blobs.first(), document.facts.kind)
        else {
            return Err(invalid(&nested(&raw.digest)));
        };
        if !is_image_config(config) {
            continue;
        }
        let config = source.small_blob(config, CONFIG)?;
        let command = Command::of(&config).map_err(|e| invalid(&e))?;
        originals.push(Original {
            raw: RawManifest {
                media_type: document.media_type,
                ..raw
            },
            platform,
            config,
            command,
        });
    }
    if originals.is_empty() {
        let message = format!(
            "The catalog {} has no image for these platforms",
            image.name
        );
        return Err(Error::usage(message).hint("check --platform"));
    }
    Ok(originals)
}

fn nested(digest: &Digest) -> std::io::Error {
    std::io::Error::other(format!("its index contains another index, {digest}"))
}

fn is_image_config(config: &Descriptor) -> bool {
    matches!(
        config.media_type.as_str(),
        "application/vnd.oci.image.config.v1+json"
            | "application/vnd.docker.container.image.v1+json"
    )
}

/// The error for a catalog whose command cannot be changed.
fn shell_line(name: &str, error: ShellLine) -> Error {
    Error::usage(format!("The catalog {name} cannot be filtered"))
        .caused_by(error)
        .hint("export it whole, without a filter: then its image is not changed")
        .hint("ask its publisher for an image that starts `opm serve` directly")
}

/// Returns the directory of the cache from which an image serves, without leading slash.
fn cache_of(command: &Command) -> Option<String> {
    let (_, in_entrypoint) = without_cache(&command.entrypoint);
    let (_, in_arguments) = without_cache(&command.arguments);
    let path: crate::oci::layer::ImagePath = in_arguments.or(in_entrypoint)?.parse().ok()?;
    Some(path.as_str().to_owned())
}

/// Makes the layer that hides the original's catalog and caches.
///
/// The parent directory of a hidden path becomes an entry of the layer, and this entry sets its
/// permissions. They are known for the root and for `tmp` only, so a cache elsewhere is not
/// hidden. That does no harm: the new image does not serve from it.
fn hiding_layer(directory: &str, caches: &BTreeSet<String>) -> Result<MadeLayer> {
    let mut hidden: BTreeSet<&str> = [directory].into();
    hidden.extend(caches.iter().map(String::as_str).filter(|cache| {
        let above = cache.rsplit_once('/').map(|(above, _)| above);
        let apart = *cache != directory && !directory.starts_with(&format!("{cache}/"));
        apart && matches!(above, None | Some("tmp"))
    }));
    let mut layer = LayerWriter::new()?;
    let mut added = BTreeSet::new();
    for path in hidden {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        directories(&mut layer, above, &mut added)?;
        let whiteout = match above {
            "" => format!(".wh.{name}"),
            above => format!("{above}/.wh.{name}"),
        };
        layer.file(&whiteout, 0, |_| Ok(()))?;
    }
    layer.finish()
}

/// Adds a directory and its parents, each once.
fn directories(layer: &mut LayerWriter, path: &str, added: &mut BTreeSet<String>) -> Result<()> {
    let ends = path.match_indices('/').map(|(at, _)| at);
    for end in ends.chain((!path.is_empty()).then_some(path.len())) {
        let directory = path.get(..end).unwrap_or_default();
        if added.insert(directory.to_owned()) {
            let mode = if directory == "tmp" { 0o1777 } else { 0o755 };
            layer.directory(directory, mode)?;
        }
    }
    Ok(())
}

/// Position of a document in the new layer. The order of the fields is the order of documents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Slot {
    /// Package of the document; `None` for the one file of documents without a package.
    package: Option<String>,
    kind: u8,
    name: String,
    place: Place,
}

/// Makes the layer that holds the kept documents.
fn catalog_layer(
    source: &Source,
    image: &PlatformImage,
    catalog: &Catalog,
    kept: &Kept,
    directory: &str,
) -> Result<MadeLayer> {
    let edits = edits(catalog, kept);
    let mut slots = slots(catalog);
    slots.retain(|place, _| edits.contains_key(place));
    for package in slots.values().filter_map(|slot| slot.package.as_ref()) {
        check_name(&image.name, package)?;
    }
    let mut spool = Spool::new()?;
    let kept = catalog.bundles.iter();
    let kept = kept.filter(|bundle| edits.contains_key(&bundle.place));
    let objects: BTreeSet<&str> = kept
        .flat_map(|bundle| bundle.object_files.iter().map(String::as_str))
        .collect();
    let objects = match objects.is_empty() {
        true => BTreeMap::new(),
        false => contents(source, image, &objects)?,
    };
    let pieces = collect(source, image, &edits, &slots, &objects, &mut spool)?;
    if pieces.len() != edits.len() {
        let message = format!(
            "The catalog {} changed while it was read: two reads of one digest differ",
            image.name
        );
        return Err(Error::new(Class::VerificationFailed, message));
    }
    let mut layer = LayerWriter::new()?;
    let mut added = BTreeSet::new();
    directories(&mut layer, directory, &mut added)?;
    // An opaque whiteout, for tools that read the catalog's directory alone and so do not see that
    // the lower layer hides it.
    layer.file(&format!("{directory}/.wh..wh..opq"), 0, |_| Ok(()))?;
    let mut pieces = pieces.into_iter().peekable();
    while let Some((first, _)) = pieces.peek() {
        let package = first.package.clone();
        let mut ranges = Vec::new();
        while let Some((_, range)) = pieces.next_if(|(slot, _)| slot.package == package) {
            ranges.push(range);
        }
        let path = match &package {
            None => format!("{directory}/catalog.json"),
            Some(package) => {
                let below = format!("{directory}/{package}");
                directories(&mut layer, &below, &mut added)?;
                format!("{below}/catalog.json")
            }
        };
        let size = ranges.iter().map(|(_, length)| length).sum();
        layer.file(&path, size, |take| {
            for (offset, length) in ranges {
                copy(&mut Reader::new(&spool, offset, length), take)?;
            }
            Ok(())
        })?;
    }
    layer.finish()
}

/// Reads the catalog again and writes its kept, edited documents to the spool. Returns offset and
/// length of each, in the order of the slots. `objects` are the object files to which bundles
/// refer; their content becomes part of the documents.
fn collect(
    source: &Source,
    image: &PlatformImage,
    edits: &BTreeMap<Place, Edit>,
    slots: &BTreeMap<Place, Slot>,
    objects: &BTreeMap<String, Vec<u8>>,
    spool: &mut Spool,
) -> Result<BTreeMap<Slot, (u64, u64)>> {
    let files: BTreeSet<&str> = edits.keys().map(|place| place.file.as_ref()).collect();
    let mut pieces = BTreeMap::new();
    documents(source, image, &files, &mut |document| {
        let place = &document.place;
        if let (Some(edit), Some(slot)) = (edits.get(place), slots.get(place)) {
            let text = edit
                .apply(&document)
                .and_then(|text| with_object_files(text, place, objects))
                .map_err(|error| refused(&image.name, error))?;
            let offset = spool.len();
            spool.write_all(text.as_bytes()).map_err(unwritable)?;
            spool.write_all(b"\n").map_err(unwritable)?;
            pieces.insert(slot.clone(), (offset, spool.len().saturating_sub(offset)));
        }
        Ok(())
    })?;
    Ok(pieces)
}

/// Returns the slot of every document.
fn slots(catalog: &Catalog) -> BTreeMap<Place, Slot> {
    let mut slots = BTreeMap::new();
    let mut add = |place: &Place, package: Option<&String>, kind, name: Option<&String>| {
        let slot = Slot {
            package: package.cloned(),
            kind,
            name: name.cloned().unwrap_or_default(),
            place: place.clone(),
        };
        slots.insert(place.clone(), slot);
    };
    for package in &catalog.packages {
        add(&package.place, Some(&package.name), 0, None);
    }
    for channel in &catalog.channels {
        add(
            &channel.place,
            Some(&channel.package),
            1,
            Some(&channel.name),
        );
    }
    for bundle in &catalog.bundles {
        add(&bundle.place, Some(&bundle.package), 2, Some(&bundle.name));
    }
    for deprecations in &catalog.deprecations {
        add(&deprecations.place, Some(&deprecations.package), 3, None);
    }
    for other in &catalog.others {
        add(&other.place, other.package.as_ref(), 4, other.name.as_ref());
    }
    slots
}

/// Refuses names of packages that cannot be names of directories.
fn check_name(catalog: &str, package: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let right = package.chars().all(allowed)
        && package.starts_with(|c: char| c.is_ascii_alphanumeric())
        && package.len() <= 200
        && package != "catalog.json";
    if right {
        return Ok(());
    }
    let package = package.chars().take(100).collect::<String>();
    let message = format!(
        "The catalog {catalog} has a package `{}`, which cannot be a directory's name",
        package.escape_debug()
    );
    Err(Error::new(Class::VerificationFailed, message))
}
