//! Parses `release-manifests/image-references` of a release payload, the list of a release's
//! images.
//!
//! The document is an `ImageStream` of `image.openshift.io/v1`, in JSON (docs/oc-compatibility.md,
//! section 2.1). It is read as `oc` reads it, which accepts YAML, too ([`go_yaml`]). Independent of
//! the document's source, and without decisions about its images.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::content::go_yaml::{self, GoYamlError, Text};
use crate::encoding::yaml::YamlLimits;
use crate::model::{Digest, NameError, Reference, ReleaseVersion, ReleaseVersionError};

/// Path of the document in a payload.
pub const PATH: &str = "release-manifests/image-references";

/// Maximum length of the document in bytes. Real ones have about 100 KiB.
pub const LIMIT: u64 = 4 << 20;

/// Limits for a document in YAML; an entry has about 25 values.
const LIMITS: YamlLimits = YamlLimits {
    bytes: LIMIT,
    nodes: 500_000,
    depth: 64,
};

/// Maximum number of components in a release. Real ones have about 190.
const MAX_COMPONENTS: usize = 4096;

/// Maximum length in bytes of a component's name; together with a version it must fit into a tag.
const MAX_NAME: usize = 100;

/// Error from reading a release's list of images.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageReferencesError {
    /// The document is longer than [`LIMIT`].
    #[error("image-references has {length} bytes, more than the {LIMIT} that are allowed")]
    TooLong {
        /// Length in bytes.
        length: usize,
    },
    /// The document is neither JSON nor YAML of the expected shape.
    #[error("image-references cannot be read")]
    Form(#[source] GoYamlError),
    /// The document is an object of another kind.
    #[error(
        "image-references is a `{}` of `{}`, not an `ImageStream` of `image.openshift.io/v1`",
        kind.escape_debug(), api_version.escape_debug()
    )]
    Kind {
        /// The `kind` of the document.
        kind: String,
        /// The `apiVersion` of the document.
        api_version: String,
    },
    /// The name of the image stream is not a version.
    #[error("image-references does not name the version of a release")]
    Version(#[source] ReleaseVersionError),
    /// The document lists no image.
    #[error("image-references lists no images")]
    Empty,
    /// The document lists more images than any release has.
    #[error("image-references lists {count} images, more than the {MAX_COMPONENTS} allowed")]
    TooMany {
        /// Number of entries.
        count: usize,
    },
    /// A component's name does not fit into a tag.
    #[error("`{}` is not the name of a component", name.escape_debug())]
    Name {
        /// The name, shortened.
        name: String,
    },
    /// Two entries have the same name.
    #[error("image-references lists `{name}` twice")]
    Duplicate {
        /// Name of the component.
        name: ComponentName,
    },
    /// A component's image is not a valid reference.
    #[error("The image of component `{component}` is not a reference")]
    Reference {
        /// Name of the component.
        component: ComponentName,
        /// The fault in the reference.
        #[source]
        source: NameError,
    },
    /// A component's image is named by tag, so that its content at signing is unknown.
    #[error(
        "Component `{component}` is `{image}`: image-references should only contain pointers to \
         images by digest"
    )]
    NotByDigest {
        /// Name of the component.
        component: ComponentName,
        /// The component's image reference.
        image: Box<Reference>,
    },
}

/// The name of a component: at most 100 of `[A-Za-z0-9_.-]`, so that it can end a tag.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ComponentName(String);

impl ComponentName {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ComponentName {
    type Err = ImageReferencesError;

    fn from_str(text: &str) -> Result<Self, ImageReferencesError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if text.is_empty() || text.len() > MAX_NAME || !text.bytes().all(plain) {
            let name = text.chars().take(MAX_NAME).collect();
            return Err(ImageReferencesError::Name { name });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sources that a component was built from. Free text from the build: escape it for display.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct BuildFacts {
    /// Commit of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Branch or tag of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Address of the source repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Versions of included software, for example `kubernetes` 1.31.4.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, String>,
    /// Display names of included software.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub display_names: BTreeMap<String, String>,
}

/// One of a release's images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Component {
    /// Name of the component in the release, for example `machine-config-operator`.
    pub name: ComponentName,
    /// The image: repository and digest, never a tag.
    pub image: Reference,
    /// The image's digest.
    pub digest: Digest,
    /// The sources that the component was built from.
    pub build: BuildFacts,
}

/// The content of a release: its version and its images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageReferences {
    /// The release's version.
    pub version: ReleaseVersion,
    /// Creation time as stated in the document; for display only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The images, sorted by name; never empty.
    pub components: Vec<Component>,
    /// Names of entries that have no image, which `oc` skips too; sorted, without invalid names.
    /// Real payloads have none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<ComponentName>,
}

impl ImageReferences {
    /// Reads the document.
    ///
    /// # Errors
    ///
    /// When the document is not an image stream named by a version, lists no image, lists a name
    /// twice, or names an image otherwise than by digest alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageReferencesError> {
        if bytes.len() as u64 > LIMIT {
            let length = bytes.len();
            return Err(ImageReferencesError::TooLong { length });
        }
        let stream: ImageStream =
            go_yaml::read(bytes, &FIELDS, &LIMITS).map_err(ImageReferencesError::Form)?;
        if stream.kind.0 != "ImageStream" || stream.api_version.0 != "image.openshift.io/v1" {
            let shown = |Text(text)| text.chars().take(100).collect();
            return Err(ImageReferencesError::Kind {
                kind: shown(stream.kind),
                api_version: shown(stream.api_version),
            });
        }
        let version = stream.metadata.name.0.parse();
        let version = version.map_err(ImageReferencesError::Version)?;
        let tags = stream.spec.tags.unwrap_or_default();
        if tags.len() > MAX_COMPONENTS {
            return Err(ImageReferencesError::TooMany { count: tags.len() });
        }
        let (mut components, mut skipped) = (BTreeMap::new(), BTreeSet::new());
        for tag in tags.into_iter().flatten() {
            let name = tag.name.0.parse::<ComponentName>();
            let Some(from) = tag.from.filter(|from| from.kind.0 == "DockerImage") else {
                skipped.extend(name);
                continue;
            };
            let name = name?;
            if components.contains_key(&name) {
                return Err(ImageReferencesError::Duplicate { name });
            }
            let component = component(name, &from.name.0, tag.annotations)?;
            components.insert(component.name.clone(), component);
        }
        if components.is_empty() {
            return Err(ImageReferencesError::Empty);
        }
        Ok(Self {
            version,
            created: stream.metadata.creation_timestamp.map(|Text(text)| text),
            components: components.into_values().collect(),
            skipped: skipped.into_iter().collect(),
        })
    }

    /// Finds a component by name.
    pub fn component(&self, name: &str) -> Option<&Component> {
        let index = self
            .components
            .binary_search_by(|component| component.name.as_str().cmp(name));
        index.ok().and_then(|index| self.components.get(index))
    }
}

fn component(
    name: ComponentName,
    image: &str,
    annotations: Option<BTreeMap<String, Text>>,
) -> Result<Component, ImageReferencesError> {
    let image: Reference = match image.parse() {
        Ok(image) => image,
        Err(source) => {
            let component = name;
            return Err(ImageReferencesError::Reference { component, source });
        }
    };
    match image {
        Reference {
            tag: None,
            digest: Some(digest),
            ..
        } => Ok(Component {
            name,
            image,
            digest,
            build: build_facts(annotations.unwrap_or_default()),
        }),
        image => {
            let (component, image) = (name, Box::new(image));
            Err(ImageReferencesError::NotByDigest { component, image })
        }
    }
}

fn build_facts(mut annotations: BTreeMap<String, Text>) -> BuildFacts {
    let mut text = |key: &str| {
        let Text(text) = annotations.remove(key)?;
        Some(text).filter(|text| !text.is_empty())
    };
    let pairs = |text: Option<String>| text.as_deref().map(pairs).unwrap_or_default();
    BuildFacts {
        commit: text("io.openshift.build.commit.id"),
        reference: text("io.openshift.build.commit.ref"),
        source: text("io.openshift.build.source-location"),
        versions: pairs(text("io.openshift.build.versions")),
        display_names: pairs(text("io.openshift.build.version-display-names")),
    }
}

/// Reads `k=v,k=v`. Items without `=` are skipped, since the result is only displayed.
fn pairs(text: &str) -> BTreeMap<String, String> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// The names of all fields below, as serde expects them.
const FIELDS: [&str; 9] = [
    "kind",
    "apiVersion",
    "metadata",
    "name",
    "creationTimestamp",
    "spec",
    "tags",
    "annotations",
    "from",
];

/// The used parts of an `ImageStream`.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct ImageStream {
    kind: Text,
    api_version: Text,
    metadata: ObjectMeta,
    spec: Spec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct ObjectMeta {
    #[serde(default)]
    name: Text,
    #[serde(default)]
    creation_timestamp: Option<Text>,
}

#[derive(Deserialize, Default)]
struct Spec {
    #[serde(default)]
    tags: Option<Vec<Option<TagReference>>>,
}

#[derive(Deserialize)]
struct TagReference {
    #[serde(default)]
    name: Text,
    #[serde(default)]
    annotations: Option<BTreeMap<String, Text>>,
    #[serde(default)]
    from: Option<ObjectReference>,
}

#[derive(Deserialize)]
struct ObjectReference {
    #[serde(default)]
    kind: Text,
    #[serde(default)]
    name: Text,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn digest(n: u8) -> String {
        format!("sha256:{}", hex::encode([n; 32]))
    }

    fn tag(name: &str, image: &str) -> Value {
        json!({ "name": name, "from": { "kind": "DockerImage", "name": image }, "generation": null })
    }

    fn stream(tags: Value) -> Value {
        json!({
            "kind": "ImageStream",
            "apiVersion": "image.openshift.io/v1",
            "metadata": { "name": "4.17.3", "creationTimestamp": "2026-01-01T00:00:00Z" },
            "spec": { "lookupPolicy": { "local": false }, "tags": tags },
            "status": { "dockerImageRepository": "" },
        })
    }

    fn parse(document: &Value) -> Result<ImageReferences, ImageReferencesError> {
        ImageReferences::parse(document.to_string().as_bytes())
    }

    #[test]
    fn components_are_sorted_and_keep_what_they_were_built_from() {
        let mut cli = tag("cli", &format!("quay.io/okd/content@{}", digest(1)));
        cli["annotations"] = json!({
            "io.openshift.build.commit.id": "abc",
            "io.openshift.build.commit.ref": "",
            "io.openshift.build.source-location": "https://example.com/cli",
            "io.openshift.build.versions": "kubectl=1.31.1, machine-os=418,broken",
            "io.openshift.build.version-display-names": "machine-os=CentOS Stream CoreOS",
        });
        let agent = tag("agent", &format!("quay.io/okd/content@{}", digest(2)));
        let mut other = tag("other", "x");
        other["from"]["kind"] = json!("ImageStreamTag");
        let references = parse(&stream(json!([other, cli, agent]))).unwrap();
        assert_eq!(references.version.to_string(), "4.17.3");
        let names: Vec<&str> = references
            .components
            .iter()
            .map(|c| c.name.as_str())
            .collect();
        assert_eq!(names, ["agent", "cli"]);
        assert_eq!(references.skipped, ["other".parse().unwrap()]);
        let cli = references.component("cli").unwrap();
        assert_eq!(cli.digest.to_string(), digest(1));
        assert_eq!(cli.build.commit.as_deref(), Some("abc"));
        assert_eq!(cli.build.reference, None);
        assert_eq!(cli.build.source.as_deref(), Some("https://example.com/cli"));
        assert_eq!(cli.build.versions.len(), 2);
        assert_eq!(cli.build.versions["machine-os"], "418");
        assert_eq!(
            cli.build.display_names["machine-os"],
            "CentOS Stream CoreOS"
        );
        assert!(references.component("other").is_none());
    }

    #[test]
    fn anything_but_a_lone_digest_is_refused() {
        for image in [
            "quay.io/okd/content:v1".to_owned(),
            "quay.io/okd/content".to_owned(),
            format!("quay.io/okd/content:v1@{}", digest(1)),
        ] {
            let error = parse(&stream(json!([tag("cli", &image)]))).unwrap_err();
            let text = error.to_string();
            let rule = "image-references should only contain pointers to images by digest";
            assert!(text.contains(rule) && text.contains("`cli`"), "{text}");
        }
    }

    #[test]
    fn what_is_no_release_is_refused() {
        let good = tag("cli", &format!("quay.io/okd/content@{}", digest(1)));
        let with = |path: &str, value: Value| {
            let mut document = stream(json!([good]));
            *document.pointer_mut(path).unwrap() = value;
            parse(&document).unwrap_err()
        };
        use ImageReferencesError as E;
        assert!(matches!(with("/kind", json!("List")), E::Kind { .. }));
        assert!(matches!(with("/apiVersion", json!("v1")), E::Kind { .. }));
        assert!(matches!(
            with("/metadata/name", json!("latest")),
            E::Version(_)
        ));
        assert!(matches!(with("/metadata", json!({})), E::Version(_)));
        assert!(matches!(with("/spec/tags", json!([])), E::Empty));
        assert!(matches!(with("/spec/tags", json!(null)), E::Empty));
        assert!(matches!(
            with("/spec/tags", json!([good, good])),
            E::Duplicate { .. }
        ));
        assert!(matches!(
            with("/spec/tags/0/name", json!("a/b")),
            E::Name { .. }
        ));
        assert!(matches!(
            with("/spec/tags/0/name", json!("")),
            E::Name { .. }
        ));
        assert!(matches!(
            with("/spec/tags/0/from/name", json!("A b")),
            E::Reference { .. }
        ));
        let many: Vec<Value> = (0..=MAX_COMPONENTS)
            .map(|n| {
                tag(
                    &format!("c{n}"),
                    &format!("quay.io/okd/content@{}", digest(1)),
                )
            })
            .collect();
        assert!(matches!(with("/spec/tags", json!(many)), E::TooMany { .. }));
        let long = vec![b' '; LIMIT as usize + 1];
        assert!(matches!(
            ImageReferences::parse(&long),
            Err(E::TooLong { .. })
        ));
    }

    #[test]
    fn it_is_read_as_oc_reads_it() {
        let image = format!("q.io/a/b@sha256:{}", "a".repeat(64));
        let text = format!(
            r#"{{"Kind":"List","kind":"ImageStream","apiVersion":"image.openshift.io/v1","ApiVersion":null,
            "metadata":{{"name":"4.1.0","creationTimestamp":null}},"spec":{{"Tags":[],"tags":[null,
            {{"name":"x","name":"cli","annotations":{{"io.openshift.build.commit.id":null,"n":5}},
            "unknown":1,"from":{{"kind":"DockerImage","name":"{image}"}}}},
            {{"name":"a b"}},{{"name":"cli","from":{{"kind":"ImageStreamTag"}}}}]}}}}"#
        );
        let yaml = format!(
            "# made by hand\nkind: ImageStream\napiVersion: image.openshift.io/v1\n\
             metadata: {{name: 4.1.0}}\nspec:\n  tags:\n  -\n  - name: cli\n    \
             annotations: {{n: 5}}\n    from:\n      kind: DockerImage\n      name: {image}\n"
        );
        let marked = format!("\u{feff}{text}");
        let ended = format!("{text}\n---\n");
        for text in [&text, &yaml, &marked, &ended] {
            let read = ImageReferences::parse(text.as_bytes()).unwrap();
            assert_eq!(read.components.len(), 1);
            assert_eq!(read.components[0].name.as_str(), "cli");
            assert_eq!(read.components[0].build.commit, None);
            assert_eq!(read.created, None);
        }
        let numbers = yaml.replace("name: cli", "name: 4.10");
        let read = ImageReferences::parse(numbers.as_bytes()).unwrap();
        assert_eq!(read.components[0].name.as_str(), "4.1");
    }
}
