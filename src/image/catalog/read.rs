//! Reads a catalog out of its image.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::{PlatformImage, refused};
use crate::content::catalog::sqlite::{self, Row, Tables};
use crate::content::catalog::{
    Catalog, CatalogError, CatalogLimits, Document, Documents, Indexer, Location,
};
use crate::error::{Error, Result, chain};
use crate::image::{self, Caps, File, Source};
use crate::oci::layer::ImagePath;
use crate::sys::scratch::ScratchFile;
use crate::sys::sqlite::{Database, SqliteError};

/// Limit of one decompressed layer, in bytes: catalog images also hold `opm` and its cache.
const LAYER: u64 = 16 << 30;
/// First bytes of every SQLite database (sqlite.org/fileformat2.html, section 1.2).
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Limit of a database, in bytes. The largest published ones have a few hundred MiB.
const DATABASE: u64 = 1 << 30;

const CAPS: Caps = Caps {
    layer: LAYER,
    file: CatalogLimits::TOTAL,
    total: CatalogLimits::TOTAL,
};

/// Reads the index of a catalog. Blocks; memory does not depend on the catalog's size.
///
/// # Errors
///
/// When layers cannot be read or are broken, and when they hold no catalog.
pub(crate) fn read(source: &Source, image: &PlatformImage) -> Result<Catalog> {
    match &image.location {
        Location::Configs(path) => read_configs(source, image, &root(image, path)?),
        Location::Database(path) => read_database(source, image, &root(image, path)?),
    }
}

/// Passes every document of the named files to `take`, in no particular order. Blocks. Passes
/// nothing if the catalog is a database.
///
/// # Errors
///
/// As [`read`], and any error of `take`.
pub(crate) fn documents(
    source: &Source,
    image: &PlatformImage,
    files: &BTreeSet<&str>,
    take: &mut dyn FnMut(Document) -> Result<()>,
) -> Result<()> {
    let Location::Configs(path) = &image.location else {
        return Ok(());
    };
    each_file(source, image, &root(image, path)?, &mut |paths, content| {
        let Some(file) = paths.iter().find(|path| files.contains(path.as_str())) else {
            return Ok(());
        };
        for document in Documents::new(file, content) {
            take(document.map_err(|error| refused(&image.name, error))?)?;
        }
        Ok(())
    })
}

/// Returns the content of those of the named files that the catalog has. Blocks.
///
/// # Errors
///
/// As [`read`], and when the files exceed the limit of a catalog's index together: all are kept in
/// memory.
pub(crate) fn contents(
    source: &Source,
    image: &PlatformImage,
    files: &BTreeSet<&str>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut contents = BTreeMap::new();
    let Location::Configs(path) = &image.location else {
        return Ok(contents);
    };
    let mut left = CatalogLimits::INDEX as u64;
    each_file(source, image, &root(image, path)?, &mut |paths, content| {
        let wanted = paths.iter().filter(|path| files.contains(path.as_str()));
        let wanted: Vec<&String> = wanted.collect();
        if wanted.is_empty() {
            return Ok(());
        }
        let mut bytes = Vec::new();
        let mut part = content.take(left.saturating_add(1));
        let read = part.read_to_end(&mut bytes);
        let read = read.map_err(|error| Error::internal("A file cannot be read", error))?;
        let needed = (read as u64).saturating_mul(wanted.len() as u64);
        let Some(rest) = left.checked_sub(needed) else {
            let what = "bytes in files of bundles";
            let limit = CatalogLimits::INDEX as u64;
            return Err(refused(&image.name, CatalogError::TooMuch { what, limit }));
        };
        left = rest;
        contents.extend(wanted.into_iter().map(|path| (path.clone(), bytes.clone())));
        Ok(())
    })?;
    Ok(contents)
}

fn root(image: &PlatformImage, path: &str) -> Result<ImagePath> {
    path.parse().map_err(|error| {
        Error::usage(format!(
            "The label of the catalog {} names an invalid path",
            image.name
        ))
        .caused_by(error)
    })
}

/// Callback for one file: its paths below the catalog's directory, sorted, and its bytes.
type Take<'a> = dyn FnMut(&[String], &mut dyn Read) -> Result<()> + 'a;

fn each_file(
    source: &Source,
    image: &PlatformImage,
    root: &ImagePath,
    take: &mut Take<'_>,
) -> Result<()> {
    let wanted = [root.clone()];
    let missing = image::visit(
        source,
        &image.layers,
        &wanted,
        CAPS,
        &mut |file, content| {
            let below = |path: &ImagePath| path.below(root).map(str::to_owned);
            let mut paths: Vec<String> = file.paths.iter().filter_map(below).collect();
            paths.sort();
            take(&paths, content)
        },
    )?;
    match missing.is_empty() {
        true => Ok(()),
        false => Err(missing_at(image, root)),
    }
}

fn missing_at(image: &PlatformImage, path: &ImagePath) -> Error {
    let path = path.to_string();
    refused(&image.name, CatalogError::Missing { path })
}

fn read_configs(source: &Source, image: &PlatformImage, root: &ImagePath) -> Result<Catalog> {
    let refused = |error| refused(&image.name, error);
    let mut indexer = Indexer::new();
    each_file(source, image, root, &mut |paths, content| {
        // No path below the root: the catalog's path is a file instead of a directory.
        let Some((first, others)) = paths.split_first() else {
            return Err(missing_at(image, root));
        };
        indexer.add(first, content).map_err(refused)?;
        for other in others {
            indexer.add_alias(first, other);
        }
        Ok(())
    })?;
    indexer.finish().map_err(refused)
}

fn read_database(source: &Source, image: &PlatformImage, path: &ImagePath) -> Result<Catalog> {
    let mut found: Option<(ImagePath, ScratchFile)> = None;
    let caps = Caps {
        file: DATABASE,
        total: DATABASE,
        ..CAPS
    };
    let wanted = [path.clone()];
    let missing = image::visit(
        source,
        &image.layers,
        &wanted,
        caps,
        &mut |file: &File, content| {
            let Some(first) = file.paths.iter().min() else {
                return Ok(());
            };
            if file.paths.contains(path) {
                found = Some((path.clone(), ScratchFile::of(content, DATABASE)?));
                return Ok(());
            }
            // The label names a directory: take its first database by path, as `oc` does.
            if found.as_ref().is_some_and(|(known, _)| known < first) {
                return Ok(());
            }
            let mut begin = Vec::new();
            let read = (&mut *content)
                .take(MAGIC.len() as u64)
                .read_to_end(&mut begin);
            read.map_err(|error| Error::internal("A file cannot be read", error))?;
            if begin == MAGIC {
                let mut whole = begin.as_slice().chain(content);
                found = Some((first.clone(), ScratchFile::of(&mut whole, DATABASE)?));
            }
            Ok(())
        },
    )?;
    let (path, file) = match found {
        Some(found) => found,
        None if missing.is_empty() => {
            let message = format!(
                "`{}` contains no sqlite database",
                path.as_str().escape_debug()
            );
            return Err(refused(&image.name, CatalogError::Database { message }));
        }
        None => return Err(missing_at(image, path)),
    };
    let database = |error: SqliteError| {
        let message = chain(&error);
        refused(&image.name, CatalogError::Database { message })
    };
    let tables = DatabaseTables(Database::open(file.path()).map_err(database)?);
    sqlite::read(path.as_str(), &tables).map_err(|error| refused(&image.name, error))
}

/// Adapts a database to the catalog reader's [`Tables`].
struct DatabaseTables(Database);

/// An error of the database or of the catalog reader, passed through the row callback.
struct Either(CatalogError);

impl From<SqliteError> for Either {
    fn from(error: SqliteError) -> Self {
        let message = chain(&error);
        Self(CatalogError::Database { message })
    }
}

impl Tables for DatabaseTables {
    fn has(&self, table: &str, column: &str) -> bool {
        self.0.has(table, column)
    }

    fn rows(
        &self,
        table: &str,
        columns: &[&str],
        each: &mut dyn FnMut(Row) -> std::result::Result<(), CatalogError>,
    ) -> std::result::Result<(), CatalogError> {
        let rows = self
            .0
            .rows(table, columns, &mut |row| each(row).map_err(Either));
        rows.map_err(|Either(error)| error)
    }
}
