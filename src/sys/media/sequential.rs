//! Writes files on file systems where a file can only be written once, from start to end.
//!
//! fusefat, which is used for FAT32 where the kernel's driver is missing, silently loses data if
//! a closed file is extended or an earlier position is written (measured: files of whole clusters
//! are cut to two of them; others give EPERM). To change a file, this module therefore writes it
//! again, under its own name, up to the position of the change; later bytes go through the same
//! handle.

use super::directory::Directory;
use super::open_file::OpenFile;
use super::{ReadAt, WriteFile};
use crate::sys::error::Result;

/// A file that is only ever written from its start.
#[derive(Debug)]
pub(super) struct SequentialFile {
    directory: Directory,
    path: String,
    /// `None` if it cannot be extended: another handle wrote it, or writing it again failed.
    file: Option<OpenFile>,
    /// Position of the next write, in bytes.
    position: u64,
}

impl SequentialFile {
    /// Takes a file that was opened at its end. An empty file can be written directly.
    pub(super) fn new(directory: Directory, path: &str, file: OpenFile) -> Result<Self> {
        let position = file.length()?;
        Ok(Self {
            directory,
            path: path.to_owned(),
            file: (position == 0).then_some(file),
            position,
        })
    }

    /// Returns the open file, after writing it again up to the position if needed.
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
            // The handle that wrote the file made it durable.
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

    /// Changes that would be made in place elsewhere are made in a new file.
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
