//! OpenPGP signed messages: one signature around one small text.
//!
//! OpenPGP allows messages to be nested, encrypted, signed many times and cut into pieces. The
//! signatures of releases need none of that, so one shape is accepted and everything else is
//! refused: a one-pass marker, the text, the signature; all of it compressed at most once.
//!
//! A message is read to its very end before anybody may ask whether its signature holds. A
//! reader that looks earlier finds nothing wrong with a message that is forged (reference,
//! flaw O-1).

use std::io::Read;

use pgp::packet::{Packet, PacketParser, PacketTrait, Signature};

use super::keyring::printable;

/// The greatest length of a message in bytes, before and after decompression.
pub const MESSAGE_LIMIT: usize = 50 << 10;

/// A message that was read whole. Nothing about it is verified.
#[derive(Debug, Clone)]
pub(super) struct SignedMessage {
    /// What is signed.
    pub(super) body: Vec<u8>,
    /// By whom, they say.
    pub(super) signature: Signature,
}

/// Why bytes are not a signed message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MessageFault {
    /// Longer than the limit, or would be when decompressed.
    TooLarge,
    /// Cut off, or not such a message.
    Unreadable(String),
}

fn unreadable(why: impl Into<String>) -> MessageFault {
    MessageFault::Unreadable(why.into())
}

/// Reads a message to its end.
pub(super) fn parse(bytes: &[u8]) -> Result<SignedMessage, MessageFault> {
    if bytes.len() > MESSAGE_LIMIT {
        return Err(MessageFault::TooLarge);
    }
    let mut rest = bytes;
    match packet(&mut rest)? {
        Packet::CompressedData(compressed) => {
            if !rest.is_empty() {
                return Err(unreadable("something follows the compressed message"));
            }
            let inner = decompress(&compressed)?;
            let mut rest = inner.as_slice();
            let first = packet(&mut rest)?;
            signed(first, rest)
        }
        first => signed(first, rest),
    }
}

/// Decompresses as much as a message may have, and notices when there is more.
fn decompress(compressed: &pgp::packet::CompressedData) -> Result<Vec<u8>, MessageFault> {
    let reader = compressed
        .decompress()
        .map_err(|error| unreadable(printable(&error)))?;
    let mut inner = Vec::new();
    let limit = MESSAGE_LIMIT.saturating_add(1) as u64;
    reader
        .take(limit)
        .read_to_end(&mut inner)
        .map_err(|error| unreadable(format!("the compressed data is damaged: {error}")))?;
    if inner.len() > MESSAGE_LIMIT {
        return Err(MessageFault::TooLarge);
    }
    Ok(inner)
}

/// Reads what follows the first packet of a signed message.
fn signed(first: Packet, mut rest: &[u8]) -> Result<SignedMessage, MessageFault> {
    let Packet::OnePassSignature(_) = first else {
        return Err(unreadable(format!(
            "it begins with a {:?} packet, not with a one-pass signature",
            first.tag()
        )));
    };
    let Packet::LiteralData(literal) = packet(&mut rest)? else {
        return Err(unreadable("no text follows the one-pass signature"));
    };
    let Packet::Signature(signature) = packet(&mut rest)? else {
        return Err(unreadable("no signature follows the text"));
    };
    if !rest.is_empty() {
        return Err(unreadable("something follows the signature"));
    }
    Ok(SignedMessage {
        body: literal.data().to_vec(),
        signature,
    })
}

/// Takes one whole packet from the front.
fn packet(rest: &mut &[u8]) -> Result<Packet, MessageFault> {
    match PacketParser::new(rest).next() {
        Some(Ok(packet)) => Ok(packet),
        Some(Err(error)) => Err(unreadable(printable(&error))),
        None => Err(unreadable("it ends too early")),
    }
}
