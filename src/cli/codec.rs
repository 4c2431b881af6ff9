//! `airferry codec`: which compressor made a layer, and encoding as that compressor does.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;

use clap::{Args, Subcommand};

use crate::codec::{EncodeWriter, Encoder};
use crate::ops::{Class, Error};

/// Finds out which compressor made a gzip layer, and encodes exactly as that compressor does
#[derive(Debug, Args)]
pub(crate) struct CodecArgs {
    #[command(subcommand)]
    command: CodecCommand,
}

#[derive(Debug, Subcommand)]
enum CodecCommand {
    Encode(EncodeArgs),
}

/// Reads plain bytes on stdin and writes the encoder's stream on stdout
#[derive(Debug, Args)]
struct EncodeArgs {
    /// The encoder
    #[arg(long, value_name = "NAME")]
    encoder: Encoder,
    /// Number of threads for the blocks of pgzip [default: one for each core]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

pub(crate) async fn run(args: CodecArgs) -> Result<(), Error> {
    tokio::task::block_in_place(|| match args.command {
        CodecCommand::Encode(args) => encode(&args),
    })
}

fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    asked.unwrap_or_else(cores)
}

fn encode(args: &EncodeArgs) -> Result<(), Error> {
    let failed = |cause| Error::new(Class::Media, "Cannot encode stdin").caused_by(cause);
    let write = || -> io::Result<()> {
        let mut stdin = io::stdin().lock();
        let mut encoder = EncodeWriter::new(args.encoder, jobs(args.jobs), io::stdout().lock())?;
        let mut piece = vec![0; 128 << 10];
        loop {
            match stdin.read(&mut piece)? {
                0 => return encoder.finish()?.flush(),
                len => encoder.write_all(&piece[..len])?,
            }
        }
    };
    write().map_err(failed)
}
