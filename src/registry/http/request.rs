//! A request as the engine sends it.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use url::{Origin, Url};

use super::clients::Connections;
use super::gate::Flow;
use super::upload_body::PieceBody;

/// What a request carries.
#[derive(Debug)]
pub(in crate::registry) enum Payload {
    Empty,
    Bytes(Bytes),
    /// Can be sent once.
    Piece(PieceBody),
}

impl Payload {
    /// The same payload again, where that is possible.
    pub(in crate::registry) fn again(&self) -> Option<Self> {
        match self {
            Self::Empty => Some(Self::Empty),
            Self::Bytes(bytes) => Some(Self::Bytes(bytes.clone())),
            Self::Piece(_) => None,
        }
    }
}

/// A request, with the origin to which an `Authorization` header may go.
#[derive(Debug)]
pub(in crate::registry) struct Sending {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) url: Url,
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) home: Origin,
    /// The registry for which it is sent, `host[:port]`, where that is another host than the
    /// URL's.
    pub(in crate::registry) registry: Option<String>,
    pub(in crate::registry) insecure: bool,
    pub(in crate::registry) connections: Connections,
    /// Bytes of the blob that it finishes.
    pub(in crate::registry) finishes: u64,
    /// What counts the bytes of its body.
    pub(in crate::registry) flow: Option<Flow>,
}

impl Sending {
    pub(in crate::registry) fn new(method: Method, url: &Url, insecure: bool) -> Self {
        Self {
            method,
            url: url.clone(),
            headers: HeaderMap::new(),
            home: url.origin(),
            registry: None,
            insecure,
            connections: Connections::default(),
            finishes: 0,
            flow: None,
        }
    }
}
