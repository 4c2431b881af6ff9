//! `airferry cluster-resources`: writes the same cluster objects as the end of an import.

use std::path::PathBuf;
use std::sync::Arc;

use super::cluster_files::{ResourcesRequest, WrittenFiles, check_names, write_for};
use super::context::Context;
use super::release::proof::{self, Available, ReleaseKeys, ReleaseProof, ReleaseState};
use crate::bundle::open::{Bundle, Scope, Waivers, open_bundle};
use crate::bundle::trust::Trust;
use crate::cluster::{ClusterImage, Content};
use crate::error::{Class, Result};
use crate::plan::import::ArtifactSelection;
use crate::plan::naming::{self, Target};
use crate::sys::clock;

/// Request of `airferry cluster-resources`.
#[derive(Debug)]
pub struct Request {
    /// Directory of the bundle.
    pub bundle: PathBuf,
    /// Keys that are trusted for bundles.
    pub trust: Trust,
    /// True to accept a bundle that no trusted key signed.
    pub allow_unsigned: bool,
    /// True to write objects for the complete images of an incomplete bundle.
    pub allow_incomplete: bool,
    /// Registry and repositories where the images are, or will be.
    pub target: Target,
    /// Rules for names on the target.
    pub naming: naming::Options,
    /// Directory and options of the output.
    pub resources: ResourcesRequest,
    /// Keys that are trusted for releases.
    pub release_keys: ReleaseKeys,
    /// True to write objects for releases without signatures too.
    pub allow_unsigned_release: bool,
}

/// Writes the objects for a bundle's images, as an import does. Does not use the network.
pub fn write(request: &Request, context: &Context) -> Result<WrittenFiles> {
    let waivers = Waivers {
        unsigned: request.allow_unsigned,
        incomplete: request.allow_incomplete,
    };
    // The documents are enough: the chunks may be absent.
    let (directory, trust) = (&request.bundle, &request.trust);
    let bundle = open_bundle(directory, trust, waivers, Scope::Documents)?;
    let bundle = Arc::new(bundle);
    let proofs = judge(&bundle, &request.release_keys, context)?;
    proof::require(&proofs, request.allow_unsigned_release)?;
    proof::warn_of_unsigned(&proofs, context);
    let plan = super::import::plan(
        &bundle.inventory,
        &request.target,
        &request.naming,
        &ArtifactSelection::All,
    )?;
    let images = plan
        .images
        .iter()
        .map(|image| ClusterImage::new(&image.placed));
    let images: Vec<ClusterImage<'_>> = images.collect();
    let content = Content::of(&bundle.inventory, &images, &request.naming);
    check_names(&request.resources, &content)?;
    write_for(&request.resources, &content, None, context)
}

/// Judges the releases of a bundle. In a copy of its documents, without chunks, releases cannot be
/// read and are judged by their signatures alone.
fn judge(bundle: &Arc<Bundle>, keys: &ReleaseKeys, context: &Context) -> Result<Vec<ReleaseProof>> {
    let by_signatures =
        || proof::judge(Available::Inventory(&bundle.inventory), keys, clock::now());
    let proofs = match proof::judge_bundle(bundle, keys, context) {
        Ok(proofs) => proofs,
        Err(error) if error.class() == Class::Interrupted => return Err(error),
        Err(_) => return by_signatures(),
    };
    if proofs.iter().all(is_readable) {
        return Ok(proofs);
    }
    Ok(prefer_read(proofs, by_signatures()?))
}

fn is_readable(proof: &ReleaseProof) -> bool {
    proof.state != ReleaseState::Unreadable
}

/// Returns for each release the judgement of its content if it could be read, else that of its
/// signatures alone. An unreadable release does not affect the judgement of others.
fn prefer_read(read: Vec<ReleaseProof>, alone: Vec<ReleaseProof>) -> Vec<ReleaseProof> {
    let pairs = read.into_iter().zip(alone);
    let better = pairs.map(|(read, alone)| if is_readable(&read) { read } else { alone });
    better.collect()
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
            not_read: false,
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
        let states = prefer_read(read, alone)
            .into_iter()
            .map(|proof| proof.state);
        let expected = [ReleaseState::NotGenuine, ReleaseState::Unsigned];
        assert!(states.eq(expected));
    }
}
