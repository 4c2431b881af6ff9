//! `airferry import`: its arguments and the report.

mod next;
mod share;

use std::path::PathBuf;

use super::naming_args::NamingArgs;
use super::registry_args::RegistryArgs;
use super::release_keys_args::{self, ReleaseKeysArgs};
use super::resources_args::ResourcesArgs;
use super::trust_args::TrustArgs;
use super::{Invocation, OutputArgs, left_out_text};
use crate::cluster::Instructions;
use crate::error::Error;
use crate::model::{ByteSize, Count, NeededBy};
use crate::ops::cluster_files::ResourcesRequest;
use crate::ops::import::{
    self, AttachmentPolicy, AttachmentRule, ExistingTags, GroupReport, ImageState, KeepReplaced,
    ReplacedImage, Report, Request, SparseIndex,
};
use crate::plan::import::Shard;

const EXAMPLES: &str = "\
Examples:
  airferry import /media/stick/okd --to mirror.example.com:8443 --trust exporter.pub --resources out
  airferry import /media/stick/okd --to mirror.example.com/lab --trust exporter.pub --dry-run
  airferry import /media/stick/may --to quay.lab/org --max-components 2 --trust exporter.pub

Running the same command again sends nothing that the registry already has. Do not run a
garbage collection on the registry during an import.";

/// Verifies a bundle and uploads it to a registry.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ImportArgs {
    /// The bundle's directory; may be read-only.
    #[arg(value_name = "DIR")]
    bundle: PathBuf,

    #[command(flatten)]
    naming: NamingArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    release_keys: ReleaseKeysArgs,

    /// Accept an incomplete bundle: import the images that are complete.
    #[arg(long)]
    allow_incomplete: bool,

    /// What to do with tags that already point to another image; forward: overwrite only those that
    /// a base bundle set, else fail.
    #[arg(long, value_name = "HOW", default_value = "forward")]
    existing_tags: Existing,

    /// Before a tag moves from one image to another, give the old image a tag made of its digest:
    /// some registries delete an image with its last tag, and pods may need it. Default: for tags
    /// that a base bundle set.
    #[arg(
        long,
        value_name = "HOW",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "yes"
    )]
    keep_replaced: Option<Keep>,

    /// Signatures, attestations, SBOMs and other referrers of the images. Default: best-effort; if
    /// the target refuses one, the command fails at its end.
    #[arg(long, value_name = "HOW")]
    attachments: Option<Attached>,

    /// Leave signatures behind, and send all other attached artifacts.
    #[arg(long)]
    remove_signatures: bool,

    /// What to do if the target refuses an index of which only some platforms are carried.
    #[arg(long, value_name = "HOW", default_value = "fail")]
    sparse_index: Sparse,

    /// Read and verify everything before the first upload.
    #[arg(long)]
    verify_first: bool,

    /// Check everything, change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Send only one share of the blobs, as one of N importers that run at the same time, each
    /// with another I, from 0 to N-1 or from 1 to N. Afterwards, the same command without --shard
    /// sets the tags.
    #[arg(long, value_name = "I/N", conflicts_with_all = ["dry_run", "resources"])]
    shard: Option<Shard>,

    /// Skip reading back from the target (each manifest, and the last byte of each blob, which the
    /// registry hashed when it took it).
    #[arg(long)]
    no_read_back: bool,

    /// Write cluster objects, snippets, mapping.txt and the import report into this directory.
    #[arg(long, value_name = "DIR", help_heading = "Cluster resources")]
    resources: Option<PathBuf>,

    #[command(flatten)]
    resources_args: ResourcesArgs,

    /// What to print about a release at the end, as oc adm release mirror does. Default: icsp with
    /// the naming of oc, else idms.
    #[arg(long, value_name = "KIND", help_heading = "Cluster resources")]
    print_mirror_instructions: Option<Printed>,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Printed {
    /// ImageContentSourcePolicy.
    Icsp,
    /// ImageDigestMirrorSet.
    Idms,
    None,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Existing {
    Forward,
    Error,
    Skip,
    Overwrite,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Keep {
    Yes,
    No,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Attached {
    /// Send them; refused ones are reported, and their images are imported anyway.
    BestEffort,
    /// If the target refuses one, its image is not tagged.
    Required,
    /// Send none.
    None,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Sparse {
    /// The image fails.
    Fail,
    /// The one platform that was carried is tagged in its place.
    PlatformManifest,
}

impl ImportArgs {
    /// Returns the flags about release keys and registries as they were given.
    fn flags_as_given(&self) -> String {
        self.release_keys.flags_as_given() + &self.registry.flags_as_given()
    }

    fn attachment_policy(&self) -> AttachmentPolicy {
        AttachmentPolicy {
            attachments: match self.attachments {
                Some(Attached::Required) => AttachmentRule::Required,
                Some(Attached::None) => AttachmentRule::None,
                Some(Attached::BestEffort) | None => AttachmentRule::BestEffort,
            },
            is_explicit: self.attachments.is_some(),
            remove_signatures: self.remove_signatures,
        }
    }

    fn instructions(&self) -> Instructions {
        match self.print_mirror_instructions {
            Some(Printed::Icsp) => Instructions::Icsp,
            Some(Printed::Idms) => Instructions::Idms,
            Some(Printed::None) => Instructions::None,
            None if self.naming.is_like_oc() => Instructions::Icsp,
            None => Instructions::Idms,
        }
    }
}

pub(crate) async fn run(args: ImportArgs, invocation: &Invocation) -> Result<(), Error> {
    let resources = match &args.resources {
        Some(directory) => Some(ResourcesRequest {
            directory: directory.clone(),
            options: args.resources_args.options(),
        }),
        None => None,
    };
    let request = Request {
        bundle: args.bundle.clone(),
        trust: args.trust.trust(&args.bundle)?,
        allow_unsigned: args.trust.allow_unsigned(),
        allow_incomplete: args.allow_incomplete,
        release_keys: args.release_keys.keys(Some(&args.bundle))?,
        allow_unsigned_release: args.release_keys.allow_unsigned(),
        target: args.naming.target.clone(),
        instructions: args.instructions(),
        naming: args.naming.options()?,
        existing_tags: match args.existing_tags {
            Existing::Forward => ExistingTags::Forward,
            Existing::Error => ExistingTags::Error,
            Existing::Skip => ExistingTags::Skip,
            Existing::Overwrite => ExistingTags::Overwrite,
        },
        keep_replaced: match args.keep_replaced {
            Some(Keep::Yes) => KeepReplaced::Always,
            Some(Keep::No) => KeepReplaced::Never,
            None => KeepReplaced::OfBases,
        },
        attachments: args.attachment_policy(),
        sparse_index: match args.sparse_index {
            Sparse::Fail => SparseIndex::Fail,
            Sparse::PlatformManifest => SparseIndex::PlatformManifest,
        },
        verify_first: args.verify_first,
        dry_run: args.dry_run,
        read_back: !args.no_read_back,
        jobs: args.registry.jobs(),
        resources,
        client: args.registry.client(invocation)?.direct(),
        state: invocation.state_directory(),
    };
    if let Some(shard) = args.shard {
        let report = import::share(request, shard, invocation.context()).await?;
        let output = &invocation.output;
        return output.outcome(args.output.format, &report, share::text);
    }
    let report = import::import(request, invocation.context()).await?;
    invocation
        .output
        .outcome(args.output.format, &report, |report| text(report, &args))?;
    report.failure().map_or(Ok(()), Err)
}

fn text(report: &Report, args: &ImportArgs) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for image in &report.images {
        let state = match image.state {
            ImageState::Planned => "would be imported to",
            ImageState::Committed => "->",
            ImageState::TagKept => "-> (tag kept)",
            ImageState::PlatformOnly => "-> (one platform only)",
            ImageState::Failed => "FAILED",
            ImageState::Interrupted => "interrupted",
            ImageState::Incomplete => "missing",
        };
        let target = image
            .target
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let reason = image
            .reason
            .as_ref()
            .map(|r| format!(" ({r})"))
            .unwrap_or_default();
        let needed_by = NeededBy::clause(&image.needed_by);
        line(format!(
            "{} {state} {target}{reason}{needed_by}",
            image.source
        ));
        if let Some(replaced) = &image.replaced {
            line(replaced_line(replaced));
        }
        for refused in &image.refused_attachments {
            let reason = refused.reason().escape_debug();
            line(format!(
                "  refused by the target: {} ({reason})",
                refused.name()
            ));
        }
    }
    let unsent: usize = report
        .images
        .iter()
        .map(|i| i.unsent_attachments.len())
        .sum();
    if unsent > 0 {
        let unsent = Count::of(unsent, "attached artifact");
        line(format!("not sent, as asked: {unsent}"));
    }
    if !report.foreign_blobs.is_empty() {
        line(format!(
            "not carried, because they may not be distributed: {}",
            Count::of(report.foreign_blobs.len(), "layer")
        ));
    }
    if report.dry_run {
        if let Some(forecast) = &report.forecast {
            line(format!(
                "{} would be sent, {} already on the target or mountable",
                ByteSize(forecast.bytes_to_upload),
                ByteSize(forecast.bytes_there)
            ));
        }
        line("dry run: nothing was changed".to_owned());
    } else {
        line(format!(
            "{} sent, {} already on the target",
            ByteSize(report.bytes_uploaded),
            ByteSize(report.bytes_reused)
        ));
    }
    if !report.authenticated {
        line("NOT AUTHENTICATED: no trusted key has signed this bundle".to_owned());
    }
    for proof in &report.release_proofs {
        line(release_keys_args::describe_proof(proof));
    }
    for release in &report.releases {
        group_lines("release", release, &mut line);
    }
    for catalog in &report.catalogs {
        group_lines("catalog", catalog, &mut line);
    }
    left_out_text::lines(&report.left_out).for_each(&mut line);
    if report.resources_problem.is_some() {
        line("the cluster resources were NOT WRITTEN".to_owned());
    } else if let (Some(directory), false) = (&args.resources, report.dry_run) {
        line(format!(
            "cluster resources and import-report.json are in {}",
            directory.display()
        ));
    }
    text.push_str(&report.instructions);
    text.push_str(&next::commands(report, &args.flags_as_given()));
    text
}

/// Returns the line about an image from which a tag was moved away.
fn replaced_line(replaced: &ReplacedImage) -> String {
    let digest = replaced.digest;
    match &replaced.kept_as {
        Some(kept) => format!("  replaces {digest}, kept as {kept}"),
        None => format!(
            "  replaces {digest}, which registries like Quay and zot now delete; --keep-replaced \
             keeps such images under another tag"
        ),
    }
}

/// Adds the lines about a release or catalog, and the images that it lacks.
fn group_lines(what: &str, group: &GroupReport, line: &mut impl FnMut(String)) {
    let version = match (&group.version, &group.architecture) {
        (Some(version), Some(architecture)) => format!(" {version} ({architecture})"),
        _ => String::new(),
    };
    let state = match &group.target {
        Some(target) => target.to_string(),
        None => "not imported".to_owned(),
    };
    line(format!("{what}{version} {}: {state}", group.image));
    for missing in &group.missing {
        let reason = missing.reason.escape_debug();
        let needed_by = NeededBy::clause(&missing.needed_by);
        line(format!("  missing: {}: {reason}{needed_by}", missing.image));
    }
    for malformed in &group.malformed {
        line(format!("  missing: {malformed}"));
    }
}
