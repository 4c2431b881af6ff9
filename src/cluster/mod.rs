//! Renders what a cluster needs to use the mirror: objects and snippets as text.
//!
//! Input is names, output is text, sorted and without time stamps: the same content gives the same
//! bytes. Nothing here writes a file or contacts a registry. To add an object, write a small file
//! that builds an `Object`, and give its text a file name in [`render`].
//!
//! Shapes: docs/oc-compatibility.md, sections 2.3, 2.6, 4.3 and 6.

mod catalog;
mod catalog_ahead;
mod catalog_names;
mod content;
mod content_source_policy;
mod expressible;
mod grammar;
mod install_config;
mod instructions;
mod mapping;
mod mirror;
mod mirror_set;
mod object;
mod object_name;
mod policy_name;
mod scope;
mod signature_config_map;
mod split;
mod update_service;
mod warning;
mod widen;
mod yaml;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use catalog_names::{ChosenName, ChosenNameError, check_names};
pub use content::{Catalog, ClusterImage, Content, Release, signatures_of};
pub use instructions::{Instructions, instructions};
pub use mapping::Mapping;
pub use mirror::{Mirror, Mirrors};
pub use mirror_set::MirrorSourcePolicy;
pub use object::{NamePrefix, NamePrefixError};
pub use object_name::{ObjectName, ObjectNameError};
pub use scope::Scope;
pub use split::{ObjectSize, ObjectSizeError};
pub use warning::Warning;

use crate::model::{Digest, Reference, Repository};
use crate::plan::naming::{self, Profile};
use catalog_names::CatalogNames;
use policy_name::PolicyName;

/// The label with which `oc` marks mirror policies of catalogs (docs/oc-compatibility.md, section
/// 4.3).
const CATALOG_LABEL: &str = "operators.openshift.org/catalog";

/// Error from rendering the objects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// A single mirror entry is larger than an object may be.
    #[error("The mirror entry for `{location}` needs {size} bytes, an object may have {limit}")]
    EntryTooLarge {
        /// Source of the entry.
        location: String,
        /// Length in bytes of an object with only this entry.
        size: usize,
        /// Maximum length of an object in bytes.
        limit: usize,
    },
    /// A ConfigMap cannot be encoded as JSON.
    #[error("The signatures of a release cannot be written as JSON: {why}")]
    Encoding {
        /// The encoder's error.
        why: String,
    },
    /// An UpdateService can name only one repository of releases, and there are several.
    #[error("An UpdateService can name one repository of releases, but they are in {}", repositories.join(", "))]
    ReleaseRepositories {
        /// The repositories, sorted.
        repositories: Vec<String>,
    },
    /// A name was chosen for a catalog that is not there.
    #[error("No catalog `{catalog}` is here to be named; there {}", listed(known))]
    UnknownCatalog {
        /// The catalog.
        catalog: Box<Reference>,
        /// The catalogs that are there.
        known: Vec<String>,
    },
    /// One name was chosen, but there are several catalogs.
    #[error(
        "`{name}` does not say which catalog gets this name; there {}",
        listed(known)
    )]
    SeveralCatalogs {
        /// The name.
        name: String,
        /// The catalogs that are there.
        known: Vec<String>,
    },
    /// Two catalogs would have the same name.
    #[error("The name `{name}` is that of two catalogs: {}", catalogs.join(" and "))]
    SameName {
        /// The name.
        name: String,
        /// The catalogs.
        catalogs: Vec<String>,
    },
}

fn listed(catalogs: &[String]) -> String {
    match catalogs {
        [] => "is no catalog".to_owned(),
        [one] => format!("is `{one}`"),
        several => format!("are `{}`", several.join("`, `")),
    }
}

/// Whose names the objects get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NameStyle {
    /// Our own: the same for the same content, different for different content.
    #[default]
    Own,
    /// Those of oc-mirror: `cs-NAME-TAG`, `idms-release-0`.
    OcMirror,
}

impl NameStyle {
    /// The style that belongs to the names of images.
    pub fn of(naming: &naming::Options) -> Self {
        match naming.profile {
            Some(Profile::OcMirror) => Self::OcMirror,
            _ => Self::Own,
        }
    }
}

/// Directory of the objects that every cluster from OpenShift and OKD 4.13 on accepts.
pub const APPLY: &str = "apply";

/// Directory of the objects for older clusters.
pub const BEFORE_4_13: &str = "before-4.13";

/// Directory of the objects whose kinds a cluster may lack.
pub const IF_INSTALLED: &str = "if-installed";

/// Options for rendering.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `mirrorSourcePolicy`: lets nodes fall back to the source, or not. Only IDMS and ITMS have
    /// it.
    pub policy: Option<MirrorSourcePolicy>,
    /// Breadth of the mirror entries: repository, namespace or registry.
    pub scope: Scope,
    /// Prefix of the names of all objects but the UpdateService. Default: names that follow from
    /// the content.
    pub name: Option<NamePrefix>,
    /// Chosen names of catalogs' objects; they take precedence over the prefix.
    pub catalog_names: Vec<ChosenName>,
    /// Maximum length of one object.
    pub object_size: ObjectSize,
    /// Labels on every mirror policy.
    pub labels: BTreeMap<String, String>,
    /// The graph data image. If set, an UpdateService is written for the releases.
    pub graph_data: Option<Reference>,
}

/// A file to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Path of the file below the directory of the objects.
    pub name: String,
    /// The whole text of the file.
    pub text: String,
}

/// The rendered files, and warnings about what they could not express.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The files that have content, in a fixed order.
    pub files: Vec<File>,
    /// Warnings about what no object can express, sorted.
    pub warnings: Vec<Warning>,
}

impl Rendered {
    fn add(&mut self, name: impl Into<String>, text: String) {
        if !text.is_empty() {
            let name = name.into();
            self.files.push(File { name, text });
        }
    }
}

/// Images whose mirror policies are named alike: those of releases, of a catalog, and others.
struct Group<'a> {
    name: PolicyName,
    labels: BTreeMap<String, String>,
    mirrors: Mirrors,
    options: &'a Options,
}

impl<'a> Group<'a> {
    fn of(content: &Content, names: &[CatalogNames], options: &'a Options) -> Vec<Self> {
        let group = |name, mirrors: Mirrors| Self {
            name,
            labels: options.labels.clone(),
            mirrors,
            options,
        };
        let is_like_oc_mirror = content.style == NameStyle::OcMirror && options.name.is_none();
        let name = |suffix: &str, oc_mirror| match &options.name {
            Some(prefix) => PolicyName::Numbered(format!("{prefix}{suffix}")),
            None if is_like_oc_mirror => PolicyName::OcMirror(oc_mirror),
            None => PolicyName::ByContent(format!("airferry{suffix}")),
        };
        let releases = content.releases.iter().map(|release| &release.mirrors);
        let mut groups = vec![
            group(name("-release", "release"), Mirrors::all(releases)),
            group(name("", "generic"), content.plain.clone()),
        ];
        if is_like_oc_mirror {
            let catalogs = content.catalogs.iter().map(|catalog| &catalog.mirrors);
            groups.push(group(name("", "operator"), Mirrors::all(catalogs)));
            return groups;
        }
        for (catalog, names) in content.catalogs.iter().zip(names) {
            let stem = names.stem.to_string();
            let name = match options.name {
                Some(_) => PolicyName::Numbered(stem),
                None => PolicyName::ByContent(stem),
            };
            let mut of_catalog = group(name, catalog.mirrors.clone());
            of_catalog
                .labels
                .insert(CATALOG_LABEL.to_owned(), "true".to_owned());
            groups.push(of_catalog);
        }
        groups
    }
}

/// Renders the files for a cluster.
///
/// # Errors
///
/// [`ClusterError::EntryTooLarge`] when a single entry does not fit into an object,
/// [`ClusterError::ReleaseRepositories`] when an UpdateService is requested for releases that are
/// in more than one repository.
pub fn render(content: &Content, options: &Options) -> Result<Rendered, ClusterError> {
    let names = catalog_names::of(content, options);
    let groups = Group::of(content, &names, options);
    let (mirrors, warnings) = expressible::valid_mirrors(groups.iter().map(|group| &group.mirrors));
    let at_scope = |entries: &[Entry]| widen::entries(entries, &mirrors, options.scope);
    let (mut idms, mut itms, mut icsp) = (String::new(), String::new(), String::new());
    let mut install = Vec::new();
    for (group, mirrors) in groups.iter().zip(&mirrors) {
        let digests = at_scope(&mirrors.digests);
        idms.push_str(&mirror_set::by_digest(&digests, group)?);
        itms.push_str(&mirror_set::by_tag(&at_scope(&mirrors.tags), group)?);
        icsp.push_str(&content_source_policy::render(&digests, group)?);
        install.push(digests);
    }
    // Use the releases' mirrors for install-config; if there are none, those of the individually
    // requested images.
    let install = install.into_iter().take(2).find(|group| !group.is_empty());
    let install = install.unwrap_or_default();
    let mut rendered = Rendered {
        files: Vec::new(),
        warnings,
    };
    rendered.add(format!("{APPLY}/imageDigestMirrorSet.yaml"), idms);
    rendered.add(format!("{APPLY}/imageTagMirrorSet.yaml"), itms);
    rendered.add(format!("{BEFORE_4_13}/imageContentSourcePolicy.yaml"), icsp);
    for release in &content.releases {
        for file in signature_files(&release.signatures)? {
            rendered.add(format!("{APPLY}/{}", file.name), file.text);
        }
    }
    rendered.add(
        "install-config-imageContentSources.yaml",
        install_config::image_content_sources(&install),
    );
    rendered.add(
        "install-config-imageDigestSources.yaml",
        install_config::image_digest_sources(&install),
    );
    add_catalogs(&mut rendered, &content.catalogs, &names);
    if let Some(graph_data) = &options.graph_data {
        let text = update_service::render(&content.releases, graph_data)?;
        rendered.add(format!("{IF_INSTALLED}/updateService.yaml"), text);
        rendered.warnings.extend(update_service::warning(content));
    }
    rendered.add("mapping.txt", mapping::render(&content.mapping));
    let sources = widen::narrow(&mirrors, options.scope);
    if !sources.is_empty() {
        let scope = options.scope;
        rendered.warnings.push(Warning::Narrow { scope, sources });
    }
    rendered.warnings.extend(content.tag_warnings());
    rendered.warnings.sort();
    Ok(rendered)
}

/// Renders one ConfigMap for each signed manifest, in a file named as `oc` names it.
///
/// # Errors
///
/// [`ClusterError::Encoding`]; no signature is known to cause it.
pub fn signature_files(
    signatures: &BTreeMap<Digest, Vec<Vec<u8>>>,
) -> Result<Vec<File>, ClusterError> {
    let files = signatures.iter().map(|(over, messages)| {
        let text = signature_config_map::render(over, messages);
        let text = text.map_err(|error| ClusterError::Encoding {
            why: error.to_string(),
        })?;
        let name = signature_config_map::file_name(over);
        Ok(File { name, text })
    });
    files.collect()
}

/// Returns the name of the file with the signatures of a release.
pub fn signature_file_name(release: &Digest) -> String {
    signature_config_map::file_name(release)
}

/// Adds the objects of catalogs. If there are several catalogs, file names include their names.
fn add_catalogs(rendered: &mut Rendered, catalogs: &[Catalog], names: &[CatalogNames]) {
    for (catalog, names) in catalogs.iter().zip(names) {
        let suffix = match catalogs.len() {
            1 => String::new(),
            _ => format!("-{}", names.stem),
        };
        let source = catalog::catalog_source(catalog, &names.source);
        rendered.add(format!("{APPLY}/catalogSource{suffix}.yaml"), source);
        let file = format!("{IF_INSTALLED}/clusterCatalog{suffix}.yaml");
        match catalog::cluster_catalog(catalog, &names.cluster) {
            Ok(text) => rendered.add(file, text),
            Err(warning) => rendered.warnings.push(warning),
        }
    }
}

/// A location in a mirror policy: `host[:port][/path]`.
type Location = String;

/// One entry of a mirror policy: the mirrors of everything at or below `source`, in order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    source: Location,
    mirrors: Vec<Location>,
}

/// Returns the location that covers exactly this repository.
fn location(repository: &Repository) -> Location {
    repository.to_string()
}
