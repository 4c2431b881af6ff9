//! Implements the medium with a directory of the operating system.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::attributes;
use super::directory::Directory;
use super::sequential::SequentialFile;
use super::weigh::DirectoryCounter;
use super::{Attribute, DirectoryTotals, Entry, EntryKind, Media, ReadAt, WriteFile};
use crate::sys::error::Result;
use crate::sys::filesystem::FileSystem;

/// A bundle's directory in the file system.
#[derive(Debug, Clone)]
pub struct DirMedia {
    directory: Directory,
}

impl DirMedia {
    /// Opens an existing directory. Follows a link to it, since the operator named it.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let directory = Directory::open(root)?;
        Ok(Self { directory })
    }

    /// Creates the directory and its parents if they do not exist, and opens it.
    pub fn create(root: impl AsRef<Path>) -> Result<Self> {
        let directory = Directory::create(root)?;
        Ok(Self { directory })
    }

    /// Returns the directory's handle, for locking and for queries about its file system.
    pub fn handle(&self) -> &OwnedFd {
        self.directory.handle()
    }

    /// Makes a file readable and executable for everybody. Does nothing on a file system without
    /// permissions.
    pub fn make_executable(&self, path: &str) -> Result<()> {
        self.directory.make_executable(path)
    }

    /// Returns true if existing files can be changed.
    fn rewrites_files(&self) -> Result<bool> {
        Ok(FileSystem::of(self.root())?.rewrites_files)
    }
}

impl Media for DirMedia {
    fn root(&self) -> &Path {
        self.directory.root()
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadAt>> {
        Ok(Box::new(self.directory.open_to_read(path)?))
    }

    fn append_to(&self, path: &str) -> Result<Box<dyn WriteFile>> {
        let file = self.directory.open_to_write(path)?;
        if self.rewrites_files()? {
            return Ok(Box::new(file));
        }
        let directory = self.directory.clone();
        Ok(Box::new(SequentialFile::new(directory, path, file)?))
    }

    fn make_dir(&self, path: &str) -> Result<()> {
        self.directory.make_dir(path)
    }

    fn cut(&self, path: &str, length: u64) -> Result<()> {
        let source = self.directory.open_to_read(path)?;
        if source.length()? <= length {
            return Ok(());
        }
        match self.rewrites_files()? {
            true => self.directory.shorten(path, length),
            false => self.directory.replace_by_beginning(path, &source, length),
        }
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.directory.rename(from, to)
    }

    fn remove(&self, path: &str) -> Result<()> {
        self.directory.remove(path)
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.directory.remove_dir(path)
    }

    fn sync_dir(&self, path: &str) -> Result<()> {
        self.directory.sync_dir(path)
    }

    fn count_other_directories(&self, own: &[&str]) -> BTreeMap<String, DirectoryTotals> {
        let mut scales = DirectoryCounter::new();
        scales.directories(self.root(), "", own);
        for directory in own {
            let path = self.root().join(directory);
            scales.directories(&path, &format!("{directory}/"), &[]);
        }
        scales.into_weights()
    }

    fn attributes(&self, path: &str) -> Vec<Attribute> {
        if let Ok(directory) = self.directory.directory(path) {
            return attributes::of(directory);
        }
        let file = self.directory.open_to_read(path);
        file.map(|file| attributes::of(&file.file))
            .unwrap_or_default()
    }

    fn list(&self) -> Result<Vec<Entry>> {
        let own = ["chunks", "signatures", "export.made"];
        let mut entries = Vec::new();
        self.directory.list_into("", &mut entries)?;
        let directories: Vec<String> = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Directory)
            .map(|entry| entry.path.clone())
            .collect();
        for directory in directories {
            // A name that was not UTF-8 cannot be opened by its printable form; its entry is
            // listed already. `lost+found` may belong to another user.
            match self.directory.list_into(&directory, &mut entries) {
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_permission_denied() && !own.contains(&&*directory) => {}
                other => other?,
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "sys is where files are touched")]
mod tests {
    use super::*;
    use std::io::{self, Read as _};
    use std::os::unix::fs::symlink;

    use rustix::fs::{self as sysfs, FileType, Mode};

    use crate::model::Limits;
    use crate::sys::error::FileError;
    use crate::sys::media::Reader;

    fn media() -> (tempfile::TempDir, DirMedia) {
        let directory = tempfile::tempdir().unwrap();
        let media = DirMedia::open(directory.path()).unwrap();
        (directory, media)
    }

    #[test]
    fn writes_whole_files_and_lists_them() {
        let (_directory, media) = media();
        let media: &dyn Media = &media;
        media.make_dir("chunks").unwrap();
        media.make_dir("chunks").unwrap();
        media.write_atomically("chunks/000001.tar", b"one").unwrap();
        media
            .write_atomically("chunks/000001.tar", b"three")
            .unwrap();
        assert_eq!(media.read("chunks/000001.tar", 5).unwrap(), b"three");
        assert!(media.read("chunks/000001.tar", 4).is_err());
        assert!(
            media
                .read("chunks/000002.tar", 4)
                .unwrap_err()
                .is_not_found()
        );
        assert!(
            media
                .read("nothing/000002.tar", 4)
                .unwrap_err()
                .is_not_found()
        );
        let paths = || -> Vec<_> {
            let entries = media.list().unwrap().into_iter();
            entries.map(|entry| entry.path).collect()
        };
        media.remove_dir("chunks").unwrap();
        assert_eq!(paths(), ["chunks", "chunks/000001.tar"]);
        media.remove("chunks/000001.tar").unwrap();
        media.remove_dir("chunks").unwrap();
        media.remove_dir("chunks").unwrap();
        assert!(paths().is_empty());
    }

    #[test]
    fn cuts_back_and_goes_on() {
        let (_directory, media) = media();
        let mut file = media.append_to("x").unwrap();
        file.append(b"abcdef").unwrap();
        file.seek(2).unwrap();
        file.append(b"X").unwrap();
        file.sync().unwrap();
        let media: &dyn Media = &media;
        assert_eq!(media.read("x", 10).unwrap(), b"abXdef");
        media.cut("x", 9).unwrap();
        media.cut("x", 3).unwrap();
        assert_eq!(media.read("x", 10).unwrap(), b"abX");
        let file = media.open("x").unwrap();
        let mut text = String::new();
        Reader::new(file.as_ref(), 1, 100)
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "bX");
    }

    /// Shortening must not copy: there may be no space.
    #[test]
    fn cutting_needs_no_copy() {
        use std::os::unix::fs::MetadataExt;

        let (directory, media) = media();
        let path = directory.path().join("x");
        std::fs::write(&path, b"abcdef").unwrap();
        let before = std::fs::metadata(&path).unwrap().ino();
        media.cut("x", 2).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ab");
        assert_eq!(std::fs::metadata(&path).unwrap().ino(), before);
    }

    /// The method for file systems that cannot shorten files.
    #[test]
    fn a_copy_that_fails_leaves_nothing() {
        /// Fails after its third byte.
        struct Failing;
        impl ReadAt for Failing {
            fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
                let Some(first) = buffer.first_mut().filter(|_| offset < 3) else {
                    return Err(FileError::new(
                        "read",
                        "x",
                        io::ErrorKind::StorageFull.into(),
                    ));
                };
                *first = b'n';
                Ok(1)
            }

            fn length(&self) -> Result<u64> {
                Ok(6)
            }
        }
        let (directory, media) = media();
        let path = directory.path().join("x");
        std::fs::write(&path, b"abcdef").unwrap();
        let error = media
            .directory
            .replace_by_beginning("x", &Failing, 4)
            .unwrap_err();
        assert!(error.is_no_space(), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        let names: Vec<_> = media.list().unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(names, ["x"]);
        media
            .directory
            .replace_by_beginning("x", &Failing, 3)
            .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"nnn");
    }

    #[test]
    fn other_directories_are_weighed_to_the_bottom() {
        let (directory, media) = media();
        let put = |path: &str, length: usize| {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; length]).unwrap();
        };
        put("a/b/c/d/e", 1000);
        put("a/f", 7);
        put("CHUNKS/000001.tar", 3);
        put("chunks/000001.tar", 5);
        put("chunks/nested/deep/x", 11);
        symlink("/usr", directory.path().join("a/link")).unwrap();
        symlink("a", directory.path().join("linked")).unwrap();
        symlink("a", directory.path().join("signatures")).unwrap();
        let weights = media.count_other_directories(&["chunks", "signatures"]);
        let found: Vec<(&str, u64, u64)> = weights
            .iter()
            .map(|(path, weight)| (path.as_str(), weight.files, weight.bytes))
            .collect();
        let expected = [("CHUNKS", 1, 3), ("a", 2, 1007), ("chunks/nested", 1, 11)];
        assert_eq!(found, expected);
        assert!(weights.values().all(|weight| weight.is_whole));
        let a = &weights["a"];
        assert_eq!(
            (a.entries, a.others),
            (6, 1),
            "three directories, two files, one link"
        );
        let deep = ["d"; Limits::DIRECTORY_DEPTH + 1].join("/");
        put(&format!("{deep}/x"), 1);
        let weights = media.count_other_directories(&["chunks"]);
        assert!(!weights["d"].is_whole, "{weights:?}");
    }

    #[test]
    fn links_and_pipes_are_refused() {
        let (directory, media) = media();
        std::fs::write(directory.path().join("secret"), b"s").unwrap();
        symlink("secret", directory.path().join("manifest.cbor")).unwrap();
        std::fs::create_dir(directory.path().join("real")).unwrap();
        std::fs::write(directory.path().join("real/000001.tar"), b"s").unwrap();
        symlink("real", directory.path().join("chunks")).unwrap();
        let pipe = directory.path().join("pipe");
        let mode = Mode::from_raw_mode(0o600);
        sysfs::mknodat(sysfs::CWD, &pipe, FileType::Fifo, mode, 0).unwrap();
        let media: &dyn Media = &media;
        for path in ["manifest.cbor", "pipe", "real"] {
            assert!(media.read(path, 10).unwrap_err().is_not_regular(), "{path}");
        }
        assert!(media.read("chunks/000001.tar", 10).is_err());
        assert!(media.append_to("manifest.cbor").is_err());
    }
}
