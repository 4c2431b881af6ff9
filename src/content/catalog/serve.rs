//! The arguments with which a catalog's image is served, and their change when the catalog changes.
//!
//! `opm serve DIR --cache-dir=CACHE` compares the cache with the catalog and does not start when
//! they differ; making a cache takes `opm` itself. So a changed catalog is served without one:
//! `opm` then makes its own below the directory for temporary files. oc-mirror's catalogs do the
//! same (docs/oc-compatibility.md, section 5.3), and so does OLM when `extractContent` names no
//! `cacheDir`.

/// Cache arguments that take a value.
const WITH_VALUE: [&str; 1] = ["--cache-dir"];
/// Cache arguments without a value.
const ALONE: [&str; 2] = ["--cache-enforce-integrity", "--cache-only"];

/// Returns the arguments without those about a cache, and the cache's directory if they name one.
pub fn without_cache(arguments: &[String]) -> (Vec<String>, Option<String>) {
    let mut kept = Vec::new();
    let mut cache = None;
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (argument.as_str(), None),
        };
        if WITH_VALUE.contains(&name) {
            cache = value.or_else(|| arguments.next().cloned());
        } else if !ALONE.contains(&name) {
            kept.push(argument.clone());
        }
    }
    (kept, cache)
}

/// The program of `opm`'s own images, for a catalog that names none.
const PROGRAM: &str = "/bin/opm";

/// Programs that read their commands from a text.
const SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "zsh", "busybox"];

/// The error for a catalog that a shell starts: the cache cannot be taken out of a shell's text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Its image starts with a shell line (`{}`), which cannot be changed to serve another catalog", .line.escape_debug())]
pub struct ShellLine {
    /// The words, joined by spaces.
    line: String,
}

/// Returns the entrypoint and the arguments that serve a catalog's directory without a cache. The
/// program may stand in either of them.
///
/// # Errors
///
/// [`ShellLine`] when a shell starts the catalog.
pub fn serving(
    entrypoint: &[String],
    arguments: &[String],
    directory: &str,
) -> Result<(Vec<String>, Vec<String>), ShellLine> {
    let words = || entrypoint.iter().chain(arguments);
    if words().any(|word| SHELLS.contains(&file_name(word))) {
        let line: Vec<&str> = words().map(String::as_str).collect();
        let line = line.join(" ").chars().take(120).collect();
        return Err(ShellLine { line });
    }
    let (entrypoint, _) = without_cache(entrypoint);
    let (mut kept, _) = without_cache(arguments);
    let verb = kept.iter().position(|word| word == "serve");
    let before = verb
        .and_then(|at| at.checked_sub(1))
        .and_then(|at| kept.get(at));
    let in_arguments = verb == Some(0) || before.is_some_and(|word| file_name(word) == "opm");
    let serves = in_arguments || entrypoint.iter().any(|word| word == "serve");
    if !serves {
        let program = kept.first().filter(|word| !word.starts_with('-'));
        // Arguments behind an entrypoint are not a program.
        let program = program.filter(|_| entrypoint.is_empty()).cloned();
        let serve = ["serve".to_owned(), format!("/{directory}")];
        kept = program.into_iter().chain(serve).collect();
    }
    if entrypoint.is_empty() && kept.first().is_some_and(|word| word == "serve") {
        kept.insert(0, PROGRAM.to_owned());
    }
    Ok((entrypoint, kept))
}

fn file_name(word: &str) -> &str {
    word.rsplit_once('/').map_or(word, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_cache_is_left_out_and_known() {
        for (before, after, cache) in [
            (
                "serve /configs --cache-dir=/tmp/cache",
                "serve /configs",
                Some("/tmp/cache"),
            ),
            (
                "serve --cache-dir /c /configs -p 50052",
                "serve /configs -p 50052",
                Some("/c"),
            ),
            (
                "serve /configs --cache-enforce-integrity=false --cache-only",
                "serve /configs",
                None,
            ),
            ("serve /configs --cache-dir", "serve /configs", None),
        ] {
            let (kept, found) = without_cache(&words(before));
            assert_eq!((kept, found.as_deref()), (words(after), cache), "{before}");
        }
    }

    #[test]
    fn the_catalog_is_served_whatever_stood_there() {
        for (entrypoint, before, after) in [
            (
                "/bin/opm",
                "serve /configs --cache-dir=/c",
                "/bin/opm|serve /configs",
            ),
            ("/bin/opm", "", "/bin/opm|serve /configs"),
            ("/bin/opm", "registry serve -d x", "/bin/opm|serve /configs"),
            (
                "/bin/opm serve",
                "/configs --cache-dir=/c",
                "/bin/opm serve|/configs",
            ),
            (
                "/bin/opm serve /configs --cache-dir=/c",
                "",
                "/bin/opm serve /configs|",
            ),
            (
                "",
                "/bin/opm serve /configs --cache-dir=/c",
                "|/bin/opm serve /configs",
            ),
            ("", "opm registry serve -d x", "|opm serve /configs"),
            ("", "opm", "|opm serve /configs"),
            ("", "serve /configs", "|/bin/opm serve /configs"),
            ("", "", "|/bin/opm serve /configs"),
            (
                "tini --",
                "/bin/opm serve /configs --cache-only",
                "tini --|/bin/opm serve /configs",
            ),
            ("/start", "", "/start|serve /configs"),
        ] {
            let (entry, arguments) =
                serving(&words(entrypoint), &words(before), "configs").unwrap();
            let joined = format!("{}|{}", entry.join(" "), arguments.join(" "));
            assert_eq!(joined, after, "{entrypoint} {before}");
        }
    }

    #[test]
    fn a_shell_line_is_refused() {
        for (entrypoint, arguments) in [
            ("", "/bin/sh -c x"),
            ("/bin/bash -ec x", ""),
            ("tini -- sh", "-c x"),
            ("/bin/sh", "/start.sh"),
        ] {
            let error = serving(&words(entrypoint), &words(arguments), "configs").unwrap_err();
            assert!(error.to_string().contains("shell line"), "{error}");
        }
    }
}
