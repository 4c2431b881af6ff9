//! Starts the command line; all other code is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    airferry::cli::main(std::env::args_os())
}
