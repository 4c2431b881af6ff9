//! Makes `release.txt`, which is written beside the archives with programs. Values from the
//! payload are escaped.

use std::fmt::Write as _;

use super::payload::Payload;

/// Returns the text of `release.txt`.
pub(super) fn release_txt(payload: &Payload) -> String {
    let mut text = String::from(
        "Client tools of a release\n-------------------------\n\n\
         These archives were extracted from the release below. `sha256sum -c sha256sum.txt` says\n\
         whether they are whole. The installer in them installs this release and no other.\n\n",
    );
    text.push_str(&head(payload));
    text.push_str("\nImages:\n");
    let components = payload.contents.references.components.iter();
    let rows =
        components.map(|component| [component.name.to_string(), component.image.to_string()]);
    text.push_str(&table(rows.collect()));
    text
}

fn head(payload: &Payload) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key:<14}{}", value.escape_debug());
    };
    line("Name:", &payload.version());
    if let Some(digest) = &payload.pull_spec.digest {
        line("Digest:", &digest.to_string());
    }
    if let Some(created) = &payload.contents.created {
        line("Created:", created);
    }
    line("OS/Arch:", &payload.architectures());
    line("Pull From:", &payload.pull_spec.to_string());
    text
}

/// Renders two columns with a header.
fn table(rows: Vec<[String; 2]>) -> String {
    let names = rows.iter().map(|[name, _]| name.chars().count());
    let width = names.max().unwrap_or(0).max("NAME".len());
    let mut text = String::new();
    let header = ["NAME".to_owned(), "PULL SPEC".to_owned()];
    for [name, image] in std::iter::once(header).chain(rows) {
        // Widths in format strings panic above 65535.
        let space = " ".repeat(width.saturating_sub(name.chars().count()));
        let _ = writeln!(text, "  {name}{space}  {image}");
    }
    text
}
