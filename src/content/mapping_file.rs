//! `mapping.txt` given back by whoever edited it: which images to mirror, and where to (reference
//! sections 1.3 and 4.3).
//!
//! The grammar is that of `oc image mirror --filename`: a line is `SOURCE=TARGET` or
//! `SOURCE TARGET`, `#` begins a comment anywhere, blank lines mean nothing. Several targets in a
//! line are refused, because an image has one name on a target here.

use std::collections::BTreeMap;

use crate::model::{NameError, Reference};

/// Why a text is no mapping.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MappingFileError {
    /// Nothing is listed: whoever wrote it meant something else.
    #[error("It lists no image")]
    Empty,
    /// A line has not exactly one source and one target.
    #[error("Line {line} is not `SOURCE=TARGET`")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// A source or target that is no image.
    #[error("Line {line} names something that is no image")]
    Name {
        /// The line, from 1.
        line: usize,
        /// What is wrong with the name.
        #[source]
        source: NameError,
    },
    /// A target by digest: nobody can choose one.
    #[error("The target in line {line} has a digest; name it by tag")]
    Digest {
        /// The line, from 1.
        line: usize,
    },
    /// A source with two targets.
    #[error("Line {line} gives `{image}` a second target")]
    Twice {
        /// The line, from 1.
        line: usize,
        /// The source.
        image: Box<Reference>,
    },
}

/// Sources with their targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MappingFile {
    targets: BTreeMap<Reference, Reference>,
}

impl MappingFile {
    /// Reads a mapping.
    ///
    /// # Errors
    ///
    /// The first line that is none, and a text that lists nothing.
    pub fn parse(text: &str) -> Result<Self, MappingFileError> {
        let mut targets = BTreeMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default().trim();
            if content.is_empty() {
                continue;
            }
            let mut words = content.split(|c: char| c == '=' || c.is_whitespace());
            let words: Vec<&str> = words.by_ref().filter(|word| !word.is_empty()).collect();
            let [source, target] = words.as_slice() else {
                return Err(MappingFileError::Line { line });
            };
            let name = |text: &str| {
                let parsed = text.parse::<Reference>();
                parsed.map_err(|source| MappingFileError::Name { line, source })
            };
            let (source, target) = (mapped(&name(source)?), name(target)?);
            if target.digest.is_some() {
                return Err(MappingFileError::Digest { line });
            }
            let target = mapped(&target);
            if let Some(other) = targets.insert(source.clone(), target.clone())
                && other != target
            {
                let image = Box::new(source);
                return Err(MappingFileError::Twice { line, image });
            }
        }
        if targets.is_empty() {
            return Err(MappingFileError::Empty);
        }
        Ok(Self { targets })
    }

    /// The target of an image, with a tag; `None` when the image is not listed.
    pub fn target(&self, image: &Reference) -> Option<&Reference> {
        self.targets.get(&mapped(image))
    }

    /// Whether nothing is listed.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// The sources, sorted: by digest alone, else by tag.
    pub fn sources(&self) -> impl Iterator<Item = &Reference> {
        self.targets.keys()
    }
}

/// A reference as a mapping writes it: by digest, else by tag, which may be `latest`.
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
            mapping
                .target(&image.parse().unwrap())
                .map(ToString::to_string)
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
        for bad in ["quay.io/a/b", "quay.io/a/b=m/a/b:1 m/c/d:1", "=", "a b c"] {
            assert_eq!(line(bad), MappingFileError::Line { line: 2 }, "{bad}");
        }
        assert!(matches!(
            line("quay.io/A/b=m/c:1"),
            MappingFileError::Name { line: 2, .. }
        ));
        let digest = format!("quay.io/a/b=m/a/b@sha256:{}", "2f".repeat(32));
        assert_eq!(line(&digest), MappingFileError::Digest { line: 2 });
        let twice = "quay.io/a/b=m.lan/x:1\nquay.io/a/b:latest=m.lan/y:1";
        assert!(matches!(
            line(twice),
            MappingFileError::Twice { line: 3, .. }
        ));
    }
}
