//! Looks at the beginning of a blob: who probably made it, and what zstd would make of it.
//!
//! This is for counting over many blobs. Nothing is proved; [`identify`](super::identify) does that.

use std::io::{self, Read, Write};

use super::encoder::Encoder;
use super::identify::{Beginning, RawReason};
use super::inflate::Caps;

/// What the beginning of a blob shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The likeliest encoder of those that write the beginning.
    pub encoder: Option<Encoder>,
    /// How many bytes of the blob were looked at.
    pub blob_bytes: u64,
    /// How many plain bytes they hold.
    pub plain_bytes: u64,
    /// Whether that is the whole gzip member.
    pub complete: bool,
    /// What zstd makes of the plain bytes, for each level asked for.
    pub zstd: Vec<ZstdSize>,
}

/// The size of zstd's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZstdSize {
    /// The compression level.
    pub level: i32,
    /// The number of bytes.
    pub bytes: u64,
}

/// What was found out about a blob's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sampled {
    /// It is gzip.
    Sample(Sample),
    /// It is not, or it is broken; nothing was measured.
    Raw(RawReason),
}

/// Looks at the first `plain_bytes` of a blob's content, or a little more.
///
/// Memory: each zstd level has its own compressor; level 19 takes about 100 MiB. At least 2 MiB of
/// content are read to find the encoder.
///
/// # Errors
///
/// When reading fails, or zstd does.
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

/// A zstd compressor for each level, all fed with the same bytes.
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

/// Counts what is written to it.
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
