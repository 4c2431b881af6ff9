//! The command line: arguments, output for people and for scripts, exit codes.
//!
//! Each verb has a file with its arguments (clap) and a `run` that turns them into a request
//! for `ops`, performs it and prints the outcome. Nothing else in the crate knows clap,
//! indicatif, the environment, or prints.

mod codec;
mod output;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub(crate) use output::Output;

/// Carries container images across air gaps in signed, resumable, checkable bundles.
#[derive(Debug, Parser)]
#[command(
    name = "airferry",
    version,
    propagate_version = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::ServeArgs),
    Codec(codec::CodecArgs),
}

/// Runs the command line and returns the process's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // clap prints help and version to stdout with code 0, mistakes to stderr with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let output = Output::default();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            let failure = crate::ops::Error::new(
                crate::ops::Class::Internal,
                "Cannot start the asynchronous runtime",
            );
            return output.failure(&failure.caused_by(error));
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => serve::run(args, &output).await,
            Command::Codec(args) => codec::run(args, &output).await,
        }
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output.failure(&error),
    }
}
