//! A bundle's directory as the operating system shows it.

#![expect(clippy::disallowed_methods, reason = "sys is where files are touched")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{self as sysfs, AtFlags, FileType, Mode, OFlags};

use super::sequential::SequentialFile;
use super::weigh::Scales;
use super::{Entry, EntryKind, Media, ReadAt, Weight, WriteFile, fill_at};
use crate::model::Limits;
use crate::sys::error::{At, IoAt, Refusal, Result};
use crate::sys::filesystem::FileSystem;

/// A directory of the operating system.
#[derive(Debug, Clone)]
pub struct DirMedia {
    root: PathBuf,
    handle: Arc<OwnedFd>,
}

impl DirMedia {
    /// Opens an existing directory. A link to it is followed: the person named it.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        let root = root.as_ref().to_owned();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = sysfs::open(&root, flags, Mode::empty()).at("open", &root)?;
        let handle = Arc::new(handle);
        Ok(Self { root, handle })
    }

    /// Makes the directory (and those above it) when it is missing, and opens it.
    pub fn create(root: impl AsRef<Path>) -> Result<Self> {
        std::fs::create_dir_all(&root).at("make the directory", &root)?;
        Self::open(root)
    }

    /// The directory itself, for locking and for questions about its file system.
    pub fn handle(&self) -> &OwnedFd {
        &self.handle
    }

    fn shown(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }

    /// Opens the directory part of `path` without following links; returns it with the name.
    fn parent<'a>(&self, path: &'a str) -> Result<(OwnedFd, &'a str)> {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory(directory).map_err(|error| {
            // The caller asked for the file: a missing directory means a missing file.
            if error.is_not_found() {
                IoAt::new("open", self.shown(path), io::ErrorKind::NotFound.into())
            } else {
                error
            }
        })?;
        Ok((parent, name))
    }

    fn directory(&self, path: &str) -> Result<OwnedFd> {
        let name = if path.is_empty() { "." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        sysfs::openat(&self.handle, name, flags, Mode::empty()).at("open", self.shown(path))
    }

    fn open_regular(&self, path: &str, flags: OFlags, operation: &'static str) -> Result<File> {
        let (parent, name) = self.parent(path)?;
        // NONBLOCK: opening a pipe that somebody planted must not wait for its other end.
        let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let shown = self.shown(path);
        let handle = match sysfs::openat(&parent, name, flags, mode) {
            Ok(handle) => handle,
            // A link; a socket, or a device that is not there.
            Err(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO) => {
                return Err(Refusal::NotRegular.at(operation, shown));
            }
            Err(error) => return Err(IoAt::new(operation, shown, error.into())),
        };
        let stat = sysfs::fstat(&handle).at(operation, &shown)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Refusal::NotRegular.at(operation, shown));
        }
        Ok(File::from(handle))
    }

    /// Puts the first `length` bytes of `source` in the place of a file. When that fails, it stays
    /// as it was and nothing is left beside it.
    fn replace_by_beginning(&self, path: &str, source: &dyn ReadAt, length: u64) -> Result<()> {
        let temporary = format!("{path}.tmp");
        let copied = self.copy_beginning(source, &temporary, length);
        if copied.is_err() {
            // That it cannot be removed says less than why it is not whole.
            let _ = self.remove(&temporary);
        }
        copied.and_then(|()| self.rename(&temporary, path))
    }

    /// Copies the first `length` bytes of a file to a new one, durably.
    fn copy_beginning(&self, source: &dyn ReadAt, to: &str, length: u64) -> Result<()> {
        self.remove(to)?;
        let mut copy = self.open_to_write(to)?;
        self.copy_into(&mut copy, source, to, length)
    }

    /// Copies the first `length` bytes of a file into one that is open, durably. `to` is its
    /// path, for messages.
    pub(super) fn copy_into(
        &self,
        copy: &mut OpenFile,
        source: &dyn ReadAt,
        to: &str,
        length: u64,
    ) -> Result<()> {
        let mut piece = vec![0; 1 << 20];
        let mut done = 0;
        while done < length {
            let wanted = usize::try_from(length - done).map_or(piece.len(), |n| n.min(piece.len()));
            let room = piece.get_mut(..wanted).unwrap_or_default();
            let read = source.read_at(room, done)?;
            if read == 0 {
                let why = "what is copied became shorter meanwhile";
                return Err(IoAt::refused("write", self.shown(to), why));
            }
            copy.append(room.get(..read).unwrap_or_default())?;
            done += read as u64;
        }
        copy.sync()
    }

    /// Opens a file for writing at its end; makes it when it is missing.
    pub(super) fn open_to_write(&self, path: &str) -> Result<OpenFile> {
        let mut file = self.open_regular(path, OFlags::WRONLY | OFlags::CREATE, "write")?;
        let path = self.shown(path);
        file.seek(SeekFrom::End(0)).at("write", &path)?;
        Ok(OpenFile { file, path })
    }

    fn list_into(&self, directory: &str, entries: &mut Vec<Entry>) -> Result<()> {
        let handle = self.directory(directory)?;
        let shown = self.shown(directory);
        for entry in sysfs::Dir::read_from(&handle).at("list", &shown)? {
            let entry = entry.at("list", &shown)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match sysfs::statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(rustix::io::Errno::NOENT) => continue,
                Err(error) => return Err(IoAt::new("look at", &shown, error.into())),
            };
            let kind = match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => EntryKind::File(u64::try_from(stat.st_size).unwrap_or(0)),
                FileType::Directory => EntryKind::Directory,
                _ => EntryKind::Other,
            };
            let name = name.to_string_lossy();
            let path = if directory.is_empty() {
                name.into_owned()
            } else {
                format!("{directory}/{name}")
            };
            if entries.len() >= Limits::ENTRIES {
                return Err(IoAt::refused(
                    "list",
                    shown,
                    "more lies there than can be listed",
                ));
            }
            entries.push(Entry { path, kind });
        }
        Ok(())
    }
}

impl Media for DirMedia {
    fn root(&self) -> &Path {
        &self.root
    }

    fn open(&self, path: &str) -> Result<Box<dyn ReadAt>> {
        let file = self.open_regular(path, OFlags::RDONLY, "open")?;
        let path = self.shown(path);
        Ok(Box::new(OpenFile { file, path }))
    }

    fn append_to(&self, path: &str) -> Result<Box<dyn WriteFile>> {
        let file = self.open_to_write(path)?;
        if FileSystem::of(&self.root)?.rewrites_files {
            return Ok(Box::new(file));
        }
        Ok(Box::new(SequentialFile::new(self.clone(), path, file)?))
    }

    fn make_dir(&self, path: &str) -> Result<()> {
        let shown = self.shown(path);
        match sysfs::mkdirat(&self.handle, path, Mode::from_raw_mode(0o755)) {
            Ok(()) => self.sync_dir(""),
            Err(rustix::io::Errno::EXIST) => self.directory(path).map(drop),
            Err(error) => Err(IoAt::new("make the directory", shown, error.into())),
        }
    }

    fn cut(&self, path: &str, length: u64) -> Result<()> {
        let source = self.open(path)?;
        if source.length()? <= length {
            return Ok(());
        }
        if FileSystem::of(&self.root)?.rewrites_files {
            let file = self.open_regular(path, OFlags::WRONLY, "cut")?;
            return file
                .set_len(length)
                .and_then(|()| file.sync_all())
                .at("cut", self.shown(path));
        }
        self.replace_by_beginning(path, source.as_ref(), length)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let (from_parent, from_name) = self.parent(from)?;
        let (to_parent, to_name) = self.parent(to)?;
        sysfs::renameat(&from_parent, from_name, &to_parent, to_name)
            .at("rename to", self.shown(to))?;
        self.sync_dir(to.rsplit_once('/').map_or("", |(directory, _)| directory))
    }

    fn remove(&self, path: &str) -> Result<()> {
        let (parent, name) = match self.parent(path) {
            Err(error) if error.is_not_found() => return Ok(()),
            other => other?,
        };
        match sysfs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(IoAt::new("remove", self.shown(path), error.into())),
        }
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        use rustix::io::Errno;

        match sysfs::unlinkat(&self.handle, path, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR) => Ok(()),
            Err(error) => Err(IoAt::new("remove", self.shown(path), error.into())),
        }
    }

    fn sync_dir(&self, path: &str) -> Result<()> {
        let directory = self.directory(path)?;
        match sysfs::fsync(&directory) {
            // Some file systems (FUSE among them) have no fsync for directories: their
            // metadata goes with the files'.
            Ok(())
            | Err(
                rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP,
            ) => Ok(()),
            Err(error) => Err(IoAt::new(
                "flush the directory",
                self.shown(path),
                error.into(),
            )),
        }
    }

    fn weigh_others(&self, own: &[&str]) -> BTreeMap<String, Weight> {
        let mut scales = Scales::new();
        scales.directories(self.handle.as_fd(), "", own);
        for directory in own {
            if let Ok(handle) = self.directory(directory) {
                scales.directories(handle.as_fd(), &format!("{directory}/"), &[]);
            }
        }
        scales.into_weights()
    }

    fn list(&self) -> Result<Vec<Entry>> {
        let own = ["chunks", "signatures", "export.made"];
        let mut entries = Vec::new();
        self.list_into("", &mut entries)?;
        let directories: Vec<String> = entries
            .iter()
            .filter(|entry| entry.kind == EntryKind::Directory)
            .map(|entry| entry.path.clone())
            .collect();
        for directory in directories {
            // A name that was not UTF-8 cannot be opened under its printable form; that it is
            // there was said already. `lost+found` belongs to somebody else.
            match self.list_into(&directory, &mut entries) {
                Err(error) if error.is_not_found() => {}
                Err(error) if error.is_permission_denied() && !own.contains(&&*directory) => {}
                other => other?,
            }
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }
}

#[derive(Debug)]
pub(super) struct OpenFile {
    file: File,
    path: PathBuf,
}

impl ReadAt for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        fill_at(&self.file, buffer, offset).at("read", &self.path)
    }

    fn length(&self) -> Result<u64> {
        Ok(self.file.metadata().at("look at", &self.path)?.len())
    }
}

impl WriteFile for OpenFile {
    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at("write", &self.path)
    }

    fn seek(&mut self, position: u64) -> Result<()> {
        let sought = self.file.seek(SeekFrom::Start(position));
        sought.at("write", &self.path).map(drop)
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_data().at("flush", &self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

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

    /// There may be no room for a copy.
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

    /// The way for file systems that cannot shorten files.
    #[test]
    fn a_copy_that_fails_leaves_nothing() {
        /// Ends with an error behind its third byte.
        struct Failing;
        impl ReadAt for Failing {
            fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
                let Some(first) = buffer.first_mut().filter(|_| offset < 3) else {
                    return Err(IoAt::new("read", "x", io::ErrorKind::StorageFull.into()));
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
        let error = media.replace_by_beginning("x", &Failing, 4).unwrap_err();
        assert!(error.is_no_space(), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"abcdef");
        let names: Vec<_> = media.list().unwrap().into_iter().map(|e| e.path).collect();
        assert_eq!(names, ["x"]);
        media.replace_by_beginning("x", &Failing, 3).unwrap();
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
        let weights = media.weigh_others(&["chunks", "signatures"]);
        let found: Vec<(&str, u64, u64)> = weights
            .iter()
            .map(|(path, weight)| (path.as_str(), weight.files, weight.bytes))
            .collect();
        let expected = [("CHUNKS", 1, 3), ("a", 2, 1007), ("chunks/nested", 1, 11)];
        assert_eq!(found, expected);
        assert!(weights.values().all(|weight| weight.is_whole));
        let deep = ["d"; Limits::DIRECTORY_DEPTH + 1].join("/");
        put(&format!("{deep}/x"), 1);
        let weights = media.weigh_others(&["chunks"]);
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
