//! Writes the cluster's objects to a directory, at the end of an import and in `airferry
//! cluster-resources`. After an import, its report is written beside them. Files of an earlier run
//! that this one does not write are removed.

mod earlier;

use std::path::PathBuf;

use serde::Serialize;

pub(super) use earlier::Earlier;
use earlier::Written;

use super::context::Context;
use crate::cluster;
use crate::error::{Error, Result};
use crate::sys::files;

/// File name of the machine-readable report beside the objects.
const REPORT: &str = "import-report.json";

/// Name of a file that is written and removed, to test that the directory is writable.
const TEST_FILE: &str = ".airferry-trial";

/// Directory and options for the cluster's objects.
#[derive(Debug, Clone)]
pub struct ResourcesRequest {
    /// Directory for the files.
    pub directory: PathBuf,
    /// Options of rendering.
    pub options: cluster::Options,
}

/// The report of an import, and what happens to files of an earlier run.
pub(super) struct ImportReport<'a> {
    /// The report as JSON.
    pub(super) text: &'a str,
    /// What happens to files of an earlier run.
    pub(super) earlier: Earlier,
}

/// List of the written files.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenFiles {
    /// Paths of the written files.
    pub files: Vec<PathBuf>,
}

/// Writes cluster objects, snippets and the mapping for the content of the target. The report of an
/// import is written first.
pub(super) fn write_for(
    request: &ResourcesRequest,
    content: &cluster::Content,
    report: Option<ImportReport<'_>>,
    context: &Context,
) -> Result<WrittenFiles> {
    files::make_dirs(&request.directory)?;
    // The report is written first, because nothing else can produce it again.
    let mut report_file = None;
    let earlier = report
        .as_ref()
        .map_or(Earlier::Remove, |report| report.earlier);
    if let Some(report) = report {
        let path = request.directory.join(REPORT);
        files::write_atomically(&path, report.text.as_bytes(), 0o644)?;
        report_file = Some(path);
    }
    let rendered = render(request, content)?;
    for warning in &rendered.warnings {
        context.warn(warning.to_string());
    }
    let mut written = WrittenFiles { files: Vec::new() };
    let before = Written::read(&request.directory);
    for file in &rendered.files {
        let path = request.directory.join(&file.name);
        if let Some(parent) = path.parent() {
            files::make_dirs(parent)?;
        }
        before.save_changed(&path, file, context)?;
        files::write_atomically(&path, file.text.as_bytes(), 0o644)?;
        written.files.push(path);
    }
    before.replace(&request.directory, &rendered.files, earlier, context)?;
    written.files.extend(report_file);
    Ok(written)
}

/// Checks before any upload that the objects can be rendered and written at the end of the import.
/// A dry run renders only, and leaves the directory alone.
pub(super) fn check_writable(
    request: &ResourcesRequest,
    content: &cluster::Content,
    dry_run: bool,
) -> Result<()> {
    check_names(request, content)?;
    render(request, content)?;
    if dry_run {
        return Ok(());
    }
    files::make_dirs(&request.directory)?;
    let trial = request.directory.join(TEST_FILE);
    files::write_atomically(&trial, b"", 0o644)?;
    files::remove(&trial)?;
    Ok(())
}

/// Checks that the chosen names of catalogs fit the catalogs that there are.
pub(super) fn check_names(request: &ResourcesRequest, content: &cluster::Content) -> Result<()> {
    cluster::check_names(content, &request.options).map_err(|error| {
        Error::usage("The catalogs cannot be named as `--catalog-source-name` says")
            .caused_by(error)
            .hint("write --catalog-source-name CATALOG=NAME, once for each catalog")
    })
}

fn render(request: &ResourcesRequest, content: &cluster::Content) -> Result<cluster::Rendered> {
    cluster::render(content, &request.options)
        .map_err(|error| Error::usage("The cluster objects cannot be written").caused_by(error))
}
