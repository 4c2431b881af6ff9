//! What every encoder of a deflate stream can do.

/// Makes a deflate stream (RFC 1951) from plain bytes.
///
/// The bytes of the stream do not depend on how the plain bytes are cut into writes.
pub(crate) trait Deflate: Send {
    /// Takes plain bytes, and appends to `out` what became final.
    fn write(&mut self, plain: &[u8], out: &mut Vec<u8>);

    /// Ends the stream and appends the rest of it to `out`. Called once, last.
    fn finish(&mut self, out: &mut Vec<u8>);
}
