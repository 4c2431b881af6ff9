//! The command line: arguments, output for people and for scripts, exit codes.
//!
//! Each verb has a file with its arguments (clap) and a `run` that turns them into a request for
//! `ops`, performs it and prints the outcome. No other room uses clap, indicatif or the
//! environment, or prints.

mod auth_files;
mod catalog;
mod catalog_args;
mod catalog_text;
mod certificates;
mod cluster_resources;
mod codec;
mod completions;
mod doctor;
mod environment;
#[cfg(test)]
mod examples;
mod export;
mod import;
mod inspect;
mod invocation;
mod jobs_arg;
mod key_args;
mod keygen;
mod left_out_text;
mod man;
mod naming_args;
mod output;
mod passphrase;
mod program_args;
mod program_text;
mod progress;
mod registries_conf;
mod registry_args;
mod release;
mod release_args;
mod release_info_text;
mod release_keys_args;
mod release_selection_args;
mod release_text;
mod resources_args;
mod serve;
mod shell;
mod sign;
mod signals;
mod table;
mod trust_args;
mod unpack;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Class, Error};
use invocation::GlobalArgs;

pub(crate) use invocation::Invocation;
pub(crate) use output::{Output, OutputArgs};

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
    #[command(flatten)]
    global: GlobalArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    Keygen(keygen::KeygenArgs),
    Export(Box<export::ExportArgs>),
    Verify(verify::VerifyArgs),
    Inspect(inspect::InspectArgs),
    Sign(sign::SignArgs),
    Import(Box<import::ImportArgs>),
    ClusterResources(Box<cluster_resources::ClusterResourcesArgs>),
    Catalog(catalog::CatalogArgs),
    Release(release::ReleaseArgs),
    Unpack(unpack::UnpackArgs),
    Serve(serve::ServeArgs),
    Doctor(Box<doctor::DoctorArgs>),
    Codec(codec::CodecArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
}

impl Command {
    /// Runs the verb. Verbs print their own results.
    async fn run(self, invocation: &Invocation) -> Result<(), Error> {
        match self {
            Self::Keygen(args) => keygen::run(args, invocation).await,
            Self::Export(args) => export::run(*args, invocation).await,
            Self::Verify(args) => verify::run(args, invocation).await,
            Self::Inspect(args) => inspect::run(args, invocation).await,
            Self::Import(args) => import::run(*args, invocation).await,
            Self::ClusterResources(args) => cluster_resources::run(*args, invocation).await,
            Self::Catalog(args) => catalog::run(args, invocation).await,
            Self::Release(args) => release::run(args, invocation).await,
            Self::Unpack(args) => unpack::run(args, invocation).await,
            Self::Sign(args) => sign::run(args, invocation).await,
            Self::Serve(args) => serve::run(args, invocation).await,
            Self::Doctor(args) => doctor::run(*args, invocation).await,
            Self::Codec(args) => codec::run(args, invocation).await,
            Self::Completions(args) => {
                completions::run(&args, invocation);
                Ok(())
            }
            Self::Man(args) => man::run(&args, invocation),
        }
    }
}

/// Returns the whole command line as a value, for texts that are generated from it.
fn command() -> clap::Command {
    Cli::command()
}

/// Parses a command line. The second value is true if stdout is for a JSON document.
fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Cli, bool), clap::Error> {
    let matches = command().try_get_matches_from(args)?;
    let cli = Cli::from_arg_matches(&matches)?;
    if let Some(contradiction) = cli.global.contradiction() {
        return Err(command().error(ErrorKind::ArgumentConflict, contradiction));
    }
    Ok((cli, output::wants_json(&matches)))
}

/// Runs the command line and returns the process's exit code.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let (cli, wants_json) = match parse(args) {
        Ok(parsed) => parsed,
        Err(error) => {
            // clap prints help and version to stdout with code 0, mistakes to stderr with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let invocation = Invocation::new(&cli.global);
    if wants_json {
        invocation.output.expect_document();
    }
    let result = runtime().and_then(|runtime| runtime.block_on(cli.command.run(&invocation)));
    match result {
        Ok(()) => {
            invocation.output.finish();
            ExitCode::SUCCESS
        }
        Err(error) => invocation.output.failure(&error),
    }
}

fn runtime() -> Result<Runtime, Error> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Error::new(Class::Internal, "Cannot start the asynchronous runtime").caused_by(error)
        })
}
