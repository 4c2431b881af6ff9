//! A request as the engine sends it.

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::HeaderMap;
use url::{Origin, Url};

use super::clients::Connections;
use super::host_limit::Throttle;
use super::upload_body::PieceBody;

/// Body of a request.
#[derive(Debug)]
pub(in crate::registry) enum Payload {
    Empty,
    Bytes(Bytes),
    /// An upload's body, which can be sent once.
    Piece(PieceBody),
}

impl Payload {
    /// Returns the same payload for another request, if that is possible.
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
pub(in crate::registry) struct Request {
    pub(in crate::registry) method: Method,
    pub(in crate::registry) url: Url,
    pub(in crate::registry) headers: HeaderMap,
    pub(in crate::registry) authorization_origin: Origin,
    /// The registry on whose behalf it is sent, `host[:port]`, if that is another host than the
    /// URL's.
    pub(in crate::registry) registry: Option<String>,
    pub(in crate::registry) insecure: bool,
    pub(in crate::registry) connections: Connections,
    /// Size in bytes of the blob that the request finishes; 0 if it finishes none.
    pub(in crate::registry) finishes: u64,
    /// Counts and limits the bytes of its body.
    pub(in crate::registry) throttle: Option<Throttle>,
}

impl Request {
    pub(in crate::registry) fn new(method: Method, url: &Url, insecure: bool) -> Self {
        Self {
            method,
            url: url.clone(),
            headers: HeaderMap::new(),
            authorization_origin: url.origin(),
            registry: None,
            insecure,
            connections: Connections::default(),
            finishes: 0,
            throttle: None,
        }
    }
}
