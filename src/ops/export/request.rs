//! The request of an export, and its digest, by which a later run recognizes the same request.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::program::ProgramRequest;
use super::resolve::{ForeignLayers, Selection};
use super::targets::TargetFile;
use crate::bundle::sign::Signer;
use crate::content::mapping_file::MappingFile;
use crate::format::hash::sha256;
use crate::format::keys::VerifyingKey;
use crate::model::{BundleId, Label, LabelText, Reference, RequestId};
use crate::ops::release::Verification;
use crate::ops::release::selection::ByVersion;
use crate::plan::catalog::CatalogFilter;
use crate::plan::index_filter::IndexFilter;
use crate::plan::leave_out::LeaveOut;
use crate::plan::naming::Profile;
use crate::registry::Client;

/// The request of an export.
pub struct Request {
    /// Images to carry.
    pub references: BTreeSet<Reference>,
    /// Releases to carry with their components.
    pub releases: Releases,
    /// Catalogs to carry with the images that they name, sorted by reference, each once.
    pub catalogs: Vec<CatalogRequest>,
    /// Limits the catalogs' images to the sources of this mapping; all when absent.
    pub mapping: Option<MappingFile>,
    /// The profile under which names must not conflict; conflicts are only warnings if absent.
    pub profile: Option<Profile>,
    /// What is left out on purpose.
    pub leave_out: BTreeSet<LeaveOut>,
    /// Selects the platform whose image is read to list a catalog's images.
    pub index_filter: IndexFilter,
    /// Platforms, attachments and foreign layers to carry.
    pub selection: Selection,
    /// Directory of the bundle.
    pub to: PathBuf,
    /// Directories of bundles that the importing side already has.
    pub bases: Vec<PathBuf>,
    /// Keys besides the signer's own that are trusted for bases.
    pub base_trust: Vec<VerifyingKey>,
    /// Signer of the bundle; `None` leaves it unsigned.
    pub signer: Option<Signer>,
    /// Program to copy beside the bundle.
    pub program: Option<ProgramRequest>,
    /// Facts about targets: for warnings and errors, never for what the bundle contains.
    pub targets: Vec<TargetFile>,
    /// Content of `LABEL.txt`.
    pub label: Label,
    /// Comment in the statement.
    pub comment: Option<LabelText>,
    /// Limit of a data chunk, in bytes.
    pub chunk_limit: u64,
    /// Client of the source registries.
    pub client: Client,
    /// Handling of an unfinished export in the directory.
    pub existing: Existing,
    /// True to give up blobs whose registry cannot be reached, instead of stopping.
    pub keep_going: bool,
    /// True to plan and print only, without changing anything.
    pub dry_run: bool,
    /// True to read everything back after sealing; when absent, only on removable media.
    pub read_back: Option<bool>,
}

/// Releases to carry.
#[derive(Debug)]
pub struct Releases {
    /// Requested by pull spec.
    pub payloads: BTreeSet<Reference>,
    /// Requested by version.
    pub by_version: Option<ByVersion>,
    /// Rules for the signatures that releases must have.
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
    /// Filter; the whole catalog when absent.
    pub filter: Option<CatalogFilter>,
}

/// Handling of an unfinished export in the directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Continue it if it is the same request, else refuse.
    #[default]
    Continue,
    /// Discard it and make a new plan.
    Replan,
}

impl Request {
    /// True if the request names no content.
    pub(super) fn is_empty(&self) -> bool {
        self.references.is_empty() && self.releases.is_empty() && self.catalogs.is_empty()
    }

    /// Returns an id that is equal for equal requests. It covers the input that determines the
    /// bundle's content, but not where, by whom or how fast the bundle is written.
    pub(super) fn id(&self, bases: &[BundleId]) -> RequestId {
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
        // The URL of the update service is left out, as mirrors are: it does not change the
        // content.
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
        for left_out in &self.leave_out {
            line("left-out", left_out);
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
        RequestId::new(sha256(text.as_bytes()))
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
