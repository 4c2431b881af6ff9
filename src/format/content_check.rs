//! What an inventory must say of releases and catalogs (bundle-format.md, R-60 to R-62).

use super::bundle::DocumentError;
use crate::model::{
    BundleManifest, CatalogEntry, Inventory, Keyring, Limits, Reference, ReleaseEntry,
};

type Result<T> = std::result::Result<T, DocumentError>;

/// A refusal under the rule with this number.
fn refused<T>(rule: u8, fault: String) -> Result<T> {
    Err(DocumentError::inventory(rule, fault))
}

/// Checks releases, catalogs, and that the bundle manifest asks for readers who know them.
pub(super) fn check(inventory: &Inventory, manifest: &BundleManifest) -> Result<()> {
    ascending(60, "releases", &inventory.releases, |entry| &entry.image)?;
    for release in &inventory.releases {
        release_entry(release, inventory)?;
    }
    ascending(61, "catalogs", &inventory.catalogs, |entry| &entry.image)?;
    for catalog in &inventory.catalogs {
        catalog_entry(catalog, inventory)?;
    }
    if manifest.requires != inventory.features() {
        let (said, needed) = (&manifest.requires, inventory.features());
        return refused(
            62,
            format!("the bundle manifest requires {said:?}, its content needs {needed:?}"),
        );
    }
    Ok(())
}

/// Whether a list is strictly ascending by a reference, compared as text.
fn ascending<T>(rule: u8, name: &str, list: &[T], key: fn(&T) -> &Reference) -> Result<()> {
    let texts: Vec<String> = list.iter().map(|entry| key(entry).to_string()).collect();
    match texts.is_sorted_by(|a, b| a < b) {
        true => Ok(()),
        false => refused(rule, format!("`{name}` is not strictly ascending")),
    }
}

fn known(rule: u8, image: &Reference, of: &Reference, inventory: &Inventory) -> Result<()> {
    match inventory.image(image) {
        Some(_) => Ok(()),
        None => refused(
            rule,
            format!("`{of}` names `{image}`, which is no image here"),
        ),
    }
}

fn release_entry(release: &ReleaseEntry, inventory: &Inventory) -> Result<()> {
    let name = &release.image;
    known(60, name, name, inventory)?;
    for component in &release.components {
        known(60, &component.image, name, inventory)?;
        if component.image.digest.is_none() || !is_plain_name(&component.name) {
            let component = component.name.escape_debug();
            return refused(60, format!("`{name}` has a wrong component `{component}`"));
        }
    }
    let components = &release.components;
    let keyrings = &release.keyrings;
    let sorted = components.is_sorted_by(|a, b| a.name < b.name)
        && keyrings.is_sorted_by(|a, b| a.name < b.name);
    if !sorted {
        return refused(
            60,
            format!("the lists of `{name}` are not strictly ascending"),
        );
    }
    if release.unsigned != release.signatures.is_empty() {
        let fault = format!("`{name}` says `unsigned: {}` wrongly", release.unsigned);
        return refused(60, fault);
    }
    let keyring_fits = |keyring: &Keyring| keyring.data.len() as u64 <= Limits::KEYRING;
    let signatures = &release.signatures;
    let message_fits = signatures
        .iter()
        .all(|s| s.message.len() as u64 <= Limits::RELEASE_SIGNATURE);
    if !keyrings.iter().all(keyring_fits) || !message_fits {
        return refused(
            60,
            format!("a keyring or signature of `{name}` is too long"),
        );
    }
    if !is_plain_name(&release.architecture) {
        return refused(60, format!("`{name}` has no usable architecture"));
    }
    Ok(())
}

fn catalog_entry(catalog: &CatalogEntry, inventory: &Inventory) -> Result<()> {
    let name = &catalog.image;
    known(61, name, name, inventory)?;
    for member in &catalog.members {
        known(61, &member.image, name, inventory)?;
    }
    let order =
        |member: &crate::model::CatalogMember| (member.image.to_string(), member.written.clone());
    let keys: Vec<(String, String)> = catalog.members.iter().map(order).collect();
    if !keys.is_sorted_by(|a, b| a < b) {
        return refused(
            61,
            format!("`members` of `{name}` is not strictly ascending"),
        );
    }
    Ok(())
}

/// Whether a name may stand in a tag: 1 to 100 letters, digits, `.`, `_` and `-`.
fn is_plain_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=100).contains(&name.len()) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use crate::format::bundle::check_inventory;
    use crate::format::rule::Rule;
    use crate::format::testing::sample;
    use crate::model::{
        BundleManifest, CatalogEntry, CatalogFormat, CatalogMember, Component, Inventory, Keyring,
        ReleaseEntry,
    };

    /// The sample's image as a release and as a catalog.
    fn with_content(inventory: &mut Inventory, manifest: &mut BundleManifest) {
        let image = inventory.images[0].requested.clone();
        inventory.releases = vec![ReleaseEntry {
            image: image.clone(),
            version: "4.18.0".parse().unwrap(),
            keyrings: Vec::new(),
            unsigned: true,
            components: Vec::new(),
            signatures: Vec::new(),
            architecture: "amd64".to_owned(),
        }];
        let member = |written: &str| CatalogMember {
            image: image.clone(),
            written: written.to_owned(),
        };
        inventory.catalogs = vec![CatalogEntry {
            image: image.clone(),
            filter: None,
            format: CatalogFormat::FileBased,
            members: vec![member("a"), member("b")],
            original: None,
        }];
        manifest.requires = inventory.features();
    }

    fn rule(change: impl Fn(&mut Inventory, &mut BundleManifest)) -> Option<Rule> {
        let mut sample = sample();
        with_content(&mut sample.inventory, &mut sample.manifest);
        change(&mut sample.inventory, &mut sample.manifest);
        let checked = check_inventory(&sample.inventory, &sample.manifest);
        checked.err().map(|error| error.rule())
    }

    #[test]
    fn content_that_breaks_a_rule_is_refused() {
        type Change = fn(&mut Inventory, &mut BundleManifest);
        let keyring = |name: &str| Keyring {
            data: Vec::new(),
            name: name.to_owned(),
        };
        assert_eq!(rule(|_, _| {}), None);
        let keyrings = move |i: &mut Inventory| {
            i.releases[0].keyrings = vec![keyring("b"), keyring("a")];
        };
        assert_eq!(rule(move |i, _| keyrings(i)), Some(Rule(60)));
        let cases: &[(u8, Change)] = &[
            (60, |i, _| i.releases.push(i.releases[0].clone())),
            (60, |i, _| i.releases[0].unsigned = false),
            (60, |i, _| i.releases[0].architecture = "a b".to_owned()),
            (60, |i, _| {
                let image = i.releases[0].image.clone();
                let name = "cli".to_owned();
                i.releases[0].components = vec![Component { name, image }];
            }),
            (61, |i, _| i.catalogs.push(i.catalogs[0].clone())),
            (61, |i, _| i.catalogs[0].members.reverse()),
            (61, |i, _| {
                i.catalogs[0].members[0].image = "quay.io/a/b:c".parse().unwrap();
            }),
            (62, |_, m| m.requires.clear()),
            (62, |i, _| i.releases.clear()),
        ];
        for (number, (expected, change)) in cases.iter().enumerate() {
            assert_eq!(rule(change), Some(Rule(*expected)), "case {number}");
        }
    }
}
