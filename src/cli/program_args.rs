//! Arguments for the program beside a bundle; flattened into `export`.

use std::path::PathBuf;

use crate::error::Error;
use crate::ops::export::ProgramRequest;

/// Arguments for the program beside the bundle.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Program")]
pub(crate) struct ProgramArgs {
    /// Copy a program beside the bundle, for an importing side that has none: FILE, or by default
    /// the running program. With `--to DIR/NAME` it becomes `DIR/airferry-program/airferry`.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    with_program: Option<Option<PathBuf>>,

    /// Copy it even if it needs more than glibc 2.17 and may not start there.
    #[arg(long, requires = "with_program")]
    with_program_as_is: bool,
}

impl ProgramArgs {
    /// Returns the request for a program, if there is one.
    pub(crate) fn request(&self) -> Result<Option<ProgramRequest>, Error> {
        let Some(file) = &self.with_program else {
            return Ok(None);
        };
        let file = match file {
            Some(file) => file.clone(),
            None => std::env::current_exe().map_err(|error| {
                Error::usage("The file of the running program is unknown")
                    .caused_by(error)
                    .hint("name it: --with-program FILE")
            })?,
        };
        let as_is = self.with_program_as_is;
        Ok(Some(ProgramRequest { file, as_is }))
    }
}
