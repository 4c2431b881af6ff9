//! Applies `--leave-out` to the images of catalogs and to references that were named one by one.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::catalog::{Catalog, CatalogImages, NamedBy};
use crate::error::{Class, Error, Result};
use crate::model::{CatalogMember, Digest, LeftOut, MalformedImage, NeededBy, Reference};
use crate::plan::leave_out::{LeaveOut, near};

/// What was left out, and the names that there were to choose from.
#[derive(Debug, Default)]
pub(super) struct LeftOuts {
    rows: BTreeMap<String, LeftOut>,
    bundles: BTreeSet<String>,
    packages: BTreeSet<String>,
    images: BTreeSet<LeaveOut>,
}

impl LeftOuts {
    /// Adds what was found in one catalog.
    pub(super) fn extend(&mut self, other: Self) {
        self.rows.extend(other.rows);
        self.bundles.extend(other.bundles);
        self.packages.extend(other.packages);
        self.images.extend(other.images);
    }

    /// Remembers the names in a catalog, before anything is filtered.
    pub(super) fn note_names(&mut self, catalog: &Catalog) {
        for bundle in &catalog.bundles {
            self.bundles.insert(bundle.name.clone());
            self.packages.insert(bundle.package.clone());
        }
        let of_documents = catalog.other_images.iter().filter_map(|(by, _)| match by {
            NamedBy::Document { package, .. } => package.as_deref(),
            NamedBy::Bundle { package, .. } => Some(&**package),
        });
        self.packages.extend(of_documents.map(str::to_owned));
    }

    /// Returns the images of a catalog without those that are left out.
    pub(super) fn take_from(
        &mut self,
        catalog: &mut Catalog,
        rules: &BTreeSet<LeaveOut>,
    ) -> CatalogImages {
        let mut images = catalog.images();
        if rules.is_empty() {
            return images;
        }
        let is_out = |name: &str, package: &str| rules.iter().any(|r| r.is_bundle(name, package));
        catalog.bundles.retain(|b| !is_out(&b.name, &b.package));
        catalog.other_images.retain(|(by, _)| match by {
            NamedBy::Document { package, .. } => {
                !rules.iter().any(|rule| rule.is_package(package.as_deref()))
            }
            NamedBy::Bundle { name, package } => !is_out(name, package),
        });
        let rest = catalog.images();
        let kept = rest.images.iter().map(|image| image.text.as_str());
        let kept = kept.chain(rest.bad.iter().map(|bad| bad.text.as_str()));
        let kept: BTreeSet<&str> = kept.collect();
        let members = images.members();
        let named = members
            .iter()
            .map(|m: &CatalogMember| (m.written.as_str(), &m.needed_by));
        let malformed = images.malformed();
        let bad = malformed
            .iter()
            .map(|m: &MalformedImage| (m.text.as_str(), &m.needed_by));
        let mut out: BTreeSet<String> = BTreeSet::new();
        for (text, needed_by) in named.chain(bad) {
            let by_pattern = rules.iter().find(|rule| rule.is_image(text));
            if let Some(rule) = by_pattern {
                self.images.insert(rule.clone());
            }
            let by_name = || {
                let mut rules = rules.iter();
                let found = rules.find(|rule| {
                    rule.is_needed_by(needed_by)
                        || needed_by
                            .iter()
                            .any(|row| rule.is_package(row.package.as_deref()))
                });
                found.filter(|_| !kept.contains(text))
            };
            if let Some(rule) = by_pattern.or_else(by_name) {
                self.add(text, rule, needed_by);
                out.insert(text.to_owned());
            }
        }
        images.images.retain(|image| !out.contains(&image.text));
        images.bad.retain(|bad| {
            let shown = bad.to_inventory().text;
            !out.contains(&bad.text) && !out.contains(&shown)
        });
        images
    }

    fn add(&mut self, image: &str, rule: &LeaveOut, needed_by: &[NeededBy]) {
        let row = LeftOut {
            by: rule.to_string(),
            image: image.to_owned(),
            needed_by: needed_by.to_vec(),
        };
        self.rows.insert(row.image.clone(), row);
    }

    /// Refuses bundles and packages that no catalog has.
    pub(super) fn check_known(&self, rules: &BTreeSet<LeaveOut>) -> Result<()> {
        for rule in rules {
            let (what, name, known) = match rule {
                LeaveOut::Bundle(name) => ("bundle", name, &self.bundles),
                LeaveOut::Package(name) => ("package", name, &self.packages),
                LeaveOut::Image(_) => continue,
            };
            if known.contains(name) {
                continue;
            }
            let message = format!("No catalog here has a {what} `{}`", name.escape_debug());
            let error = Error::usage(message);
            let near: Vec<String> = near(name, known).iter().map(|n| format!("`{n}`")).collect();
            return Err(match near.is_empty() {
                true => error.hint("`airferry catalog list` shows packages and bundles"),
                false => error.hint(format!("did you mean {}?", near.join(" or "))),
            });
        }
        Ok(())
    }

    /// Leaves out references that were named one by one, and returns all rows. `fixed` are images
    /// that cannot be left out: releases with their components, and catalogs.
    pub(super) fn finish(
        mut self,
        rules: &BTreeSet<LeaveOut>,
        references: &mut BTreeMap<Reference, Option<Digest>>,
        fixed: &BTreeSet<Reference>,
    ) -> Result<Vec<LeftOut>> {
        for rule in rules {
            if let Some(image) = fixed.iter().find(|image| rule.is_image(&image.to_string())) {
                let message = format!("`--leave-out {rule}` covers `{image}`");
                return Err(Error::usage(message).hint(
                    "a release is carried whole or not at all, and a catalog with its own image; \
                     narrow the pattern",
                ));
            }
        }
        let mut out = Vec::new();
        for reference in references.keys() {
            let text = reference.to_string();
            if let Some(rule) = rules.iter().find(|rule| rule.is_image(&text)) {
                self.images.insert(rule.clone());
                out.push((reference.clone(), rule));
            }
        }
        for (reference, rule) in out {
            references.remove(&reference);
            self.add(&reference.to_string(), rule, &[]);
        }
        let is_unused =
            |rule: &&LeaveOut| matches!(rule, LeaveOut::Image(_)) && !self.images.contains(rule);
        if let Some(rule) = rules.iter().find(is_unused) {
            let message = format!("No image matches `--leave-out {rule}`");
            return Err(Error::usage(message).hint(
                "a pattern is compared with whole references; `*` stands for any characters",
            ));
        }
        if references.is_empty() {
            return Err(Error::usage(
                "Everything was left out: nothing remains to export",
            ));
        }
        // An image that something else still needs is carried.
        let is_carried = |row: &LeftOut| {
            let reference = row.image.parse::<Reference>();
            reference.is_ok_and(|reference| references.contains_key(&reference))
        };
        let rows = self.rows.into_values().filter(|row| !is_carried(row));
        let rows: Vec<LeftOut> = rows.collect();
        if rows.len() > LeftOut::ROWS {
            let message = format!(
                "{} images would be left out, more than the {} that a bundle can record",
                rows.len(),
                LeftOut::ROWS
            );
            let error = Error::new(Class::Usage, message);
            return Err(error.hint("name the operators to carry with --operator"));
        }
        Ok(rows)
    }
}
