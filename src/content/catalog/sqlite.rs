//! Indexes the database of the 4.5-4.10 era (docs/oc-compatibility.md, section 7.3): rows in, the
//! index out.
//!
//! Migrations changed the database over the years: tables and columns that they added may be
//! missing. Read as `oc` and `opm` read it: triggers are ignored, NULLs and empty texts are absent,
//! an invalid property is a [`Problem`]. A database from before the first migration has no
//! `related_image`: then the images come from the ClusterServiceVersions, from which that migration
//! fills the table.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{
    Bundle, Catalog, CatalogError, CatalogLimits, Channel, Entry, Gvk, NamedBy, Package, Place,
    Problem, RelatedImage, RequiredPackage,
};

use serde_json::Value;

use crate::content::go_json;

/// A row: one text for each requested column; `None` for NULL.
pub type Row = Vec<Option<String>>;

/// Access to the tables of a database, implemented by the module that opens databases.
pub trait Tables {
    /// True if the table exists and has the column.
    fn has(&self, table: &str, column: &str) -> bool;

    /// Passes every row of a table to `each`, in the database's order.
    ///
    /// # Errors
    ///
    /// When the database is damaged, and errors that `each` returns.
    fn rows(
        &self,
        table: &str,
        columns: &[&str],
        each: &mut dyn FnMut(Row) -> Result<(), CatalogError>,
    ) -> Result<(), CatalogError>;
}

/// Reads the index from a database; `file` is its name, for messages.
///
/// # Errors
///
/// When the database has no table of bundles, is damaged, or exceeds a limit.
pub fn read(file: &str, tables: &dyn Tables) -> Result<Catalog, CatalogError> {
    let (table, column) = ("operatorbundle", "name");
    if !tables.has(table, column) {
        let message = format!("it has no table `{table}` with a column `{column}`");
        return Err(CatalogError::Database { message });
    }
    let mut reader = Reader {
        file: Arc::from(file),
        tables,
        kept: 0,
        rows: 0,
        catalog: Catalog::default(),
        bundles: BTreeMap::new(),
    };
    reader.packages()?;
    let packages_of = reader.channels()?;
    reader.bundles()?;
    reader.related_images()?;
    reader.properties(&packages_of)?;
    Ok(reader.finish(packages_of))
}

/// The package of each bundle that is in a channel.
type PackagesOf = BTreeMap<String, String>;

/// Approximate memory in bytes of a text, besides its own length.
const EACH: usize = 64;

struct Reader<'a> {
    file: Arc<str>,
    tables: &'a dyn Tables,
    kept: usize,
    rows: u64,
    catalog: Catalog,
    bundles: BTreeMap<String, Bundle>,
}

impl Reader<'_> {
    /// Reads the columns that exist; the others are `None` in every row.
    fn rows(&mut self, table: &str, columns: &[&str]) -> Result<Vec<Row>, CatalogError> {
        let there: Vec<bool> = columns.iter().map(|c| self.tables.has(table, c)).collect();
        let columns = columns.iter().zip(&there);
        let existing: Vec<&str> = columns
            .filter(|(_, there)| **there)
            .map(|(c, _)| *c)
            .collect();
        let mut rows = Vec::new();
        if existing.is_empty() {
            return Ok(rows);
        }
        let (kept, count) = (&mut self.kept, &mut self.rows);
        self.tables.rows(table, &existing, &mut |row| {
            let length: usize = row
                .iter()
                .map(|t| t.as_ref().map_or(0, String::len) + EACH)
                .sum();
            *kept = kept.saturating_add(length);
            *count = count.saturating_add(1);
            let refuse = |what: &str| CatalogError::Database {
                message: format!("the table `{table}` exceeds a limit: {what}"),
            };
            if *kept > CatalogLimits::INDEX {
                return Err(refuse("its texts are too long"));
            }
            if *count > CatalogLimits::DOCUMENTS {
                return Err(refuse("it has too many rows"));
            }
            let mut row = row.into_iter();
            let cell = |there: &bool| if *there { row.next().flatten() } else { None };
            let whole: Row = there.iter().map(cell).collect();
            rows.push(
                whole
                    .into_iter()
                    .map(|t| t.filter(|t| !t.is_empty()))
                    .collect(),
            );
            Ok(())
        })?;
        Ok(rows)
    }

    /// Charges copies of texts to the limit: one text of a row may be copied many times.
    fn charge(&mut self, texts: usize, bytes: usize) -> Result<(), CatalogError> {
        let weight = texts.saturating_mul(EACH).saturating_add(bytes);
        self.kept = self.kept.saturating_add(weight);
        match self.kept > CatalogLimits::INDEX {
            true => {
                let limit = CatalogLimits::INDEX as u64;
                let what = "bytes of names";
                Err(CatalogError::TooMuch { what, limit })
            }
            false => Ok(()),
        }
    }

    fn place(&self, table: &'static str, number: usize) -> Place {
        Place {
            file: Arc::clone(&self.file),
            table: Some(table),
            number: number as u64,
        }
    }

    fn packages(&mut self) -> Result<(), CatalogError> {
        let rows = self.rows("package", &["name", "default_channel"])?;
        for (number, row) in (1..).zip(rows) {
            let [Some(name), default_channel] = cells(row) else {
                continue;
            };
            self.catalog.packages.push(Package {
                name,
                default_channel,
                place: self.place("package", number),
            });
        }
        Ok(())
    }

    /// Reads channels with their entries. A bundle has one row for each bundle that it replaces;
    /// all but the first of these are skips.
    fn channels(&mut self) -> Result<PackagesOf, CatalogError> {
        let mut channels: BTreeMap<(String, String), Channel> = BTreeMap::new();
        let rows = self.rows("channel", &["package_name", "name"])?;
        for (number, row) in (1..).zip(rows) {
            let [Some(package), Some(name)] = cells(row) else {
                continue;
            };
            let channel = Channel {
                package: package.clone(),
                name: name.clone(),
                entries: Vec::new(),
                place: self.place("channel", number),
            };
            channels.entry((package, name)).or_insert(channel);
        }
        let mut names = BTreeMap::new();
        let rows = self.rows("channel_entry", &["entry_id", "operatorbundle_name"])?;
        for row in rows {
            if let [Some(id), Some(name)] = cells(row) {
                names.insert(id, name);
            }
        }
        let columns = [
            "package_name",
            "channel_name",
            "operatorbundle_name",
            "replaces",
        ];
        let rows = self.rows("channel_entry", &columns)?;
        let mut packages_of = PackagesOf::new();
        let mut entries: BTreeMap<(String, String), BTreeMap<String, Entry>> = BTreeMap::new();
        for row in rows {
            let [Some(package), Some(channel), Some(name), replaces] = cells(row) else {
                continue;
            };
            let of = packages_of
                .entry(name.clone())
                .or_insert_with(|| package.clone());
            if *of != package {
                let esc = |text: &str| {
                    text.chars()
                        .take(200)
                        .collect::<String>()
                        .escape_debug()
                        .to_string()
                };
                let (name, one, other) = (esc(&name), esc(of), esc(&package));
                let message =
                    format!("the bundle `{name}` is in two packages, `{one}` and `{other}`");
                return Err(CatalogError::Database { message });
            }
            let entries = entries.entry((package, channel)).or_default();
            let entry = entries.entry(name.clone()).or_insert_with(|| Entry {
                name,
                ..Entry::default()
            });
            // `replaces` is the ID of another entry.
            let below = replaces.and_then(|id| names.get(&id));
            self.charge(1, below.map_or(0, String::len))?;
            match below.cloned() {
                Some(below) if entry.replaces.is_none() => entry.replaces = Some(below),
                Some(below) if entry.replaces.as_ref() != Some(&below) => entry.skips.push(below),
                _ => {}
            }
        }
        for (key, entries) in entries {
            if let Some(channel) = channels.get_mut(&key) {
                channel.entries.extend(entries.into_values());
            }
        }
        self.catalog.channels.extend(channels.into_values());
        Ok(packages_of)
    }

    fn bundles(&mut self) -> Result<(), CatalogError> {
        let columns = [
            "name",
            "bundlepath",
            "version",
            "skiprange",
            "replaces",
            "skips",
        ];
        let rows = self.rows("operatorbundle", &columns)?;
        let mut edges = BTreeMap::new();
        for (number, row) in (1..).zip(rows) {
            let [Some(name), image, version, skip_range, replaces, skips] = cells(row) else {
                continue;
            };
            edges.insert(name.clone(), (skip_range, replaces, skips));
            let bundle = Bundle {
                package: String::new(),
                name: name.clone(),
                image,
                version,
                related_images: Vec::new(),
                required_packages: Vec::new(),
                required_apis: Vec::new(),
                provided_apis: Vec::new(),
                has_constraints: false,
                object_files: Vec::new(),
                place: self.place("operatorbundle", number),
            };
            self.bundles.insert(name, bundle);
        }
        // The bundle's own values win over the rows of the channel, which the loader derived.
        let mut channels = std::mem::take(&mut self.catalog.channels);
        for entry in channels.iter_mut().flat_map(|channel| &mut channel.entries) {
            let Some((skip_range, replaces, skips)) = edges.get(&entry.name) else {
                continue;
            };
            let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
            let texts = skips.as_ref().map_or(0, |skips| skips.split(',').count());
            let bytes = length(skip_range) + length(replaces) + length(skips);
            self.charge(texts.saturating_add(2), bytes)?;
            entry.skip_range.clone_from(skip_range);
            if let Some(skips) = skips {
                entry.skips = skips.split(',').map(|s| s.trim().to_owned()).collect();
                if replaces.is_some() {
                    entry.replaces.clone_from(replaces);
                }
            }
        }
        self.catalog.channels = channels;
        Ok(())
    }

    /// Adds the images in the bundles' ClusterServiceVersions.
    fn images_of_csvs(&mut self) -> Result<(), CatalogError> {
        if !self.tables.has("operatorbundle", "csv") {
            return Ok(());
        }
        let mut found: Vec<(String, BTreeSet<String>)> = Vec::new();
        let tables = self.tables;
        tables.rows("operatorbundle", &["name", "csv"], &mut |row| {
            if let [Some(name), Some(csv)] = cells(row) {
                let images = csv_images(&csv);
                let bytes = images.iter().map(String::len).sum();
                self.charge(images.len(), bytes)?;
                found.push((name, images));
            }
            Ok(())
        })?;
        for (name, images) in found {
            let Some(bundle) = self.bundles.get_mut(&name) else {
                continue;
            };
            let images = images.into_iter().map(|image| RelatedImage {
                name: String::new(),
                image,
            });
            bundle.related_images.extend(images);
        }
        Ok(())
    }

    fn related_images(&mut self) -> Result<(), CatalogError> {
        if !self.tables.has("related_image", "image") {
            return self.images_of_csvs();
        }
        let rows = self.rows("related_image", &["image", "operatorbundle_name"])?;
        let schema: Arc<str> = "related_image".into();
        for (number, row) in (1..).zip(rows) {
            let [Some(image), bundle] = cells(row) else {
                self.catalog.empty_images = self.catalog.empty_images.saturating_add(1);
                continue;
            };
            match bundle.as_ref().and_then(|name| self.bundles.get_mut(name)) {
                Some(bundle) => bundle.related_images.push(RelatedImage {
                    name: String::new(),
                    image,
                }),
                // Images of bundles that no longer exist are mirrored too, as in `oc`.
                None => {
                    let named_by = NamedBy::Document {
                        schema: Arc::clone(&schema),
                        package: None,
                        name: bundle.map(Into::into),
                        place: self.place("related_image", number),
                    };
                    self.catalog.other_images.push((named_by, image));
                }
            }
        }
        Ok(())
    }

    fn properties(&mut self, packages_of: &PackagesOf) -> Result<(), CatalogError> {
        for table in ["properties", "dependencies"] {
            let rows = self.rows(table, &["type", "value", "operatorbundle_name"])?;
            for (number, row) in (1..).zip(rows) {
                let [Some(kind), Some(value), Some(name)] = cells(row) else {
                    continue;
                };
                let place = self.place(table, number);
                if let Some(bundle) = self.bundles.get_mut(&name)
                    && let Err(wrong) = property(table, &kind, &value, bundle)
                {
                    let problem = Problem::Property {
                        package: packages_of.get(&name).cloned().unwrap_or_default(),
                        bundle: name,
                        kind: kind.chars().take(100).collect(),
                        wrong: wrong.to_owned(),
                        place,
                    };
                    self.charge(1, problem.to_string().len())?;
                    self.catalog.problems_found.push(problem);
                }
            }
        }
        Ok(())
    }

    /// Assigns each bundle its package. A bundle in no channel has none: it cannot be installed,
    /// but its images are mirrored.
    fn finish(self, mut packages_of: PackagesOf) -> Catalog {
        let mut catalog = self.catalog;
        for (name, mut bundle) in self.bundles {
            bundle.related_images.sort();
            bundle.related_images.dedup();
            for list in [&mut bundle.required_apis, &mut bundle.provided_apis] {
                list.sort();
                list.dedup();
            }
            bundle.required_packages.sort();
            bundle.required_packages.dedup();
            bundle.package = packages_of.remove(&name).unwrap_or_default();
            catalog.bundles.push(bundle);
        }
        catalog.sort();
        catalog
    }
}

/// Converts a row to an array; missing cells are `None`.
fn cells<const N: usize>(row: Row) -> [Option<String>; N] {
    let mut row = row.into_iter();
    std::array::from_fn(|_| row.next().flatten())
}

/// Reads version and dependencies from a property. In the table `dependencies`, the types
/// `olm.package` and `olm.gvk` mean what `olm.package.required` and `olm.gvk.required` mean in
/// `properties`.
fn property(table: &str, kind: &str, value: &str, bundle: &mut Bundle) -> Result<(), &'static str> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Value {
        #[serde(default)]
        group: String,
        #[serde(default)]
        version: String,
        #[serde(default)]
        kind: String,
        #[serde(default)]
        package_name: String,
        #[serde(default)]
        version_range: String,
    }
    const FIELDS: [&str; 5] = ["group", "version", "kind", "packageName", "versionRange"];
    let needs = table == "dependencies";
    let kind = match (kind, needs) {
        ("olm.package", true) | ("olm.package.required", false) => Kind::RequiredPackage,
        ("olm.gvk", true) | ("olm.gvk.required", false) => Kind::RequiredApi,
        ("olm.gvk", false) => Kind::ProvidedApi,
        ("olm.package", false) => Kind::Version,
        ("olm.constraint", _) => {
            bundle.has_constraints = true;
            return Ok(());
        }
        _ => return Ok(()),
    };
    let value: Value = go_json::read(value.as_bytes(), &FIELDS)
        .map_err(|_| "its value does not have the expected form")?;
    let api = Gvk {
        group: value.group,
        version: value.version.clone(),
        kind: value.kind,
    };
    match kind {
        Kind::Version if bundle.version.is_none() && !value.version.is_empty() => {
            bundle.version = Some(value.version);
        }
        Kind::Version => {}
        Kind::RequiredApi => bundle.required_apis.push(api),
        Kind::ProvidedApi => bundle.provided_apis.push(api),
        Kind::RequiredPackage => bundle.required_packages.push(RequiredPackage {
            name: value.package_name,
            // The old table writes the range as `version`.
            version_range: Some(value.version_range)
                .filter(|range| !range.is_empty())
                .unwrap_or(value.version),
        }),
    }
    Ok(())
}

enum Kind {
    Version,
    RequiredPackage,
    RequiredApi,
    ProvidedApi,
}

/// The images in a ClusterServiceVersion: its related images and those of its deployments. Empty if
/// the text is not JSON: `opm` leaves such a bundle unchanged.
fn csv_images(text: &str) -> BTreeSet<String> {
    let csv: Value = serde_json::from_str(text).unwrap_or_default();
    let list = |value: &Value, path: &str| -> Vec<Value> {
        let list = value.pointer(path).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let mut named = list(&csv, "/spec/relatedImages");
    for deployment in list(&csv, "/spec/install/spec/deployments") {
        for containers in ["containers", "initContainers"] {
            let path = format!("/spec/template/spec/{containers}");
            named.extend(list(&deployment, &path));
        }
    }
    let images = named
        .iter()
        .filter_map(|named| named.get("image")?.as_str());
    let images = images.filter(|image| !image.is_empty());
    images.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
