//! Writes the cluster's objects to a directory, at the end of an import and in `airferry
//! cluster-resources`. After an import, its report is written beside them.

use std::path::PathBuf;

use serde::Serialize;

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

/// List of the written files.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenFiles {
    /// Paths of the written files.
    pub files: Vec<PathBuf>,
}

/// Writes cluster objects, snippets and the mapping for the content of the target. `report` is the
/// text of the import's report, which is written first.
pub(super) fn write_for(
    request: &ResourcesRequest,
    content: &cluster::Content,
    report: Option<&str>,
    context: &Context,
) -> Result<WrittenFiles> {
    files::make_dirs(&request.directory)?;
    // The report is written first, because nothing else can produce it again.
    let mut report_file = None;
    if let Some(report) = report {
        let path = request.directory.join(REPORT);
        files::write_atomically(&path, report.as_bytes(), 0o644)?;
        report_file = Some(path);
    }
    let rendered = render(request, content)?;
    for warning in &rendered.warnings {
        context.warn(warning.to_string());
    }
    let mut written = WrittenFiles { files: Vec::new() };
    for file in &rendered.files {
        let path = request.directory.join(&file.name);
        files::write_atomically(&path, file.text.as_bytes(), 0o644)?;
        written.files.push(path);
    }
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

fn render(request: &ResourcesRequest, content: &cluster::Content) -> Result<cluster::Rendered> {
    cluster::render(content, &request.options)
        .map_err(|error| Error::usage("The cluster objects cannot be written").caused_by(error))
}
