//! Requests for ranges of a blob, and the ranges in registries' answers (RFC 9110, 14).

use reqwest::Method;
use reqwest::header::{ACCEPT_ENCODING, HeaderValue, RANGE};

use crate::model::{Digest, Repository};
use crate::registry::client::{Call, Client};
use crate::registry::error::Result;
use crate::registry::http::Response;
use crate::registry::places::Endpoint;

/// Returns `repository@digest`.
pub(in crate::registry) fn blob_name(repository: &Repository, digest: &Digest) -> String {
    format!("{repository}@{digest}")
}

/// The bytes of a blob that a request asks for (RFC 9110, 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteRange {
    /// All of them, without a `Range` header.
    All,
    /// The bytes from an offset to the end.
    From(u64),
    /// The bytes from `first` to `last`, both included.
    Part { first: u64, last: u64 },
}

impl ByteRange {
    /// Returns the number of bytes for a blob of this size.
    fn length(self, size: u64) -> u64 {
        match self {
            Self::All => size,
            Self::From(first) => size.saturating_sub(first),
            Self::Part { first, last } => last.saturating_sub(first).saturating_add(1),
        }
    }

    /// Returns the `Range` header; `None` for all bytes.
    fn header(self) -> Option<HeaderValue> {
        let range = match self {
            Self::All => return None,
            Self::From(first) => format!("bytes={first}-"),
            Self::Part { first, last } => format!("bytes={first}-{last}"),
        };
        HeaderValue::from_str(&range).ok()
    }
}

impl Client {
    /// Requests bytes of a blob of this size, without content encoding. Refusals are returned as
    /// responses.
    pub(super) async fn blob_bytes(
        &self,
        place: &Endpoint,
        digest: &Digest,
        wanted: ByteRange,
        size: u64,
    ) -> Result<Response> {
        let url = self.url(place, &format!("blobs/{digest}")).await?;
        let scopes = self.read_scopes(place);
        let mut call = Call::new(place, &scopes, Method::GET, url)
            .carries(wanted.length(size))
            .header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if let Some(range) = wanted.header() {
            call = call.header(RANGE, range);
        }
        self.call(call).await
    }
}

/// `Content-Range: bytes first-last/total` (RFC 9110, 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(in crate::registry) first: u64,
    pub(in crate::registry) last: u64,
    /// Size of the whole; `None` if the registry does not say it (`*`).
    pub(super) total: Option<u64>,
}

impl ContentRange {
    pub(in crate::registry) fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let range = Self {
            first: first.trim().parse().ok()?,
            last: last.trim().parse().ok()?,
            total: match total.trim() {
                "*" => None,
                total => Some(total.parse().ok()?),
            },
        };
        let fits = range.total.is_none_or(|total| range.last < total);
        (range.first <= range.last && fits).then_some(range)
    }
}

/// Returns the total in `Content-Range: bytes */total`, which comes with status 416.
pub(super) fn unsatisfied_total(text: &str) -> Option<u64> {
    text.trim().strip_prefix("bytes */")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let range = |first, last, total| Some(ContentRange { first, last, total });
        for (text, expected) in [
            ("bytes 5-9/10", range(5, 9, Some(10))),
            ("bytes 5-9/*", range(5, 9, None)),
            ("bytes 9-5/10", None),
            ("bytes 5-10/10", None),
            ("bytes */10", None),
            ("5-9/10", None),
            ("bytes 5-9", None),
            ("bytes -1-9/10", None),
            ("bytes 5-99999999999999999999/*", None),
        ] {
            assert_eq!(ContentRange::parse(text), expected, "{text}");
        }
        assert_eq!(unsatisfied_total("bytes */10"), Some(10));
        assert_eq!(unsatisfied_total("bytes 0-1/10"), None);
    }
}
