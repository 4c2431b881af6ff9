//! Sibling modules must not depend on each other in a circle: of two siblings one is always the
//! lower one, so that it can be read, tested and moved alone.
//!
//! Siblings are the modules that one module declares. Module `a` depends on its sibling `b` when a
//! file of `a` names `b` or something in it, also through a name that their parent re-exports. A
//! parent may use its children and they may use it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::source::{self, Source};

/// Modules whose children still have circles. A name is removed when its children have none, and
/// none is added.
const UNDIVIDED: &[&str] = &[];

/// For each sibling, the siblings that it depends on, each with one place that shows it.
type Edges = BTreeMap<String, BTreeMap<String, String>>;

/// A module path such as `["registry", "auth"]`.
type Module = Vec<String>;

/// Returns the dependencies between siblings, by their parent.
fn edges(sources: &[Source]) -> BTreeMap<Module, Edges> {
    let modules: BTreeSet<&Module> = sources.iter().map(|source| &source.module).collect();
    let by_module: BTreeMap<&Module, &Source> = sources
        .iter()
        .map(|source| (&source.module, source))
        .collect();
    let mut edges: BTreeMap<Module, Edges> = BTreeMap::new();
    for source in sources {
        for mention in &source.mentions {
            let Some((parent, to)) = sibling(source, &mention.path, &modules, &by_module) else {
                continue;
            };
            let from = source.module[parent.len()].clone();
            let place = format!(
                "{}:{}: {}",
                source.file.display(),
                mention.line,
                mention.text()
            );
            let siblings = edges.entry(parent).or_default();
            siblings.entry(from).or_default().entry(to).or_insert(place);
        }
    }
    edges
}

/// Returns the common parent of a file and of what it names, and the child of that parent that it
/// names. `None` for names outside the crate, above the file or below it.
fn sibling(
    source: &Source,
    path: &[String],
    modules: &BTreeSet<&Module>,
    by_module: &BTreeMap<&Module, &Source>,
) -> Option<(Module, String)> {
    let mut path = path.to_vec();
    // Re-exports may be chained; a chain of more than eight is a circle.
    for _ in 0..8 {
        let (first, named) = path.split_first()?;
        if first != "crate" {
            return None;
        }
        let shared = source
            .module
            .iter()
            .zip(named)
            .take_while(|(own, other)| own == other)
            .count();
        let parent = named[..shared].to_vec();
        let next = named.get(shared)?;
        let mut module = parent.clone();
        module.push(next.clone());
        if modules.contains(&module) {
            return (shared < source.module.len()).then(|| (parent, next.clone()));
        }
        let exported = by_module.get(&parent)?.aliases.get(next)?;
        let rest = &named[shared + 1..];
        // A re-export may name a child module without `self`.
        let root = match exported.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            _ => [&["crate".to_owned()], &parent[..]].concat(),
        };
        path = [&root[..], exported, rest].concat();
    }
    None
}

/// Returns the siblings that can be reached from one of them.
fn reached<'a>(edges: &'a Edges, from: &str) -> BTreeSet<&'a str> {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    let mut open: Vec<&str> = edges
        .get(from)
        .into_iter()
        .flat_map(|to| to.keys().map(String::as_str))
        .collect();
    while let Some(module) = open.pop() {
        if found.insert(module)
            && let Some(next) = edges.get(module)
        {
            open.extend(next.keys().map(String::as_str));
        }
    }
    found
}

/// Returns every dependency that is part of a circle, by the parent: `from -> to (file:line:
/// path)`.
fn circles(sources: &[Source]) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (parent, edges) in edges(sources) {
        let reached: BTreeMap<&str, BTreeSet<&str>> = edges
            .keys()
            .map(|from| (from.as_str(), reached(&edges, from)))
            .collect();
        for (from, targets) in &edges {
            for (to, place) in targets {
                let back = reached.get(to.as_str());
                if back.is_some_and(|back| back.contains(from.as_str())) {
                    let lines = found.entry(parent.join("::")).or_default();
                    lines.push(format!("{from} -> {to} ({place})"));
                }
            }
        }
    }
    found
}

#[test]
fn siblings_have_no_circles() {
    let sources = source::sources();
    assert!(sources.len() > 20, "the sources were not found");
    let mut found = circles(&sources);
    for parent in UNDIVIDED {
        let still = found.remove(*parent);
        assert!(
            still.is_some(),
            "`{parent}` has no circles left: take it out"
        );
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The check misses dependencies if it does not follow a form of naming; these are the forms of
/// naming a sibling.
#[test]
fn every_way_to_name_a_sibling_is_seen() {
    let circles_of = |files: &[(&str, &str)]| {
        let sources: Vec<Source> = files
            .iter()
            .map(|(file, text)| Source::parse(Path::new(file), text))
            .collect();
        circles(&sources).values().flatten().count()
    };
    let parent = ("src/sys/mod.rs", "mod a; mod b; mod c; pub use b::B;");
    let back = ("src/sys/b.rs", "use super::a::A;");
    for (text, expected) in [
        ("use super::b::B;", 2),
        ("use super::B;", 2),
        ("use crate::sys::B;", 2),
        ("use crate::sys::b;", 2),
        ("fn f() { super::b::g() }", 2),
        ("use super::c::C;", 0),
        ("use super::Parent;", 0),
        ("#[cfg(test)] mod tests { use super::super::b::B; }", 0),
    ] {
        let a = ("src/sys/a.rs", text);
        let c = ("src/sys/c.rs", "");
        assert_eq!(circles_of(&[parent, a, back, c]), expected, "{text}");
    }
    let longer = [
        parent,
        ("src/sys/a.rs", "use super::b::B;"),
        ("src/sys/b/mod.rs", "mod deep;"),
        ("src/sys/b/deep.rs", "use crate::sys::c::C;"),
        ("src/sys/c.rs", "use super::a::A;"),
    ];
    assert_eq!(circles_of(&longer), 3);
}
