//! Rules of `registries.conf` for the repositories below a prefix.

/// The reads for which a mirror is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PullFrom {
    #[default]
    All,
    DigestOnly,
    TagOnly,
}

/// Where repositories below a prefix are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rule {
    /// `host[:port][/path]`, or `*.host`.
    pub(super) prefix: String,
    /// Replacement for the prefix at the source; `None` keeps the name.
    pub(super) location: Option<String>,
    pub(super) insecure: bool,
    /// True if the source must not be asked at all; `blocked_by_digest`: only not by digest.
    pub(super) blocked: bool,
    pub(super) blocked_by_digest: bool,
    pub(super) mirrors: Vec<MirrorRule>,
}

/// One mirror of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MirrorRule {
    pub(super) location: String,
    pub(super) insecure: bool,
    pub(super) pull_from: PullFrom,
}

impl Rule {
    /// Returns the part of `name` after the prefix, if the rule applies to it.
    pub(super) fn rest<'n>(&self, name: &'n str) -> Option<&'n str> {
        if let Some(domain) = self.prefix.strip_prefix('*') {
            // The location of such a rule replaces the whole host.
            let end = name.find('/')?;
            let (host, rest) = name.split_at_checked(end)?;
            let host_matches = host.ends_with(domain) && host.len() > domain.len();
            return host_matches.then_some(rest);
        }
        let rest = name.strip_prefix(self.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}
