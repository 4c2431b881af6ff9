//! `airferry cluster-resources --catalog`: writes the cluster's objects for a catalog, before
//! anything is copied. Contacts only the registry of the catalog's image.

use super::find_catalog;
use crate::cluster::{APPLY, BEFORE_4_13, Content};
use crate::content::mapping_file::mapped;
use crate::error::{Error, Result};
use crate::image::catalog;
use crate::model::Reference;
use crate::ops::blocking;
use crate::ops::cluster_files::{ResourcesRequest, WrittenFiles, check_names, write_for};
use crate::ops::context::Context;
use crate::ops::mapping::require_known;
use crate::plan::index_filter::IndexFilter;
use crate::plan::naming::{self, Target};
use crate::registry::Client;
use crate::sys::files;

/// Files that `oc` writes for every catalog, even if they are empty.
const ALWAYS: [(&str, &str); 2] = [
    (BEFORE_4_13, "imageContentSourcePolicy.yaml"),
    (APPLY, "imageDigestMirrorSet.yaml"),
];

/// Request of `airferry cluster-resources --catalog`.
#[derive(Debug)]
pub struct Request {
    /// Reference of the catalog.
    pub reference: Reference,
    /// Client of its registry.
    pub client: Client,
    /// Selects the platform whose image is read.
    pub filter: IndexFilter,
    /// Registry and repositories where the images will be.
    pub target: Target,
    /// Rules for names on the target.
    pub naming: naming::Options,
    /// Directory and options of the output.
    pub resources: ResourcesRequest,
}

/// Reads the catalog and writes the objects.
pub async fn write(request: Request, context: &Context) -> Result<WrittenFiles> {
    let (client, reference) = (&request.client, &request.reference);
    let (source, image) = find_catalog(client, reference, &request.filter, context).await?;
    let context = context.clone();
    blocking(move || {
        let catalog = catalog::read(&source, &image)?;
        let named = catalog.images();
        for malformed in named.malformed() {
            context.warn(format!("catalog {}: {malformed}", image.name));
        }
        let mut members = named.members();
        let listed = &request.naming.listed;
        if !listed.is_empty() {
            let all = members.iter().map(|member| mapped(&member.image));
            let known = all.chain([mapped(&request.reference)]).collect();
            let hint = "correct the left-hand sides, or remove these lines from the mapping";
            require_known(listed, &known, "the catalog does not name", hint)?;
            members.retain(|member| listed.lists(&member.image));
        }
        let (target, naming) = (&request.target, &request.naming);
        let content = Content::ahead(&request.reference, &members, target, naming);
        let content = content.map_err(|error| {
            let hint = error.hint();
            let failed = Error::usage("The catalog's images cannot be named on the target");
            hint.into_iter().fold(failed.caused_by(error), Error::hint)
        })?;
        check_names(&request.resources, &content)?;
        let mut written = write_for(&request.resources, &content, None, &context)?;
        complete(&request.resources, &mut written)?;
        Ok(written)
    })
    .await
}

/// Writes an empty file for each missing one that `oc` always writes: scripts expect them.
fn complete(request: &ResourcesRequest, written: &mut WrittenFiles) -> Result<()> {
    for (directory, name) in ALWAYS {
        let directory = request.directory.join(directory);
        let path = directory.join(name);
        if !written.files.contains(&path) {
            files::make_dirs(&directory)?;
            files::write_atomically(&path, b"", 0o644)?;
            written.files.push(path);
        }
    }
    Ok(())
}
