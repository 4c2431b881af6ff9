//! `airferry codec`: identifies the compressor of a layer, and encodes as a given compressor does.

use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::jobs_arg::at_least_one;
use super::output::{Format, OutputArgs};
use super::registry_args::RegistryArgs;
use super::{Invocation, Output};
use crate::codec::{Caps, EncodeWriter, Encoder, IdentifyOptions, Identity, Recipe, identify};
use crate::error::{Class, Error};
use crate::model::{ByteSize, Platform, Reference};
use crate::ops::{self, survey};

/// Identifies the compressor of a gzip layer, and encodes exactly as that compressor does.
#[derive(Debug, Args)]
pub(crate) struct CodecArgs {
    #[command(subcommand)]
    command: CodecCommand,
}

#[derive(Debug, Subcommand)]
enum CodecCommand {
    Identify(IdentifyArgs),
    Survey(Box<SurveyArgs>),
    Encode(EncodeArgs),
}

/// Identifies the compressor that recreates each blob, byte for byte.
///
/// A compressor is named only if encoding the whole content with it gave the same blob. A blob that
/// no known compressor makes is `raw`, and the reason is given. That is a result, not a failure.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  A layer in an OCI layout:
    airferry codec identify layout/blobs/sha256/4f4fb700ef54...
  All blobs of a layout, for a script:
    airferry codec identify --output json layout/blobs/sha256/*")]
struct IdentifyArgs {
    /// Files with one blob each.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
    /// Number of threads for the blocks of pgzip [default: one for each core].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<NonZeroUsize>,
}

/// Samples the layers of images: which compressors made them, and what zstd would save.
///
/// Downloads the beginning of every layer. Shows how much smaller bundles with codecs would be: a
/// layer whose encoder is known can be carried in another form and recreated.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  airferry codec survey quay.io/okd/scos-content:4.18.0-okd-scos.1-cli
  airferry codec survey --platform linux/amd64 --output json docker.io/library/debian:12")]
struct SurveyArgs {
    /// Images.
    #[arg(required = true, value_name = "REF")]
    references: Vec<Reference>,
    /// Look only at these platforms of multi-platform images. Repeatable.
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", value_delimiter = ',')]
    platform: Vec<Platform>,
    /// Uncompressed bytes to sample of each layer.
    #[arg(long, value_name = "SIZE", default_value = "16MiB")]
    sample: ByteSize,
    /// Levels of zstd to try.
    #[arg(long, value_name = "LEVEL", value_delimiter = ',', default_values_t = [3, 9, 19],
        value_parser = clap::value_parser!(i32).range(1..=22))]
    level: Vec<i32>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    registry: RegistryArgs,
}

async fn survey_images(args: SurveyArgs, invocation: &Invocation) -> Result<(), Error> {
    let request = survey::Request {
        references: args.references.into_iter().collect(),
        platforms: args.platform,
        sample_bytes: args.sample.0,
        levels: args.level,
        client: args.registry.client(invocation)?,
    };
    let report = survey::survey(&request, invocation.context()).await?;
    invocation
        .output
        .outcome(args.output.format, &report, survey_text)?;
    if report.total.layers == 0 && !report.problems.is_empty() {
        return Err(Error::new(Class::Network, "No layer could be sampled"));
    }
    Ok(())
}

fn survey_text(report: &survey::Report) -> String {
    let mut text = String::new();
    let mut row = |name: &str, share: &survey::Share| {
        let percent = |bytes: u64| (bytes * 100).checked_div(share.bytes).unwrap_or(0);
        let levels: Vec<String> = share
            .zstd
            .iter()
            .map(|(level, bytes)| format!("zstd -{level} {} %", percent(*bytes)))
            .collect();
        let (layers, bytes) = (share.layers, ByteSize(share.bytes).to_string());
        text.push_str(&format!(
            "{name:<28} {layers:>6} layers {bytes:>10}  {}\n",
            levels.join(", ")
        ));
    };
    for (encoder, share) in &report.encoders {
        row(encoder, share);
    }
    row("all", &report.total);
    for problem in &report.problems {
        text.push_str(&format!("not sampled: {}\n", problem.escape_debug()));
    }
    text.push_str("Shares are of the bytes in the registry, estimated from samples.\n");
    text
}

/// Encodes stdin to stdout exactly as a compressor does.
///
/// Encoders: kp5-E-pgzip-K (skopeo, podman, buildah: K is 1024; umoci: 256), kp5-E-gzip,
/// kp6-E-pgzip-K and kp6-E-gzip with an epoch E of A (klauspost/compress 1.15.10 to 1.18.0),
/// B (1.18.1) or C (1.18.2 to 1.19.1) and K in KiB; go126-1 and go126-4 to go126-9 (Go up to
/// 1.26), go127-6 (Go from 1.27); zlib-1-raw to zlib-9-raw (stock zlib, without a gzip frame).
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  What skopeo makes of a layer:
    airferry codec encode --encoder kp5-C-pgzip-1024 < layer.tar > layer.tar.gz
  Does Go's encoder make this blob?
    gzip -dc blob | airferry codec encode --encoder go126-6 | cmp - blob")]
struct EncodeArgs {
    /// The encoder.
    #[arg(long, value_name = "NAME")]
    encoder: Encoder,
    /// Number of threads for the blocks of pgzip [default: one for each core].
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<NonZeroUsize>,
}

pub(crate) async fn run(args: CodecArgs, invocation: &Invocation) -> Result<(), Error> {
    let output = invocation.output.clone();
    match args.command {
        CodecCommand::Identify(args) => ops::blocking(move || identify_files(&args, &output)).await,
        CodecCommand::Encode(args) => ops::blocking(move || encode(&args)).await,
        CodecCommand::Survey(args) => survey_images(*args, invocation).await,
    }
}

fn jobs(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    asked.unwrap_or_else(cores)
}

fn encode(args: &EncodeArgs) -> Result<(), Error> {
    let encoded = || -> io::Result<()> {
        let mut stdin = io::stdin().lock();
        let mut encoder = EncodeWriter::new(args.encoder, jobs(args.jobs), io::stdout().lock())?;
        let mut piece = vec![0; 128 << 10];
        loop {
            match stdin.read(&mut piece) {
                Ok(0) => return encoder.finish()?.flush(),
                Ok(len) => encoder.write_all(&piece[..len])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    };
    match encoded() {
        // The reader has seen enough, as in `... | cmp - blob`.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        encoded => encoded.map_err(|cause| {
            Error::new(Class::Media, "Cannot encode stdin to stdout").caused_by(cause)
        }),
    }
}

/// Result for one file.
#[derive(Debug, Serialize)]
struct Found {
    file: String,
    #[serde(flatten)]
    identity: FoundIdentity,
}

#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum FoundIdentity {
    Recipe {
        encoder: String,
        digest: String,
        blob_bytes: u64,
        plain_bytes: u64,
        header: String,
        tail: String,
        /// The recipe in its canonical encoding, in hexadecimal digits.
        recipe: String,
    },
    Raw {
        reason: &'static str,
        message: String,
    },
}

impl From<Identity> for FoundIdentity {
    fn from(identity: Identity) -> Self {
        match identity {
            Identity::Recipe(recipe) => Self::from(recipe.as_ref()),
            Identity::Raw(reason) => Self::Raw {
                reason: reason.name(),
                message: reason.to_string(),
            },
        }
    }
}

impl From<&Recipe> for FoundIdentity {
    fn from(recipe: &Recipe) -> Self {
        Self::Recipe {
            encoder: recipe.encoder().to_string(),
            digest: recipe.digest().to_string(),
            blob_bytes: recipe.blob_len(),
            plain_bytes: recipe.plain_len(),
            header: hex::encode(recipe.header()),
            tail: hex::encode(recipe.tail()),
            recipe: hex::encode(recipe.to_bytes()),
        }
    }
}

impl FoundIdentity {
    fn text(&self) -> String {
        match self {
            Self::Recipe {
                encoder,
                plain_bytes,
                recipe,
                ..
            } => format!("{encoder}\n  content {plain_bytes} bytes\n  recipe {recipe}"),
            Self::Raw { message, .. } => format!("raw\n  {message}"),
        }
    }
}

fn identify_files(args: &IdentifyArgs, output: &Output) -> Result<(), Error> {
    let options = IdentifyOptions {
        threads: jobs(args.jobs),
        caps: Caps::DEFAULT,
    };
    let mut all = Vec::new();
    for file in &args.files {
        let found = Found {
            file: file.display().to_string(),
            identity: identify_file(file, &options)?.into(),
        };
        match args.output.format {
            Format::Text => {
                output.result(&format!("{}: {}\n", found.file, found.identity.text()));
            }
            Format::Json => all.push(found),
        }
    }
    match args.output.format {
        Format::Text => Ok(()),
        Format::Json => output.json(&all),
    }
}

fn identify_file(path: &Path, options: &IdentifyOptions) -> Result<Identity, Error> {
    let failed = |cause| {
        let message = format!("Cannot read `{}`", path.display());
        Error::new(Class::Media, message).caused_by(cause)
    };
    let file = crate::sys::input::open(path).map_err(failed)?;
    identify(file, options).map_err(failed)
}
