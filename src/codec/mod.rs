//! Bit-exact encoders for gzip layers: who made a blob, and how to make it again.
mod bits;
mod block;
mod deflate;
mod encoder;
mod go_block;
mod go_fast1;
mod go_lazy;
mod gzip;
mod huffman;
mod kp;
mod pgzip;
mod token;
mod window;
mod zlib;

pub use encoder::{EncodeWriter, Encoder, EncoderError, Framing};
pub use go_lazy::LazyLevel;
pub use kp::{Epoch, Level};
pub use pgzip::BlockSize;
pub use zlib::ZlibLevel;
