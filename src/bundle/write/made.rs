//! Stores blobs that the export made itself, so that no registry has them, while the export is
//! unfinished (bundle-format.md, section 9.2).
//!
//! They are written before the plan and removed after it, so a run that continues the plan finds
//! them. Their names are digests, and the lane that writes them into a chunk hashes them again.

use crate::bundle::names;
use crate::error::{Class, Error, Result, chain};
use crate::model::Digest;
use crate::plan::export::ExportPlan;
use crate::sys;
use crate::sys::media::{EntryKind, Media, ReadAt};
use crate::sys::spool::Spool;

/// Bytes that are copied at once.
const PIECE: usize = 1 << 20;

/// A blob that the export made itself.
#[derive(Debug)]
pub(crate) struct MadeBlob {
    /// SHA-256 of the blob's bytes.
    pub(crate) digest: Digest,
    /// Bytes of the blob.
    pub(crate) content: Spool,
}

/// Returns the path of a blob.
pub(crate) fn path(digest: &Digest) -> String {
    format!("{}/sha256-{}", names::MADE, digest.hex())
}

/// Removes all made blobs and their directory.
pub(crate) fn clear(media: &dyn Media) -> sys::Result<()> {
    let mut found = false;
    for entry in media.list()? {
        if names::is_made(&entry.path) && matches!(entry.kind, EntryKind::File(_)) {
            media.remove(&entry.path)?;
        }
        found |= entry.path == names::MADE;
    }
    if found {
        media.remove_dir(names::MADE)?;
        media.sync_dir("")?;
    }
    Ok(())
}

/// Durably writes the made blobs of a plan, after removing all earlier ones. Blocks.
pub(crate) fn write(media: &dyn Media, plan: &ExportPlan, blobs: &[MadeBlob]) -> Result<()> {
    clear(media)?;
    for (digest, _) in plan.made() {
        let Some(blob) = blobs.iter().find(|blob| blob.digest == digest) else {
            let what = digest.to_string();
            return Err(Error::internal("A blob of the plan was not made", what));
        };
        media.make_dir(names::MADE)?;
        let path = path(&digest);
        let temporary = format!("{path}.tmp");
        let mut file = media.append_to(&temporary)?;
        let (mut buffer, mut offset) = (vec![0; PIECE], 0);
        loop {
            let read = blob.content.read_at(&mut buffer, offset)?;
            if read == 0 {
                break;
            }
            file.append(buffer.get(..read).unwrap_or_default())?;
            offset += read as u64;
        }
        file.sync()?;
        drop(file);
        media.rename(&temporary, &path)?;
    }
    Ok(())
}

/// Opens a made blob.
pub(crate) fn open(media: &dyn Media, digest: &Digest) -> Result<Box<dyn ReadAt>> {
    media
        .open(&path(digest))
        .map_err(|error| lost(digest, &chain(&Error::from(error))))
}

/// Returns the error for a made blob that is missing or altered.
pub(crate) fn lost(digest: &Digest, why: &str) -> Error {
    let message = format!("`{}` cannot be used: {why}", path(digest));
    Error::new(Class::Media, message)
        .hint("run again with --replan to make it again; if that recurs, use another medium")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::hash::sha256;
    use crate::sys::media::DirMedia;

    #[test]
    fn leftovers_are_cleared_and_foreign_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let media = DirMedia::open(directory.path()).unwrap();
        let media: &dyn Media = &media;
        media.make_dir(names::MADE).unwrap();
        let blob = path(&sha256(b"x"));
        media.write_atomically(&blob, b"x").unwrap();
        media.append_to(&format!("{blob}.tmp")).unwrap();
        media.write_atomically("export.made/note", b"x").unwrap();
        clear(media).unwrap();
        let paths = || -> Vec<String> {
            let entries = media.list().unwrap().into_iter();
            entries.map(|entry| entry.path).collect()
        };
        assert_eq!(paths(), ["export.made", "export.made/note"]);
        media.remove("export.made/note").unwrap();
        clear(media).unwrap();
        assert!(paths().is_empty());
    }
}
