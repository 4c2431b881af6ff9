//! Every rule of bundle-format.md has a vector that breaks it, or a named test.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may read files and panic"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::bundle::root;
use crate::support::source;

/// Rules about what a reader does, rather than about bytes, and the tests that hold them.
const BEHAVIOUR: [(&str, &[&str]); 8] = [
    (
        "R-02",
        &[
            "what_is_no_regular_file_is_refused_everywhere",
            "a_socket_is_no_file",
        ],
    ),
    (
        "R-03",
        &["works_from_a_read_only_stick_in_a_network_that_has_the_registry_alone"],
    ),
    (
        "R-06",
        &[
            "leftovers_of_an_export_are_foreign_beside_a_sealed_bundle",
            "what_lies_in_other_directories_is_counted_to_the_bottom",
            "only_what_operating_systems_leave_passes_strict",
            "a_note_about_the_medium_is_listed_counted_and_short",
        ],
    ),
    (
        "R-52",
        &[
            "keys_that_openssl_wrote_are_read",
            "other_files_are_called_what_they_are",
            "text_around_and_windows_line_ends_do_no_harm",
        ],
    ),
    (
        "R-55",
        &["strangers_statements_are_few_and_short_or_foreign"],
    ),
    (
        "R-61",
        &[
            "every_finding_is_reported_and_not_the_first",
            "damage_names_the_images_that_it_hits_and_no_others",
        ],
    ),
    (
        "R-62",
        &[
            "every_byte_is_accounted_for",
            "bytes_are_counted_for_what_is_there",
        ],
    ),
    (
        "R-63",
        &[
            "unfinished_and_incomplete_bundles_have_a_code_of_their_own",
            "an_increment_is_imported_behind_its_base",
        ],
    ),
];

/// The rules that bundle-format.md defines, in its order.
fn defined() -> Vec<String> {
    let document = source::read(Path::new("bundle-format.md"));
    let marked = document.split("**R-").skip(1);
    let numbers = marked.filter_map(|rest| rest.split_once("**"));
    numbers.map(|(number, _)| format!("R-{number}")).collect()
}

/// How many vectors expect each rule.
fn vectors() -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root()) {
        let entry = entry.unwrap();
        let is_text = entry.path().extension().is_some_and(|end| end == "txt");
        if !is_text || entry.path().starts_with(root().join("whole")) {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        let expect = text.lines().find_map(|line| line.strip_prefix("expect: "));
        *found.entry(expect.unwrap().to_owned()).or_default() += 1;
    }
    found
}

/// The names of all functions in src and tests that are tests.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for directory in ["src", "tests/it"] {
        for path in source::files(directory, &["rs"]) {
            let text = source::read(&path);
            let mut lines = text.lines().map(str::trim);
            while let Some(line) = lines.next() {
                if line != "#[test]" {
                    continue;
                }
                let rest = lines.by_ref().find_map(|line| line.strip_prefix("fn "));
                let name = rest
                    .and_then(|rest| rest.split_once('('))
                    .map(|(name, _)| name);
                names.extend(name.map(str::to_owned));
            }
        }
    }
    names
}

#[test]
fn every_rule_has_a_vector_or_a_named_test() {
    let (vectors, tests) = (vectors(), tests());
    let behaviour: BTreeMap<&str, &[&str]> = BEHAVIOUR.into_iter().collect();
    let rules = defined();
    assert!(rules.len() > 40, "{rules:?}");
    let bare: Vec<&String> = rules
        .iter()
        .filter(|rule| !vectors.contains_key(*rule) && !behaviour.contains_key(rule.as_str()))
        .collect();
    assert!(bare.is_empty(), "neither vector nor test: {bare:?}");
    for (rule, names) in BEHAVIOUR {
        assert!(rules.iter().any(|known| known == rule), "{rule} is no rule");
        for name in names {
            assert!(tests.contains(*name), "{rule}: there is no test {name}");
        }
    }
    let known = |rule: &str| {
        rules.iter().any(|known| known == rule) || rule == "ok" || rule.starts_with("10.")
    };
    let unknown: Vec<&String> = vectors.keys().filter(|rule| !known(rule)).collect();
    assert!(unknown.is_empty(), "vectors expect {unknown:?}");
}

#[test]
fn rules_are_numbered_in_the_order_of_the_document() {
    let rules = defined();
    assert!(rules.is_sorted_by(|a, b| a < b), "{rules:?}");
}
