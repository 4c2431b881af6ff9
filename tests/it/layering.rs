//! Enforces the layering rule: the table in the documentation of `src/lib.rs` is compared with the
//! paths that the sources name. A second table, of outside crates, is in this file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::source::{self, Source};

/// The modules that may name a path from outside the crate. The longest matching path decides; a
/// path that matches nothing is free.
const OUTSIDE: &[(&str, &[&str])] = &[
    // The command line: arguments, bars, terminals.
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("indicatif", &["cli"]),
    ("rpassword", &["cli"]),
    ("std::env", &["cli", "main"]),
    ("std::io::stdout", &["cli"]),
    ("std::io::stderr", &["cli"]),
    // The network, and everything asynchronous.
    ("async", &["registry", "serve", "image", "ops", "cli"]),
    ("futures_util", &["registry", "serve", "image", "ops"]),
    ("http", &["registry", "serve", "ops"]),
    ("http_auth", &["registry"]),
    ("http_body_util", &["registry", "serve", "ops"]),
    ("hyper", &["registry", "serve", "ops"]),
    ("hyper_util", &["registry", "serve", "ops"]),
    ("reqwest", &["registry", "serve", "ops"]),
    ("rustls", &["registry", "serve", "ops"]),
    ("rustls_platform_verifier", &["registry"]),
    ("webpki", &["registry"]),
    ("tokio_rustls", &["registry", "serve", "ops"]),
    ("tokio_util", &["registry", "serve", "image", "ops"]),
    ("tokio", &["registry", "serve", "image", "ops"]),
    (
        "tokio::runtime",
        &["registry", "serve", "image", "ops", "cli"],
    ),
    ("tokio::signal", &["registry", "serve", "ops", "cli"]),
    ("tokio::fs", &[]),
    ("tokio::process", &[]),
    // Starting other programs, and ending this one.
    ("std::process", &[]),
    ("std::process::Command", &["registry", "sys"]),
    ("std::process::Stdio", &["registry", "sys"]),
    ("std::process::ExitCode", &["cli", "main"]),
    ("std::process::exit", &["cli"]),
    // Disks, clocks, randomness.
    ("std::fs", &["sys"]),
    ("std::os", &["sys"]),
    ("fs_err", &["sys"]),
    ("rustix", &["sys"]),
    ("tempfile", &["sys"]),
    ("walkdir", &["sys"]),
    ("rusqlite", &["sys"]),
    ("getrandom", &["sys"]),
    ("std::time::SystemTime", &["sys"]),
    ("std::time::Instant", &["sys"]),
    ("std::time::UNIX_EPOCH", &["sys"]),
    ("jiff::Timestamp::now", &["sys"]),
    ("jiff::Zoned", &["sys"]),
    // Data formats.
    ("serde_saphyr", &["encoding"]),
    ("pgp", &["content"]),
];

/// Returns the modules that each module may use, from the table in `src/lib.rs`.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let text = source::read(Path::new("src/lib.rs"));
    let mut allowed = BTreeMap::new();
    let mut above = BTreeSet::new();
    for line in text.lines().filter(|line| line.starts_with("//! | `")) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let module = cells[1].trim_matches('`').to_owned();
        let may = match cells[2] {
            "all of the above" => above.clone(),
            list => list
                .split(',')
                .map(|name| name.trim().trim_matches('`').to_owned())
                .filter(|name| !name.is_empty())
                .collect(),
        };
        for name in &may {
            assert!(above.contains(name), "`{module}` may use `{name}` below it");
        }
        above.insert(module.clone());
        assert!(allowed.insert(module, may).is_none(), "twice: {line}");
    }
    allowed
}

/// Returns what is wrong in a source, as `file:line: why`.
fn violations(source: &Source, allowed: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let from = source.top();
    let mut found = Vec::new();
    for mention in &source.mentions {
        let text = mention.text();
        let mut refuse = |why: String| {
            found.push(format!("{}:{}: {why}", source.file.display(), mention.line));
        };
        if mention.path[0] == "crate" && from != "main" && from != "lib" {
            match mention.path.get(1) {
                None => {}
                Some(to) if to == from => {}
                Some(to) if !allowed.contains_key(to) => {
                    refuse(format!("`{text}` is no module of the table in src/lib.rs"));
                }
                Some(to) if allowed.get(from).is_some_and(|may| may.contains(to)) => {}
                Some(to) => refuse(format!("`{from}` may not use `{to}` (`{text}`)")),
            }
        }
        if from == "main" && mention.path[0] == "airferry" {
            match mention.path.get(1).map(String::as_str) {
                Some("cli") => {}
                _ => refuse(format!("the program may use `cli` alone (`{text}`)")),
            }
        }
        let rule = OUTSIDE
            .iter()
            .filter(|(path, _)| {
                let path: Vec<&str> = path.split("::").collect();
                mention.path.len() >= path.len()
                    && mention.path.iter().zip(&path).all(|(a, b)| a == b)
            })
            .max_by_key(|(path, _)| path.len());
        if let Some((path, only_in)) = rule
            && !only_in.contains(&from)
        {
            let where_ = match only_in {
                [] => "nowhere".to_owned(),
                list => format!("only in {}", list.join(", ")),
            };
            refuse(format!("`{path}` is allowed {where_} (`{text}`)"));
        }
    }
    found
}

#[test]
fn the_sources_keep_the_table() {
    let allowed = allowed();
    let sources = source::sources();
    assert!(sources.len() > 20, "the sources were not found");
    let found: Vec<String> = sources
        .iter()
        .flat_map(|source| violations(source, &allowed))
        .collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn the_table_names_every_module() {
    let lib = Path::new("src/lib.rs");
    let declared: BTreeSet<String> = Source::parse(lib, &source::read(lib))
        .declares
        .into_iter()
        .map(|declared| declared.module.join("::"))
        .collect();
    let listed: BTreeSet<String> = allowed().into_keys().collect();
    assert_eq!(listed, declared);
}

/// The check misses a form of naming that it does not understand; these are all that we use.
#[test]
fn every_form_of_naming_is_seen() {
    let allowed = allowed();
    for (file, text, expected) in [
        ("src/sys/a.rs", "use crate::registry::X;", 1),
        ("src/sys/a.rs", "use crate::{model::X, registry::Y};", 1),
        ("src/sys/a.rs", "use crate::{registry, ops};", 2),
        ("src/sys/a.rs", "fn f() { crate::registry::g() }", 1),
        ("src/sys/a.rs", "fn f() { m!(crate::registry::g()) }", 1),
        ("src/sys/a.rs", "use super::super::registry::X;", 1),
        ("src/sys/a.rs", "use super::registry::X;", 0),
        ("src/sys/mod.rs", "use super::registry::X;", 1),
        ("src/sys/mod.rs", "mod a { use super::super::ops; }", 1),
        ("src/sys/mod.rs", "mod a { use super::ops; }", 0),
        ("src/sys/mod.rs", "mod a {} use super::ops;", 1),
        ("src/sys/a.rs", "use crate::*;", 1),
        (
            "src/sys/a.rs",
            "#[x(with = \"crate::ops::y\")] struct S;",
            1,
        ),
        (
            "src/sys/a.rs",
            "// crate::ops\nconst S: &str = \"std::env\";",
            0,
        ),
        (
            "src/sys/a.rs",
            "#[cfg(test)]\nmod tests { use crate::ops; }",
            0,
        ),
        (
            "src/sys/a.rs",
            "#[cfg(test)] use a::{b};\nuse crate::ops;",
            1,
        ),
        ("src/sys/a.rs", "#[cfg(not(test))] use crate::ops;", 1),
        ("src/plan/a.rs", "use crate::format::X;", 1),
        ("src/plan/a.rs", "use crate::model::X;", 0),
        ("src/ops/a.rs", "use std::fs;", 1),
        ("src/ops/a.rs", "use std::{fs::File, io};", 1),
        ("src/ops/a.rs", "use fs_err as fs;", 1),
        (
            "src/ops/a.rs",
            "use std::time;\nfn f() { time::Instant::now(); }",
            1,
        ),
        ("src/ops/a.rs", "use std::time::Duration;", 0),
        ("src/ops/a.rs", "use std::process::Command;", 1),
        ("src/ops/a.rs", "fn f() { std::process::abort() }", 1),
        ("src/sys/a.rs", "use std::process::{Command, Stdio};", 0),
        (
            "src/sys/a.rs",
            "use std::process;\nfn f() { process::exit(1) }",
            2,
        ),
        ("src/bundle/a.rs", "use tokio::sync::mpsc;", 1),
        ("src/bundle/a.rs", "async fn f() {}", 1),
        ("src/bundle/a.rs", "use crate::registry::Client;", 1),
        ("src/bundle/a.rs", "use crate::ops::Context;", 1),
        (
            "src/registry/a.rs",
            "use tokio::time::Instant;\nfn f() { Instant::now() }",
            0,
        ),
        ("src/ops/a.rs", "use tokio::fs;", 1),
        ("src/cli/a.rs", "use tokio::runtime::Builder;", 0),
        ("src/cli/a.rs", "use tokio::sync::mpsc;", 1),
        ("src/ops/a.rs", "#[derive(clap::Args)] struct S;", 1),
        ("src/plan/a.rs", "async fn f() {}", 1),
        ("src/main.rs", "fn main() { airferry::ops::x() }", 1),
        ("src/main.rs", "fn main() { airferry::cli::main() }", 0),
    ] {
        let source = Source::parse(Path::new(file), text);
        let found = violations(&source, &allowed);
        assert_eq!(
            found.len(),
            expected,
            "{file}: {text}\n{found:#?}\n{source:#?}"
        );
    }
}
