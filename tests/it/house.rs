//! The house rules that are not about layers: plain text, files of one subject, no file left out.

use std::collections::BTreeSet;
use std::path::Path;

use crate::support::source::{self, Source};

/// Maximum length of a file under `src`, in lines that are not tests. Most should be far shorter.
const MAX_LINES: usize = 600;

#[test]
fn sources_are_plain_ascii() {
    let mut found = Vec::new();
    for directory in ["src", "tests", "fuzz"] {
        for file in source::files(directory, &["rs", "toml"]) {
            for (number, line) in source::read(&file).lines().enumerate() {
                let strange = |c: char| !c.is_ascii_graphic() && c != ' ';
                if let Some(c) = line.chars().find(|c| strange(*c)) {
                    let place = format!("{}:{}", file.display(), number + 1);
                    found.push(format!("{place}: {:?} is not plain ASCII", c));
                }
            }
        }
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn files_have_one_subject() {
    let found: Vec<String> = source::sources()
        .iter()
        .filter(|source| source.lines > MAX_LINES)
        .map(|source| format!("{}: {} lines", source.file.display(), source.lines))
        .collect();
    assert!(
        found.is_empty(),
        "longer than {MAX_LINES} lines without their tests:\n{}\n",
        found.join("\n")
    );
}

/// The compiler ignores a file that no `mod` names.
#[test]
fn no_source_is_forgotten() {
    let files = source::files("src", &["rs"]);
    let parsed: Vec<Source> = files
        .iter()
        .map(|file| Source::parse(file, &source::read(file)))
        .collect();
    let declared: BTreeSet<&Vec<String>> = parsed
        .iter()
        .flat_map(|source| &source.declares)
        .map(|declared| &declared.module)
        .collect();
    for source in &parsed {
        let root = matches!(source.top(), "lib" | "main");
        assert!(
            root || declared.contains(&source.module),
            "{}: no `mod` names this file",
            source.file.display()
        );
    }
}

#[test]
fn no_test_is_forgotten() {
    let listed = |file: &str| -> BTreeSet<String> {
        Source::parse(Path::new("main.rs"), &source::read(Path::new(file)))
            .declares
            .into_iter()
            .map(|declared| declared.module.join("::"))
            .collect()
    };
    let top = listed("tests/it/main.rs");
    let support = listed("tests/it/support/mod.rs");
    for file in source::files("tests/it", &["rs"]) {
        let inner = file.strip_prefix("tests/it").unwrap().with_extension("");
        let parts: Vec<&str> = inner.iter().filter_map(|part| part.to_str()).collect();
        let found = match parts.as_slice() {
            ["main"] => true,
            ["support", "mod"] => top.contains("support"),
            ["support", name, ..] => support.contains(*name),
            [name, ..] => top.contains(*name),
            [] => false,
        };
        assert!(found, "{}: no `mod` names this file", file.display());
    }
    let others = source::files("tests", &["rs"]);
    for file in others {
        assert!(
            file.starts_with("tests/it"),
            "{}: not in tests/it",
            file.display()
        );
    }
}

#[test]
fn no_fuzz_target_is_forgotten() {
    let manifest = source::read(Path::new("fuzz/Cargo.toml"));
    let manifest: toml::Table = manifest.parse().unwrap();
    let listed: BTreeSet<&str> = manifest["bin"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bin| bin["path"].as_str().unwrap())
        .collect();
    let files = source::files("fuzz/fuzz_targets", &["rs"]);
    assert!(!files.is_empty());
    for file in files {
        let inner = file.strip_prefix("fuzz").unwrap().to_str().unwrap();
        assert!(
            listed.contains(inner),
            "fuzz/Cargo.toml does not list {inner}"
        );
    }
}
