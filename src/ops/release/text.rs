//! What is said of releases in words. What comes out of a payload is escaped.

use std::fmt::Write as _;

use super::info::{ComponentInfo, Diff, ReleaseInfo};
use super::payload::Payload;
use crate::model::ByteSize;

/// `release.txt` beside archives.
pub(super) fn release_txt(payload: &Payload) -> String {
    let mut text = String::from(
        "Client tools of a release\n-------------------------\n\n\
         These archives were extracted from the release below. `sha256sum -c sha256sum.txt` says\n\
         whether they are whole. The installer in them installs this release and no other.\n\n",
    );
    text.push_str(&head(payload));
    text.push_str("\nImages:\n");
    let components = payload.references.components.iter();
    let rows =
        components.map(|component| [component.name.to_string(), component.image.to_string()]);
    text.push_str(&table(["NAME", "PULL SPEC"], rows.collect()));
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
    if let Some(created) = &payload.created {
        line("Created:", created);
    }
    line("OS/Arch:", &payload.architectures());
    line("Pull From:", &payload.pull_spec.to_string());
    text
}

/// About one release.
pub(super) fn info(info: &ReleaseInfo) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key:<14}{}", value.escape_debug());
    };
    line("Name:", &info.version);
    line("Digest:", &info.digest.to_string());
    if let Some(digest) = &info.image_digest {
        line("Image:", &digest.to_string());
    }
    if let Some(created) = &info.created {
        line("Created:", created);
    }
    line("OS/Arch:", &info.architecture);
    line("Pull From:", &info.pull_spec);
    line("Size:", &ByteSize(info.size).to_string());
    if let Some(metadata) = &info.metadata {
        let previous = metadata.previous.iter().map(ToString::to_string);
        let previous: Vec<String> = previous.collect();
        line("Upgrades:", &previous.join(", "));
        for (key, value) in &metadata.metadata {
            line("Metadata:", &format!("{key}: {value}"));
        }
    }
    for (name, version) in &info.versions {
        line("Component:", &format!("{name} {version}"));
    }
    let sizes = info
        .components
        .iter()
        .filter_map(|component| component.size);
    let total = sizes.fold(0, u64::saturating_add);
    let _ = writeln!(
        text,
        "\n{} images, {} (layers that images share are counted for each):",
        info.components.len(),
        ByteSize(total)
    );
    let rows = info.components.iter().map(|component| {
        [
            component.name.clone(),
            size(component),
            source(component),
            component.digest.to_string(),
        ]
    });
    text.push_str(&table(["NAME", "SIZE", "SOURCE", "DIGEST"], rows.collect()));
    for component in &info.components {
        if let Some(problem) = &component.problem {
            let (name, problem) = (&component.name, problem.escape_debug());
            let _ = writeln!(text, "{name} cannot be read: {problem}");
        }
    }
    text
}

/// About two releases.
pub(super) fn diff(diff: &Diff) -> String {
    let mut text = String::new();
    for (key, side) in [("From:", &diff.from), ("To:", &diff.to)] {
        let created = side.created.as_deref().unwrap_or("");
        let _ = writeln!(
            text,
            "{key:<6}{} {} {}",
            side.version.escape_debug(),
            side.digest,
            created.escape_debug()
        );
    }
    let whole = |component: &ComponentInfo| {
        [
            component.name.clone(),
            size(component),
            source(component),
            component.digest.to_string(),
        ]
    };
    for (title, components) in [("Added", &diff.added), ("Removed", &diff.removed)] {
        if !components.is_empty() {
            let _ = writeln!(text, "\n{title}:");
            let rows = components.iter().map(whole).collect();
            text.push_str(&table(["NAME", "SIZE", "SOURCE", "DIGEST"], rows));
        }
    }
    if !diff.changed.is_empty() {
        text.push_str("\nChanged:\n");
        let rows = diff.changed.iter().map(|change| {
            let commit = |component: &ComponentInfo| {
                let commit = component.build.commit.as_deref().unwrap_or("-");
                commit.chars().take(12).collect::<String>()
            };
            [
                change.name.clone(),
                format!("{} -> {}", size(&change.from), size(&change.to)),
                change.to.build.source.clone().unwrap_or_default(),
                format!("{} -> {}", commit(&change.from), commit(&change.to)),
                change.to.digest.to_string(),
            ]
        });
        let header = ["NAME", "SIZE", "SOURCE", "COMMIT", "DIGEST"];
        text.push_str(&table(header, rows.collect()));
    }
    let _ = writeln!(text, "\n{} images are the same", diff.unchanged);
    text
}

fn size(component: &ComponentInfo) -> String {
    let size = component.size.map(|size| ByteSize(size).to_string());
    size.unwrap_or_else(|| "-".to_owned())
}

/// Source and commit, shortened.
fn source(component: &ComponentInfo) -> String {
    let source = component.build.source.as_deref().unwrap_or("-");
    let commit = component.build.commit.as_deref().unwrap_or_default();
    let commit: String = commit.chars().take(12).collect();
    match commit.is_empty() {
        true => source.to_owned(),
        false => format!("{source} {commit}"),
    }
}

/// Columns under a header, two spaces between them.
fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows = rows
        .into_iter()
        .map(|row| row.map(|cell| cell.escape_debug().to_string()));
    let rows: Vec<[String; N]> = [header.map(str::to_owned)]
        .into_iter()
        .chain(rows)
        .collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::from("  ");
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
