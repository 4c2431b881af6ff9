//! The list of missing images in a message: images of one host with the same reason are one item,
//! so that a host that is down is one finding and not hundreds.

use std::collections::BTreeMap;

use crate::model::{Count, Reference};

/// Images from which on a reason is printed once for all of them.
const MANY: usize = 3;

/// Images that such an item names. The report (`--output json`) and the bundle have all.
const NAMED: usize = 20;

/// One missing image: its reference, the reason, and the clause about what needs it.
pub(super) type MissingImage<'a> = (&'a Reference, &'a str, String);

/// Returns the items of the list, each beginning with a new line, in the order of the images.
pub(super) fn list(missing: &[MissingImage<'_>]) -> String {
    let key = |image: &MissingImage<'_>| (image.0.repository.host.to_string(), image.1.to_owned());
    let mut groups: BTreeMap<(String, String), Vec<&MissingImage<'_>>> = BTreeMap::new();
    for image in missing {
        groups.entry(key(image)).or_default().push(image);
    }
    let mut text = String::new();
    for image in missing {
        let (reference, reason, needed_by) = image;
        match groups.get(&key(image)) {
            Some(group) if group.len() >= MANY => {}
            _ => {
                text.push_str(&format!("\n  - {reference}: {reason}{needed_by}"));
                continue;
            }
        }
        // Printed at the first of its images.
        let Some(group) = groups
            .get(&key(image))
            .filter(|group| group.first() == Some(&image))
        else {
            continue;
        };
        let host = &reference.repository.host;
        let count = Count::of(group.len(), "image");
        text.push_str(&format!("\n  - {count} of {host}: {reason}"));
        for (reference, _, needed_by) in group.iter().take(NAMED) {
            text.push_str(&format!("\n      {reference}{needed_by}"));
        }
        let others = group.len().saturating_sub(NAMED);
        if others > 0 {
            let others = Count::of(others, "other");
            text.push_str(&format!("\n      and {others}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_that_is_down_is_one_item() {
        let references: Vec<Reference> = (0..25)
            .map(|n| format!("down.lan/app:v{n}").parse().unwrap())
            .collect();
        let odd: Reference = "up.lan/app:1".parse().unwrap();
        let mut missing = vec![(&odd, "gone", " (needed by x)".to_owned())];
        missing.extend(references.iter().map(|one| (one, "refused", String::new())));
        let text = list(&missing);
        assert!(text.starts_with(
            "\n  - up.lan/app:1: gone (needed by x)\n  - 25 images of down.lan: refused\n"
        ));
        assert_eq!(text.matches("refused").count(), 1);
        assert!(
            text.ends_with("\n      down.lan/app:v19\n      and 5 others"),
            "{text}"
        );
        assert_eq!(list(&missing[..2]).matches("\n  - ").count(), 2);
    }
}
