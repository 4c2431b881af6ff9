//! Checks at the export which names an import would give to the images, while the request can
//! still be changed. Names are computed under every profile, for a placeholder target.

use std::collections::{BTreeMap, BTreeSet};

use crate::content::mapping_file::MappingFile;
use crate::model::{Inventory, Reference};
use crate::plan::import::wanted;
use crate::plan::naming::{self, NamingError, Options, Profile, ReleaseOptions, Target};

/// A placeholder for the target (a reserved name, RFC 2606); notes show it as `TARGET`.
const ANY_TARGET: &str = "target.invalid/to";

/// Upper limit of notes of one kind that are shown; the others are counted.
const SHOWN: usize = 20;

/// The profiles of an import, with the option that selects each.
const PROFILES: [(&str, Option<Profile>); 4] = [
    ("by default", None),
    ("with `--profile plain`", Some(Profile::Plain)),
    ("with `--profile oc`", Some(Profile::Oc)),
    ("with `--profile oc-mirror`", Some(Profile::OcMirror)),
];

/// Returns notes about the names of a bundle's images: tags that several digests share, and names
/// that an import would refuse.
pub(crate) fn notes(inventory: &Inventory) -> Vec<String> {
    let Ok(target) = ANY_TARGET.parse::<Target>() else {
        return Vec::new();
    };
    let images = wanted(inventory);
    let mut shared = BTreeSet::new();
    let mut refused: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, profile) in PROFILES {
        let options = Options {
            profile,
            release: ReleaseOptions {
                repository: target.namespace.clone(),
                ..ReleaseOptions::default()
            },
            ..Options::default()
        };
        match naming::place(&images, &target, &options) {
            Ok(placement) => {
                let tags = naming::shared_tags(placement.images()).into_iter();
                shared.extend(tags.map(|tag| tag.summary()));
            }
            Err(error) => {
                for conflict in conflicts(&error, &target) {
                    refused.entry(conflict).or_default().push(name);
                }
            }
        }
    }
    let refused = refused.into_iter().map(|(conflict, profiles)| {
        format!(
            "an import {} will refuse this bundle: {conflict}; rename one there: \
             `--mapping FILE` with a line `SOURCE=TARGET`, or `--max-components 0` where the \
             paths differ",
            profiles.join(", ")
        )
    });
    let mut notes = few(
        shared.into_iter().collect(),
        "tags that several digests share",
    );
    notes.extend(few(refused.collect(), "names that an import will refuse"));
    notes
}

/// Returns one clause for each name that an import with this profile would refuse. `listed` are
/// names that a mapping gives to images.
pub(crate) fn refused(
    inventory: &Inventory,
    profile: Profile,
    listed: Option<&MappingFile>,
) -> Vec<String> {
    let Ok(target) = ANY_TARGET.parse::<Target>() else {
        return Vec::new();
    };
    let options = Options {
        profile: Some(profile),
        release: ReleaseOptions {
            repository: target.namespace.clone(),
            ..ReleaseOptions::default()
        },
        listed: listed.cloned().unwrap_or_default(),
        ..Options::default()
    };
    match naming::place(&wanted(inventory), &target, &options) {
        Ok(_) => Vec::new(),
        Err(error) => few(conflicts(&error, &target), "names"),
    }
}

/// Returns one clause for each name that cannot be given.
pub(super) fn conflicts(error: &NamingError, target: &Target) -> Vec<String> {
    let prefix = format!("{target}/");
    let short = |name: &Reference| match name.to_string().strip_prefix(&prefix) {
        Some(rest) => format!("TARGET/{rest}"),
        None => name.to_string().replace(&target.to_string(), "TARGET"),
    };
    match error {
        NamingError::Collisions { collisions, .. } => {
            let collisions = collisions.iter().map(|collision| {
                let sources = collision.sources.iter().map(|source| format!("`{source}`"));
                let sources: Vec<String> = sources.collect();
                format!(
                    "{} would get the same name `{}`",
                    sources.join(" and "),
                    short(&collision.target)
                )
            });
            collisions.collect()
        }
        other => vec![other.to_string()],
    }
}

/// Keeps the first notes, and counts the others in one more note.
fn few(mut notes: Vec<String>, what: &str) -> Vec<String> {
    if let Some(more) = notes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        notes.truncate(SHOWN);
        notes.push(format!("{more} more {what}"));
    }
    notes
}
