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

/// Returns arguments that serve a catalog's directory without a cache, to follow `entrypoint`.
pub fn serve_arguments(
    entrypoint: &[String],
    arguments: &[String],
    directory: &str,
) -> Vec<String> {
    let in_entrypoint = entrypoint.iter().any(|argument| argument == "serve");
    let (kept, _) = without_cache(arguments);
    if in_entrypoint || kept.first().is_some_and(|first| first == "serve") {
        kept
    } else {
        vec!["serve".to_owned(), format!("/{directory}")]
    }
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
        let opm = words("/bin/opm");
        for (entrypoint, before, after) in [
            (&opm, "serve /configs --cache-dir=/c", "serve /configs"),
            (&opm, "", "serve /configs"),
            (&opm, "registry serve -d x", "serve /configs"),
            (
                &words("/bin/opm serve"),
                "/configs --cache-dir=/c",
                "/configs",
            ),
            (&words("/bin/sh"), "-c x", "serve /configs"),
        ] {
            assert_eq!(
                serve_arguments(entrypoint, &words(before), "configs"),
                words(after)
            );
        }
    }
}
