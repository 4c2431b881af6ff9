//! Numbers and names of the encoders, and the writer that runs one.
//!
//! An encoder that was released must never change its output, which is part of the bundle format.
//! A change to its rules gets a new number.

use std::fmt;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::str::FromStr;

use super::deflate::Deflate;
use super::go_fast1::GoFast1;
use super::go_lazy::{GoLazy, LazyLevel};
use super::gzip::{self, Check};
use super::kp::{Epoch, Kp, Level};
use super::pgzip::{BlockSize, Pgzip};
use super::zlib::{Zlib, ZlibLevel};

/// How a klauspost/compress encoder divides its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Framing {
    /// One deflate stream.
    Single,
    /// klauspost/pgzip: blocks that are encoded independently.
    Blocks(BlockSize),
}

/// A compressor, with the settings that decide its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoder {
    /// klauspost/compress, directly or through pgzip (skopeo, podman, buildah, umoci).
    Klauspost {
        /// Compression level.
        level: Level,
        /// The range of releases.
        epoch: Epoch,
        /// One stream, or blocks.
        framing: Framing,
    },
    /// Go's compress/gzip up to 1.26, level 1 (go-containerregistry, ko, crane, kaniko).
    GoFast1,
    /// Go's compress/gzip up to 1.26, levels 4 to 9; its default is 6.
    GoLazy {
        /// Compression level.
        level: LazyLevel,
    },
    /// Go's compress/gzip from 1.27, default level.
    Go127,
    /// Stock zlib (Python and many others).
    Zlib {
        /// Compression level.
        level: ZlibLevel,
    },
}

/// An encoder's number and parameters, as stored in a recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Coordinates {
    /// The number, which never changes.
    pub(crate) number: u64,
    /// The compression level; 0 if the number implies it.
    pub(crate) level: u64,
    /// The pgzip block size in bytes; 0 if there are no blocks.
    pub(crate) block: u64,
}

/// The error for a name or number of no known encoder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncoderError {
    /// No encoder has this name.
    #[error("`{name}` is not the name of an encoder")]
    Name {
        /// The name that was given, shortened.
        name: String,
    },
    /// This version does not know the number or a parameter.
    #[error("This version has no encoder number {number} with level {level} and block {block}")]
    Number {
        /// Number of the encoder.
        number: u64,
        /// Compression level.
        level: u64,
        /// Block size in bytes.
        block: u64,
    },
}

impl Encoder {
    /// Returns number and parameters. Numbers are never reused.
    pub(crate) fn coordinates(self) -> Coordinates {
        let (number, level, block) = match self {
            Self::Klauspost {
                level,
                epoch,
                framing,
            } => {
                let number = match (level, epoch) {
                    (Level::Five, Epoch::A) => 1,
                    (Level::Five, Epoch::B) => 2,
                    (Level::Five, Epoch::C) => 3,
                    (Level::Six, Epoch::A) => 4,
                    (Level::Six, Epoch::B) => 5,
                    (Level::Six, Epoch::C) => 6,
                };
                let block = match framing {
                    Framing::Single => 0,
                    Framing::Blocks(size) => u64::from(size.get()),
                };
                (number, 0, block)
            }
            Self::GoFast1 => (7, 0, 0),
            Self::GoLazy { level } => (8, u64::from(level.get()), 0),
            Self::Go127 => (9, 0, 0),
            Self::Zlib { level } => (10, u64::from(level.get()), 0),
        };
        Coordinates {
            number,
            level,
            block,
        }
    }

    /// Returns the encoder with a number and parameters.
    pub(crate) fn from_coordinates(at: Coordinates) -> Result<Self, EncoderError> {
        let refused = || EncoderError::Number {
            number: at.number,
            level: at.level,
            block: at.block,
        };
        let small = u8::try_from(at.level).map_err(|_| refused())?;
        let encoder = match at.number {
            1..=6 => Self::Klauspost {
                level: if at.number <= 3 {
                    Level::Five
                } else {
                    Level::Six
                },
                epoch: match at.number {
                    1 | 4 => Epoch::A,
                    2 | 5 => Epoch::B,
                    _ => Epoch::C,
                },
                framing: match u32::try_from(at.block).map_err(|_| refused())? {
                    0 => Framing::Single,
                    block => Framing::Blocks(BlockSize::new(block).ok_or_else(refused)?),
                },
            },
            7 => Self::GoFast1,
            8 => Self::GoLazy {
                level: LazyLevel::new(small).ok_or_else(refused)?,
            },
            9 => Self::Go127,
            10 => Self::Zlib {
                level: ZlibLevel::new(small).ok_or_else(refused)?,
            },
            _ => return Err(refused()),
        };
        // Unused parameters must be 0, so that each encoder has one representation.
        if encoder.coordinates() == at {
            Ok(encoder)
        } else {
            Err(refused())
        }
    }

    /// Returns an upper bound, for planning, of the memory that encoding takes, in bytes.
    pub fn memory(self, threads: NonZeroUsize) -> u64 {
        const STATE: u64 = 2 << 20;
        match self {
            Self::Klauspost {
                framing: Framing::Blocks(size),
                ..
            } => {
                // A block and its output for each thread, for the block that waits, and for the
                // block that is being filled.
                let blocks = threads.get() as u64 + 3;
                (threads.get() as u64 + 1) * STATE + blocks * 2 * u64::from(size.get())
            }
            _ => STATE,
        }
    }

    /// Returns the gzip header of a program that sets neither a name nor a time
    /// (docs/encoders.md, section 1). Empty for zlib, whose callers write different headers.
    fn gzip_header(self) -> Vec<u8> {
        match self {
            // The low 32 bits of Go's zero time (year 1), in seconds since 1970.
            Self::Klauspost { .. } => gzip::header(0x886e_0900, 0),
            Self::GoFast1 => gzip::header(0, 4),
            Self::GoLazy { level } if level.get() == 9 => gzip::header(0, 2),
            Self::GoLazy { .. } | Self::Go127 => gzip::header(0, 0),
            Self::Zlib { .. } => Vec::new(),
        }
    }

    fn deflate(self) -> Box<dyn Deflate> {
        match self {
            Self::Klauspost { level, epoch, .. } => Box::new(Kp::new(level, epoch)),
            Self::GoFast1 => Box::new(GoFast1::new()),
            Self::GoLazy { level } => Box::new(GoLazy::new(level)),
            Self::Go127 => Box::new(Kp::new(Level::Six, Epoch::C)),
            Self::Zlib { level } => Box::new(Zlib::new(level)),
        }
    }
}

impl fmt::Display for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Klauspost {
                level,
                epoch,
                framing,
            } => {
                let level = match level {
                    Level::Five => 5,
                    Level::Six => 6,
                };
                write!(f, "kp{level}-{epoch:?}-")?;
                match framing {
                    Framing::Single => f.write_str("gzip"),
                    Framing::Blocks(size) if size.get() % 1024 == 0 => {
                        write!(f, "pgzip-{}", size.get() / 1024)
                    }
                    Framing::Blocks(size) => write!(f, "pgzip-{}b", size.get()),
                }
            }
            Self::GoFast1 => f.write_str("go126-1"),
            Self::GoLazy { level } => write!(f, "go126-{}", level.get()),
            Self::Go127 => f.write_str("go127-6"),
            Self::Zlib { level } => write!(f, "zlib-{}-raw", level.get()),
        }
    }
}

impl FromStr for Encoder {
    type Err = EncoderError;

    /// Parses a name such as `kp5-C-pgzip-1024` (block in KiB), `kp5-C-pgzip-100000b` (in bytes),
    /// `kp5-A-gzip`, `go126-6`, `go127-6` or `zlib-6-raw`.
    fn from_str(name: &str) -> Result<Self, EncoderError> {
        let parts: Vec<&str> = name.split('-').collect();
        let klauspost = |level: &str, epoch: &str, framing| {
            let level = match level {
                "kp5" => Level::Five,
                "kp6" => Level::Six,
                _ => return None,
            };
            let epoch = match epoch {
                "A" => Epoch::A,
                "B" => Epoch::B,
                "C" => Epoch::C,
                _ => return None,
            };
            Some(Self::Klauspost {
                level,
                epoch,
                framing,
            })
        };
        let encoder = match parts.as_slice() {
            [level, epoch, "gzip"] => klauspost(level, epoch, Framing::Single),
            [level, epoch, "pgzip", size] => parse_block_size(size)
                .and_then(|size| klauspost(level, epoch, Framing::Blocks(size))),
            ["go126", "1"] => Some(Self::GoFast1),
            ["go126", level] => level
                .parse()
                .ok()
                .and_then(LazyLevel::new)
                .map(|level| Self::GoLazy { level }),
            ["go127", "6"] => Some(Self::Go127),
            ["zlib", level, "raw"] => level
                .parse()
                .ok()
                .and_then(ZlibLevel::new)
                .map(|level| Self::Zlib { level }),
            _ => None,
        };
        // Each encoder has exactly one name: no leading zeros, no plus sign.
        encoder
            .filter(|encoder| encoder.to_string() == name)
            .ok_or_else(|| EncoderError::Name {
                name: name.chars().take(80).filter(|c| !c.is_control()).collect(),
            })
    }
}

fn parse_block_size(text: &str) -> Option<BlockSize> {
    let bytes = match text.strip_suffix('b') {
        Some(bytes) => bytes.parse().ok()?,
        None => text.parse::<u32>().ok()?.checked_mul(1024)?,
    };
    BlockSize::new(bytes)
}

/// Encodes the plain bytes that are written to it, and writes the stream to `out`.
///
/// The stream depends neither on how the bytes are split into writes nor on the number of
/// threads.
#[derive(Debug)]
pub struct EncodeWriter<W: Write> {
    out: W,
    body: Body,
    check: Check,
    /// Bytes before the deflate stream, written before its first bytes.
    header: Vec<u8>,
    /// True if CRC-32 and length follow the deflate stream.
    trailer: bool,
    buffer: Vec<u8>,
}

enum Body {
    Stream(Box<dyn Deflate>),
    Blocks(Pgzip),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::Blocks(_) => "Blocks",
        })
    }
}

impl<W: Write> EncodeWriter<W> {
    /// Starts the stream that the encoder's name stands for: a gzip file, or for zlib a raw
    /// deflate stream.
    ///
    /// # Errors
    ///
    /// If the threads for pgzip blocks cannot be started.
    pub fn new(encoder: Encoder, threads: NonZeroUsize, out: W) -> io::Result<Self> {
        let header = encoder.gzip_header();
        let trailer = !header.is_empty();
        Self::start(encoder, header, trailer, threads, out)
    }

    /// Starts a gzip file with this header, which is written unchanged.
    ///
    /// # Errors
    ///
    /// If the threads for pgzip blocks cannot be started.
    pub fn with_header(
        encoder: Encoder,
        header: &[u8],
        threads: NonZeroUsize,
        out: W,
    ) -> io::Result<Self> {
        Self::start(encoder, header.to_vec(), true, threads, out)
    }

    fn start(
        encoder: Encoder,
        header: Vec<u8>,
        trailer: bool,
        threads: NonZeroUsize,
        out: W,
    ) -> io::Result<Self> {
        let body = match encoder {
            Encoder::Klauspost {
                level,
                epoch,
                framing: Framing::Blocks(size),
            } => Body::Blocks(Pgzip::new(level, epoch, size, threads)?),
            _ => Body::Stream(encoder.deflate()),
        };
        Ok(Self {
            out,
            body,
            check: Check::default(),
            header,
            trailer,
            buffer: Vec::new(),
        })
    }

    /// Returns the inner writer.
    pub(crate) fn get_ref(&self) -> &W {
        &self.out
    }

    /// Returns the inner writer. The caller must not write to it, which would corrupt the stream.
    pub(crate) fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Ends the stream and returns the inner writer.
    ///
    /// # Errors
    ///
    /// If writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.write_header()?;
        match &mut self.body {
            Body::Stream(stream) => {
                stream.finish(&mut self.buffer);
                self.out.write_all(&self.buffer)?;
            }
            Body::Blocks(blocks) => blocks.finish(&mut self.out)?,
        }
        if self.trailer {
            self.out.write_all(&self.check.trailer())?;
        }
        Ok(self.out)
    }

    fn write_header(&mut self) -> io::Result<()> {
        if !self.header.is_empty() {
            self.out.write_all(&std::mem::take(&mut self.header))?;
        }
        Ok(())
    }
}

/// Plain bytes encoded at once, which limits the output held in memory.
const PIECE: usize = 256 << 10;

impl<W: Write> Write for EncodeWriter<W> {
    fn write(&mut self, plain: &[u8]) -> io::Result<usize> {
        self.write_header()?;
        let plain = &plain[..plain.len().min(PIECE)];
        self.check.update(plain);
        match &mut self.body {
            Body::Stream(stream) => {
                stream.write(plain, &mut self.buffer);
                self.out.write_all(&self.buffer)?;
                self.buffer.clear();
            }
            Body::Blocks(blocks) => blocks.write(plain, &mut self.out)?,
        }
        Ok(plain.len())
    }

    /// Writes the bytes that are final. An encoder keeps back bytes that later input may change.
    fn flush(&mut self) -> io::Result<()> {
        if let Body::Blocks(blocks) = &mut self.body {
            blocks.flush(&mut self.out)?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests;
