//! The interface of all encoders of deflate streams.

/// Encodes plain bytes into a deflate stream (RFC 1951).
///
/// The bytes of the stream do not depend on how the plain bytes are split into writes.
pub(crate) trait Deflate: Send {
    /// Takes plain bytes, and appends the bytes of the stream that are final to `out`.
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>);

    /// Ends the stream and appends the rest of it to `out`. Must be called once, last.
    fn finish(&mut self, out: &mut Vec<u8>);
}
