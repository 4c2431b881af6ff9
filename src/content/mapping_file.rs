//! Reads a `mapping.txt` that the user may have edited: which images to mirror, and where to
//! (docs/oc-compatibility.md, sections 1.3 and 4.3).
//!
//! The grammar is that of `oc image mirror --filename`: a line is `SOURCE=TARGET` or
//! `SOURCE TARGET`, `#` begins a comment anywhere; blank lines and a byte order mark are ignored. A
//! source may have several targets, in one line or in several: the image gets all of these names,
//! as `oc` gives it. Our own `mapping.txt` has such lines for a catalog that names one digest under
//! two tags.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{NameError, Reference};

/// Error from reading a mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingFileError {
    /// The file lists no image, which is probably a mistake.
    #[error("It lists no image")]
    Empty,
    /// A line has no target, or more than one `=`.
    #[error("Line {line} is not `SOURCE=TARGET`")]
    Line {
        /// Line number, from 1.
        line: usize,
    },
    /// A source or target is not a valid image reference.
    #[error("Line {line} has an invalid image reference")]
    Name {
        /// Line number, from 1.
        line: usize,
        /// The fault in the reference.
        #[source]
        source: NameError,
    },
    /// A target has a digest: a digest follows from the content and cannot be chosen.
    #[error("The target in line {line} has a digest; give a tag instead")]
    Digest {
        /// Line number, from 1.
        line: usize,
    },
    /// A source or target is a directory: `file://` names the trees that `oc` writes.
    #[error("Line {line} names a directory (`file://`); only images on registries are supported")]
    Directory {
        /// Line number, from 1.
        line: usize,
    },
}

/// The sources, each with at least one target.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MappingFile {
    targets: BTreeMap<Reference, BTreeSet<Reference>>,
}

impl MappingFile {
    /// Reads a mapping.
    ///
    /// # Errors
    ///
    /// Returns an error for the first invalid line, and for a file that lists no image.
    pub fn parse(text: &str) -> Result<Self, MappingFileError> {
        let mut targets: BTreeMap<Reference, BTreeSet<Reference>> = BTreeMap::new();
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let words = content.split(|c: char| c == '=' || c.is_whitespace());
            let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
            let (source, names) = match words.split_first() {
                Some((source, names)) if !names.is_empty() => (source, names),
                _ => return Err(MappingFileError::Line { line }),
            };
            if content.matches('=').count() > 1 {
                return Err(MappingFileError::Line { line });
            }
            let name = |text: &str| {
                if text.contains("://") && !text.starts_with("docker://") {
                    return Err(MappingFileError::Directory { line });
                }
                let text = text.strip_prefix("docker://").unwrap_or(text);
                let parsed = text.parse::<Reference>();
                parsed.map_err(|source| MappingFileError::Name { line, source })
            };
            let of = targets.entry(mapped(&name(source)?)).or_default();
            for target in names {
                let target = name(target)?;
                if target.digest.is_some() {
                    return Err(MappingFileError::Digest { line });
                }
                of.insert(mapped(&target));
            }
        }
        if targets.is_empty() {
            return Err(MappingFileError::Empty);
        }
        Ok(Self { targets })
    }

    /// The targets of an image, each with a tag, sorted; none when the image is not listed.
    pub fn targets(&self, image: &Reference) -> impl Iterator<Item = &Reference> {
        self.targets.get(&mapped(image)).into_iter().flatten()
    }

    /// True if the image is listed as a source.
    pub fn lists(&self, image: &Reference) -> bool {
        self.targets.contains_key(&mapped(image))
    }

    /// True if no image is listed.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The sources, sorted: by digest alone if they have one, else by tag.
    pub fn sources(&self) -> impl Iterator<Item = &Reference> {
        self.targets.keys()
    }
}

/// Normalizes a reference as a mapping writes it: by digest if it has one, else by tag (default
/// `latest`).
pub fn mapped(image: &Reference) -> Reference {
    match (image.digest, &image.tag) {
        (Some(digest), _) => image.repository.pinned(digest),
        (None, Some(_)) => image.clone(),
        (None, None) => Reference {
            tag: image.selector().parse().ok(),
            ..image.clone()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_that_of_oc() {
        let digest = format!("sha256:{}", "2f".repeat(32));
        let text = format!(
            "# note\n\nquay.io/a/b@{digest}=m.lan/x/b:1\n  quay.io/a/c m.lan/x/c   # why\r\n\
             quay.io/a/c=m.lan/x/c:latest\n"
        );
        let mapping = MappingFile::parse(&text).unwrap();
        let target = |image: &str| {
            let image = image.parse().unwrap();
            let mut targets = mapping.targets(&image);
            targets.next().map(ToString::to_string)
        };
        let both = format!("quay.io/a/b:v1@{digest}");
        assert_eq!(target(&both).as_deref(), Some("m.lan/x/b:1"));
        assert_eq!(
            target("quay.io/a/c:latest").as_deref(),
            Some("m.lan/x/c:latest")
        );
        assert_eq!(target("quay.io/a/c").as_deref(), Some("m.lan/x/c:latest"));
        assert_eq!(target("quay.io/a/c:1"), None);
        assert_eq!(mapping.sources().count(), 2);
    }

    #[test]
    fn a_list_of_nothing_is_a_mistake() {
        for empty in ["", "\n", "# quay.io/a/b=m/a/b:1\n"] {
            assert_eq!(MappingFile::parse(empty), Err(MappingFileError::Empty));
        }
    }

    #[test]
    fn other_lines_are_named() {
        let line = |text: &str| MappingFile::parse(&format!("\n{text}")).unwrap_err();
        for bad in ["quay.io/a/b", "quay.io/a/b=", "=", "a=m/b=m/c"] {
            assert_eq!(line(bad), MappingFileError::Line { line: 2 }, "{bad}");
        }
        assert!(matches!(
            line("quay.io/A/b=m/c:1"),
            MappingFileError::Name { line: 2, .. }
        ));
        let digest = format!("quay.io/a/b=m/a/b@sha256:{}", "2f".repeat(32));
        assert_eq!(line(&digest), MappingFileError::Digest { line: 2 });
        for directory in [
            "file://x/a:1=m.lan/a:1",
            "quay.io/a/b=file://x/a:1",
            "s3://a/b=m/c",
        ] {
            assert_eq!(line(directory), MappingFileError::Directory { line: 2 });
        }
    }

    #[test]
    fn a_source_may_have_several_targets() {
        let text = "\u{feff}quay.io/a/b=m.lan/x:2   \r\n\r\nquay.io/a/b:latest=m.lan/x:1\r\n\
            quay.io/a/c m.lan/c:1 m.lan/c:2\nquay.io/a/b=docker://m.lan/x:2\n";
        let mapping = MappingFile::parse(text).unwrap();
        let targets = |image: &str| -> Vec<String> {
            let image = image.parse().unwrap();
            mapping.targets(&image).map(ToString::to_string).collect()
        };
        assert_eq!(targets("quay.io/a/b"), ["m.lan/x:1", "m.lan/x:2"]);
        assert_eq!(targets("quay.io/a/c"), ["m.lan/c:1", "m.lan/c:2"]);
        assert_eq!(mapping.sources().count(), 2);
    }
}
