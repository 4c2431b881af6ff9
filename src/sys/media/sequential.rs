//! Writing where a file can be written once, from its start to its end, and not changed after.
//!
//! fusefat, which serves FAT32 where the kernel's driver is missing, loses data without a word
//! when a file that was closed grows, or when writing goes back (measured: files of whole clusters
//! are cut to two of them; others give EPERM). A file that is to be changed is therefore written
//! anew up to the change, under its own name: what follows goes through the same handle.

use super::directory::Directory;
use super::open_file::OpenFile;
use super::{ReadAt, WriteFile};
use crate::sys::error::Result;

/// A file that is written in one go.
#[derive(Debug)]
pub(super) struct SequentialFile {
    directory: Directory,
    path: String,
    /// `None` while it cannot be written: an earlier handle made it, or writing it anew failed.
    file: Option<OpenFile>,
    /// Where writing goes on.
    position: u64,
}

impl SequentialFile {
    /// Takes a file that was opened at its end; an empty one may be new.
    pub(super) fn new(directory: Directory, path: &str, file: OpenFile) -> Result<Self> {
        let position = file.length()?;
        Ok(Self {
            directory,
            path: path.to_owned(),
            file: (position == 0).then_some(file),
            position,
        })
    }

    /// The file, written anew up to the position if need be.
    fn file(&mut self) -> Result<&mut OpenFile> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.rewrite()?,
        };
        Ok(self.file.insert(file))
    }

    fn rewrite(&self) -> Result<OpenFile> {
        let before = format!("{}.tmp", self.path);
        self.directory.remove(&before)?;
        self.directory.rename(&self.path, &before)?;
        let mut file = self.directory.open_to_write(&self.path)?;
        let source = self.directory.open_to_read(&before)?;
        self.directory
            .copy_into(&mut file, &source, &self.path, self.position)?;
        drop(source);
        self.directory.remove(&before)?;
        Ok(file)
    }
}

impl WriteFile for SequentialFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file()?.append(bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn seek(&mut self, position: u64) -> Result<()> {
        if position != self.position {
            if let Some(mut file) = self.file.take() {
                file.sync()?;
            }
            self.position = position;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        match &mut self.file {
            Some(file) => file.sync(),
            // What another handle wrote was made durable by it.
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::media::{DirMedia, Media};

    fn open(media: &DirMedia) -> SequentialFile {
        let directory = Directory::open(media.root()).unwrap();
        let file = directory.open_to_write("x").unwrap();
        SequentialFile::new(directory, "x", file).unwrap()
    }

    fn bytes(media: &DirMedia) -> Vec<u8> {
        let media: &dyn Media = media;
        media.read("x", 100).unwrap()
    }

    /// What another handle would do in place is done in a new file.
    #[test]
    fn a_file_that_is_there_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        let media = DirMedia::open(directory.path()).unwrap();
        let mut file = open(&media);
        file.append(b"abcdef").unwrap();
        file.sync().unwrap();
        drop(file);
        let before = media.open("x").unwrap();

        let mut file = open(&media);
        file.append(b"gh").unwrap();
        file.append(b"i").unwrap();
        assert_eq!(bytes(&media), b"abcdefghi");
        assert_eq!(before.length().unwrap(), 6, "the old file is as it was");
        file.seek(2).unwrap();
        file.append(b"X").unwrap();
        assert_eq!(bytes(&media), b"abX");
        drop(file);

        let mut file = open(&media);
        file.seek(1).unwrap();
        file.sync().unwrap();
        assert_eq!(bytes(&media), b"abX", "nothing was written yet");
        file.append(b"Y").unwrap();
        assert_eq!(bytes(&media), b"aY");
        let names: Vec<_> = media.list().unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(names, ["x"]);
    }
}
