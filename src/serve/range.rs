//! Byte ranges: `Range` of a download (RFC 9110, section 14.2) and `Content-Range` of an upload
//! (OCI distribution-spec, "Pushing a blob in chunks").

/// The part of a body that a `Range` header asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The whole body; also for ranges that a server need not understand, as the RFC allows.
    Whole,
    /// From the first to the last byte, both included.
    Part {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// A range without any existing byte.
    Unsatisfiable,
}

/// Parses a `Range` header for a body of `size` bytes. Several ranges are answered with the whole
/// body.
pub(super) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = header
        .and_then(|text| text.trim().strip_prefix("bytes="))
        .and_then(|range| range.split_once('-'))
    else {
        return Wanted::Whole;
    };
    let end = size.checked_sub(1);
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => return Wanted::Whole,
        (Some(first), Some(last)) => end.map(|end| (first, last.min(end))),
        (Some(first), None) if last.is_empty() => end.map(|end| (first, end)),
        (None, Some(0)) if first.is_empty() => None,
        (None, Some(count)) if first.is_empty() => end.map(|end| (size.saturating_sub(count), end)),
        _ => return Wanted::Whole,
    };
    match range {
        Some((first, last)) if first < size => Wanted::Part { first, last },
        _ => Wanted::Unsatisfiable,
    }
}

/// Parses an upload's `Content-Range`, `<first>-<last>`; `None` if it has another form.
pub(super) fn sent(header: &str) -> Option<(u64, u64)> {
    let (first, last) = header.split_once('-')?;
    Some((number(first)?, number(last)?))
}

/// Parses a decimal number without a sign.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_single_ranges() {
        let part = |first, last| Wanted::Part { first, last };
        for (text, size, expected) in [
            ("bytes=0-0", 10, part(0, 0)),
            ("bytes=2-5", 10, part(2, 5)),
            ("bytes=2-", 10, part(2, 9)),
            ("bytes=2-99", 10, part(2, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-99", 10, part(0, 9)),
            ("bytes=10-", 10, Wanted::Unsatisfiable),
            ("bytes=10-12", 10, Wanted::Unsatisfiable),
            ("bytes=-0", 10, Wanted::Unsatisfiable),
            ("bytes=0-", 0, Wanted::Unsatisfiable),
            ("bytes=-1", 0, Wanted::Unsatisfiable),
            ("bytes=5-2", 10, Wanted::Whole),
            ("bytes=0-1,4-5", 10, Wanted::Whole),
            ("bytes=-", 10, Wanted::Whole),
            ("bytes=+1-2", 10, Wanted::Whole),
            ("bytes=x-2", 10, Wanted::Whole),
            ("bytes=1-x", 10, Wanted::Whole),
            ("items=1-2", 10, Wanted::Whole),
            ("bytes=18446744073709551616-", 10, Wanted::Whole),
        ] {
            assert_eq!(wanted(Some(text), size), expected, "{text} of {size}");
        }
        assert_eq!(wanted(None, 10), Wanted::Whole);
    }

    #[test]
    fn reads_content_ranges() {
        assert_eq!(sent("0-9"), Some((0, 9)));
        for bad in [
            "",
            "-",
            "0-",
            "-9",
            "bytes 0-9/10",
            "0-9/10",
            "+0-9",
            "0--9",
        ] {
            assert_eq!(sent(bad), None, "{bad}");
        }
    }
}
