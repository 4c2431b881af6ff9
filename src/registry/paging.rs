//! Lists that come in pages (RFC 8288 `Link` headers; distribution-spec, "Listing Tags").

use reqwest::header::LINK;
use url::Url;

use super::error::Result;
use super::response::Response;

/// Pages that are read at most.
pub(super) const MOST_PAGES: usize = 10_000;

/// Bytes of one page that are read at most.
pub(super) const PAGE_LIMIT: u64 = 16 << 20;

/// The next page's URL. It may not lead to another origin: the request carries credentials.
pub(super) fn next_page(response: &Response) -> Result<Option<Url>> {
    let Some(target) = response.text(LINK).and_then(next_target) else {
        return Ok(None);
    };
    let next = response.url().join(target).ok();
    let same = next.filter(|next| next.origin() == response.url().origin());
    match same {
        Some(next) if next != *response.url() => Ok(Some(next)),
        Some(_) => Err(response.unexpected("its next page is itself")),
        None => Err(response.unexpected("its next page is on another host")),
    }
}

/// The target of the link with `rel="next"`.
fn next_target(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = parameters.split(';').any(|parameter| {
            let parameter = parameter.trim();
            parameter.eq_ignore_ascii_case("rel=next")
                || parameter.eq_ignore_ascii_case("rel=\"next\"")
        });
        is_next.then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_the_link_that_says_so() {
        for (header, expected) in [
            (
                "</v2/a/tags/list?n=2&last=b>; rel=\"next\"",
                Some("/v2/a/tags/list?n=2&last=b"),
            ),
            ("<x>; rel=prev, <y>; foo=1; rel=next", Some("y")),
            ("<x>; rel=\"prev\"", None),
            ("x; rel=next", None),
            ("", None),
        ] {
            assert_eq!(next_target(header), expected, "{header}");
        }
    }
}
