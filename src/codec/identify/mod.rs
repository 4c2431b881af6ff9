//! Identifies the encoder that made a blob, and proves it by making the blob again.
//!
//! The header suggests likely encoders; the beginning of the blob decides between them; then the
//! whole content is encoded again and every byte compared, while the blob is read once.

mod beginning;
mod candidates;
mod compare;
mod proof;

use std::io::{self, Read, Seek, SeekFrom};
use std::num::NonZeroUsize;

use super::encoder::Encoder;
use super::gzip::HeaderError;
use super::inflate::{Caps, InflateError};
use super::recipe::{MAX_TAIL, Recipe};
pub(crate) use beginning::Beginning;
use proof::{Outcome, prove};

/// The result of identifying a blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The blob can be made again from its content.
    Recipe(Box<Recipe>),
    /// The blob can only be carried as it is.
    Raw(RawReason),
}

/// The reason why there is no recipe for a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RawReason {
    /// The blob has no usable gzip header.
    #[error("{reason}")]
    Header {
        /// The error in the header.
        reason: HeaderError,
    },
    /// The blob is truncated.
    #[error("The gzip stream ends early")]
    Truncated,
    /// The blob does not inflate, or its CRC or length is wrong.
    #[error("The gzip stream is damaged")]
    Damaged,
    /// The blob inflates to more than the limits allow.
    #[error("The content exceeds a cap on size or ratio")]
    Cap,
    /// Another gzip member follows the first.
    #[error("The blob has several gzip members")]
    SeveralMembers,
    /// Too many bytes follow the gzip member.
    #[error("More than {MAX_TAIL} bytes follow the gzip stream")]
    Tail,
    /// No encoder produces its beginning.
    #[error("No known encoder writes these bytes")]
    Unknown,
    /// An encoder produced part of the blob, then other bytes.
    #[error("Encoder {encoder} writes other bytes from {at} on")]
    Differs {
        /// The encoder.
        encoder: Encoder,
        /// Approximate offset of the first difference, in bytes.
        at: u64,
    },
}

impl RawReason {
    /// Returns a short, stable name for scripts.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Header {
                reason: HeaderError::NotGzip,
            } => "not-gzip",
            Self::Header { .. } => "header",
            Self::Truncated => "truncated",
            Self::Damaged => "damaged",
            Self::Cap => "cap",
            Self::SeveralMembers => "several-members",
            Self::Tail => "tail",
            Self::Unknown => "unknown",
            Self::Differs { .. } => "differs",
        }
    }

    /// Converts an inflate error into a reason. A failure to read stays an error.
    pub(crate) fn from_inflate(error: InflateError) -> io::Result<Self> {
        Ok(match error {
            InflateError::Header { source } => Self::Header { reason: source },
            InflateError::Damaged { .. } => Self::Damaged,
            InflateError::Truncated { .. } => Self::Truncated,
            InflateError::Cap { .. } => Self::Cap,
            InflateError::Io { source } => return Err(source),
        })
    }
}

/// Number of times that a blob is read at most, if several encoders produce its beginning.
const MAX_PASSES: usize = 6;

/// Resources for identifying.
#[derive(Debug, Clone, Copy)]
pub struct IdentifyOptions {
    /// Number of threads for encoding.
    pub threads: NonZeroUsize,
    /// Limits for inflating.
    pub caps: Caps,
}

/// Identifies a blob that can be read several times.
///
/// One pass is enough unless several encoders produce the beginning and the first one fails
/// later: then the blob is read again for the next one.
///
/// # Errors
///
/// If reading fails.
pub fn identify(mut blob: impl Read + Seek, options: &IdentifyOptions) -> io::Result<Identity> {
    let begin = blob.stream_position()?;
    identify_with(&mut blob, options, |blob| {
        blob.seek(SeekFrom::Start(begin)).map(|_| true)
    })
}

/// Identifies a blob that can be read once. If several encoders produce the beginning, only the
/// likeliest is tried.
///
/// # Errors
///
/// If reading fails.
pub fn identify_stream(mut blob: impl Read, options: &IdentifyOptions) -> io::Result<Identity> {
    identify_with(&mut blob, options, |_| Ok(false))
}

fn identify_with<R: Read>(
    blob: &mut R,
    options: &IdentifyOptions,
    mut again: impl FnMut(&mut R) -> io::Result<bool>,
) -> io::Result<Identity> {
    let mut beginning = match Beginning::read(blob, options.caps) {
        Ok(beginning) => beginning,
        Err(error) => return RawReason::from_inflate(error).map(Identity::Raw),
    };
    let survivors = match beginning.survivors(blob) {
        Ok(survivors) => survivors,
        Err(error) => return RawReason::from_inflate(error).map(Identity::Raw),
    };
    let mut reason = RawReason::Unknown;
    let mut read_before = beginning.into_compressed();
    for encoder in survivors.into_iter().take(MAX_PASSES) {
        match prove(encoder, &read_before, blob, options)? {
            Outcome::Proved(recipe) => return Ok(Identity::Recipe(recipe)),
            Outcome::Raw(reason) => return Ok(Identity::Raw(reason)),
            Outcome::Differs { at } => reason = RawReason::Differs { encoder, at },
        }
        if !again(blob)? {
            break;
        }
        read_before = Vec::new();
    }
    Ok(Identity::Raw(reason))
}

#[cfg(test)]
mod tests;
