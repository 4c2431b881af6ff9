//! Samples the beginning of a blob: its likely encoder, and the size that zstd would reach.
//!
//! For statistics over many blobs. Proves nothing; [`identify`](super::identify()) does.

use std::io::{self, Read, Write};

use super::encoder::Encoder;
use super::identify::{Beginning, RawReason};
use super::inflate::Caps;

/// The result of sampling a gzip blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The likeliest of the encoders that write the beginning.
    pub encoder: Option<Encoder>,
    /// Number of the blob's bytes that were sampled.
    pub blob_bytes: u64,
    /// Number of plain bytes in them.
    pub plain_bytes: u64,
    /// True if these are the whole gzip member.
    pub complete: bool,
    /// Size of the plain bytes after zstd, for each requested level.
    pub zstd: Vec<ZstdSize>,
}

/// The size of zstd's output at one level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZstdSize {
    /// Compression level.
    pub level: i32,
    /// Number of bytes.
    pub bytes: u64,
}

/// The result of sampling any blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sampled {
    /// The blob is gzip.
    Sample(Sample),
    /// The blob is not gzip, or is damaged; nothing was measured.
    Raw(RawReason),
}

/// Samples the first `plain_bytes` of a blob's content, or slightly more.
///
/// Memory: each zstd level has its own compressor; level 19 needs about 100 MiB. At least 2 MiB
/// of content are read to find the encoder.
///
/// # Errors
///
/// If reading or zstd fails.
pub fn sample(
    mut blob: impl Read,
    plain_bytes: u64,
    zstd_levels: &[i32],
    caps: Caps,
) -> io::Result<Sampled> {
    let raw = |error| RawReason::from_inflate(error).map(Sampled::Raw);
    let mut beginning = match Beginning::read(&mut blob, caps) {
        Ok(beginning) => beginning,
        Err(error) => return raw(error),
    };
    let encoder = match beginning.survivors(&mut blob) {
        Ok(survivors) => survivors.first().copied(),
        Err(error) => return raw(error),
    };
    let mut compressors = Compressors::new(zstd_levels)?;
    let seen = match beginning.write_plain(&mut blob, plain_bytes, &mut compressors) {
        Ok(seen) => seen,
        Err(error) => return raw(error),
    };
    Ok(Sampled::Sample(Sample {
        encoder,
        blob_bytes: seen.blob,
        plain_bytes: seen.plain,
        complete: seen.complete,
        zstd: compressors.finish()?,
    }))
}

/// One zstd compressor per level, all given the same bytes.
struct Compressors(Vec<(i32, zstd::stream::write::Encoder<'static, Count>)>);

impl Compressors {
    fn new(levels: &[i32]) -> io::Result<Self> {
        let compressor = |level: &i32| {
            let compressor = zstd::stream::write::Encoder::new(Count(0), *level)?;
            Ok((*level, compressor))
        };
        levels
            .iter()
            .map(compressor)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    fn finish(self) -> io::Result<Vec<ZstdSize>> {
        let size = |(level, compressor): (i32, zstd::stream::write::Encoder<'static, Count>)| {
            let Count(bytes) = compressor.finish()?;
            Ok(ZstdSize { level, bytes })
        };
        self.0.into_iter().map(size).collect()
    }
}

impl Write for Compressors {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (_, compressor) in &mut self.0 {
            compressor.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that only counts bytes.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::codec::EncodeWriter;

    fn blob(name: &str, len: u32) -> Vec<u8> {
        let plain: Vec<u8> = (0..len)
            .map(|i| (i.wrapping_mul(i >> 3) >> 9) as u8)
            .collect();
        let encoder = name.parse().unwrap();
        let mut writer = EncodeWriter::new(encoder, NonZeroUsize::MIN, Vec::new()).unwrap();
        writer.write_all(&plain).unwrap();
        writer.finish().unwrap()
    }

    fn sampled(blob: &[u8], plain: u64) -> Sample {
        match sample(blob, plain, &[3, 9], Caps::DEFAULT).unwrap() {
            Sampled::Sample(sample) => sample,
            Sampled::Raw(reason) => panic!("{reason}"),
        }
    }

    #[test]
    fn a_short_blob_is_measured_whole() {
        let blob = blob("go126-6", 50_000);
        let found = sampled(&blob, 1 << 20);
        assert_eq!(found.encoder, "go126-6".parse().ok());
        assert!(found.complete);
        assert_eq!(
            (found.blob_bytes, found.plain_bytes),
            (blob.len() as u64, 50_000)
        );
        let levels: Vec<i32> = found.zstd.iter().map(|size| size.level).collect();
        assert_eq!(levels, [3, 9]);
        assert!(
            found
                .zstd
                .iter()
                .all(|size| size.bytes > 0 && size.bytes < 50_000)
        );
    }

    #[test]
    fn a_long_blob_is_measured_in_part() {
        let blob = blob("kp5-C-pgzip-256", 3_000_000);
        let found = sampled(&blob, 2_500_000);
        assert!(!found.complete);
        assert!(
            (2_500_000..3_000_000).contains(&found.plain_bytes),
            "{found:?}"
        );
        assert!(found.blob_bytes < blob.len() as u64);
    }

    #[test]
    fn what_is_no_gzip_is_raw() {
        let found = sample(&b"{}"[..], 100, &[3], Caps::DEFAULT).unwrap();
        assert!(
            matches!(found, Sampled::Raw(RawReason::Header { .. })),
            "{found:?}"
        );
    }
}
