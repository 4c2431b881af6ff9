//! Writes what the cluster is given.

use std::path::PathBuf;

use super::report::Report;
use super::request::ResourcesRequest;
use crate::cluster;
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result};
use crate::plan::naming::Placed;
use crate::sys::files;

/// Name of the machine-readable report beside the objects.
const REPORT: &str = "import-report.json";

/// What was written.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Written {
    /// The files.
    pub files: Vec<PathBuf>,
}

/// Writes cluster objects, snippets and the mapping for images that are on the target, and the
/// report when there is one.
pub fn write(
    request: &ResourcesRequest,
    images: &[Placed],
    report: Option<&Report>,
    context: &Context,
) -> Result<Written> {
    let content = cluster::Content::of(images);
    let rendered = cluster::render(&content, &request.options)
        .map_err(|error| Error::usage("The cluster objects cannot be written").caused_by(error))?;
    for warning in &rendered.warnings {
        context.warn(warning.to_string());
    }
    files::make_dirs(&request.directory)?;
    let mut written = Written { files: Vec::new() };
    for file in &rendered.files {
        let path = request.directory.join(file.name);
        files::write_atomically(&path, file.text.as_bytes(), 0o644)?;
        written.files.push(path);
    }
    if let Some(report) = report {
        let mut text = serde_json::to_string_pretty(report).map_err(|error| {
            Error::new(Class::Internal, "The report cannot be written").caused_by(error)
        })?;
        text.push('\n');
        let path = request.directory.join(REPORT);
        files::write_atomically(&path, text.as_bytes(), 0o644)?;
        written.files.push(path);
    }
    Ok(written)
}
