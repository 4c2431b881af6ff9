//! What an export is asked for, and how it knows its own request again.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::resolve::{ForeignLayers, Selection};
use crate::bundle::sign::Signer;
use crate::content::mapping_file::MappingFile;
use crate::format::hash::sha256;
use crate::format::keys::VerifyingKey;
use crate::model::{Digest, Label, LabelText, Reference};
use crate::ops::release::Verification;
use crate::ops::release::selection::ByVersion;
use crate::plan::catalog::CatalogFilter;
use crate::plan::index_filter::IndexFilter;
use crate::registry::Client;

/// What an export is asked for.
pub struct Request {
    /// Images to carry.
    pub references: BTreeSet<Reference>,
    /// Releases to carry with their components.
    pub releases: Releases,
    /// Catalogs to carry with the images that they name, sorted by reference, each once.
    pub catalogs: Vec<CatalogRequest>,
    /// Of the catalogs' images only the sources of this; all when absent.
    pub mapping: Option<MappingFile>,
    /// Which platform's image of a catalog is read to know what it names.
    pub index_filter: IndexFilter,
    /// Which parts of them.
    pub selection: Selection,
    /// The bundle's directory.
    pub to: PathBuf,
    /// Bundles that the far side has, as directories.
    pub bases: Vec<PathBuf>,
    /// Keys besides the signer's own that may vouch for bases.
    pub base_trust: Vec<VerifyingKey>,
    /// Who signs; nobody leaves the bundle sealed and unsigned.
    pub signer: Option<Signer>,
    /// What `LABEL.txt` shows.
    pub label: Label,
    /// Comment in the statement.
    pub comment: Option<LabelText>,
    /// No data chunk is longer, in bytes.
    pub chunk_limit: u64,
    /// Talks to the sources.
    pub client: Client,
    /// What to do about what is there already.
    pub existing: Existing,
    /// Give up blobs whose registry cannot be reached, instead of stopping.
    pub keep_going: bool,
    /// Plan and print, change nothing.
    pub dry_run: bool,
    /// Read everything back after sealing; on removable media when absent.
    pub read_back: Option<bool>,
}

/// Releases to carry.
#[derive(Debug)]
pub struct Releases {
    /// By pull spec.
    pub payloads: BTreeSet<Reference>,
    /// By version.
    pub by_version: Option<ByVersion>,
    /// What they must show.
    pub verification: Verification,
}

impl Releases {
    fn is_empty(&self) -> bool {
        self.payloads.is_empty() && self.by_version.is_none()
    }
}

/// A catalog to carry.
#[derive(Debug, Clone)]
pub struct CatalogRequest {
    /// The catalog's image.
    pub reference: Reference,
    /// What is wanted of it; everything when absent.
    pub filter: Option<CatalogFilter>,
}

/// What to do about an unfinished export by another plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Continue it when it is the same request, else refuse.
    #[default]
    Continue,
    /// Throw it away and plan anew.
    Replan,
}

impl Request {
    /// Whether nothing is asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.references.is_empty() && self.releases.is_empty() && self.catalogs.is_empty()
    }

    /// A digest that is the same for the same request: what the bundle will depend on, and
    /// nothing of where it is written, by whom, or how fast.
    pub(super) fn digest(&self, bases: &[Digest]) -> Digest {
        let mut text = String::from("airferry-request-v1\n");
        let mut line = |key: &str, value: &dyn std::fmt::Display| {
            text.push_str(&format!("{key} {value}\n"));
        };
        for reference in &self.references {
            line("image", reference);
        }
        for payload in &self.releases.payloads {
            line("release", payload);
        }
        // Who was asked about versions is like which mirror was asked for an image.
        if let Some(by_version) = &self.releases.by_version {
            let mut wanted: Vec<String> =
                by_version.wanted.iter().map(ToString::to_string).collect();
            wanted.sort();
            for wanted in wanted {
                line("release-version", &wanted);
            }
            line("release-channel", &by_version.channel);
            for architecture in &by_version.architectures {
                line("release-architecture", architecture);
            }
            if let Some(from) = &by_version.from {
                line("release-from", from);
            }
        }
        for catalog in &self.catalogs {
            line("catalog", &catalog.reference);
            if let Some(filter) = &catalog.filter {
                line("catalog-filter", filter);
            }
        }
        for source in self.mapping.iter().flat_map(MappingFile::sources) {
            line("mapped", source);
        }
        if !self.catalogs.is_empty() {
            line("index-filter", &self.index_filter);
        }
        for platform in self.selection.platforms.iter().collect::<BTreeSet<_>>() {
            line("platform", platform);
        }
        line("attachments", &self.selection.attachments.in_request());
        line("foreign", &(self.selection.foreign == ForeignLayers::Carry));
        for base in bases.iter().collect::<BTreeSet<_>>() {
            line("base", base);
        }
        line("chunk-limit", &self.chunk_limit);
        let label = &self.label;
        for (key, value) in [
            ("title", &label.title),
            ("owner", &label.owner),
            ("marking", &label.marking),
        ] {
            if let Some(value) = value {
                line(key, &value.as_str());
            }
        }
        sha256(text.as_bytes())
    }
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Request")
            .field("references", &self.references)
            .field("to", &self.to)
            .finish_non_exhaustive()
    }
}
