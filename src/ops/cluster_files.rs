//! The files that a cluster is given, and the report of an import beside them: written to a
//! directory at the end of an import, and by `airferry cluster-resources`.

use std::path::PathBuf;

use serde::Serialize;

use super::context::Context;
use crate::cluster;
use crate::error::{Error, Result};
use crate::sys::files;

/// Name of the machine-readable report beside the objects.
const REPORT: &str = "import-report.json";

/// Name of a file that is written and removed, to see whether that can be done.
const TRIAL: &str = ".airferry-trial";

/// Where and how to write what the cluster is given.
#[derive(Debug, Clone)]
pub struct ResourcesRequest {
    /// The directory.
    pub directory: PathBuf,
    /// How.
    pub options: cluster::Options,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct WrittenFiles {
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Writes cluster objects, snippets and the mapping for what is on the target, and the report
/// when there is one: its text.
pub(super) fn write_for(
    request: &ResourcesRequest,
    content: &cluster::Content,
    report: Option<&str>,
    context: &Context,
) -> Result<WrittenFiles> {
    files::make_dirs(&request.directory)?;
    // First, because it is the one thing that cannot be had again.
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

/// Finds out before anything is uploaded whether the objects can be written at its end. A dry
/// run leaves the directory alone.
pub(super) fn rehearse(
    request: &ResourcesRequest,
    content: &cluster::Content,
    dry_run: bool,
) -> Result<()> {
    render(request, content)?;
    if dry_run {
        return Ok(());
    }
    files::make_dirs(&request.directory)?;
    let trial = request.directory.join(TRIAL);
    files::write_atomically(&trial, b"", 0o644)?;
    files::remove(&trial)?;
    Ok(())
}

fn render(request: &ResourcesRequest, content: &cluster::Content) -> Result<cluster::Rendered> {
    cluster::render(content, &request.options)
        .map_err(|error| Error::usage("The cluster objects cannot be written").caused_by(error))
}
