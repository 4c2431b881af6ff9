//! The grammar of locations in IDMS and ITMS (docs/oc-compatibility.md, section 6.1).

use crate::model::Host;

/// True if a mirror policy can name the registry: labels of letters, digits and inner hyphens
/// joined by dots, with an optional port. Bracketed IPv6 addresses and underscores are not allowed.
///
/// Paths need no such test: their grammar is the one of repositories.
pub(super) fn can_name(host: &Host) -> bool {
    fits(host.as_str())
}

fn fits(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    name.split('.').all(label) && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_pattern_of_the_crds() {
        for good in [
            "quay.io",
            "Quay.IO:443",
            "localhost",
            "10.0.0.1:5000",
            "a-b.c",
        ] {
            assert!(fits(good), "{good}");
        }
        for bad in [
            "[::1]",
            "[::1]:5000",
            "my_host",
            "a..b",
            "-a",
            "a-.b",
            "a:",
            "a:b",
            "",
        ] {
            assert!(!fits(bad), "{bad}");
        }
    }
}
