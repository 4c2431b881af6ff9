//! Blobs that were made here: no registry has them, so they lie beside the plan while the export
//! is unfinished (bundle-format.md, section 9.2).
//!
//! They are there before the plan is, and go after it: whoever continues a plan finds them.
//! Their names are digests, and whoever writes them into a chunk hashes them again.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::Digest;
use crate::ops::blocking;
use crate::ops::catalog::MadeBlob;
use crate::ops::error::{Class, Error, Result, chain};
use crate::ops::examine::names;
use crate::plan::export::ExportPlan;
use crate::sys;
use crate::sys::media::{EntryKind, Media, ReadAt};

/// Bytes that are read or written at once.
const PIECE: usize = 1 << 20;

/// Where a blob lies.
pub(super) fn path(digest: &Digest) -> String {
    format!("{}/sha256-{}", names::MADE, digest.hex())
}

/// Removes all of them, and their directory.
pub(super) fn clear(media: &dyn Media) -> sys::Result<()> {
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

/// Writes durably the blobs that a plan takes from here, in place of all that lay there. Blocks.
pub(super) fn write(media: &dyn Media, plan: &ExportPlan, blobs: &[MadeBlob]) -> Result<()> {
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

/// Reads one of them from a position on.
pub(super) struct Reading {
    file: Arc<dyn ReadAt>,
    offset: u64,
}

impl Reading {
    /// Opens a blob.
    pub(super) async fn open(media: &Arc<dyn Media>, digest: Digest, offset: u64) -> Result<Self> {
        let media = Arc::clone(media);
        let opened = blocking(move || Ok(media.open(&path(&digest))?)).await;
        let file = Arc::from(opened.map_err(|error| lost(&digest, &chain(&error)))?);
        Ok(Self { file, offset })
    }

    /// The next bytes; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        let (file, offset) = (Arc::clone(&self.file), self.offset);
        let bytes = blocking(move || {
            let mut bytes = vec![0; PIECE];
            let read = file.read_at(&mut bytes, offset)?;
            bytes.truncate(read);
            Ok(bytes)
        });
        let bytes = bytes.await?;
        self.offset += bytes.len() as u64;
        Ok((!bytes.is_empty()).then(|| bytes.into()))
    }
}

/// What it means that one of them is not what it was.
pub(super) fn lost(digest: &Digest, why: &str) -> Error {
    let message = format!("`{}` cannot be used: {why}", path(digest));
    Error::new(Class::Media, message)
        .hint("--replan makes it anew; if that happens again, use another medium")
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

    #[tokio::test]
    async fn a_blob_is_read_from_where_it_was_left() {
        let directory = tempfile::tempdir().unwrap();
        let media: Arc<dyn Media> = Arc::new(DirMedia::open(directory.path()).unwrap());
        let digest = sha256(b"abc");
        media.make_dir(names::MADE).unwrap();
        media.write_atomically(&path(&digest), b"abc").unwrap();
        let mut reading = Reading::open(&media, digest, 1).await.unwrap();
        assert_eq!(reading.next().await.unwrap().unwrap(), "bc");
        assert!(reading.next().await.unwrap().is_none());
        let missing = Reading::open(&media, sha256(b""), 0).await.err().unwrap();
        assert_eq!(missing.class(), Class::Media);
    }
}
