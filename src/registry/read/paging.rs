//! Reads lists in pages (RFC 8288 `Link` headers; distribution-spec, "Listing Tags").

use std::collections::HashSet;

use reqwest::header::LINK;
use url::Url;

use crate::registry::error::{Error, Result};
use crate::registry::http::Response;

/// Maximum pages read of one list.
pub(super) const MOST_PAGES: usize = 10_000;

/// Maximum bytes read of one page.
pub(super) const PAGE_LIMIT: u64 = 16 << 20;

/// Returns the next page's URL on the origin that answered. Only path and query of the link are
/// used, as in containers/image: the request carries credentials, and a registry behind a proxy
/// may use another name for itself.
pub(super) fn next_page(response: &Response) -> Result<Option<Url>> {
    let Some(target) = response.text(LINK).and_then(next_target) else {
        return Ok(None);
    };
    match follow(response.url(), target) {
        Some(next) if next != *response.url() => Ok(Some(next)),
        Some(_) => Err(response.unexpected("its Link header names the same page again")),
        None => Err(response.unexpected("its Link header has no valid URL")),
    }
}

fn follow(page: &Url, target: &str) -> Option<Url> {
    let target = page.join(target).ok().filter(Url::has_host)?;
    let mut next = page.clone();
    next.set_path(target.path());
    next.set_query(target.query());
    Some(next)
}

/// Maximum empty pages in a row.
const MOST_EMPTY: usize = 50;

/// The pages of one list that were requested.
#[derive(Debug, Default)]
pub(super) struct Pages {
    visited: HashSet<Url>,
    /// Empty pages in a row, up to the last one.
    empty: usize,
}

impl Pages {
    /// Records the request for a page.
    ///
    /// # Errors
    ///
    /// When the page was requested before, which means that the list has no end.
    pub(super) fn visit(&mut self, page: &Url) -> Result<()> {
        if self.visited.insert(page.clone()) {
            return Ok(());
        }
        Err(Error::Protocol {
            url: page.into(),
            reason: "its list leads back to this page".to_owned(),
        })
    }

    /// Records the number of entries on a page.
    ///
    /// # Errors
    ///
    /// When too many pages in a row are empty: some registries link from empty page to empty page
    /// without an end.
    pub(super) fn count(&mut self, page: &Url, entries: usize) -> Result<()> {
        self.empty = if entries > 0 { 0 } else { self.empty + 1 };
        if self.empty <= MOST_EMPTY {
            return Ok(());
        }
        Err(Error::Protocol {
            url: page.into(),
            reason: format!("{} of its pages in a row are empty", self.empty),
        })
    }
}

/// Returns the target of the link with `rel="next"`.
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
    fn links_are_followed_on_the_origin_that_answered() {
        let page: Url = "https://r.lan:5000/v2/a/tags/list?n=1".parse().unwrap();
        for (target, expected) in [
            ("/v2/a/tags/list?last=b", Some("/v2/a/tags/list?last=b")),
            ("list?last=b", Some("/v2/a/tags/list?last=b")),
            (
                "http://quay.example/v2/a/tags/list?last=b",
                Some("/v2/a/tags/list?last=b"),
            ),
            ("http://[", None),
            ("data:x", None),
        ] {
            let expected = expected.map(|rest| format!("https://r.lan:5000{rest}"));
            let next = follow(&page, target).map(String::from);
            assert_eq!(next, expected, "{target}");
        }
    }

    #[test]
    fn pages_in_a_circle_end() {
        let page = |last: &str| -> Url { format!("https://r.lan/?last={last}").parse().unwrap() };
        let mut pages = Pages::default();
        pages.visit(&page("a")).unwrap();
        pages.visit(&page("b")).unwrap();
        assert!(pages.visit(&page("a")).is_err());
    }

    #[test]
    fn empty_pages_end() {
        let page: Url = "https://r.lan/".parse().unwrap();
        let mut pages = Pages::default();
        for _ in 0..3 {
            for _ in 0..MOST_EMPTY {
                pages.count(&page, 0).unwrap();
            }
            pages.count(&page, 1).unwrap();
        }
        let mut counted = (0..=MOST_EMPTY).map(|_| pages.count(&page, 0));
        assert!(counted.any(|counted| counted.is_err()));
    }

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
