//! Writes a program to a file of its own, or to an archive with a readme.
//!
//! The same program gives the same bytes: times are those of the release, owner and group are 0.

use std::io::{self, Write};
use std::path::Path;

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use crate::encoding::zip::{DosTime, ZipWriter};
use crate::format::hash::BlobHasher;
use crate::model::Digest;
use crate::programs::tools::{Tool, ToolKind};
use crate::sys::files::DurableFile;

/// Permission bits of programs, and of other files.
const PROGRAM: u32 = 0o755;
const PLAIN: u32 = 0o644;

/// Size of a tar block in bytes.
const BLOCK: usize = 512;

/// A file that is hashed while it is written.
#[derive(Debug)]
pub(super) struct Hashed {
    file: DurableFile,
    hasher: BlobHasher,
}

impl Hashed {
    fn create(path: &Path, mode: u32) -> crate::sys::Result<Self> {
        Ok(Self {
            file: DurableFile::create(path, mode)?,
            hasher: BlobHasher::new(),
        })
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Output for one program.
#[derive(Debug)]
pub(super) enum Sink {
    /// The program itself, without archive.
    Bare(Hashed),
    /// A compressed tar.
    Tar(Box<TarSink>),
    /// A ZIP file.
    Zip(Box<ZipWriter<Hashed>>),
}

/// A compressed tar with a program: the compressor, and the program's size and time.
#[derive(Debug)]
pub(super) struct TarSink {
    gzip: GzEncoder<Hashed>,
    tool: &'static Tool,
    size: u64,
    time: u64,
}

/// A file that is complete but does not have its final name.
#[derive(Debug)]
pub(super) struct Written {
    file: DurableFile,
    /// Its SHA-256.
    pub(super) digest: Digest,
    /// Its length in bytes.
    pub(super) size: u64,
}

impl Written {
    /// Gives the file its final name.
    pub(super) fn keep(self) -> crate::sys::Result<()> {
        self.file.keep()
    }

    /// Returns the file's final name.
    pub(super) fn name(&self) -> String {
        let name = self.file.path().file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }
}

/// An error of writing, with the path if it is known.
#[derive(Debug, thiserror::Error)]
pub(super) enum SinkError {
    #[error(transparent)]
    File(#[from] crate::sys::FileError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Sink {
    /// Creates a file for the program without archive.
    pub(super) fn bare(path: &Path) -> Result<Self, SinkError> {
        Ok(Self::Bare(Hashed::create(path, PROGRAM)?))
    }

    /// Creates an archive for a program of `size` bytes; `time` is in seconds since 1970.
    pub(super) fn archive(
        path: &Path,
        tool: &'static Tool,
        size: u64,
        time: u64,
    ) -> Result<Self, SinkError> {
        let file = Hashed::create(path, PLAIN)?;
        let readme = readme(tool);
        if tool.is_zipped() {
            let mut zip = ZipWriter::new(file, dos_time(time));
            zip.begin("README.md", 0o644)?;
            zip.write_all(readme.replace('\n', "\r\n").as_bytes())?;
            zip.begin(&tool.file_name(), 0o755)?;
            return Ok(Self::Zip(Box::new(zip)));
        }
        let gzip = GzBuilder::new().mtime(0).operating_system(255);
        let mut gzip = gzip.write(file, Compression::new(3));
        let length = readme.len() as u64;
        gzip.write_all(header("README.md", PLAIN, length, time, None)?.as_bytes())?;
        gzip.write_all(readme.as_bytes())?;
        pad(&mut gzip, length)?;
        gzip.write_all(header(&tool.file_name(), PROGRAM, size, time, None)?.as_bytes())?;
        Ok(Self::Tar(Box::new(TarSink {
            gzip,
            tool,
            size,
            time,
        })))
    }

    /// Writes a text file.
    pub(super) fn text(path: &Path, text: &str) -> Result<Written, SinkError> {
        let mut file = Hashed::create(path, PLAIN)?;
        file.write_all(text.as_bytes())?;
        Ok(written(file))
    }

    /// Completes the file.
    pub(super) fn finish(self) -> Result<Written, SinkError> {
        let file = match self {
            Self::Bare(file) => file,
            Self::Zip(zip) => zip.finish()?,
            Self::Tar(tar) => {
                let TarSink {
                    mut gzip,
                    tool,
                    size,
                    time,
                } = *tar;
                pad(&mut gzip, size)?;
                if let Some(link) = tool.link() {
                    let target = tool.file_name();
                    let link = header(link, PROGRAM, 0, time, Some(&target))?;
                    gzip.write_all(link.as_bytes())?;
                }
                gzip.write_all(&[0; 2 * BLOCK])?;
                gzip.finish()?
            }
        };
        Ok(written(file))
    }
}

fn written(file: Hashed) -> Written {
    Written {
        size: file.hasher.length(),
        digest: file.hasher.finish(),
        file: file.file,
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Bare(file) => file.write(bytes),
            Self::Tar(tar) => tar.gzip.write(bytes),
            Self::Zip(zip) => zip.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes a tar header for a file, or for a hard link to an earlier one.
fn header(
    name: &str,
    mode: u32,
    size: u64,
    time: u64,
    link: Option<&str>,
) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_entry_type(tar::EntryType::Regular);
    if let Some(link) = link {
        header.set_entry_type(tar::EntryType::Link);
        header.set_link_name(link)?;
    }
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(size);
    header.set_mtime(time);
    header.set_cksum();
    Ok(header)
}

fn pad(output: &mut impl Write, length: u64) -> io::Result<()> {
    let padding = length.wrapping_neg() % BLOCK as u64;
    let zeroes = [0; BLOCK];
    let padding = usize::try_from(padding).unwrap_or(0);
    output.write_all(zeroes.get(..padding).unwrap_or_default())
}

/// Converts seconds since 1970 to the format of ZIP files, in UTC.
fn dos_time(seconds: u64) -> DosTime {
    let moment = i64::try_from(seconds).ok();
    let moment = moment.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let moment = moment.unwrap_or_default();
    let time = moment.to_zoned(jiff::tz::TimeZone::UTC);
    let small = |number: i8| number.unsigned_abs();
    DosTime::new(
        i32::from(time.year()),
        small(time.month()),
        small(time.day()),
        small(time.hour()),
        small(time.minute()),
        small(time.second()),
    )
}

/// Returns the readme of an archive.
fn readme(tool: &Tool) -> String {
    let name = tool.file_name();
    let (title, what, source) = match tool.kind {
        ToolKind::Client => (
            "OpenShift client",
            "is the command line of OpenShift and OKD. It does everything that kubectl does: under \
             the name `kubectl` it behaves like it.",
            "https://github.com/openshift/oc",
        ),
        ToolKind::Installer => (
            "OpenShift installer",
            "makes clusters of the one release that it was extracted from.",
            "https://github.com/openshift/installer",
        ),
        ToolKind::Credentials => (
            "Cloud credential utility",
            "makes and maintains credentials for clusters whose cloud credential operator is in \
             manual mode.",
            "https://github.com/openshift/cloud-credential-operator",
        ),
    };
    format!(
        "# {title}\n\n`{name}` {what}\n\nPut it into a directory of your PATH, or call it where \
         it is.\n\nIts source code, under the Apache License 2.0: {source}\n"
    )
}
