//! What registries say of the ranges that they send (RFC 9110, 14.4).

/// `Content-Range: bytes first-last/total` (RFC 9110, 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    /// `None` when the registry does not say it (`*`).
    pub(super) total: Option<u64>,
}

impl ContentRange {
    pub(super) fn parse(text: &str) -> Option<Self> {
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

/// The total in `Content-Range: bytes */total`, which comes with status 416.
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
