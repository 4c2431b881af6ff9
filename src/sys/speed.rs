//! Measures how fast a medium takes bytes.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::clock::Stopwatch;
use super::error::{At, Result};

/// Bytes of one write.
const STEP: usize = 1 << 20;

/// Writes a temporary file of `bytes` bytes into a directory, flushes it to the medium, and
/// removes it. Returns the time until it was flushed.
pub fn write_and_remove(directory: &Path, bytes: u64) -> Result<Duration> {
    let mut file = tempfile::Builder::new()
        .prefix(".airferry-doctor-")
        .tempfile_in(directory)
        .at("write a test file into", directory)?;
    // Not zeros: some drives compress or skip those.
    let mut step = vec![0_u8; STEP];
    let mut state: u32 = 0x9e37_79b9;
    for byte in &mut step {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        *byte = u8::try_from(state & 0xff).unwrap_or_default();
    }
    let watch = Stopwatch::start();
    let mut left = bytes;
    while left > 0 {
        let next = left.min(STEP as u64);
        let part = step.get(..usize::try_from(next).unwrap_or(STEP));
        file.write_all(part.unwrap_or_default())
            .at("write a test file into", directory)?;
        left = left.saturating_sub(next);
    }
    file.as_file()
        .sync_all()
        .at("flush a test file in", directory)?;
    let elapsed = watch.elapsed();
    file.close().at("remove a test file in", directory)?;
    Ok(elapsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_file_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        write_and_remove(directory.path(), (3 << 20) + 5).unwrap();
        assert!(
            crate::sys::files::names_in(directory.path())
                .unwrap()
                .is_empty()
        );
        let missing = directory.path().join("missing");
        assert!(write_and_remove(&missing, 1).is_err());
    }
}
