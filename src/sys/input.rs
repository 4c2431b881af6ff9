//! Opens files that are named on the command line, for reading.

use std::io;
use std::path::Path;

/// Opens a file for reading. The error names the path.
///
/// # Errors
///
/// If the file does not exist or may not be read.
pub fn open(path: &Path) -> io::Result<fs_err::File> {
    fs_err::File::open(path)
}
