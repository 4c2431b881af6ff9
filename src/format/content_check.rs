//! Checks the inventory's rows about releases and catalogs (bundle-format.md, R-30 to R-33).

use std::collections::BTreeSet;

use super::document_error::DocumentError;
use crate::model::{
    BundleManifest, CatalogEntry, Inventory, Keyring, LeftOut, Limits, MalformedImage, NeededBy,
    Reference, ReleaseEntry, is_deceptive,
};

type Result<T> = std::result::Result<T, DocumentError>;

/// Returns a refusal under the rule with this number.
fn refused<T>(rule: u8, fault: String) -> Result<T> {
    Err(DocumentError::inventory(rule, fault))
}

/// Checks releases and catalogs, and that `requires` in the bundle manifest names these features.
pub(super) fn check(inventory: &Inventory, manifest: &BundleManifest) -> Result<()> {
    ascending("releases", &inventory.releases, |entry| &entry.image)?;
    for release in &inventory.releases {
        release_entry(release, inventory)?;
    }
    ascending("catalogs", &inventory.catalogs, |entry| &entry.image)?;
    for catalog in &inventory.catalogs {
        catalog_entry(catalog, inventory)?;
    }
    made_images(inventory)?;
    left_out(inventory)?;
    if manifest.requires != inventory.features() {
        let (said, needed) = (&manifest.requires, inventory.features());
        return refused(
            33,
            format!("the bundle manifest requires {said:?}, its content needs {needed:?}"),
        );
    }
    Ok(())
}

/// Checks that a list is strictly ascending by a reference, compared as text.
fn ascending<T>(name: &str, list: &[T], key: fn(&T) -> &Reference) -> Result<()> {
    let texts: Vec<String> = list.iter().map(|entry| key(entry).to_string()).collect();
    match texts.is_sorted_by(|a, b| a < b) {
        true => Ok(()),
        false => refused(14, format!("`{name}` is not strictly ascending")),
    }
}

fn known(rule: u8, image: &Reference, of: &Reference, inventory: &Inventory) -> Result<()> {
    match inventory.image(image) {
        Some(_) => Ok(()),
        None => refused(
            rule,
            format!("`{of}` names `{image}`, which has no row in `images`"),
        ),
    }
}

fn release_entry(release: &ReleaseEntry, inventory: &Inventory) -> Result<()> {
    let name = &release.image;
    known(30, name, name, inventory)?;
    for component in &release.components {
        known(30, &component.image, name, inventory)?;
        if component.image.digest.is_none() || !is_plain_name(&component.name) {
            let component = component.name.escape_debug();
            return refused(30, format!("`{name}` has a wrong component `{component}`"));
        }
    }
    let components = &release.components;
    let keyrings = &release.keyrings;
    let sorted = components.is_sorted_by(|a, b| a.name < b.name)
        && keyrings.is_sorted_by(|a, b| a.name < b.name);
    if !sorted {
        return refused(
            14,
            format!("the lists of `{name}` are not strictly ascending"),
        );
    }
    if release.unsigned != release.signatures.is_empty() {
        let fault = format!(
            "`{name}` has `unsigned: {}`, and its signatures say otherwise",
            release.unsigned
        );
        return refused(30, fault);
    }
    let keyring_fits = |keyring: &Keyring| keyring.data.len() as u64 <= Limits::KEYRING;
    let signatures = &release.signatures;
    let message_fits = signatures
        .iter()
        .all(|s| s.message.len() as u64 <= Limits::RELEASE_SIGNATURE);
    if !keyrings.iter().all(keyring_fits) || !message_fits {
        return refused(
            30,
            format!("a keyring or signature of `{name}` is too long"),
        );
    }
    if !is_plain_name(&release.architecture) {
        return refused(30, format!("`{name}` has no usable architecture"));
    }
    Ok(())
}

/// R-31: an image that the writer made (a filtered catalog) is carried under the reference of its
/// original. It must be that catalog and nothing else: a release, a component, a member or a
/// separate request with that reference means the original.
fn made_images(inventory: &Inventory) -> Result<()> {
    let made = inventory
        .catalogs
        .iter()
        .filter(|row| row.original.is_some());
    let made: BTreeSet<&Reference> = made.map(|row| &row.image).collect();
    let of_releases = inventory.releases.iter().flat_map(|release| {
        let components = release.components.iter();
        components
            .map(|component| &component.image)
            .chain([&release.image])
    });
    let of_catalogs = inventory.catalogs.iter().flat_map(|row| &row.members);
    let alone = inventory.images.iter().filter(|image| image.standalone);
    let mut others = of_releases
        .chain(of_catalogs.map(|member| &member.image))
        .chain(alone.map(|image| &image.requested));
    match others.find(|image| made.contains(image)) {
        Some(image) => {
            let fault =
                format!("`{image}` is a filtered catalog, but is also listed as another image");
            refused(31, fault)
        }
        None => Ok(()),
    }
}

fn catalog_entry(catalog: &CatalogEntry, inventory: &Inventory) -> Result<()> {
    let name = &catalog.image;
    known(31, name, name, inventory)?;
    for member in &catalog.members {
        known(31, &member.image, name, inventory)?;
    }
    malformed(catalog)?;
    for member in &catalog.members {
        needed_by(&member.needed_by, name)?;
    }
    let order =
        |member: &crate::model::CatalogMember| (member.image.to_string(), member.written.clone());
    let keys: Vec<(String, String)> = catalog.members.iter().map(order).collect();
    if !keys.is_sorted_by(|a, b| a < b) {
        return refused(
            14,
            format!("`members` of `{name}` is not strictly ascending"),
        );
    }
    Ok(())
}

/// R-32: checks the catalog's texts that are no references.
fn malformed(catalog: &CatalogEntry) -> Result<()> {
    let (name, rows) = (&catalog.image, &catalog.malformed);
    if rows.len() > MalformedImage::ROWS || !rows.is_sorted_by(|a, b| a.text < b.text) {
        return refused(
            32,
            format!("`malformed` of `{name}` is too long or not strictly ascending"),
        );
    }
    for row in rows {
        if !is_shown(&row.text) || !is_shown(&row.reason) || row.needed_by.is_empty() {
            return refused(32, format!("`malformed` of `{name}` has a wrong row"));
        }
        needed_by(&row.needed_by, name)?;
    }
    Ok(())
}

/// R-32: checks the images that were left out on purpose.
fn left_out(inventory: &Inventory) -> Result<()> {
    let rows = &inventory.left_out;
    if rows.len() > LeftOut::ROWS || !rows.is_sorted_by(|a, b| a.image < b.image) {
        return refused(
            32,
            "`left_out` is too long or not strictly ascending".to_owned(),
        );
    }
    for row in rows {
        let mut texts = [&row.by, &row.image].into_iter();
        if !texts.all(|text| is_shown(text)) || !is_needed_by(&row.needed_by) {
            return refused(32, "`left_out` has a wrong row".to_owned());
        }
    }
    Ok(())
}

/// R-32: checks the list of documents that need an image.
fn needed_by(list: &[NeededBy], of: &Reference) -> Result<()> {
    match is_needed_by(list) {
        true => Ok(()),
        false => refused(32, format!("`{of}` has a wrong `needed_by`")),
    }
}

fn is_needed_by(list: &[NeededBy]) -> bool {
    let key = |needed: &NeededBy| (needed.name.clone(), needed.package.clone());
    let sorted = list.is_sorted_by(|a, b| key(a) < key(b));
    let mut texts = list
        .iter()
        .flat_map(|needed| [Some(&needed.name), needed.package.as_ref()])
        .flatten();
    sorted && list.len() <= NeededBy::SHOWN && texts.all(|text| is_shown(text))
}

/// Returns true if a text can be shown to people: 1 to 1024 bytes, no deceptive characters.
fn is_shown(text: &str) -> bool {
    (1..=MalformedImage::TEXT).contains(&text.len()) && !text.contains(is_deceptive)
}

/// Returns true if a name may be part of a tag: 1 to 100 letters, digits, `.`, `_` and `-`.
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
        LeftOut, MalformedImage, NeededBy, ReleaseEntry,
    };

    /// Describes the sample's image as a release and as a catalog.
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
            needed_by: vec![needed_by("b.v1")],
        };
        inventory.catalogs = vec![CatalogEntry {
            image: image.clone(),
            filter: None,
            format: CatalogFormat::FileBased,
            members: vec![member("a"), member("b")],
            original: None,
            malformed: Vec::new(),
        }];
        manifest.requires = inventory.features();
    }

    #[test]
    fn images_left_out_are_sorted_and_readable() {
        let row = |image: &str| LeftOut {
            by: "bundle:b.v1".to_owned(),
            image: image.to_owned(),
            needed_by: vec![needed_by("b.v1")],
        };
        let with = |rows: Vec<LeftOut>| rule(move |i, _| i.left_out.clone_from(&rows));
        let refused = Some(Rule(32));
        assert_eq!(with(vec![row("a"), row("b")]), None);
        assert_eq!(with(vec![row("b"), row("a")]), refused);
        assert_eq!(with(vec![row("a"), row("a")]), refused);
        assert_eq!(with(vec![row("")]), refused);
        assert_eq!(with(vec![row("a\u{202e}b")]), refused);
    }

    fn needed_by(name: &str) -> NeededBy {
        NeededBy {
            name: name.to_owned(),
            package: Some("b".to_owned()),
        }
    }

    fn malformed(text: &str) -> MalformedImage {
        MalformedImage {
            text: text.to_owned(),
            reason: "it has no repository".to_owned(),
            needed_by: vec![needed_by("b.v1"), needed_by("b.v2")],
        }
    }

    #[test]
    fn texts_that_are_no_references_follow_rules_too() {
        let with = |rows: Vec<MalformedImage>| {
            rule(move |inventory, manifest| {
                inventory.catalogs[0].malformed.clone_from(&rows);
                manifest.complete = rows.is_empty();
            })
        };
        assert_eq!(with(vec![malformed("a@"), malformed("b@")]), None);
        let change = |change: fn(&mut MalformedImage)| {
            let mut row = malformed("a@");
            change(&mut row);
            with(vec![row])
        };
        for wrong in [
            with(vec![malformed("b@"), malformed("a@")]),
            with(vec![malformed("a@"), malformed("a@")]),
            change(|row| row.text.clear()),
            change(|row| row.text = "\u{202e}".to_owned()),
            change(|row| row.reason = "r".repeat(MalformedImage::TEXT + 1)),
            change(|row| row.needed_by.clear()),
            change(|row| row.needed_by.reverse()),
            change(|row| row.needed_by[0].package = Some(String::new())),
            rule(|i, _| i.catalogs[0].members[0].needed_by = vec![needed_by("a"); 2]),
        ] {
            assert_eq!(wrong, Some(Rule(32)));
        }
        // R-28: a bundle with such a text is not complete.
        let complete = rule(|i, _| i.catalogs[0].malformed.push(malformed("a@")));
        assert_eq!(complete, Some(Rule(28)));
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
        assert_eq!(rule(move |i, _| keyrings(i)), Some(Rule(14)));
        let cases: &[(u8, Change)] = &[
            (14, |i, _| i.releases.push(i.releases[0].clone())),
            (30, |i, _| i.releases[0].unsigned = false),
            (30, |i, _| i.releases[0].architecture = "a b".to_owned()),
            (30, |i, _| {
                let image = i.releases[0].image.clone();
                let name = "cli".to_owned();
                i.releases[0].components = vec![Component { name, image }];
            }),
            (14, |i, _| i.catalogs.push(i.catalogs[0].clone())),
            (14, |i, _| i.catalogs[0].members.reverse()),
            (31, |i, _| {
                i.catalogs[0].members[0].image = "quay.io/a/b:c".parse().unwrap();
            }),
            (33, |_, m| m.requires.clear()),
            (33, |i, _| i.releases.clear()),
        ];
        for (number, (expected, change)) in cases.iter().enumerate() {
            assert_eq!(rule(change), Some(Rule(*expected)), "case {number}");
        }
    }
}
