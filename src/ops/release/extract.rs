//! `airferry release extract`: extracts programs from a release and patches them for it.
//!
//! Programs are streamed from their images into temporary files in the target directory. The files
//! get their names after the layers were read to their ends and their digests verified.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use tokio::runtime::Handle;

use super::archive::{Sink, SinkError, Written};
use super::payload::{Payload, ReleaseOrigin};
use super::release_txt::release_txt;
use super::verification::{SignatureStatus, Verification};
use crate::content::release::Component;
use crate::error::{Class, Error, Result};
use crate::image::release::Parts;
use crate::image::{Caps, Layers, visit};
use crate::model::{Digest, Platform, Reference};
use crate::oci::layer::ImagePath;
use crate::ops::context::Context;
use crate::programs::macho::{Signature, Signer};
use crate::programs::patch::{Marker, Patch, Patcher};
use crate::programs::tools::{Machines, Tool};
use crate::sys::files;

/// Limits of reading: layers of components have a few GiB, programs up to one.
const CAPS: Caps = Caps {
    layer: 64 << 30,
    file: (4 << 30) - 1,
    total: 64 << 30,
};

/// The request of `airferry release extract`.
#[derive(Debug)]
pub struct Request {
    /// Registry or bundle with the release.
    pub from: ReleaseOrigin,
    /// Target directory; created if missing.
    pub to: PathBuf,
    /// Program to extract; `None` for all of them, in archives.
    pub command: Option<String>,
    /// Operating systems and architectures. For all of them, even a single program is archived.
    pub machines: Machines,
    /// Release that the installer will install, if not the release's own pull spec.
    pub release_image: Option<Reference>,
    /// Platform whose image of the release is read, if the release is a list.
    pub platform: Platform,
    /// Rules for the signatures that the release must have.
    pub verification: Verification,
}

/// Result of the extraction.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The release's version.
    pub version: String,
    /// Digest of its top manifest: of the list, if there is one.
    pub digest: Digest,
    /// Keys that signed it, or the reason why it counts as unsigned.
    pub vouching: SignatureStatus,
    /// Pull spec that the installer, if extracted, will install.
    pub release_image: String,
    /// True if clusters need mirror settings to find that pull spec.
    pub needs_mirrors: bool,
    /// Written files.
    pub files: Vec<OutcomeFile>,
    /// Programs that the release does not have.
    pub left_out: Vec<String>,
}

/// A file that was written.
#[derive(Debug, Clone, Serialize)]
pub struct OutcomeFile {
    /// Its name in the directory.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of its bytes.
    pub digest: Digest,
}

/// Extracts programs. Blocks.
pub fn extract(request: Request, context: &Context) -> Result<Outcome> {
    check_command(&request)?;
    let payload = Payload::open(request.from, Parts::Manifests, &request.platform, context)?;
    let verification = &request.verification;
    let release = payload.as_release();
    let verified = verification.verify(&release, context);
    let vouching = verification.status(&Handle::current().block_on(verified)?);
    let command = request.command.as_deref();
    let tools = Tool::select(command, &request.machines, payload.architecture());
    if tools.is_empty() {
        let what = command.unwrap_or("tools");
        let message = format!(
            "The release {} has no {what} for {}",
            payload.version(),
            request.machines
        );
        return Err(Error::usage(message).hint("--command-os names another machine"));
    }
    files::make_dirs(&request.to)?;
    let release_image = request.release_image;
    let job = Job {
        release_image: release_image.as_ref().unwrap_or(&payload.pull_spec),
        archives: command.is_none() || request.machines == Machines::All,
        to: &request.to,
        payload: &payload,
        context,
    };
    let (mut written, left_out) = job.components(&tools)?;
    if job.archives {
        written.push(job.text("release.txt", &release_txt(&payload))?);
        written.sort_by_key(Written::name);
        let lines = written
            .iter()
            .map(|file| format!("{}  {}\n", file.digest.hex(), file.name()));
        let sums: String = lines.collect();
        written.push(job.text("sha256sum.txt", &sums)?);
    }
    let mut outcome = Outcome {
        version: payload.version(),
        digest: payload.digest(),
        vouching,
        release_image: job.release_image.to_string(),
        needs_mirrors: payload.in_bundle && release_image.is_none(),
        files: Vec::new(),
        left_out,
    };
    for file in written {
        outcome.files.push(OutcomeFile {
            name: file.name(),
            size: file.size,
            digest: file.digest,
        });
        file.keep()?;
    }
    Ok(outcome)
}

/// Refuses an unknown program before anything is read.
fn check_command(request: &Request) -> Result<()> {
    let known = Tool::commands();
    match &request.command {
        Some(command) if !known.contains(command.as_str()) => {
            let known: Vec<_> = known.into_iter().collect();
            let message = format!("Unknown program `{}`", command.escape_debug());
            Err(Error::usage(message).hint(format!("known: {}", known.join(", "))))
        }
        _ => Ok(()),
    }
}

/// State shared by the extraction of all programs.
struct Job<'a> {
    payload: &'a Payload,
    release_image: &'a Reference,
    to: &'a Path,
    archives: bool,
    context: &'a Context,
}

impl Job<'_> {
    /// True if the release may lack a program without a failure.
    fn may_lack(&self, tool: &Tool) -> bool {
        self.archives && tool.may_be_absent
    }

    /// Extracts all programs, one component after the other. Also returns the missing ones.
    fn components(&self, tools: &[&'static Tool]) -> Result<(Vec<Written>, Vec<String>)> {
        let mut by_component: BTreeMap<&str, Vec<&'static Tool>> = BTreeMap::new();
        for tool in tools {
            by_component.entry(tool.component).or_default().push(tool);
        }
        let (mut written, mut left_out) = (Vec::new(), Vec::new());
        let version = self.payload.version();
        for (name, tools) in by_component {
            let Some(component) = self.payload.contents.references.component(name) else {
                for tool in &tools {
                    left_out.push(format!("{}: no component {name}", self.name(tool)));
                }
                continue;
            };
            let missing = self.component(component, &tools, &mut written)?;
            for tool in missing {
                let line = format!("{}: component {name} has no {}", self.name(tool), tool.path);
                if !self.may_lack(tool) {
                    let message = format!(
                        "Component {name} of the release {version} has no file `{}`",
                        tool.path
                    );
                    return Err(Error::new(Class::Incomplete, message).hint(
                        "--tools takes all programs that the release has; --command-os names another machine",
                    ));
                }
                left_out.push(line);
            }
        }
        if written.is_empty() {
            let mut message =
                format!("The release {version} does not contain the requested programs:");
            for line in &left_out {
                message.push_str("\n  - ");
                message.push_str(line);
            }
            return Err(Error::new(Class::Incomplete, message));
        }
        for line in &left_out {
            self.context.warn(format!("left out: {line}"));
        }
        Ok((written, left_out))
    }

    /// Extracts programs of one component. Returns those that its image does not have.
    fn component(
        &self,
        component: &Component,
        tools: &[&'static Tool],
        written: &mut Vec<Written>,
    ) -> Result<Vec<&'static Tool>> {
        let mut wanted: BTreeMap<ImagePath, Vec<&'static Tool>> = BTreeMap::new();
        for tool in tools {
            let path = tool.path.parse();
            let path =
                path.map_err(|error| Error::internal("A built-in path is invalid", error))?;
            wanted.entry(path).or_default().push(tool);
        }
        let (source, image) = self.payload.component(component)?;
        let layers = Layers {
            name: format!("{} ({})", component.image, component.name),
            layers: image.layers().to_vec(),
        };
        let paths: Vec<ImagePath> = wanted.keys().cloned().collect();
        let missing = visit(&source, &layers, &paths, CAPS, &mut |file, content| {
            let tools = file.paths.iter().filter_map(|path| wanted.get(path));
            let tools: Vec<&'static Tool> = tools.flatten().copied().collect();
            let mut writers = Vec::with_capacity(tools.len());
            for tool in tools {
                writers.push(self.writer(tool, file.size)?);
            }
            copy(content, &mut writers)?;
            for writer in writers {
                written.push(self.finish(writer)?);
            }
            Ok(())
        })?;
        let missing = missing.iter().filter_map(|path| wanted.get(path));
        Ok(missing.flatten().copied().collect())
    }

    /// Returns the name of a program's output file.
    fn name(&self, tool: &Tool) -> String {
        match self.archives {
            true => tool.archive_name(&self.payload.version()),
            false => tool.file_name(),
        }
    }

    /// Creates a program's output file, with its patches.
    fn writer(&self, tool: &'static Tool, size: u64) -> Result<Writer> {
        let path = self.to.join(self.name(tool));
        let sink = match self.archives {
            true => Sink::archive(&path, tool, size, self.payload.created_seconds()),
            false => Sink::bare(&path),
        };
        let sink = sink.map_err(bad_file)?;
        let output = match tool.needs_signature() && !tool.markers().is_empty() {
            true => Output::Signed(Box::new(Signer::new(sink))),
            false => Output::Plain(sink),
        };
        let mut patches = Vec::new();
        for marker in tool.markers() {
            let value = match marker {
                Marker::ReleaseImage => self.release_image.to_string(),
                Marker::ReleaseVersion => self.payload.version(),
                Marker::ReleaseArchitecture => self.payload.architectures(),
            };
            let patch = Patch::new(*marker, value).map_err(|error| {
                Error::usage(format!("{} cannot be made for this release", tool.command))
                    .caused_by(error)
            })?;
            patches.push(patch);
        }
        Ok(Writer {
            tool,
            patcher: Patcher::new(output, patches),
        })
    }

    /// Completes a program's output file.
    fn finish(&self, writer: Writer) -> Result<Written> {
        let tool = writer.tool;
        let (output, missing) = writer.patcher.finish().map_err(|error| bad_write(&error))?;
        let missing: Vec<Marker> = missing
            .into_iter()
            .filter(|marker| *marker != Marker::ReleaseArchitecture || self.tells_architecture())
            .collect();
        if let Some(marker) = missing.first() {
            let message = format!(
                "`{}` for {}/{} lacks the marker `{marker}`, where the release is written into it",
                tool.path,
                tool.os,
                tool.architecture(self.payload.architecture())
            );
            return Err(Error::new(Class::VerificationFailed, message)
                .hint("the release contains a broken build of this program"));
        }
        let sink = match output {
            Output::Plain(sink) => sink,
            Output::Signed(signer) => {
                let (sink, signature) = signer.finish().map_err(|error| {
                    let message = format!("`{}` is broken", tool.path);
                    Error::new(Class::VerificationFailed, message).caused_by(error)
                })?;
                if signature != Signature::Renewed {
                    self.context.warn(format!(
                        "{} has no signature that can be renewed: macOS may refuse to run it",
                        self.name(tool)
                    ));
                }
                sink
            }
        };
        sink.finish().map_err(bad_file)
    }

    /// True if installers of this release have a place for architectures, as since 4.10.
    fn tells_architecture(&self) -> bool {
        let version = self.payload.version();
        let mut numbers = version.split('.').map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (4, 10),
            _ => true,
        }
    }

    fn text(&self, name: &str, text: &str) -> Result<Written> {
        Sink::text(&self.to.join(name), text).map_err(bad_file)
    }
}

/// A program that is being written to its output file.
struct Writer {
    tool: &'static Tool,
    patcher: Patcher<Output>,
}

/// Output of the patcher: a file, or a signer in front of it.
enum Output {
    Plain(Sink),
    Signed(Box<Signer<Sink>>),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(sink) => sink.write(bytes),
            Self::Signed(signer) => signer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies one file of an image to all outputs that are made of it.
fn copy(content: &mut dyn Read, writers: &mut [Writer]) -> Result<()> {
    let mut buffer = vec![0; 256 << 10];
    loop {
        let read = content.read(&mut buffer).map_err(|error| {
            Error::new(Class::VerificationFailed, "A program cannot be read").caused_by(error)
        })?;
        let piece = buffer.get(..read).unwrap_or_default();
        if piece.is_empty() {
            return Ok(());
        }
        for writer in &mut *writers {
            let written = writer.patcher.write_all(piece);
            written.map_err(|error| bad_write(&error))?;
        }
    }
}

fn bad_write(error: &io::Error) -> Error {
    Error::new(Class::Media, "A program cannot be written")
        .caused_by(io::Error::new(error.kind(), error.to_string()))
        .hint("check that the disk has room")
}

fn bad_file(error: SinkError) -> Error {
    match error {
        SinkError::File(error) => error.into(),
        SinkError::Io(error) => bad_write(&error),
    }
}
