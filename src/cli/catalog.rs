//! `airferry catalog`: lists the packages of operator catalogs.

use std::path::Path;

use super::catalog_text;
use super::registry_args::RegistryArgs;
use super::table::Table;
use super::trust_args::TrustArgs;
use super::{Invocation, OutputArgs};
use crate::error::Error;
use crate::model::{ByteSize, CatalogFormat, Count, Reference};
use crate::ops::catalog::list::{
    self, CatalogOrigin, CatalogReport, PackageReport, Report, Request,
};
use crate::plan::index_filter::IndexFilter;
use crate::sys::files;

const EXAMPLES: &str = "\
Examples:
  airferry catalog list quay.io/operatorhubio/catalog:latest
  airferry catalog list quay.io/operatorhubio/catalog:latest --package etcd
  airferry catalog list /media/stick/may --trust exporter.pub --output json | jq '.catalogs[].package[].name'

Sizes are known in a bundle only: a catalog does not say how large its images are.";

/// Lists the content of operator catalogs.
#[derive(Debug, clap::Args)]
pub(crate) struct CatalogArgs {
    #[command(subcommand)]
    command: CatalogCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CatalogCommand {
    List(Box<ListArgs>),
}

/// Shows packages, channels, heads and versions of a catalog.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
struct ListArgs {
    /// A catalog's reference, or the directory of a bundle with catalogs.
    #[arg(value_name = "REF|BUNDLE")]
    from: String,

    /// Show this package with all its bundles.
    #[arg(long, value_name = "NAME")]
    package: Option<String>,

    #[command(flatten)]
    index: IndexArgs,

    #[command(flatten)]
    trust: TrustArgs,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Selects the image of a catalog's index that is read; flattened into verbs that read a catalog.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IndexArgs {
    /// Regular expression for os/arch that selects the one platform image of a catalog to read
    /// [default: linux/amd64]
    #[arg(
        long = "index-filter-by-os",
        visible_alias = "filter-by-os",
        value_name = "REGEXP",
        help_heading = "Catalogs"
    )]
    index_filter: Option<IndexFilter>,
}

impl IndexArgs {
    /// Returns the given filter, or the default one.
    pub(crate) fn filter(&self) -> IndexFilter {
        self.index_filter.clone().unwrap_or_default()
    }
}

pub(crate) async fn run(args: CatalogArgs, invocation: &Invocation) -> Result<(), Error> {
    match args.command {
        CatalogCommand::List(args) => run_list(*args, invocation).await,
    }
}

async fn run_list(args: ListArgs, invocation: &Invocation) -> Result<(), Error> {
    let directory = Path::new(&args.from);
    let from = if files::is_dir(directory) {
        CatalogOrigin::Bundle {
            directory: directory.to_owned(),
            trust: args.trust.trust(directory)?,
            allow_unsigned: args.trust.allow_unsigned(),
        }
    } else {
        let reference: Reference = args.from.parse().map_err(|error| {
            let text = args.from.escape_debug();
            Error::usage(format!("`{text}` is neither a directory nor an image")).caused_by(error)
        })?;
        let client = args.registry.client(invocation)?;
        CatalogOrigin::Registry { reference, client }
    };
    let request = Request {
        from,
        package: args.package,
        filter: args.index.filter(),
    };
    let report = list::list(request, invocation.context()).await?;
    invocation
        .output
        .outcome(args.output.format, &report, text)?;
    for catalog in &report.catalogs {
        for problem in &catalog.problems {
            invocation.output.note(&format!("warning: {problem}"));
        }
    }
    report.failure().map_or(Ok(()), Err)
}

fn text(report: &Report) -> String {
    let catalogs: Vec<String> = report.catalogs.iter().map(one_catalog).collect();
    let mut text = catalogs.join("\n");
    if report.authenticated == Some(false) {
        text.push_str("\nNOT AUTHENTICATED: no trusted key has signed this bundle\n");
    }
    text
}

fn one_catalog(catalog: &CatalogReport) -> String {
    let platform = catalog.platform.as_ref();
    let platform = platform.map(|platform| format!(", read for {platform}"));
    let format = match catalog.format {
        CatalogFormat::FileBased => "file-based catalog (FBC)",
        CatalogFormat::Sqlite => "SQLite catalog",
    };
    let bytes = catalog.bytes.map(|bytes| format!(", {}", ByteSize(bytes)));
    let empty = match catalog.empty_images {
        0 => String::new(),
        count => format!(", {}", Count::of(count, "empty reference")),
    };
    let mut text = format!(
        "{}@{}, {format}{}\n{}{}, {}, {}{}{empty}\n\n",
        catalog.image.repository,
        catalog.digest,
        platform.unwrap_or_default(),
        catalog_text::provenance(catalog.filter.as_deref(), catalog.original.as_ref()),
        Count::of(catalog.packages, "package"),
        Count::of(catalog.bundles, "bundle"),
        Count::of(catalog.images, "image"),
        bytes.unwrap_or_default(),
    );
    let mut table = Table::new(&["PACKAGE", "CHANNEL", "HEAD", "VERSION", "BUNDLES", "SIZE"]);
    for package in &catalog.package {
        add_package(&mut table, package);
    }
    text.push_str(&table.to_string());
    for package in &catalog.package {
        if !package.bundles.is_empty() {
            text.push('\n');
            text.push_str(&bundles(package));
        }
    }
    text
}

/// Adds one row for each channel; the default channel has an asterisk.
fn add_package(table: &mut Table, package: &PackageReport) {
    let mut size = package.bytes.map(|bytes| ByteSize(bytes).to_string());
    if package.channels.is_empty() {
        let size = size.take().unwrap_or_default();
        table.row(&[&package.name, "-", "-", "-", "-", &size]);
    }
    for channel in &package.channels {
        let is_default = package.default_channel.as_ref() == Some(&channel.name);
        let name = format!("{}{}", channel.name, if is_default { " *" } else { "" });
        let heads: Vec<&str> = channel
            .heads
            .iter()
            .map(|head| head.bundle.as_str())
            .collect();
        let versions: Vec<&str> = channel
            .heads
            .iter()
            .map(|head| head.version.as_deref().unwrap_or("-"))
            .collect();
        let count = channel.bundles.to_string();
        let size = size.take().unwrap_or_default();
        let (heads, versions) = (or_dash(&heads), or_dash(&versions));
        table.row(&[&package.name, &name, &heads, &versions, &count, &size]);
    }
}

fn bundles(package: &PackageReport) -> String {
    let mut table = Table::new(&["BUNDLE", "VERSION", "CHANNELS", "IMAGES", "SIZE"]);
    for bundle in &package.bundles {
        let channels: Vec<&str> = bundle.channels.iter().map(String::as_str).collect();
        let size = bundle.bytes.map(|bytes| ByteSize(bytes).to_string());
        table.row(&[
            &bundle.name,
            bundle.version.as_deref().unwrap_or("-"),
            &or_dash(&channels),
            &bundle.images.to_string(),
            &size.unwrap_or_default(),
        ]);
    }
    table.to_string()
}

fn or_dash(texts: &[&str]) -> String {
    if texts.is_empty() {
        return "-".to_owned();
    }
    texts.join(", ")
}
