//! The commands that come after an import.

use std::path::Path;

use crate::ops::import::Report;

/// What is typed next: the objects for the cluster in the order in which they are needed, then
/// the installer of each release. Empty when there is nothing to type.
pub(super) fn commands(report: &Report) -> String {
    let mut lines = Vec::new();
    for group in [is_signature, is_policy, is_catalog, is_service] {
        let files = report.resources.iter().filter(|path| group(name(path)));
        let files: Vec<String> = files.map(|path| format!(" -f {}", quoted(path))).collect();
        if !files.is_empty() {
            lines.push(format!("oc apply{}", files.concat()));
        }
    }
    // Where the stores of a release cannot be reached, its signatures are among the objects.
    let signatures = report
        .resources
        .iter()
        .find(|path| is_signature(name(path)));
    let store = signatures.and_then(|path| path.parent());
    let store = store.map(|directory| format!(" --signature-store {}", quoted(directory)));
    let store = store.unwrap_or_default();
    for release in &report.releases {
        if let Some(target) = &release.target {
            lines.push(format!(
                "airferry release extract --command openshift-install --from {target}{store} --to ."
            ));
        }
    }
    if lines.is_empty() || (report.releases.is_empty() && report.catalogs.is_empty()) {
        return String::new();
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

/// What a cluster of today takes; the older ImageContentSourcePolicy says the same.
fn is_policy(name: &str) -> bool {
    matches!(name, "imageDigestMirrorSet.yaml" | "imageTagMirrorSet.yaml")
}

fn is_catalog(name: &str) -> bool {
    name.starts_with("catalogSource")
}

fn is_service(name: &str) -> bool {
    name == "updateService.yaml"
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    match !text.is_empty() && text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
