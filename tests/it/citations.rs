//! Citations resolve inside this repository: if a comment names a page and its section, both exist,
//! and nothing points to a directory outside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::source;

/// Returns the files whose comments and texts are checked.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for (directory, extensions) in [
        ("src", &["rs"][..]),
        ("tests", &["rs"]),
        ("benches", &["rs"]),
        ("fuzz", &["rs", "toml"]),
        ("docs", &["md"]),
        ("scripts", &["", "py", "sh", "md"]),
    ] {
        files.extend(source::files(directory, extensions));
    }
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "SECURITY.md",
    ] {
        files.push(name.into());
    }
    files.push("bundle-format.md".into());
    files
}

/// Returns a text without comment marks and with line breaks as spaces, so that a citation may span
/// two lines.
fn joined(text: &str) -> String {
    let line = |line: &str| {
        let line = line.trim();
        let line = line.trim_start_matches(['/', '!', '#']);
        line.trim().to_owned()
    };
    text.lines().map(line).collect::<Vec<_>>().join(" ")
}

/// Returns the numbers of a page's headings.
fn sections(page: &str) -> BTreeSet<String> {
    let heading = Regex::new(r"(?m)^#{2,3} ([0-9]+(?:\.[0-9]+)?)\.? ").unwrap();
    let page = source::read(Path::new(page));
    let found = heading.captures_iter(&page);
    found.map(|found| found[1].to_owned()).collect()
}

/// Returns the citations of a text that do not resolve.
fn unresolved(text: &str) -> Vec<String> {
    let citation = Regex::new(
        r"((?:docs/)?[a-z-]+\.md), sections? ([0-9]+(?:\.[0-9]+)?)((?:,? (?:and |to )?[0-9]+\.[0-9]+)*)",
    )
    .unwrap();
    let number = Regex::new(r"[0-9]+(?:\.[0-9]+)?").unwrap();
    let mut found = Vec::new();
    for cited in citation.captures_iter(text) {
        let page = &cited[1];
        if !source::root().join(page).is_file() {
            found.push(format!("there is no page `{page}`"));
            continue;
        }
        let known = sections(page);
        let numbers =
            std::iter::once(&cited[2]).chain(number.find_iter(&cited[3]).map(|n| n.as_str()));
        let absent = numbers.filter(|number| !known.contains(*number));
        found.extend(absent.map(|number| format!("`{page}` has no section {number}")));
    }
    found
}

#[test]
fn citations_resolve() {
    let mut found = Vec::new();
    let mut cited = 0;
    let own = Path::new(file!());
    for file in files().into_iter().filter(|file| file != own) {
        let text = joined(&source::read(&file));
        cited += text.matches(".md, section").count();
        let wrong = unresolved(&text).into_iter();
        found.extend(wrong.map(|why| format!("{}: {why}", file.display())));
    }
    assert!(cited > 80, "only {cited} citations were found");
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_citation_of_what_is_not_there_is_seen() {
    for (text, expected) in [
        ("(bundle-format.md, section 8.3)", 0),
        ("(bundle-format.md, sections 5 and 6.1)", 0),
        ("(bundle-format.md, section 88)", 1),
        ("(bundle-format.md, sections 5.1 and 99.1)", 1),
        ("(docs/encoders.md, section 2.3)", 0),
        ("(docs/nowhere.md, section 1)", 1),
        ("(deflate-encoders.md, section 1)", 1),
    ] {
        assert_eq!(unresolved(text).len(), expected, "{text}");
    }
    let broken = joined("//! See bundle-format.md,\n//! section 88.\n");
    assert_eq!(unresolved(&broken).len(), 1, "{broken}");
}

/// Only the checks against the shared directory may point outside.
#[test]
fn nothing_points_out_of_the_repository() {
    let outside = ["../", "shared"].concat();
    let found: Vec<String> = files()
        .iter()
        .filter(|file| !file.starts_with("scripts/check-shared.d"))
        .filter(|file| *file != Path::new("scripts/check-shared"))
        .filter(|file| source::read(file).contains(&outside))
        .map(|file| file.display().to_string())
        .collect();
    assert!(found.is_empty(), "{found:?} name a directory outside");
}
