//! Commands to run after an import.

use std::path::Path;

use crate::cli::shell::quoted;
use crate::ops::import::Report;

/// Placeholder for the directory of `--resources` if none was given.
const RESOURCES: &str = "RESOURCES";

/// Returns the commands to run next: `oc apply` for the cluster objects in the order in which they
/// are needed, then one that extracts the installer of each release. Empty if the import has no
/// such command. `again` holds the flags about registries and keys that these commands need too.
pub(super) fn commands(report: &Report, again: &str) -> String {
    let mut lines = Vec::new();
    for group in [is_signature, is_policy, is_catalog, is_service] {
        let files = report.resources.iter().filter(|path| group(name(path)));
        let files: Vec<String> = files.map(|path| format!(" -f {}", quoted(path))).collect();
        if !files.is_empty() {
            lines.push(format!("oc apply{}", files.concat()));
        }
    }
    // Where the signature stores of a release cannot be reached, the directory that --resources
    // wrote replaces them: it has the signatures, if there are any.
    let written = report.resources.first().and_then(|path| path.parent());
    let directory = written.map_or_else(|| RESOURCES.to_owned(), quoted);
    let store = format!(" --signature-store {directory}");
    let mut unwritten = false;
    for release in &report.releases {
        if let Some(target) = &release.target {
            unwritten |= written.is_none();
            lines.push(format!(
                "airferry release extract --command openshift-install --from {target}{store}{again} --to ."
            ));
        }
    }
    if lines.is_empty() || (report.releases.is_empty() && report.catalogs.is_empty()) {
        return String::new();
    }
    if unwritten {
        lines.push(format!(
            "({RESOURCES}: a directory that --resources has written)"
        ));
    }
    let lines: Vec<String> = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("\nNext:\n{}", lines.concat())
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

fn is_signature(name: &str) -> bool {
    name.starts_with("signature-")
}

/// Matches the policies that current clusters take; the older ImageContentSourcePolicy says the
/// same.
fn is_policy(name: &str) -> bool {
    matches!(name, "imageDigestMirrorSet.yaml" | "imageTagMirrorSet.yaml")
}

fn is_catalog(name: &str) -> bool {
    name.starts_with("catalogSource")
}

fn is_service(name: &str) -> bool {
    name == "updateService.yaml"
}
