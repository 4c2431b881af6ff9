//! Copies a program beside the bundle, for an importing side that has no airferry yet.
//!
//! The program gets its own directory and is never in the bundle, whose every file is accounted
//! for. It is authenticated by its SHA-256, sent over another channel. No checksum is written beside
//! it: an attacker who replaces the program can replace the checksum, too.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use memchr::memmem;
use serde::Serialize;

use crate::bundle::names;
use crate::error::{Class, Error, Result};
use crate::format::hash::{BlobHasher, sha256};
use crate::model::Digest;
use crate::ops::blocking;
use crate::ops::context::Context;
use crate::programs::elf::{GlibcVersion, Needs};
use crate::sys::files;
use crate::sys::filesystem::is_mount_point;
use crate::sys::media::{DirMedia, Media, ReadAt};

/// Directory of the program, beside the bundle.
const DIRECTORY: &str = "airferry-program";

/// Path of the program in the parent directory of the bundle.
const PATH: &str = "airferry-program/airferry";

/// Maximum length of a program in bytes. A debug build has about 100 MiB.
const CAP: u64 = 1 << 30;

/// Text that is part of every airferry program, and of no other.
const MARK: &[u8] = b"airferry, the program that carries container images across air gaps";

/// Hint for a reference that was parsed as the option's file.
pub(super) const NEXT_WORD: &str = "the word after --with-program is the program's file; to copy the \
    running program, write --with-program last or before another option";

/// Request to copy a program.
#[derive(Debug, Clone)]
pub struct ProgramRequest {
    /// File of the program.
    pub file: PathBuf,
    /// Copies it even if it needs more than the oldest supported glibc.
    pub as_is: bool,
}

/// Result for the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProgramState {
    /// Dry run: it would be copied.
    Planned,
    /// It was copied.
    Copied,
    /// The same program was there already.
    AlreadyThere,
}

/// The program beside the bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProgramCopy {
    /// Path of the copy.
    pub path: PathBuf,
    /// What was done.
    pub state: ProgramState,
    /// Length in bytes.
    pub length: u64,
    /// SHA-256, to compare on the importing side.
    pub sha256: Digest,
    /// Processor that it is built for, as `uname -m` prints it.
    pub processor: String,
    /// Oldest glibc that starts it; absent if it is statically linked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub glibc: Option<String>,
}

/// A program that passed the checks, and the state of its target path.
#[derive(Debug)]
pub(super) struct Judged {
    file: PathBuf,
    /// Parent directory of the bundle.
    beside: PathBuf,
    /// Result to report.
    copy: ProgramCopy,
}

/// Reads the program and looks at its target path beside the bundle `to`. Refuses a program that may
/// not start on the importing side. Writes nothing.
pub(super) async fn judge(
    wanted: ProgramRequest,
    to: &Path,
    dry_run: bool,
    context: &Context,
) -> Result<Judged> {
    let (to, context) = (to.to_owned(), context.clone());
    blocking(move || {
        let beside = directory_beside(&to)?;
        let program = read(&wanted.file)?;
        let needs = needs(&program, &wanted)?;
        if memmem::find(&program, black_box(MARK)).is_none() {
            let file = wanted.file.display();
            context.warn(format!(
                "`{file}` does not look like airferry: check that it is the program you mean"
            ));
        }
        let mut copy = ProgramCopy {
            path: beside.join(PATH),
            state: match dry_run {
                true => ProgramState::Planned,
                false => ProgramState::Copied,
            },
            length: program.len() as u64,
            sha256: sha256(&program),
            processor: needs.processor.to_string(),
            glibc: needs.glibc.map(|version| version.to_string()),
        };
        if is_there(&beside, &copy)? {
            copy.state = ProgramState::AlreadyThere;
        }
        let file = wanted.file;
        Ok(Judged { file, beside, copy })
    })
    .await
}

impl Judged {
    /// Returns the number of bytes to be written beside the bundle.
    pub(super) fn bytes_to_write(&self) -> u64 {
        match self.copy.state {
            ProgramState::AlreadyThere => 0,
            ProgramState::Planned | ProgramState::Copied => self.copy.length,
        }
    }

    /// Copies the program, unless it is there already or this is a dry run. Called when the bundle
    /// is sealed.
    pub(super) async fn copy(self) -> Result<ProgramCopy> {
        if self.copy.state != ProgramState::Copied {
            return Ok(self.copy);
        }
        blocking(move || {
            let copied = self.write();
            copied.map_err(|error| {
                error.hint("the bundle itself is sealed; the same command copies the program")
            })?;
            Ok(self.copy)
        })
        .await
    }

    fn write(&self) -> Result<()> {
        let program = read(&self.file)?;
        if sha256(&program) != self.copy.sha256 {
            let message = format!("The program `{}` changed meanwhile", self.file.display());
            return Err(Error::usage(message));
        }
        // The export took a while: somebody may have put another one there.
        if is_there(&self.beside, &self.copy)? {
            return Ok(());
        }
        let medium = DirMedia::open(&self.beside)?;
        let media: &dyn Media = &medium;
        media.make_dir(DIRECTORY)?;
        media.write_atomically(PATH, &program)?;
        medium.make_executable(PATH)?;
        match found(&self.beside)? == Some(self.copy.sha256) {
            true => Ok(()),
            false => Err(reads_differently(&self.copy.path)),
        }
    }
}

/// Returns the parent directory of the bundle. Refuses a bundle that can have nothing beside it.
fn directory_beside(to: &Path) -> Result<PathBuf> {
    let bundle = files::resolve_ahead(to)?;
    let refuse = |why: String| {
        Err(Error::usage(format!(
            "A program cannot be copied beside the bundle `{}`: {why}",
            to.display()
        )))
    };
    let (Some(beside), Some(name)) = (bundle.parent(), bundle.file_name()) else {
        return refuse("it is the root directory".to_owned());
    };
    if name.eq_ignore_ascii_case(DIRECTORY) {
        return refuse(format!(
            "`{DIRECTORY}` is the name of the program's directory"
        ))
        .map_err(|error| error.hint("give the bundle another name"));
    }
    if files::is_dir(&bundle) && is_mount_point(&bundle) {
        let example = to.join("okd");
        return refuse("it is the top directory of the medium".to_owned()).map_err(|error| {
            error.hint(format!(
                "export into a directory on the medium, such as `{}`",
                example.display()
            ))
        });
    }
    Ok(beside.to_owned())
}

fn read(file: &Path) -> Result<Vec<u8>> {
    files::read(file, CAP).map_err(|error| {
        let is_missing = error.is_not_found();
        let message = format!("The program `{}` cannot be read", file.display());
        let error = Error::usage(message).caused_by(error);
        match is_missing {
            true => error.hint(NEXT_WORD),
            false => error,
        }
    })
}

/// Returns the needs of a program that may be copied.
fn needs(program: &[u8], wanted: &ProgramRequest) -> Result<Needs> {
    let file = wanted.file.display();
    let needs = Needs::of(program).map_err(|error| {
        Error::usage(format!("`{file}` is not a program for 64-bit Linux"))
            .caused_by(error)
            .hint("name the program itself, not a package, an archive or a script")
    })?;
    let oldest = GlibcVersion::oldest();
    let reasons = needs.beyond(&oldest);
    if reasons.is_empty() || wanted.as_is {
        return Ok(needs);
    }
    let reasons = reasons.join("\n  - ");
    let message = format!(
        "The program `{file}` needs more than glibc {oldest} and may not start on the importing \
         side:\n  - {reasons}"
    );
    Err(Error::usage(message)
        .hint(format!(
            "copy the released program, which needs glibc {oldest} and nothing else: \
             --with-program airferry-VERSION-linux-{} (scripts/package makes it)",
            needs.processor
        ))
        .hint(
            "--with-program-as-is copies this one, for an importing side whose system is at \
             least as new as this machine's",
        ))
}

/// Returns the SHA-256 of the file at the target path, if there is one. Refuses to use the directory
/// of a bundle.
fn found(beside: &Path) -> Result<Option<Digest>> {
    let medium = match DirMedia::open(beside) {
        Err(error) if error.is_not_found() => return Ok(None),
        opened => opened?,
    };
    for name in [names::MANIFEST, names::PLAN] {
        if medium.open(&format!("{DIRECTORY}/{name}")).is_ok() {
            let directory = beside.join(DIRECTORY);
            let message = format!("`{}` is a bundle", directory.display());
            return Err(Error::usage(message)
                .hint("--with-program needs that name for the program: rename the bundle"));
        }
    }
    match medium.open(PATH) {
        Err(error) if error.is_not_found() => Ok(None),
        opened => Ok(Some(digest(opened?.as_ref())?)),
    }
}

fn digest(file: &dyn ReadAt) -> Result<Digest> {
    let mut hasher = BlobHasher::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let read = file.read_at(&mut piece, hasher.length())?;
        match piece.get(..read).filter(|read| !read.is_empty()) {
            Some(read) => hasher.update(read),
            None => return Ok(hasher.finish()),
        }
    }
}

/// Returns true if the program is at its target path. Refuses another one there: it may be an older
/// version or somebody else's program, and the person decides.
fn is_there(beside: &Path, copy: &ProgramCopy) -> Result<bool> {
    match found(beside)? {
        None => Ok(false),
        Some(found) if found == copy.sha256 => Ok(true),
        Some(_) => {
            let path = copy.path.display();
            let message = format!("Another program is at `{path}`, and is not overwritten");
            Err(Error::usage(message).hint(format!(
                "to replace it, remove it (rm '{path}') and run the same command again"
            )))
        }
    }
}

fn reads_differently(path: &Path) -> Error {
    let message = format!("`{}` reads back differently", path.display());
    Error::new(Class::Media, message).hint("the medium is not reliable: use another one")
}
