//! Whole bundles with one fault each (`tests/vectors/bundle/bundle`), through the command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test may read files and panic"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use airferry::format::keys;

use crate::bundle::{root, sections};
use crate::support::command::{Airferry, Outcome};

/// A vector of the kind `bundle`: how a bundle differs from the whole one, and what is said of it.
struct BundleVector {
    code: i32,
    blames: Option<String>,
    without: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
}

impl BundleVector {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\n\n").unwrap();
        let head: BTreeMap<&str, &str> = head
            .lines()
            .map(|line| line.split_once(": ").unwrap())
            .collect();
        assert_eq!(head["kind"], "bundle");
        assert!(!head["comment"].is_empty());
        let given = |key: &str| Some(head[key]).filter(|value| *value != "-");
        Self {
            code: head["code"].parse().unwrap(),
            blames: given("blames").map(str::to_owned),
            without: given("without")
                .into_iter()
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect(),
            files: sections(body.lines()),
        }
    }

    /// Writes the bundle into a new directory.
    fn write(&self, bundle: &Path) {
        let whole = root().join("whole");
        for entry in walkdir::WalkDir::new(&whole) {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(&whole).unwrap();
            let name = path.to_str().unwrap();
            if entry.file_type().is_dir() {
                std::fs::create_dir(bundle.join(path)).unwrap();
            } else if !self.without.iter().any(|other| other == name) {
                std::fs::copy(entry.path(), bundle.join(path)).unwrap();
            }
        }
        for (name, bytes) in &self.files {
            std::fs::write(bundle.join(name), bytes).unwrap();
        }
    }
}

fn vectors() -> Vec<PathBuf> {
    let directory = std::fs::read_dir(root().join("bundle")).unwrap();
    let mut files: Vec<PathBuf> = directory.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// `verify` ends with the code that the vector names, and blames its file; `import` and `unpack`
/// act on a bundle only when it is right.
#[test]
fn whole_bundles_with_one_fault_give_what_they_expect() {
    let account = Airferry::new();
    let public = account.path("signer.pub");
    let signer = keys::SigningKey::from_seed(&[7; 32]).public();
    std::fs::write(&public, signer.to_pem()).unwrap();
    let mut wrong = Vec::new();
    let files = vectors();
    for path in &files {
        let vector = BundleVector::parse(&std::fs::read_to_string(path).unwrap());
        let bundle = account.path("bundle");
        let _ = std::fs::remove_dir_all(&bundle);
        vector.write(&bundle);
        let mut command = account.command();
        command
            .arg("verify")
            .arg(&bundle)
            .arg("--trust")
            .arg(&public)
            .args(["--output", "json"]);
        let outcome = Outcome::of(command);
        let report = outcome.json();
        let findings = report["findings"].as_array().unwrap();
        let blamed = match &vector.blames {
            Some(file) => findings.iter().any(|finding| finding["file"] == **file),
            None => true,
        };
        if outcome.code != Some(vector.code) || !blamed {
            let name = path.file_name().unwrap().display();
            wrong.push(format!("{name}: {:?} {findings:?}", outcome.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(files.len() > 80, "{}", files.len());
}
