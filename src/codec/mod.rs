//! Bit-exact encoders for gzip layers: finds the encoder that made a blob, and makes the blob
//! again.
//!
//! [`identify()`] reads a blob and returns a [`Recipe`], or the reason why there is none;
//! [`recreate()`] makes the blob from its plain bytes and the recipe; [`EncodeWriter`] runs one
//! encoder; [`sample`] gives a quick estimate, for statistics over many blobs. `docs/codecs.md`
//! has the overview.
//!
//! Pure and synchronous: `Read` in, `Write` out, bounded memory. Must not depend on paths, network
//! or clock. From the bottom up: bits, Huffman codes, tokens and blocks; a window for match
//! finders; the encoders (`kp`, `go_fast1`, `go_lazy`, `zlib`); frames (`gzip`, `pgzip`); names and
//! numbers.

mod bits;
mod block;
mod deflate;
mod encoder;
mod go_block;
mod go_fast1;
mod go_lazy;
mod gzip;
mod huffman;
mod identify;
mod inflate;
mod kp;
mod pgzip;
mod recipe;
mod recreate;
mod survey;
mod token;
mod window;
mod zlib;

pub use encoder::{EncodeWriter, Encoder, EncoderError, Framing};
pub use go_lazy::LazyLevel;
pub use gzip::{HeaderError, MAX_HEADER};
pub use identify::{IdentifyOptions, Identity, RawReason, identify, identify_stream};
pub use inflate::{Caps, InflateError, inflate};
pub use kp::{Epoch, Level};
pub use pgzip::BlockSize;
pub use recipe::{MAX_RECIPE, MAX_TAIL, Recipe, RecipeError};
pub use recreate::{RecreateError, recreate};
pub use survey::{Sample, Sampled, ZstdSize, sample};
pub use zlib::ZlibLevel;
