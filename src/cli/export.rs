//! `airferry export`: its arguments, the list of images, and the report.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::catalog_args::CatalogArgs;
use super::key_args::{KeyArgs, read_public};
use super::naming_args::ProfileArg;
use super::program_args::ProgramArgs;
use super::registry_args::RegistryArgs;
use super::release_args::ReleaseTrustArgs;
use super::release_selection_args::ReleaseSelectionArgs;
use super::{Invocation, OutputArgs, catalog_text, left_out_text, program_text, release_text};
use crate::encoding::target_facts;
use crate::error::Error;
use crate::model::{ByteSize, Count, Label, LabelText, Platform, Reference};
use crate::ops::export::{
    self, Attachments, Existing, ExportState, ForeignLayers, Outcome, Releases, Request, Selection,
    TargetFile,
};
use crate::plan::leave_out::LeaveOut;
use crate::sys::files;

/// Limit for the length of a list of images, in bytes.
const LIST_CAP: u64 = 16 << 20;

const EXAMPLES: &str = "\
Examples:
  airferry export quay.io/team/app:v3 --to /media/stick/app --key exporter.pem
  airferry export --images-from images.txt --to /media/stick/may --key exporter.pem \\
    --base /srv/bundles/april --chunk-size fat32
  airferry export --catalog quay.io/operatorhubio/catalog:latest --to /media/stick/operators \\
    --key exporter.pem
  airferry export --catalog quay.io/operatorhubio/catalog:latest --operator 'etcd' \\
    --operator 'argocd-operator:alpha>=0.9.0<=0.12.0' --resolve-dependencies --to out --dry-run
  airferry export docker.io/library/busybox:1 --to out --platform linux/arm64 --dry-run
  airferry export --release quay.io/okd/scos-release:4.18.0-okd-scos.1 --to /media/stick/okd \\
    --key exporter.pem
  airferry export --release 4.18.9 --from-version 4.17.2 --channel stable-4.18 --to ocp --dry-run
  airferry export --images-from images.txt --to /media/stick/may --key exporter.pem --with-program

Running the same command again continues an interrupted export, fetches what was missing, and does
nothing if the bundle is complete.";

/// Writes images from registries into a signed bundle on a medium.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ExportArgs {
    /// Images to carry: repository with tag, digest, or both.
    #[arg(value_name = "REF")]
    references: Vec<Reference>,

    /// File with one reference per line; `#` starts a comment, `-` is standard input. Repeatable.
    #[arg(long, value_name = "FILE")]
    images_from: Vec<PathBuf>,

    /// The bundle's directory; created if it does not exist.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,

    /// Earlier bundle that the importing side has; its blobs are left out of this one. Repeatable.
    #[arg(long, value_name = "DIR")]
    base: Vec<PathBuf>,

    /// Public key of a trusted exporter of --base bundles, besides the signing key. Repeatable.
    #[arg(long, value_name = "FILE")]
    base_trust: Vec<PathBuf>,

    /// Maximum size of a data chunk: bytes, 1GiB, 700MB, or fat32, cd, dvd, dvd-dl, bd25, bd50,
    /// bd100.
    #[arg(long, value_name = "SIZE", default_value = "1GiB")]
    chunk_size: ByteSize,

    /// Carry only these platforms of multi-platform images (their index keeps its digest).
    /// Repeatable.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<Platform>,

    /// Which signatures, attestations, SBOMs and other referrers to carry. Default: best-effort.
    #[arg(long, value_name = "HOW", conflicts_with = "no_attachments")]
    attachments: Option<Attached>,

    /// The same as --attachments=none.
    #[arg(long)]
    no_attachments: bool,

    /// Non-distributable (foreign) layers: leave them out, or carry them on your responsibility.
    #[arg(long, value_name = "WHAT", default_value = "leave")]
    foreign_layers: Foreign,

    /// If something cannot be fetched, seal an INCOMPLETE bundle without it, instead of stopping.
    #[arg(long)]
    keep_going: bool,

    /// Leave something out on purpose: bundle:NAME or package:NAME (the images that only this
    /// operator bundle or package needs), image:PATTERN (`*` is a wildcard). It is recorded, and the
    /// bundle is complete. Repeatable.
    #[arg(long, value_name = "WHAT")]
    leave_out: Vec<LeaveOut>,

    /// Naming scheme that the import will use: names that conflict under it are errors here.
    /// Default: conflicts under any scheme are warnings.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<ProfileArg>,

    /// Discard an unfinished export of another request.
    #[arg(long)]
    replan: bool,

    /// Facts about a target registry, as `airferry doctor --facts` writes them on the far side: what
    /// that target refuses is reported now. They never change what the bundle contains. Repeatable.
    #[arg(long = "for", value_name = "FILE")]
    targets: Vec<PathBuf>,

    /// Show exactly what would be written, without writing anything.
    #[arg(long)]
    dry_run: bool,

    /// Read everything back from the medium after sealing.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    read_back: ReadBack,

    /// Title of the bundle, shown on its label.
    #[arg(long, value_name = "TEXT", help_heading = "Label")]
    title: Option<LabelText>,

    /// Person responsible for the medium, shown on the label.
    #[arg(long, value_name = "TEXT", help_heading = "Label")]
    owner: Option<LabelText>,

    /// Handling marking (classification), shown on the label.
    #[arg(long, value_name = "TEXT", help_heading = "Label")]
    marking: Option<LabelText>,

    /// Comment in the signed statement, one line.
    #[arg(long, value_name = "TEXT", help_heading = "Label")]
    comment: Option<LabelText>,

    #[command(flatten)]
    releases: ReleaseSelectionArgs,

    #[command(flatten)]
    catalogs: CatalogArgs,

    #[command(flatten)]
    key: KeyArgs,

    #[command(flatten)]
    release_trust: ReleaseTrustArgs,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    program: ProgramArgs,

    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Foreign {
    Leave,
    Carry,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Attached {
    /// Carry what can be found; if a registry does not answer, record that as unknown.
    BestEffort,
    /// If a registry does not answer, the image counts as missing.
    Required,
    /// Do not look for them.
    None,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ReadBack {
    /// On removable media.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

pub(crate) async fn run(args: ExportArgs, invocation: &Invocation) -> Result<(), Error> {
    let references = references(&args)?;
    let signer = args.key.optional_signer(invocation)?;
    let base_trust = args.base_trust.iter().map(|path| read_public(path));
    let releases = args.releases.named()?;
    let client = args.registry.client(invocation)?;
    let request = Request {
        references,
        releases: Releases {
            payloads: releases.payloads,
            by_version: releases.by_version,
            verification: args.release_trust.verification(&client, None)?,
        },
        catalogs: args.catalogs.requests()?,
        mapping: args.catalogs.mapping()?,
        profile: args.profile.map(Into::into),
        leave_out: args.leave_out.iter().cloned().collect(),
        index_filter: args.catalogs.index.filter(),
        selection: Selection {
            platforms: args.platform.clone(),
            attachments: match args.attachments {
                Some(Attached::None) => Attachments::None,
                _ if args.no_attachments => Attachments::None,
                Some(Attached::Required) => Attachments::Required,
                Some(Attached::BestEffort) | None => Attachments::BestEffort,
            },
            foreign: match args.foreign_layers {
                Foreign::Leave => ForeignLayers::Leave,
                Foreign::Carry => ForeignLayers::Carry,
            },
        },
        to: args.to.clone(),
        bases: args.base.clone(),
        base_trust: base_trust.collect::<Result<_, _>>()?,
        signer,
        program: args.program.request()?,
        targets: targets(&args.targets)?,
        label: Label {
            title: args.title.clone(),
            owner: args.owner.clone(),
            marking: args.marking.clone(),
        },
        comment: args.comment.clone(),
        chunk_limit: args.chunk_size.0,
        client,
        existing: if args.replan {
            Existing::Replan
        } else {
            Existing::Continue
        },
        keep_going: args.keep_going,
        dry_run: args.dry_run,
        read_back: match args.read_back {
            ReadBack::Auto => None,
            ReadBack::Always => Some(true),
            ReadBack::Never => Some(false),
        },
    };
    let outcome = export::export(request, invocation.context()).await?;
    invocation
        .output
        .outcome(args.output.format, &outcome, |outcome| text(outcome, &args))?;
    // A dry run that finds images missing also fails, after its report is printed.
    outcome.failure().map_or(Ok(()), Err)
}

/// Reads the files of `--for`.
fn targets(paths: &[PathBuf]) -> Result<Vec<TargetFile>, Error> {
    let read = |path: &PathBuf| {
        let refused = || {
            Error::usage(format!("The facts in `{}` cannot be used", path.display()))
                .hint("`airferry doctor --to REGISTRY --facts FILE` writes such a file")
        };
        let text = files::read_text(path, target_facts::CAP)
            .map_err(|error| refused().caused_by(error))?;
        let facts = target_facts::read(&text).map_err(|error| refused().caused_by(error))?;
        Ok(TargetFile {
            path: path.clone(),
            facts,
        })
    };
    paths.iter().map(read).collect()
}

/// Returns the references from arguments and files, without duplicates.
fn references(args: &ExportArgs) -> Result<BTreeSet<Reference>, Error> {
    let mut references: BTreeSet<Reference> = args.references.iter().cloned().collect();
    for path in &args.images_from {
        let text = match path.as_os_str() == "-" {
            true => files::read_stdin(LIST_CAP),
            false => files::read_text(path, LIST_CAP),
        };
        let text = text.map_err(|error| {
            Error::usage(format!("The list `{}` cannot be read", path.display())).caused_by(error)
        })?;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let reference: Reference = line.parse().map_err(|error| {
                let place = format!("{}:{number}", path.display());
                Error::usage(format!("{place}: not an image reference")).caused_by(error)
            })?;
            references.insert(reference);
        }
    }
    Ok(references)
}

fn text(outcome: &Outcome, args: &ExportArgs) -> String {
    let mut text = String::new();
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for selected in &outcome.selected {
        release_text::selected(selected)
            .into_iter()
            .for_each(&mut line);
    }
    for release in &outcome.releases {
        release_text::lines(release).into_iter().for_each(&mut line);
    }
    for catalog in &outcome.catalogs {
        catalog_text::lines(catalog).into_iter().for_each(&mut line);
    }
    image_lines(outcome, &mut line);
    left_out_text::lines(&outcome.left_out).for_each(&mut line);
    amount_lines(outcome, &mut line);
    state_lines(outcome, args, &mut line);
    let program = outcome.program.iter().flat_map(program_text::lines);
    program.for_each(&mut line);
    text
}

/// Adds a line for each image. Members of a release or catalog are listed with it, and here only if
/// they have a problem.
fn image_lines(outcome: &Outcome, line: &mut impl FnMut(String)) {
    let of_catalogs = outcome.catalogs.iter().flat_map(|catalog| &catalog.members);
    let components = outcome
        .releases
        .iter()
        .flat_map(|release| &release.components);
    let of_releases = components.map(|component| &component.image);
    let members: BTreeSet<&Reference> = of_catalogs.chain(of_releases).collect();
    for image in &outcome.images {
        if members.contains(&image.reference) && image.problem.is_none() {
            continue;
        }
        let digest = image
            .digest
            .map_or_else(|| "-".to_owned(), |digest| digest.to_string());
        let lacking = image.problem.as_ref().map_or("", |_| "  missing");
        line(format!("{}  {digest}{lacking}", image.reference));
    }
}

/// Adds the lines about the size of the bundle, and about what is left out.
fn amount_lines(outcome: &Outcome, line: &mut impl FnMut(String)) {
    line(format!(
        "{}, {}, {} ({}) in {}, {} on the medium ({} bytes)",
        Count::of(outcome.images.len(), "image"),
        Count::of(outcome.manifests, "manifest"),
        Count::of(outcome.carried.count, "blob"),
        ByteSize(outcome.carried.bytes),
        Count::of(outcome.chunks, "chunk"),
        ByteSize(outcome.bytes_on_medium),
        outcome.bytes_on_medium,
    ));
    if outcome.omitted.count > 0 {
        let (count, bytes) = (outcome.omitted.count, ByteSize(outcome.omitted.bytes));
        let count = Count::of(count, "blob");
        line(format!(
            "left out, already in a base bundle: {count} ({bytes})"
        ));
    }
    if !outcome.foreign.is_empty() {
        let count = Count::of(outcome.foreign.len(), "layer");
        let is = count.is();
        line(format!(
            "{count} may not be distributed and {is} not carried (--foreign-layers=carry):"
        ));
        for (digest, urls) in &outcome.foreign {
            let urls: Vec<String> = urls
                .iter()
                .map(|url| url.escape_debug().to_string())
                .collect();
            line(format!("  {digest} {}", urls.join(" ")));
        }
    }
}

/// Adds the lines about the state in which the export ended.
fn state_lines(outcome: &Outcome, args: &ExportArgs, line: &mut impl FnMut(String)) {
    let to = args.to.display();
    let bundle = outcome.bundle.map(|id| id.hex()).unwrap_or_default();
    match outcome.state {
        ExportState::Planned => {
            line("dry run: nothing was written".to_owned());
            if outcome.already_there > 0 {
                let there = ByteSize(outcome.already_there);
                line(format!("{there} of the data is on the medium already"));
            }
        }
        ExportState::AlreadyComplete => {
            line(format!("the bundle in {to} is complete already: {bundle}"));
        }
        ExportState::StillIncomplete => {
            line(format!("the bundle in {to} is still incomplete: {bundle}"));
        }
        ExportState::Sealed => {
            let generation = outcome.generation;
            line(format!("sealed generation {generation} in {to}: {bundle}"));
            match &outcome.statement {
                Some(name) => line(format!("signed: signatures/{name}.statement")),
                None => line(format!(
                    "sealed, unsigned: sign it with `airferry sign {to} --key exporter.pem`"
                )),
            }
        }
    }
}
