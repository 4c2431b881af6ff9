//! Text of `airferry release info`. All text from a payload is escaped.

use std::fmt::Write as _;

use super::table::Table;
use crate::model::ByteSize;
use crate::ops::release::info::{Change, ComponentInfo, Diff, Outcome, ReleaseInfo};

/// Formats the result for people.
pub(super) fn text(outcome: &Outcome) -> String {
    match outcome {
        Outcome::One(info) => one(info),
        Outcome::Two(diff) => two(diff),
    }
}

/// Describes a release.
fn one(info: &ReleaseInfo) -> String {
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
        let previous = match previous.as_slice() {
            [] => "<none>".to_owned(),
            previous => previous.join(", "),
        };
        line("Upgrades:", &previous);
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
    text.push_str(&components(&info.components));
    for component in &info.components {
        if let Some(problem) = &component.problem {
            let (name, problem) = (&component.name, problem.escape_debug());
            let _ = writeln!(text, "{name} cannot be read: {problem}");
        }
    }
    text
}

/// Describes the changes from one release to another.
fn two(diff: &Diff) -> String {
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
    for (title, listed) in [("Added", &diff.added), ("Removed", &diff.removed)] {
        if !listed.is_empty() {
            let _ = writeln!(text, "\n{title}:");
            text.push_str(&components(listed));
        }
    }
    if !diff.changed.is_empty() {
        text.push_str("\nChanged:\n");
        let mut table = Table::new(&["NAME", "SIZE", "SOURCE", "COMMIT", "DIGEST"]);
        for Change { name, from, to } in &diff.changed {
            let sizes = format!("{} -> {}", size(from), size(to));
            let source = to.build.source.as_deref().unwrap_or_default();
            let commits = format!("{} -> {}", commit(from), commit(to));
            table.row(&[name, &sizes, source, &commits, &to.digest.to_string()]);
        }
        text.push_str(&indented(&table));
    }
    let _ = writeln!(text, "\n{} images are the same", diff.unchanged);
    text
}

fn size(component: &ComponentInfo) -> String {
    let size = component.size.map(|size| ByteSize(size).to_string());
    size.unwrap_or_else(|| "-".to_owned())
}

/// Returns the source and the shortened commit of a component.
fn source(component: &ComponentInfo) -> String {
    let source = component.build.source.as_deref().unwrap_or("-");
    match component.build.commit {
        None => source.to_owned(),
        Some(_) => format!("{source} {}", commit(component)),
    }
}

fn commit(component: &ComponentInfo) -> String {
    let commit = component.build.commit.as_deref().unwrap_or("-");
    commit.chars().take(12).collect()
}

fn components(components: &[ComponentInfo]) -> String {
    let mut table = Table::new(&["NAME", "SIZE", "SOURCE", "DIGEST"]);
    for component in components {
        let digest = component.digest.to_string();
        table.row(&[
            &component.name,
            &size(component),
            &source(component),
            &digest,
        ]);
    }
    indented(&table)
}

fn indented(table: &Table) -> String {
    let table = table.to_string();
    let lines = table.lines().map(|line| format!("  {line}\n"));
    lines.collect()
}
