//! Text about the program beside a bundle.

use crate::format::keys::spoken;
use crate::model::ByteSize;
use crate::ops::export::{ProgramCopy, ProgramState};

/// Returns lines with its path, its SHA-256 for the phone, and the commands for the importing side.
pub(super) fn lines(program: &ProgramCopy) -> Vec<String> {
    let ProgramCopy {
        path,
        state,
        length,
        sha256,
        processor,
        glibc,
    } = program;
    let path = path.display();
    let done = match state {
        ProgramState::Planned => "would be copied to",
        ProgramState::Copied => "copied to",
        ProgramState::AlreadyThere => "is already at",
    };
    let glibc = match glibc {
        Some(glibc) => format!("glibc {glibc} or later"),
        None => "any Linux".to_owned(),
    };
    let size = ByteSize(*length);
    let mut lines = vec![
        format!("program {done} {path} ({size}, {processor}, {glibc})"),
        "  SHA-256, to read aloud over the phone (a checksum on the medium would prove nothing):"
            .to_owned(),
    ];
    let groups = spoken(sha256.as_bytes());
    lines.extend(groups.lines().map(|line| format!("    {line}")));
    lines.push(
        "  On the importing side, copy it to a disk first (media are often mounted noexec) and compare:"
            .to_owned(),
    );
    lines.push(
        "    cp .../airferry-program/airferry . && chmod +x airferry && sha256sum airferry"
            .to_owned(),
    );
    lines
}
