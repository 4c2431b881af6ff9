//! Commands to run after an import.

use std::path::Path;

use crate::cli::shell::quoted;
use crate::cluster::{APPLY, BEFORE_4_13};
use crate::ops::import::Report;

/// Placeholder for the directory of `--resources` if none was given.
const RESOURCES: &str = "RESOURCES";

/// File name of the report, which is beside the directories of the objects.
const REPORT: &str = "import-report.json";

/// File name of the UpdateService, which is written only if it was asked for.
const UPDATE_SERVICE: &str = "updateService.yaml";

/// What applying mirror sets does to a cluster.
const DRAINS: &str = "\
Applying a new ImageTagMirrorSet, or a mirror set that changed, drains the nodes one after another:
choose a time when pods may move.
";

/// Returns the commands to run next: `oc apply` for the cluster objects, then one that extracts the installer of each release. Empty if the import has no
/// such command. `again` holds the flags about registries and keys that these commands need too.
pub(super) fn commands(report: &Report, again: &str) -> String {
    let mut lines = Vec::new();
    // The import report is beside the objects' directories.
    let written = report.resources.iter().find(|path| name(path) == REPORT);
    let written = written.and_then(|path| path.parent());
    let has = |directory: &str, file: &str| {
        let mut paths = report.resources.iter();
        paths.any(|path| is_in(path, directory) && name(path).starts_with(file))
    };
    if let Some(written) = written {
        if has(APPLY, "") {
            lines.push(format!(
                "oc apply -f {}",
                quoted(&written.join(APPLY).join(""))
            ));
        }
        for service in report
            .resources
            .iter()
            .filter(|path| name(path) == UPDATE_SERVICE)
        {
            lines.push(format!("oc apply -f {}", quoted(service)));
        }
    }
    // Where the signature stores of a release cannot be reached, the directory that --resources
    // wrote replaces them: it has the signatures, if there are any.
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
    let mut text = format!("\nNext:\n{}", lines.concat());
    if has(APPLY, "imageDigestMirrorSet") || has(APPLY, "imageTagMirrorSet") {
        text.push_str(DRAINS);
    }
    if let Some(written) = written
        && has(BEFORE_4_13, "")
    {
        text.push_str(&format!(
            "Clusters before 4.13 have no mirror sets: apply {} instead of these.\n",
            quoted(&written.join(BEFORE_4_13).join(""))
        ));
    }
    text
}

fn name(path: &Path) -> &str {
    path.file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default()
}

fn is_in(path: &Path, directory: &str) -> bool {
    path.parent()
        .is_some_and(|parent| parent.ends_with(directory))
}
