//! Lists the encoders that may have made a blob, the likely ones first (docs/encoders.md, section
//! 6).
//!
//! The header of a stream proves nothing; it only decides the order.

use crate::codec::encoder::{Encoder, Framing};
use crate::codec::go_lazy::LazyLevel;
use crate::codec::gzip::Header;
use crate::codec::kp::{Epoch, Level};
use crate::codec::pgzip::BlockSize;
use crate::codec::zlib::ZlibLevel;

/// Time field of klauspost/compress and pgzip if the program sets none.
const KLAUSPOST_TIME: u32 = 0x886e_0900;

/// A group of encoders with similar headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Klauspost,
    Go,
    Zlib,
}

/// Lists all encoders to try. `blocks` are the possible pgzip block sizes.
pub(super) fn candidates(header: &Header, blocks: &[BlockSize]) -> Vec<Encoder> {
    let order = match (header.mtime, header.os) {
        (KLAUSPOST_TIME, _) => [Family::Klauspost, Family::Go, Family::Zlib],
        (0, 255) => [Family::Go, Family::Zlib, Family::Klauspost],
        (_, 255) => [Family::Zlib, Family::Go, Family::Klauspost],
        _ => [Family::Zlib, Family::Klauspost, Family::Go],
    };
    let members = |family: &Family| match family {
        Family::Klauspost => klauspost(blocks),
        Family::Go => go(header.extra_flags),
        Family::Zlib => zlib(header.extra_flags),
    };
    order.iter().flat_map(members).collect()
}

fn klauspost(blocks: &[BlockSize]) -> Vec<Encoder> {
    let blocks = blocks.iter().map(|size| Framing::Blocks(*size));
    let framings: Vec<Framing> = blocks.chain([Framing::Single]).collect();
    let mut encoders = Vec::new();
    for level in [Level::Five, Level::Six] {
        // C before B: they rarely differ, and then C is the likelier.
        for epoch in [Epoch::C, Epoch::A, Epoch::B] {
            encoders.extend(framings.iter().map(|framing| Encoder::Klauspost {
                level,
                epoch,
                framing: *framing,
            }));
        }
    }
    encoders
}

fn go(extra_flags: u8) -> Vec<Encoder> {
    let lazy = |levels: &[u8]| -> Vec<Encoder> {
        let levels = levels.iter().filter_map(|level| LazyLevel::new(*level));
        levels.map(|level| Encoder::GoLazy { level }).collect()
    };
    let mut encoders = match extra_flags {
        2 => lazy(&[9, 6]),
        4 => vec![Encoder::GoFast1],
        _ => lazy(&[6]),
    };
    encoders.push(Encoder::Go127);
    for encoder in lazy(&[6, 9, 5, 7, 4, 8])
        .into_iter()
        .chain([Encoder::GoFast1])
    {
        if !encoders.contains(&encoder) {
            encoders.push(encoder);
        }
    }
    encoders
}

fn zlib(extra_flags: u8) -> Vec<Encoder> {
    let levels: [u8; 9] = match extra_flags {
        2 => [9, 8, 7, 6, 5, 4, 3, 2, 1],
        4 => [1, 2, 3, 4, 5, 6, 7, 8, 9],
        _ => [6, 9, 1, 5, 7, 8, 4, 3, 2],
    };
    let levels = levels.iter().filter_map(|level| ZlibLevel::new(*level));
    levels.map(|level| Encoder::Zlib { level }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mtime: u32, extra_flags: u8, os: u8) -> Vec<String> {
        let header = Header {
            len: 10,
            mtime,
            extra_flags,
            os,
        };
        let encoders = candidates(&header, &[BlockSize::DEFAULT]);
        encoders.iter().map(Encoder::to_string).collect()
    }

    #[test]
    fn the_likely_ones_come_first_and_all_come() {
        assert_eq!(names(KLAUSPOST_TIME, 0, 255)[0], "kp5-C-pgzip-1024");
        assert_eq!(names(0, 0, 255)[..2], ["go126-6", "go127-6"]);
        assert_eq!(names(0, 2, 255)[0], "go126-9");
        assert_eq!(names(0, 4, 255)[0], "go126-1");
        assert_eq!(names(1_700_000_000, 2, 255)[0], "zlib-9-raw");
        assert_eq!(names(0, 0, 3)[0], "zlib-6-raw");
        for extra_flags in [0, 2, 4] {
            let mut names = names(0, extra_flags, 3);
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), 12 + 8 + 9);
        }
    }
}
