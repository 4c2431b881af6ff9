//! Reads `ImageContentSourcePolicy` and `ImageDigestMirrorSet`, which tell clusters where to pull
//! images (openshift/api, `operator/v1alpha1` and `config/v1`), as `oc` takes them by `--icsp-file`
//! and `--idms-file`.
//!
//! Reads every document of a file, and the items of a `List`. The user passes these files to say
//! where images come from, so duplicate keys are errors.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::encoding::yaml::{self, Duplicates, YamlError, YamlLimits};

/// Mirrors of one registry or repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorPolicy {
    /// Registry or repository, as written in the policy.
    pub source: String,
    /// Mirrors in the order in which to try them.
    pub mirrors: Vec<String>,
    /// True if the source itself may be tried after the mirrors.
    pub ask_source: bool,
}

/// Error from reading a file of mirror policies.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MirrorPolicyError {
    /// The file is not YAML.
    #[error("The mirror policies cannot be read")]
    Yaml(#[from] YamlError),
    /// A document is of another kind.
    #[error("A document is a `{}` of `{}`; supported are ImageContentSourcePolicy and ImageDigestMirrorSet", kind.escape_debug(), api_version.escape_debug())]
    Kind {
        /// The `kind` of the document.
        kind: String,
        /// The `apiVersion` of the document.
        api_version: String,
    },
    /// A document is of a known kind, but not of its shape.
    #[error("The {kind} is malformed")]
    Shape {
        /// The `kind` of the document.
        kind: &'static str,
        /// The decoder's error.
        #[source]
        source: serde_json::Error,
    },
    /// An unknown value of `mirrorSourcePolicy`.
    #[error("`{}` is not a mirrorSourcePolicy: it is AllowContactingSource or NeverContactSource", policy.escape_debug())]
    SourcePolicy {
        /// The value.
        policy: String,
    },
    /// Two entries for one source have different `mirrorSourcePolicy` values.
    #[error("The policies have different values of mirrorSourcePolicy for `{}`", source_name.escape_debug())]
    Conflict {
        /// The source.
        source_name: String,
    },
    /// The file has no mirror policy.
    #[error("The file holds no mirror policy")]
    Empty,
}

#[derive(Deserialize)]
struct Header {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
struct List {
    #[serde(default)]
    items: Vec<Value>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    repository_digest_mirrors: Vec<Row>,
    #[serde(default)]
    image_digest_mirrors: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    source: String,
    #[serde(default)]
    mirrors: Vec<String>,
    mirror_source_policy: Option<String>,
}

/// Policies in the order in which their sources appear.
#[derive(Default)]
struct Collected {
    policies: Vec<MirrorPolicy>,
    /// Position of each source in `policies`.
    index: BTreeMap<String, usize>,
}

/// Reads all policies of a file. Merges the mirrors of equal sources, in order of appearance.
///
/// # Errors
///
/// When a document is not a mirror policy by digest, or two entries contradict each other.
pub fn parse(bytes: &[u8]) -> Result<Vec<MirrorPolicy>, MirrorPolicyError> {
    let documents: Vec<Value> = yaml::documents(bytes, &YamlLimits::MANIFEST, Duplicates::Refuse)?;
    let mut collected = Collected::default();
    for document in documents {
        collected.document(document, true)?;
    }
    if collected.policies.is_empty() {
        return Err(MirrorPolicyError::Empty);
    }
    Ok(collected.policies)
}

impl Collected {
    fn document(&mut self, document: Value, may_be_list: bool) -> Result<(), MirrorPolicyError> {
        const ICSP: &str = "ImageContentSourcePolicy";
        const IDMS: &str = "ImageDigestMirrorSet";
        let shape = |kind| move |source| MirrorPolicyError::Shape { kind, source };
        let header = Header::deserialize(&document).map_err(shape("document"))?;
        let kind = match (header.api_version.as_str(), header.kind.as_str()) {
            ("v1", "List") if may_be_list => {
                let list = List::deserialize(document).map_err(shape("List"))?;
                let mut items = list.items.into_iter();
                return items.try_for_each(|item| self.document(item, false));
            }
            ("operator.openshift.io/v1alpha1", ICSP) => ICSP,
            ("config.openshift.io/v1", IDMS) => IDMS,
            _ => {
                let shown = |text: String| text.chars().take(100).collect();
                return Err(MirrorPolicyError::Kind {
                    kind: shown(header.kind),
                    api_version: shown(header.api_version),
                });
            }
        };
        let object = Object::deserialize(document).map_err(shape(kind))?;
        let rows = match kind {
            ICSP => object.spec.repository_digest_mirrors,
            _ => object.spec.image_digest_mirrors,
        };
        rows.into_iter().try_for_each(|row| self.row(row))
    }

    fn row(&mut self, row: Row) -> Result<(), MirrorPolicyError> {
        let ask_source = match row.mirror_source_policy.as_deref() {
            None | Some("" | "AllowContactingSource") => true,
            Some("NeverContactSource") => false,
            Some(policy) => {
                let policy = policy.chars().take(100).collect();
                return Err(MirrorPolicyError::SourcePolicy { policy });
            }
        };
        let known = self.index.get(&row.source).copied();
        let Some(policy) = known.and_then(|known| self.policies.get_mut(known)) else {
            self.index.insert(row.source.clone(), self.policies.len());
            self.policies.push(MirrorPolicy {
                source: row.source,
                mirrors: row.mirrors,
                ask_source,
            });
            return Ok(());
        };
        if policy.ask_source != ask_source {
            let source_name = row.source;
            return Err(MirrorPolicyError::Conflict { source_name });
        }
        for mirror in row.mirrors {
            if !policy.mirrors.contains(&mirror) {
                policy.mirrors.push(mirror);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ICSP: &str = "\
apiVersion: operator.openshift.io/v1alpha1
kind: ImageContentSourcePolicy
metadata: {name: one}
spec:
  repositoryDigestMirrors:
  - source: quay.io/okd/scos-content
    mirrors: [a.example/x, b.example/x]
";

    const IDMS: &str = "\
apiVersion: config.openshift.io/v1
kind: ImageDigestMirrorSet
metadata: {name: two}
spec:
  imageDigestMirrors:
  - source: quay.io/okd/scos-content
    mirrors: [b.example/x, c.example/x]
    mirrorSourcePolicy: AllowContactingSource
  - source: quay.io/okd
    mirrors: [d.example]
    mirrorSourcePolicy: NeverContactSource
";

    fn policy(source: &str, mirrors: &[&str], ask_source: bool) -> MirrorPolicy {
        MirrorPolicy {
            source: source.to_owned(),
            mirrors: mirrors.iter().map(ToString::to_string).collect(),
            ask_source,
        }
    }

    #[test]
    fn all_documents_count() {
        let expected = [
            policy(
                "quay.io/okd/scos-content",
                &["a.example/x", "b.example/x", "c.example/x"],
                true,
            ),
            policy("quay.io/okd", &["d.example"], false),
        ];
        let stream = format!("---\n{ICSP}---\n---\n{IDMS}");
        assert_eq!(parse(stream.as_bytes()).unwrap(), expected);
        let indented = |text: &str| {
            let lines = text.lines().map(|line| format!("  {line}\n"));
            lines.collect::<String>().replacen("  ", "- ", 1)
        };
        let list = format!(
            "apiVersion: v1\nkind: List\nitems:\n{}{}",
            indented(ICSP),
            indented(IDMS)
        );
        assert_eq!(parse(list.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let conflict = format!("{IDMS}---\n{}", IDMS.replace("Never", "Allow"));
        let conflict = conflict.replace("AllowContactSource", "AllowContactingSource");
        for (text, expected) in [
            ("", "The file holds no mirror policy"),
            ("[1", "The mirror policies cannot be read"),
            (
                "apiVersion: v1\nkind: ConfigMap\n",
                "A document is a `ConfigMap` of `v1`; supported are ImageContentSourcePolicy and \
                 ImageDigestMirrorSet",
            ),
            (
                &ICSP.replace("source:", "source: 1 #"),
                "The ImageContentSourcePolicy is malformed",
            ),
            (
                &IDMS.replace("NeverContactSource", "Sometimes"),
                "`Sometimes` is not a mirrorSourcePolicy: it is AllowContactingSource or \
                 NeverContactSource",
            ),
            (
                &conflict,
                "The policies have different values of mirrorSourcePolicy for `quay.io/okd`",
            ),
        ] {
            let found = parse(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(found, expected, "{text}");
        }
    }
}
