//! Renders what a cluster needs to use the mirror: objects and snippets as text.
//!
//! Input is names, output is text, sorted and without time stamps: the same content gives the same
//! bytes. Nothing here writes a file or contacts a registry. To add an object, write a small file
//! that builds an `Object`, and give its text a file name in [`render`].
//!
//! Shapes: docs/oc-compatibility.md, sections 2.3, 2.6, 4.3 and 6.

mod catalog;
mod catalog_ahead;
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

pub use content::{Catalog, ClusterImage, Content, Release, signatures_of};
pub use instructions::{Instructions, instructions};
pub use mapping::Mapping;
pub use mirror::{Mirror, Mirrors};
pub use mirror_set::MirrorSourcePolicy;
pub use object::{NamePrefix, NamePrefixError};
pub use object_name::ObjectName;
pub use scope::Scope;
pub use split::{ObjectSize, ObjectSizeError};
pub use warning::Warning;

use crate::model::{Digest, Reference, Repository};

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
}

/// Options for rendering.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// `mirrorSourcePolicy`: lets nodes fall back to the source, or not. Only IDMS and ITMS have
    /// it.
    pub policy: Option<MirrorSourcePolicy>,
    /// Breadth of the mirror entries: repository, namespace or registry.
    pub scope: Scope,
    /// Prefix of the names of mirror policies. Default: `airferry`, and for the policies of a
    /// catalog the catalog's own name.
    pub name: Option<NamePrefix>,
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
    /// Name of the file.
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

/// Images whose mirror policies share a name. Releases, catalogs and other images have different
/// names, so that the objects of a later bundle replace only those of the same kind.
struct Group<'a> {
    name: String,
    labels: BTreeMap<String, String>,
    mirrors: Mirrors,
    options: &'a Options,
}

impl<'a> Group<'a> {
    fn of(content: &Content, options: &'a Options) -> Vec<Self> {
        let prefix = options.name.as_ref().map(ToString::to_string);
        let own = prefix.as_deref().unwrap_or("airferry");
        let group = |name, mirrors: &Mirrors| Self {
            name,
            labels: options.labels.clone(),
            mirrors: mirrors.clone(),
            options,
        };
        let mut releases = Mirrors::default();
        for release in &content.releases {
            releases.digests.extend_from_slice(&release.mirrors.digests);
            releases.tags.extend_from_slice(&release.mirrors.tags);
        }
        let mut groups = vec![
            group(format!("{own}-release"), &releases),
            group(own.to_owned(), &content.plain),
        ];
        for catalog in &content.catalogs {
            let name = match &prefix {
                Some(prefix) => format!("{prefix}-{}", catalog.name),
                None => catalog.name.to_string(),
            };
            let mut of_catalog = group(name, &catalog.mirrors);
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
    let groups = Group::of(content, options);
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
    rendered.add("imageDigestMirrorSet.yaml", idms);
    rendered.add("imageTagMirrorSet.yaml", itms);
    rendered.add("imageContentSourcePolicy.yaml", icsp);
    for release in &content.releases {
        for file in signature_files(&release.signatures)? {
            rendered.add(file.name, file.text);
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
    add_catalogs(&mut rendered, &content.catalogs);
    if let Some(graph_data) = &options.graph_data {
        let text = update_service::render(&content.releases, graph_data)?;
        rendered.add("updateService.yaml", text);
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
fn add_catalogs(rendered: &mut Rendered, catalogs: &[Catalog]) {
    for catalog in catalogs {
        let suffix = match catalogs.len() {
            1 => String::new(),
            _ => format!("-{}", catalog.name),
        };
        let source = catalog::catalog_source(catalog);
        rendered.add(format!("catalogSource{suffix}.yaml"), source);
        match catalog::cluster_catalog(catalog) {
            Ok(text) => rendered.add(format!("clusterCatalog{suffix}.yaml"), text),
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
