//! `airferry cluster-resources`, and the same at the end of an import: what the cluster is given.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::context::Context;
use super::import::{Report, ResourcesRequest};
use super::release::proof::{self, Evidence, ReleaseKeys, ReleaseProof, ReleaseState};
use crate::bundle::open::{Accepted, Bundle, Scope, open_bundle};
use crate::bundle::trust::Trust;
use crate::cluster::{self, Told};
use crate::error::{Class, Error, Result};
use crate::plan::import::Sent;
use crate::plan::naming::{self, Target};
use crate::sys::{clock, files};

/// Name of the machine-readable report beside the objects.
const REPORT: &str = "import-report.json";

/// Name of a file that is written and removed, to see whether that can be done.
const TRIAL: &str = ".airferry-trial";

/// What was written.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Written {
    /// The files.
    pub files: Vec<PathBuf>,
}

/// What `airferry cluster-resources` is asked for.
#[derive(Debug)]
pub struct Request {
    /// The bundle's directory.
    pub bundle: PathBuf,
    /// Whom to trust.
    pub trust: Trust,
    /// Accept that no trusted key has signed.
    pub allow_unsigned: bool,
    /// Write for what is whole of an incomplete bundle.
    pub allow_incomplete: bool,
    /// Where the images are, or will be.
    pub target: Target,
    /// Names on the target.
    pub naming: naming::Options,
    /// Where and how to write.
    pub resources: ResourcesRequest,
    /// Whose word counts for releases.
    pub release_keys: ReleaseKeys,
    /// Write for releases that have no signatures.
    pub allow_unsigned_release: bool,
}

/// Writes the objects for a bundle's images, as an import does. Contacts nothing.
pub fn write(request: &Request, context: &Context) -> Result<Written> {
    let accepted = Accepted {
        unsigned: request.allow_unsigned,
        incomplete: request.allow_incomplete,
    };
    // Documents alone: this works from a copy of them as well.
    let (directory, trust) = (&request.bundle, &request.trust);
    let bundle = open_bundle(directory, trust, accepted, Scope::Documents)?;
    let bundle = Arc::new(bundle);
    let proofs = judge(&bundle, &request.release_keys, context)?;
    proof::require(&proofs, request.allow_unsigned_release)?;
    proof::warn_of_unsigned(&proofs, context);
    let plan = super::import::plan(
        &bundle.inventory,
        &request.target,
        &request.naming,
        &Sent::All,
    )?;
    let images = plan.images.iter().map(|image| Told::new(&image.placed));
    let images: Vec<Told<'_>> = images.collect();
    let content = cluster::Content::of(&bundle.inventory, &images, &request.naming);
    write_for(&request.resources, &content, None, context)
}

/// Judges the releases of a bundle, or of a copy of its documents: then by their signatures.
fn judge(bundle: &Arc<Bundle>, keys: &ReleaseKeys, context: &Context) -> Result<Vec<ReleaseProof>> {
    let by_signatures = || proof::judge(Evidence::Inventory(&bundle.inventory), keys, clock::now());
    let proofs = match proof::judge_bundle(bundle, keys, context) {
        Ok(proofs) => proofs,
        Err(error) if error.class() == Class::Interrupted => return Err(error),
        Err(_) => return by_signatures(),
    };
    if proofs.iter().all(is_readable) {
        return Ok(proofs);
    }
    Ok(better_of(proofs, by_signatures()?))
}

fn is_readable(proof: &ReleaseProof) -> bool {
    proof.state != ReleaseState::Unreadable
}

/// What is known of each release: by what was read of it, else by its signatures alone. That one
/// cannot be read takes nothing from what was found out about the others.
fn better_of(read: Vec<ReleaseProof>, alone: Vec<ReleaseProof>) -> Vec<ReleaseProof> {
    let pairs = read.into_iter().zip(alone);
    let better = pairs.map(|(read, alone)| if is_readable(&read) { read } else { alone });
    better.collect()
}

/// Writes cluster objects, snippets and the mapping for what is on the target, and the report
/// when there is one.
pub(super) fn write_for(
    request: &ResourcesRequest,
    content: &cluster::Content,
    report: Option<&Report>,
    context: &Context,
) -> Result<Written> {
    files::make_dirs(&request.directory)?;
    // First, because it is the one thing that cannot be had again.
    let mut report_file = None;
    if let Some(report) = report {
        let path = request.directory.join(REPORT);
        write_report(report, &path)?;
        report_file = Some(path);
    }
    let rendered = render(request, content)?;
    for warning in &rendered.warnings {
        context.warn(warning.to_string());
    }
    let mut written = Written { files: Vec::new() };
    for file in &rendered.files {
        let path = request.directory.join(&file.name);
        files::write_atomically(&path, file.text.as_bytes(), 0o644)?;
        written.files.push(path);
    }
    written.files.extend(report_file);
    Ok(written)
}

fn write_report(report: &Report, path: &Path) -> Result<()> {
    let mut text = serde_json::to_string_pretty(report)
        .map_err(|error| Error::internal("The report cannot be written", error))?;
    text.push('\n');
    files::write_atomically(path, text.as_bytes(), 0o644)?;
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_that_was_found_out_stays_so_beside_one_that_cannot_be_read() {
        let proof = |version: &str, state| ReleaseProof {
            image: "quay.io/okd/release:1".parse().unwrap(),
            version: version.parse().unwrap(),
            state,
            compared: false,
            signers: Vec::new(),
            reason: None,
        };
        let read = vec![
            proof("4.1.0", ReleaseState::NotGenuine),
            proof("4.2.0", ReleaseState::Unreadable),
        ];
        let alone = vec![
            proof("4.1.0", ReleaseState::Genuine),
            proof("4.2.0", ReleaseState::Unsigned),
        ];
        let states = better_of(read, alone).into_iter().map(|proof| proof.state);
        let expected = [ReleaseState::NotGenuine, ReleaseState::Unsigned];
        assert!(states.eq(expected));
    }
}
