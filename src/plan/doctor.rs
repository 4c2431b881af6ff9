//! Judges what `airferry doctor` found: the line for people about each fact, and what to do.

use serde::Serialize;

use crate::model::Fact;

/// Judgement of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It works.
    Ok,
    /// It does not work.
    Not,
    /// It could not be found out.
    Unknown,
}

impl Verdict {
    /// Returns the verdict of a fact.
    pub fn of(known: Option<bool>) -> Self {
        match known {
            Some(true) => Self::Ok,
            Some(false) => Self::Not,
            None => Self::Unknown,
        }
    }
}

/// Returns what a fact is called in reports.
pub const fn title(fact: Fact) -> &'static str {
    match fact {
        Fact::Push => "push",
        Fact::Mount => "mount between repositories",
        Fact::UploadWhole => "upload of 32 MiB in one request",
        Fact::UploadPieces => "upload in pieces",
        Fact::OciManifest => "OCI manifests",
        Fact::DockerManifest => "Docker manifests (schema 2)",
        Fact::OciIndex => "OCI indexes",
        Fact::DockerList => "Docker manifest lists",
        Fact::SparseIndex => "sparse indexes",
        Fact::Artifact => "artifacts (config of another type)",
        Fact::Subject => "manifests with a subject",
        Fact::ReferrersApi => "referrers API",
        Fact::TagsMove => "tags can move",
        Fact::KeepsUntagged => "untagged manifests are kept",
    }
}

/// Returns what to do if a registry lacks something; `None` if there is nothing to do.
pub const fn advice(fact: Fact) -> Option<&'static str> {
    match fact {
        Fact::Push => Some("give this account the right to push, or log in with another one"),
        Fact::Mount => Some(
            "nothing: blobs that several repositories share are sent to each; let the account \
             read all repositories below --to if bundles with a base are imported",
        ),
        Fact::UploadWhole => {
            Some("nothing: airferry sends smaller pieces; a proxy may limit the body of a request")
        }
        Fact::UploadPieces => Some("nothing: airferry sends each blob in one request"),
        Fact::OciManifest | Fact::DockerManifest | Fact::OciIndex | Fact::DockerList => Some(
            "allow this type in the registry's configuration, or export only images of other types",
        ),
        Fact::SparseIndex => Some(
            "export all platforms, or one platform and import it with \
             `--sparse-index=platform-manifest`",
        ),
        Fact::Artifact => Some(
            "leave out artifacts such as charts, or allow them in the registry's configuration",
        ),
        Fact::Subject => {
            Some("import with `--attachments=best-effort`: signatures by referrer are left behind")
        }
        Fact::ReferrersApi => {
            Some("nothing: airferry writes the fallback tags of the specification")
        }
        Fact::TagsMove => Some("allow tags to move, or import with `--existing-tags=skip`"),
        Fact::KeepsUntagged => Some(
            "give what must stay a tag of its own: when a tag moves, the old image is forgotten",
        ),
    }
}

/// True if an import cannot work without it.
pub const fn is_needed(fact: Fact) -> bool {
    matches!(fact, Fact::Push)
}

/// Judges the difference between this machine's clock and a server's, in seconds. Tokens and
/// certificates tolerate some minutes.
pub const fn clock_is_right(difference: i64) -> bool {
    difference.unsigned_abs() <= 300
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lack_has_advice() {
        for fact in Fact::ALL {
            assert!(!title(fact).is_empty());
            assert!(advice(fact).is_some_and(|text| text.is_ascii()), "{fact:?}");
        }
        assert!(clock_is_right(-300) && !clock_is_right(301));
        assert!(!clock_is_right(i64::MIN));
    }
}
