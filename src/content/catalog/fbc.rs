//! Indexes file-based catalogs: reads every document of every file.
//!
//! Of a document, the fields of its schema are read (docs/oc-compatibility.md, section 7.1); of
//! documents with an unknown schema, the images, because they are mirrored too
//! (docs/oc-compatibility.md, section 4.1). Read as `opm` and `oc` read it; invalid fields that
//! only installing needs are a [`Problem`], not an error.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::sync::Arc;

use super::documents::{Document, Documents};
use super::object::{FaultText, Items, Object};
use super::object_files;
use super::{
    Bundle, Catalog, CatalogError, CatalogLimits, Channel, DeprecatedEntry, Deprecations, Entry,
    Gvk, IgnoreFile, NamedBy, Other, Package, Place, Problem, RelatedImage, RequiredPackage,
};

/// Maximum number of files with errors that are kept until all ignore files are known, since an
/// ignored file's errors do not count.
const MAX_BROKEN_FILES: usize = 10_000;

/// Maximum number of character comparisons for ignore files. A real catalog of 10 000 files needs a
/// thousandth; this many take minutes.
const IGNORE_WORK: usize = 200_000_000_000;

/// Schemas whose documents have fields of known types. All others are opaque, as in `opm`.
const KNOWN: [&str; 4] = [
    "olm.bundle",
    "olm.package",
    "olm.channel",
    "olm.deprecations",
];

/// Maximum number of lines of one ignore file that are reported as mistakes.
const BAD_LINES: usize = 10;

/// Builds the index from files in any order; the result does not depend on it.
///
/// An image may hold its files in any order, so an ignore file may come after the files that it
/// ignores. Which files belong to the catalog is decided in [`Indexer::finish`].
#[derive(Debug, Default)]
pub struct Indexer {
    catalog: Catalog,
    documents: u64,
    kept: usize,
    ignore: IgnoreFile,
    /// Invalid lines of ignore files.
    bad_lines: Vec<Problem>,
    /// Files with a document that cannot be read, and the error.
    broken: BTreeMap<String, CatalogError>,
    /// The other paths of files that have several.
    aliases: BTreeMap<String, Vec<String>>,
}

impl Indexer {
    /// An empty index.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or an ignore file; `file` is its path below the catalog's directory.
    ///
    /// # Errors
    ///
    /// When the file's bytes cannot be read, and when the catalog exceeds its limits. Errors in
    /// documents are reported by [`Indexer::finish`].
    pub fn add(&mut self, file: &str, reader: impl Read) -> Result<(), CatalogError> {
        if file.rsplit('/').next() == Some(IgnoreFile::NAME) {
            return self.add_ignore_file(file, reader);
        }
        for document in Documents::new(file, reader) {
            match document.and_then(|document| self.add_document(&document)) {
                Ok(()) => {}
                Err(error)
                    if error.concerns_one_document() && self.broken.len() < MAX_BROKEN_FILES =>
                {
                    self.broken.insert(file.to_owned(), error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Records another path of a file: the file is ignored only if all its paths are.
    pub fn add_alias(&mut self, file: &str, alias: &str) {
        let aliases = self.aliases.entry(file.to_owned()).or_default();
        aliases.push(alias.to_owned());
    }

    fn add_ignore_file(&mut self, file: &str, reader: impl Read) -> Result<(), CatalogError> {
        let mut bytes = Vec::new();
        let cap = CatalogLimits::IGNORE_FILES as u64;
        let mut reader = reader.take(cap.saturating_add(1));
        reader
            .read_to_end(&mut bytes)
            .map_err(|source| CatalogError::Read {
                file: file.to_owned(),
                source,
            })?;
        let directory = file.rsplit_once('/').map_or("", |(directory, _)| directory);
        let added = self.ignore.add(directory, &bytes);
        let bad = added.map_err(|source| CatalogError::IgnoreFile {
            file: file.to_owned(),
            source,
        })?;
        let shared: Arc<str> = Arc::from(file);
        let problems = bad.into_iter().take(BAD_LINES);
        let problems = problems.map(|bad| Problem::IgnoreLine {
            file: Arc::clone(&shared),
            line: bad.number,
            why: bad.why,
        });
        self.bad_lines.extend(problems);
        Ok(())
    }

    fn add_document(&mut self, document: &Document) -> Result<(), CatalogError> {
        self.documents = self.documents.saturating_add(1);
        if self.documents > CatalogLimits::DOCUMENTS {
            let limit = CatalogLimits::DOCUMENTS;
            return Err(CatalogError::TooMuch {
                what: "documents",
                limit,
            });
        }
        let record = Record::read(document).map_err(|message| CatalogError::Invalid {
            place: document.place.clone(),
            message,
        })?;
        self.kept = self.kept.saturating_add(record.weight());
        if self.kept > CatalogLimits::INDEX {
            let limit = CatalogLimits::INDEX as u64;
            return Err(CatalogError::TooMuch {
                what: "bytes of names",
                limit,
            });
        }
        record.put(&mut self.catalog);
        Ok(())
    }

    /// Returns the index of all files that were added and are not ignored.
    ///
    /// # Errors
    ///
    /// The error of the first file, by name, with a document that is not acceptable: it has no
    /// schema, a field that is read has another type, or it is too large.
    pub fn finish(self) -> Result<Catalog, CatalogError> {
        let Self {
            mut catalog,
            ignore,
            broken,
            aliases,
            bad_lines,
            ..
        } = self;
        let asked = Cell::new(0_usize);
        let ignores = |path: &str| {
            asked.set(asked.get().saturating_add(path.len()));
            ignore.work(asked.get()) <= IGNORE_WORK && ignore.ignores(path)
        };
        let ignored = |file: &str| {
            let aliases = aliases.get(file).map(Vec::as_slice).unwrap_or_default();
            ignores(file) && aliases.iter().all(|alias| ignores(alias))
        };
        let mut broken = broken.into_iter();
        let broken = broken.find(|(file, _)| !ignored(file));
        catalog.retain_files(&ignored);
        if ignore.work(asked.get()) > IGNORE_WORK {
            return Err(CatalogError::TooMuch {
                what: "comparisons of file names with lines of ignore files",
                limit: IGNORE_WORK as u64,
            });
        }
        if let Some((_, error)) = broken {
            return Err(error);
        }
        catalog.problems_found.extend(bad_lines);
        catalog.sort();
        Ok(catalog)
    }
}

/// The part of a document that the index keeps.
struct Record {
    kind: Kind,
    /// Images of a document that is not a bundle.
    images: Vec<(NamedBy, String)>,
    /// Problems in the document.
    problems: Vec<Problem>,
    /// Number of empty strings where images should be.
    empty_images: usize,
}

enum Kind {
    Package(Package),
    Channel(Channel),
    Bundle(Box<Bundle>),
    Deprecations(Deprecations),
    Other(Other),
}

impl Record {
    fn read(document: &Document) -> Result<Self, FaultText> {
        let object = Object::parse(&document.json)?;
        let place = document.place.clone();
        let Some(schema) = object.text("schema")? else {
            return Err("it has no `schema`".to_owned());
        };
        let (package, name) = (object.text("package")?, object.text("name")?);
        let items = Items::new();
        items.record_repeated_key(&object);
        let mut problems = Vec::new();
        let is_known = KNOWN.contains(&schema.as_str());
        let (image, (related_images, empty_images)) = match is_known {
            true => (object.text("image")?, related_images(&object, &items)?),
            false => (
                object.text("image").unwrap_or_default(),
                possible_related_images(&object, &items)?,
            ),
        };
        let kind = match schema.as_str() {
            "olm.bundle" => {
                let missing_keys = &mut MissingKeys::of(&place, "An olm.bundle", &mut problems);
                let mut bundle = Bundle {
                    package: missing_keys.or_empty(package, "package"),
                    name: missing_keys.or_empty(name, "name"),
                    image,
                    version: None,
                    related_images,
                    required_packages: Vec::new(),
                    required_apis: Vec::new(),
                    provided_apis: Vec::new(),
                    has_constraints: false,
                    object_files: Vec::new(),
                    place,
                };
                properties(&object, &items, &mut bundle, &mut problems)?;
                let repeated = document.repeated_key.clone().or(items.repeated_key());
                problems.extend(key_twice(repeated, &document.place));
                let kind = Kind::Bundle(Box::new(bundle));
                return Ok(Self {
                    kind,
                    images: Vec::new(),
                    problems,
                    empty_images,
                });
            }
            "olm.package" => Kind::Package(Package {
                name: MissingKeys::of(&place, "An olm.package", &mut problems)
                    .or_empty(name.clone(), "name"),
                default_channel: object.text("defaultChannel")?,
                place: place.clone(),
            }),
            "olm.channel" => {
                let missing_keys = &mut MissingKeys::of(&place, "An olm.channel", &mut problems);
                Kind::Channel(Channel {
                    package: missing_keys.or_empty(package.clone(), "package"),
                    name: missing_keys.or_empty(name.clone(), "name"),
                    entries: entries(&object, &items, &place, &mut problems)?,
                    place: place.clone(),
                })
            }
            "olm.deprecations" => {
                let missing_keys =
                    &mut MissingKeys::of(&place, "An olm.deprecations", &mut problems);
                Kind::Deprecations(Deprecations {
                    package: missing_keys.or_empty(package.clone(), "package"),
                    entries: deprecated(&object, &items, &place, &mut problems)?,
                    place: place.clone(),
                })
            }
            _ => Kind::Other(Other {
                schema: schema.clone(),
                package: package.clone(),
                name: name.clone(),
                place: place.clone(),
            }),
        };
        let repeated = document.repeated_key.clone().or(items.repeated_key());
        problems.extend(key_twice(repeated, &document.place));
        // All images share these strings.
        let named_by = NamedBy::Document {
            schema: schema.into(),
            package: package.map(Into::into),
            name: name.map(Into::into),
            place,
        };
        let related = related_images.into_iter().map(|related| related.image);
        let images = image.into_iter().chain(related);
        let images = images.map(|image| (named_by.clone(), image)).collect();
        Ok(Self {
            kind,
            images,
            problems,
            empty_images,
        })
    }

    /// Approximate memory in bytes of the record.
    fn weight(&self) -> usize {
        const EACH: usize = 64;
        let text = |text: &String| text.len() + EACH;
        let maybe = |text: &Option<String>| text.as_ref().map_or(0, String::len) + EACH;
        let kind: usize = match &self.kind {
            Kind::Package(package) => text(&package.name) + maybe(&package.default_channel),
            Kind::Channel(channel) => {
                let entry = |entry: &Entry| {
                    let skips: usize = entry.skips.iter().map(text).sum();
                    text(&entry.name) + maybe(&entry.replaces) + maybe(&entry.skip_range) + skips
                };
                let entries: usize = channel.entries.iter().map(entry).sum();
                text(&channel.package) + text(&channel.name) + entries
            }
            Kind::Bundle(bundle) => {
                let gvk = |gvk: &Gvk| text(&gvk.group) + text(&gvk.version) + text(&gvk.kind);
                let related = bundle.related_images.iter();
                let related: usize = related.map(|r| text(&r.name) + text(&r.image)).sum();
                let packages = bundle.required_packages.iter();
                let packages: usize = packages
                    .map(|p| text(&p.name) + text(&p.version_range))
                    .sum();
                let apis = bundle.required_apis.iter().chain(&bundle.provided_apis);
                let apis: usize = apis.map(gvk).sum();
                let own = text(&bundle.package) + text(&bundle.name);
                let files: usize = bundle.object_files.iter().map(text).sum();
                let own = own + maybe(&bundle.image) + maybe(&bundle.version) + files;
                own + related + packages + apis
            }
            Kind::Deprecations(deprecations) => {
                let entries = deprecations.entries.iter();
                let entries: usize = entries.map(|e| text(&e.schema) + maybe(&e.name)).sum();
                text(&deprecations.package) + entries
            }
            Kind::Other(other) => text(&other.schema) + maybe(&other.package) + maybe(&other.name),
        };
        let images = self.images.iter().map(|(_, image)| text(image) + 2 * EACH);
        let problems = self.problems.len().saturating_mul(8 * EACH);
        kind.saturating_add(images.sum()).saturating_add(problems)
    }

    fn put(self, catalog: &mut Catalog) {
        catalog.other_images.extend(self.images);
        catalog.problems_found.extend(self.problems);
        catalog.empty_images = catalog.empty_images.saturating_add(self.empty_images);
        match self.kind {
            Kind::Package(package) => catalog.packages.push(package),
            Kind::Channel(channel) => catalog.channels.push(channel),
            Kind::Bundle(bundle) => catalog.bundles.push(*bundle),
            Kind::Deprecations(deprecations) => catalog.deprecations.push(deprecations),
            Kind::Other(other) => catalog.others.push(other),
        }
    }
}

/// Collects problems about missing keys.
struct MissingKeys<'a> {
    place: &'a Place,
    what: &'static str,
    problems: &'a mut Vec<Problem>,
}

impl<'a> MissingKeys<'a> {
    fn of(place: &'a Place, what: &'static str, problems: &'a mut Vec<Problem>) -> Self {
        Self {
            place,
            what,
            problems,
        }
    }

    /// Returns the text; if it is missing, records a problem and returns an empty text.
    fn or_empty(&mut self, text: Option<String>, key: &'static str) -> String {
        text.unwrap_or_else(|| {
            self.note(key);
            String::new()
        })
    }

    fn note(&mut self, key: &'static str) {
        let (place, what) = (self.place.clone(), self.what);
        let problem = Problem::MissingKey { place, what, key };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

/// The problem of a document that has a duplicate key.
fn key_twice(key: Option<String>, place: &Place) -> Option<Problem> {
    let key = shortened(&key?);
    let place = place.clone();
    Some(Problem::KeyTwice { place, key })
}

/// Shortens an untrusted text for a problem.
fn shortened(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The related images, and the number of entries without an image.
fn related_images(
    object: &Object<'_>,
    items: &Items,
) -> Result<(Vec<RelatedImage>, usize), FaultText> {
    let (mut images, mut empty) = (Vec::new(), 0_usize);
    object.each(items, "relatedImages", &mut |related| {
        // Entries without an image are ignored; some generators write them.
        match related.text("image")? {
            Some(image) => {
                let name = related.text("name")?.unwrap_or_default();
                images.push(RelatedImage { name, image });
            }
            None => empty = empty.saturating_add(1),
        }
        Ok(())
    })?;
    Ok((images, empty))
}

/// The same for a document with an unknown schema, in which the field may have any type.
fn possible_related_images(
    object: &Object<'_>,
    items: &Items,
) -> Result<(Vec<RelatedImage>, usize), FaultText> {
    let (mut images, mut empty) = (Vec::new(), 0_usize);
    object.each_object(
        items,
        "relatedImages",
        &mut |related| match related.text("image") {
            Ok(Some(image)) => {
                let name = related.text("name").ok().flatten().unwrap_or_default();
                images.push(RelatedImage { name, image });
            }
            Ok(None) => empty = empty.saturating_add(1),
            Err(_) => {}
        },
    )?;
    Ok((images, empty))
}

fn entries(
    channel: &Object<'_>,
    items: &Items,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Result<Vec<Entry>, FaultText> {
    let mut missing_keys = MissingKeys::of(place, "An entry of an olm.channel", problems);
    let mut entries = Vec::new();
    channel.each(items, "entries", &mut |entry| {
        entries.push(Entry {
            name: missing_keys.or_empty(entry.text("name")?, "name"),
            replaces: entry.text("replaces")?,
            skips: entry.texts(items, "skips")?,
            skip_range: entry.text("skipRange")?,
        });
        Ok(())
    })?;
    Ok(entries)
}

fn deprecated(
    deprecations: &Object<'_>,
    items: &Items,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Result<Vec<DeprecatedEntry>, FaultText> {
    let mut missing_keys = MissingKeys::of(place, "An entry of an olm.deprecations", problems);
    let mut entries = Vec::new();
    deprecations.each(items, "entries", &mut |entry| {
        let Some(reference) = entry.object("reference") else {
            missing_keys.note("reference");
            return Ok(());
        };
        entries.push(DeprecatedEntry {
            schema: missing_keys.or_empty(reference.text("schema")?, "schema"),
            name: reference.text("name")?,
        });
        Ok(())
    })?;
    Ok(entries)
}

/// Reads version and dependencies from a bundle's properties. An invalid property is a problem, not
/// an error: `oc` mirrors such a bundle, and only installing needs the property.
fn properties(
    object: &Object<'_>,
    items: &Items,
    bundle: &mut Bundle,
    problems: &mut Vec<Problem>,
) -> Result<(), FaultText> {
    object.each(items, "properties", &mut |property| {
        let Some(kind) = property.text("type")? else {
            MissingKeys::of(&bundle.place, "A property of an olm.bundle", problems).note("type");
            return Ok(());
        };
        if let Err(wrong) = property_value(&kind, &property, bundle) {
            problems.push(Problem::Property {
                package: bundle.package.clone(),
                bundle: bundle.name.clone(),
                kind: shortened(&kind),
                wrong: shortened(&wrong),
                place: bundle.place.clone(),
            });
        }
        Ok(())
    })
}

fn property_value(kind: &str, property: &Object<'_>, bundle: &mut Bundle) -> Result<(), FaultText> {
    let value = || {
        let value = property.object("value");
        value.ok_or_else(|| "its value is not an object".to_owned())
    };
    match kind {
        "olm.package" => {
            // OLM refuses a second one; the first counts here.
            let version = value()?.text("version")?;
            bundle.version = bundle.version.take().or(version);
        }
        "olm.package.required" => {
            let value = value()?;
            bundle.required_packages.push(RequiredPackage {
                name: value
                    .text("packageName")?
                    .ok_or("it has no `packageName`")?,
                version_range: value.text("versionRange")?.unwrap_or_default(),
            });
        }
        "olm.gvk" => bundle.provided_apis.push(gvk(&value()?)?),
        "olm.gvk.required" => bundle.required_apis.push(gvk(&value()?)?),
        "olm.constraint" => bundle.has_constraints = true,
        object_files::PROPERTY => {
            let path = object_files::path_of(property, &bundle.place.file)?;
            bundle.object_files.extend(path);
        }
        _ => {}
    }
    Ok(())
}

fn gvk(value: &Object<'_>) -> Result<Gvk, FaultText> {
    Ok(Gvk {
        group: value.text("group")?.unwrap_or_default(),
        version: value.text("version")?.unwrap_or_default(),
        kind: value.text("kind")?.ok_or("it has no `kind`")?,
    })
}
