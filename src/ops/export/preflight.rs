//! Checks the medium before the first byte is written, and reports all problems together.

use std::collections::BTreeSet;
use std::path::Path;

use super::request::Request;
use crate::bundle::names;
use crate::bundle::write::ahead::Preview;
use crate::bundle::write::assemble::LaneResults;
use crate::bundle::write::made;
use crate::error::{Class, Error, Result};
use crate::model::{BLOCK_SIZE, ByteSize, ChunkKind, chunk_path};
use crate::ops::context::Context;
use crate::plan::export::ExportPlan;
use crate::sys::filesystem::{FileSystem, lacks_its_medium};
use crate::sys::journal;
use crate::sys::media::{EntryKind, Media};

/// Bytes that must stay free beside the bundle: for journal, statements, temporary files, and the
/// file system's own structures.
const RESERVE: u64 = 1 << 20;

/// Name of a file that is written and removed as a test. It is the name of a temporary file, so
/// that the next run removes it if this one is killed here.
const CHECK: &str = "export.plan.tmp";

/// Limit of one line of the journal, in bytes.
const JOURNAL_LINE: u64 = 100;

/// Checks the medium: is it writable, has it enough space, does it allow files of this length.
/// `beside` is the number of bytes to be written beside the bundle.
pub(super) fn check(
    request: &Request,
    media: &dyn Media,
    plan: &ExportPlan,
    ahead: &Preview,
    beside: u64,
) -> Result<()> {
    let there = own_bytes(media, &ahead.written)? + plan_bytes_there(media, plan)?;
    let file_system = FileSystem::of(media.root())?;
    let mut problems = shortcomings(&file_system, plan, ahead, there, beside)?;
    if !file_system.read_only && !request.dry_run {
        let written = media
            .remove(CHECK)
            .and_then(|()| media.append_to(CHECK))
            .and_then(|mut file| file.append(b"check"));
        if let Err(error) = written.and_then(|()| media.remove(CHECK)) {
            problems.push(crate::error::chain(&error));
        }
    }
    report(media.root(), &problems)
}

/// Refuses a directory below a mount point without its medium, and only warns if the directory
/// exists: without the check, an export could fill the system's disk instead of a stick.
pub(super) fn check_mounted(to: &Path, context: &Context) -> Result<()> {
    if !lacks_its_medium(to) {
        return Ok(());
    }
    let message = format!(
        "Nothing is mounted at the mount point of `{}`",
        to.display()
    );
    if crate::sys::files::is_dir(to) {
        context.warn(format!("{message}: this writes to the system's own disk"));
        return Ok(());
    }
    Err(Error::new(Class::Media, message)
        .hint("plug the medium in and mount it")
        .hint("for a directory on this disk, make it first"))
}

/// Checks as [`check`] does, for a directory that does not exist, on the file system that will
/// hold it.
pub(super) fn check_ahead(
    request: &Request,
    plan: &ExportPlan,
    ahead: &Preview,
    beside: u64,
) -> Result<()> {
    let absolute = std::path::absolute(&request.to).unwrap_or_else(|_| request.to.clone());
    let file_system = absolute
        .ancestors()
        .find_map(|directory| FileSystem::of(directory).ok());
    match file_system {
        Some(file_system) => {
            let problems = shortcomings(&file_system, plan, ahead, 0, beside)?;
            report(&request.to, &problems)
        }
        None => Ok(()),
    }
}

/// Returns the problems of a file system. `there`: bytes of the plan that it already holds.
fn shortcomings(
    file_system: &FileSystem,
    plan: &ExportPlan,
    ahead: &Preview,
    there: u64,
    beside: u64,
) -> Result<Vec<String>> {
    let Preview {
        document,
        written: simulated,
        assembled,
    } = ahead;
    let mut problems = Vec::new();
    let lengths = || simulated.chunks.iter().map(|chunk| chunk.hashes.length);
    let data: u64 = lengths().sum();
    let metadata = assembled.metadata_bytes();
    let journal = JOURNAL_LINE * (data.div_ceil(BLOCK_SIZE) + simulated.chunks.len() as u64);
    let made: u64 = plan.made().map(|(_, size)| size).sum();
    let while_unfinished = document.file.length + journal + made;
    let needed = data + metadata + assembled.document_bytes() + while_unfinished + RESERVE + beside;
    let missing = needed.saturating_sub(there);
    if let Some(available) = file_system
        .available
        .filter(|available| missing > *available)
    {
        problems.push(format!(
            "{} free, {} needed ({missing} bytes)",
            ByteSize(available),
            ByteSize(missing),
        ));
    }
    let made = plan.made().map(|(_, size)| size).max();
    if let (Some(limit), Some(longest)) = (file_system.max_file, made)
        && longest > limit
    {
        problems.push(format!(
            "its file system ({}) takes files of at most {limit} bytes, and a layer that was made \
             for a filtered catalog has {longest}",
            file_system.kind
        ));
    }
    let longest = lengths().max().unwrap_or(0);
    if let Some(limit) = file_system.max_file
        && longest > limit
    {
        problems.push(format!(
            "its file system ({}) takes files of at most {limit} bytes, and chunks would have up \
             to {longest}: choose a smaller --chunk-size",
            file_system.kind
        ));
    }
    if file_system.read_only {
        problems.push("it is mounted read-only".to_owned());
    }
    Ok(problems)
}

fn report(root: &Path, problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    let mut message = format!("The medium at `{}` is not ready:", root.display());
    for problem in problems {
        message.push_str("\n  - ");
        message.push_str(problem);
    }
    Err(Error::new(Class::Media, message))
}

/// Returns how many bytes of this plan's chunks are on the medium already.
pub(super) fn own_bytes(media: &dyn Media, simulated: &LaneResults) -> Result<u64> {
    let paths = simulated
        .chunks
        .iter()
        .map(|chunk| chunk_path(chunk.number, ChunkKind::Data));
    bytes_of(media, &paths.collect())
}

/// Returns the bytes of plan, journal and made blobs that an interrupted run left.
fn plan_bytes_there(media: &dyn Media, plan: &ExportPlan) -> Result<u64> {
    let paths = [
        names::PLAN,
        names::PLAN_STATEMENT,
        names::PLAN_SIGNATURE,
        journal::PATH,
    ];
    let made = plan.made().map(|(digest, _)| made::path(&digest));
    let paths = paths.into_iter().map(str::to_owned).chain(made);
    bytes_of(media, &paths.collect())
}

fn bytes_of(media: &dyn Media, paths: &BTreeSet<String>) -> Result<u64> {
    let mut bytes = 0;
    for entry in media.list()? {
        if let EntryKind::File(length) = entry.kind
            && paths.contains(&entry.path)
        {
            bytes += length;
        }
    }
    Ok(bytes)
}
