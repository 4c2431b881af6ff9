//! Parses OpenPGP signed messages: one signature over one small text.
//!
//! OpenPGP allows messages to be nested, encrypted, signed many times and split into parts. Release
//! signatures need none of that, so only one shape is accepted: a one-pass signature packet, the
//! text, the signature; the whole compressed at most once.
//!
//! A message is always read to its end before its signature is verified. A reader that verifies
//! earlier can accept a forged message (docs/oc-compatibility.md, section 2.5).

use std::io::Read;

use pgp::packet::{
    LiteralData, OnePassSignature, Packet, PacketParser, PacketTrait, Signature, SubpacketData,
};
use pgp::ser::Serialize;
use pgp::types::{Fingerprint, KeyId};

use super::keyring::openpgp;

/// Maximum length of a message in bytes, before and after decompression.
pub const MESSAGE_LIMIT: usize = 50 << 10;

/// A message that was read to its end. Not verified.
#[derive(Debug, Clone)]
pub(super) struct SignedMessage {
    /// The signed text.
    pub(super) body: Vec<u8>,
    /// The signature packet.
    pub(super) signature: Signature,
}

/// Error from parsing a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum MessageFault {
    /// The message is longer than the limit, or would be when decompressed.
    TooLarge,
    /// The message is truncated, or has another structure.
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

/// Decompresses a message; fails if the result is longer than the limit.
fn decompress(compressed: &pgp::packet::CompressedData) -> Result<Vec<u8>, MessageFault> {
    let reader = compressed
        .decompress()
        .map_err(|error| unreadable(openpgp(&error)))?;
    let mut inner = Vec::new();
    let limit = MESSAGE_LIMIT.saturating_add(1) as u64;
    reader
        .take(limit)
        .read_to_end(&mut inner)
        .map_err(|error| {
            unreadable(format!(
                "the compressed data is damaged: {}",
                openpgp(&error)
            ))
        })?;
    if inner.len() > MESSAGE_LIMIT {
        return Err(MessageFault::TooLarge);
    }
    Ok(inner)
}

/// Reads the rest of a signed message after its first packet.
fn signed(first: Packet, mut rest: &[u8]) -> Result<SignedMessage, MessageFault> {
    let Packet::OnePassSignature(announced) = first else {
        return Err(unreadable(format!(
            "it begins with a {:?} packet, not with a one-pass signature",
            first.tag()
        )));
    };
    let Packet::LiteralData(literal) = packet(&mut rest)? else {
        return Err(unreadable("no text follows the one-pass signature"));
    };
    let written = rest;
    let Packet::Signature(signature) = packet(&mut rest)? else {
        return Err(unreadable("no signature follows the text"));
    };
    if !rest.is_empty() {
        return Err(unreadable("something follows the signature"));
    }
    is_plain(&literal)?;
    is_canonical(&signature, written)?;
    announces(&announced, &signature)?;
    Ok(SignedMessage {
        body: literal.data().to_vec(),
        signature,
    })
}

/// Checks that the literal packet is marked as binary or text: all readers treat these alike.
fn is_plain(literal: &LiteralData) -> Result<(), MessageFault> {
    // The mode is the packet's first byte (RFC 9580, section 5.9).
    let mode = literal
        .to_bytes()
        .ok()
        .and_then(|body| body.first().copied());
    match mode {
        Some(b'b' | b't' | b'u') => Ok(()),
        _ => Err(unreadable("its text has an unknown format")),
    }
}

/// Checks that a signature packet has its canonical encoding, and that its unhashed part has only
/// hints at the issuer.
fn is_canonical(signature: &Signature, written: &[u8]) -> Result<(), MessageFault> {
    let again = signature.to_bytes();
    let again = again.map_err(|error| unreadable(openpgp(&error)))?;
    if again.is_empty() || !written.ends_with(&again) {
        return Err(unreadable(
            "its signature packet is not in canonical encoding",
        ));
    }
    let config = signature.config();
    let mut unhashed = config.into_iter().flat_map(|c| &c.unhashed_subpackets);
    let is_hint = |data: &SubpacketData| {
        matches!(
            data,
            SubpacketData::IssuerKeyId(_) | SubpacketData::IssuerFingerprint(_)
        )
    };
    match unhashed.all(|subpacket| is_hint(&subpacket.data) && !subpacket.is_critical) {
        true => Ok(()),
        false => Err(unreadable(
            "its signature has unsigned parts besides the issuer",
        )),
    }
}

/// Checks that the one-pass packet announces this signature, as the last one. Readers that process
/// a message in one pass, such as the cluster's own verification, choose the key and the hash by it
/// (RFC 9580, section 5.4).
fn announces(announced: &OnePassSignature, signature: &Signature) -> Result<(), MessageFault> {
    let differs = || unreadable("its one-pass packet does not match the signature");
    let config = signature.config().ok_or_else(differs)?;
    let ids = signature.issuer_key_id().into_iter().copied();
    let of_fingerprints = signature.issuer_fingerprint().into_iter().map(id_of);
    let mut ids: Vec<KeyId> = ids.chain(of_fingerprints).collect();
    ids.dedup();
    let [id] = ids.as_slice() else {
        return Err(unreadable("its signature does not name one signer"));
    };
    let mut expected = vec![
        3,
        u8::from(config.typ),
        u8::from(config.hash_alg),
        u8::from(config.pub_alg),
    ];
    expected.extend_from_slice(id.as_ref());
    expected.push(1);
    match announced.to_bytes() {
        Ok(announced) if announced == expected => Ok(()),
        _ => Err(differs()),
    }
}

/// The key ID of a fingerprint, for version 4, the only one that is accepted later.
fn id_of(fingerprint: &Fingerprint) -> KeyId {
    let bytes = fingerprint.as_bytes();
    let last = bytes.last_chunk::<8>().copied();
    KeyId::from(last.unwrap_or_default())
}

/// Takes one whole packet from the front.
fn packet(rest: &mut &[u8]) -> Result<Packet, MessageFault> {
    match PacketParser::new(rest).next() {
        Some(Ok(packet)) => Ok(packet),
        Some(Err(error)) => Err(unreadable(openpgp(&error))),
        None => Err(unreadable("it ends too early")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_library_are_for_people() {
        let mut said = std::collections::BTreeSet::new();
        let tails: [&[u8]; 4] = [b"", &[0; 40], b"{\"kind\": \"ConfigMap\"}", &[4; 300]];
        for first in 0..=255_u8 {
            for second in [0, 1, 2, 3, 13, 40, 0x80, 0xff] {
                for tail in tails {
                    let bytes = [&[first, second], tail].concat();
                    if let Err(MessageFault::Unreadable(why)) = parse(&bytes) {
                        said.insert(why);
                    }
                }
            }
        }
        assert!(said.len() > 5, "{said:?}");
        for why in said {
            let debug = why.contains("backtrace") || why.contains("Some(") || why.contains(" { ");
            assert!(!debug, "{why}");
        }
    }
}
