//! Writes bits in deflate's order: from the least significant bit of each byte upwards (RFC 1951,
//! section 3.1.1).

/// A bit writer that collects whole bytes and keeps back the bits of a byte that is not full.
#[derive(Debug, Clone, Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    held_len: u32,
}

impl BitWriter {
    /// Appends the `len` low bits of `bits`, whose other bits must be 0; `len` is at most 32.
    #[inline]
    pub(crate) fn put(&mut self, bits: u32, len: u32) {
        debug_assert!(len <= 32 && u64::from(bits) < 1 << len);
        // At most 31 bits are held between calls, so no bit is shifted out.
        self.held |= u64::from(bits) << self.held_len;
        self.held_len += len;
        if self.held_len >= 32 {
            self.bytes
                .extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.held_len -= 32;
        }
    }

    /// Appends zero bits up to the next byte boundary.
    pub(crate) fn align(&mut self) {
        let whole = self.held_len.div_ceil(8) as usize;
        self.bytes
            .extend(self.held.to_le_bytes().iter().take(whole));
        self.held = 0;
        self.held_len = 0;
    }

    /// Fills up to the next byte boundary with zero bits, then appends bytes.
    pub(crate) fn put_bytes(&mut self, bytes: &[u8]) {
        self.align();
        self.bytes.extend_from_slice(bytes);
    }

    /// Appends a stored block (RFC 1951, section 3.2.4) of at most 65 535 bytes.
    pub(crate) fn put_stored(&mut self, plain: &[u8], last: bool) {
        debug_assert!(plain.len() <= usize::from(u16::MAX));
        let len = plain.len() as u16;
        self.put(u32::from(last), 3);
        self.put_bytes(&len.to_le_bytes());
        self.put_bytes(&(!len).to_le_bytes());
        self.put_bytes(plain);
    }

    /// Moves the whole bytes collected so far to the end of `out`.
    pub(crate) fn drain_into(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(writer: &mut BitWriter) -> Vec<u8> {
        let mut out = Vec::new();
        writer.drain_into(&mut out);
        out
    }

    #[test]
    fn fills_bytes_from_the_low_bit_and_holds_back_the_rest() {
        let mut writer = BitWriter::default();
        writer.put(0b1, 1);
        writer.put(0b10, 2);
        writer.put(0xffff_ffff, 32);
        assert_eq!(written(&mut writer), [0xfd, 0xff, 0xff, 0xff]);
        writer.align();
        assert_eq!(written(&mut writer), [0x07]);
    }

    #[test]
    fn frames_a_stored_block() {
        let mut writer = BitWriter::default();
        writer.put_stored(b"hello", false);
        writer.put_stored(b"", true);
        assert_eq!(
            written(&mut writer),
            *b"\x00\x05\x00\xfa\xffhello\x01\x00\x00\xff\xff"
        );
    }
}
