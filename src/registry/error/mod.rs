//! What can go wrong with a registry, in kinds that callers treat differently.
//!
//! Every room returns these errors, so this one knows none of those that send requests. It reads
//! what a registry says when it refuses (`answer`), and what a refusal means depends on what was
//! asked (`refusal`).

mod answer;
mod refusal;

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

pub use self::answer::Answer;
pub(super) use crate::error::chain;
use crate::model::Digest;
use crate::registry::credentials::CredentialsError;
use crate::registry::redact::RedactedUrl;
use crate::registry::tls::TlsProblem;

/// Shorthand for results of the registry client.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry says that there is no such repository, manifest, blob or upload.
    #[error("Registry has nothing at `{url}` ({answer})")]
    NotFound {
        /// What was asked for.
        url: RedactedUrl,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// The registry, or its token service, does not accept who we are. With credentials that its
    /// token service took, it may as well be that there is nothing, or not for this account.
    #[error("Registry {} `{url}` ({answer})", if *.credentials { "does not accept the credentials that are known for it, at" } else { "asks for credentials, and none are known for it, at" })]
    Unauthorized {
        /// What was asked for.
        url: RedactedUrl,
        /// What the registry said.
        answer: Box<Answer>,
        /// Whether there were credentials for it.
        credentials: bool,
        /// Where credentials were looked for, as far as that is known.
        sought: Option<Box<Sought>>,
        /// Whether it is the token service that refused.
        token_service: bool,
    },
    /// The registry knows who we are and does not allow this.
    #[error("Registry denies access to `{url}` ({answer})")]
    Denied {
        /// What was asked for.
        url: RedactedUrl,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// The registry does not let us write into a repository, with credentials that it knows.
    #[error("{} ({answer})", push_refused(.repository, .answer))]
    PushRefused {
        /// The repository.
        repository: String,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// The registry sends uploads to another host, which wants credentials that are not for it.
    #[error(
        "Registry `{host}` sends uploads to another name, `{location}`, where no credentials are sent, and which refuses them without ({answer})"
    )]
    SentElsewhere {
        /// `host[:port]` of the registry.
        host: String,
        /// `scheme://host[:port]` of the Location.
        location: RedactedUrl,
        /// What was said there.
        answer: Box<Answer>,
    },
    /// The registry cannot answer now: too many requests, or a failure on its side.
    #[error("Registry cannot serve `{url}` now ({answer})")]
    Unavailable {
        /// What was asked for.
        url: RedactedUrl,
        /// What the registry said.
        answer: Box<Answer>,
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// A server that is no registry answers with a status that is no success.
    #[error("Server answers with status {status} for `{url}`")]
    Status {
        /// What was asked for.
        url: RedactedUrl,
        /// The status.
        status: u16,
        /// The pause that it asked for.
        retry_after: Option<Duration>,
    },
    /// The registry refused the request for another reason.
    #[error("Registry refused the request for `{url}` ({answer})")]
    Refused {
        /// What was asked for.
        url: RedactedUrl,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// A manifest was refused because the target lacks what it refers to.
    #[error("Registry lacks content that manifest `{reference}` refers to ({answer})")]
    ContentUnknown {
        /// The manifest's reference.
        reference: String,
        /// Digests that the registry named; may be empty.
        digests: Vec<Digest>,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// A manifest was refused as such.
    #[error("Registry rejects manifest `{reference}` ({answer})")]
    ManifestRejected {
        /// The manifest's reference.
        reference: String,
        /// What the registry said.
        answer: Box<Answer>,
    },
    /// No connection, or it failed before an answer came.
    #[error("Cannot reach `{url}`")]
    Connect {
        /// What was asked for.
        url: RedactedUrl,
        /// Why.
        source: reqwest::Error,
    },
    /// No connection through the proxy that the environment names.
    #[error("Cannot reach `{url}` through the proxy `{proxy}`")]
    Proxy {
        /// What was asked for.
        url: RedactedUrl,
        /// The proxy.
        proxy: RedactedUrl,
        /// Why.
        source: reqwest::Error,
    },
    /// A registry that may be spoken to in plain HTTP answers neither so nor over TLS.
    #[error("Registry `{host}` answers neither over TLS ({tls}) nor over plain HTTP")]
    NoAnswer {
        /// `host[:port]`.
        host: String,
        /// What went wrong with TLS, with its causes.
        tls: String,
        /// What went wrong with plain HTTP; it is the same for all who asked at the time.
        source: Arc<Error>,
    },
    /// A registry that does not speak TLS cannot be reached; it is the same for all who asked at
    /// the time.
    #[error(transparent)]
    NoPlainAnswer(Arc<Error>),
    /// The connection broke in the middle of an answer.
    #[error("Connection broke while reading `{url}`")]
    Interrupted {
        /// What was asked for.
        url: RedactedUrl,
        /// Why.
        source: reqwest::Error,
    },
    /// An answer ended early without an error.
    #[error("Answer from `{url}` ended after {got} of {expected} bytes")]
    Ended {
        /// What was asked for.
        url: RedactedUrl,
        /// Bytes that came.
        got: u64,
        /// Bytes that should have come.
        expected: u64,
    },
    /// Nothing came for too long.
    #[error("Nothing came from `{url}` for {} seconds", .after.as_secs())]
    TimedOut {
        /// What was asked for.
        url: RedactedUrl,
        /// How long we waited.
        after: Duration,
    },
    /// A token stopped being valid in the middle of a transfer; the next attempt has a new one.
    #[error("Token for `{url}` expired during the transfer")]
    TokenExpired {
        /// What was asked for.
        url: RedactedUrl,
    },
    /// A partial answer is not the part that was asked for.
    #[error("Registry sent bytes from offset {got} of `{url}` instead of {wanted}")]
    WrongOffset {
        /// What was asked for.
        url: RedactedUrl,
        /// Offset that was asked for.
        wanted: u64,
        /// Offset that the answer names.
        got: u64,
    },
    /// TLS failed: no trusted certificate, wrong name, no common version.
    #[error("TLS connection to `{host}` failed")]
    Tls {
        /// `host[:port]`.
        host: String,
        /// Why: a [`TlsProblem`], or what the TLS library said.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server broke off TLS: mostly because of the client's certificate, or its lack.
    #[error("Registry `{host}` refused the TLS connection")]
    TlsRefused {
        /// `host[:port]`.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server does not speak TLS.
    #[error("Registry `{host}` does not speak TLS")]
    NoTls {
        /// `host[:port]`.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A registry names a token service to which credentials may not go.
    #[error(
        "Registry `{host}` wants credentials sent to `{realm}`, which is neither its own host nor named over verified TLS"
    )]
    UntrustedRealm {
        /// `host[:port]` of the registry.
        host: String,
        /// The token service.
        realm: RedactedUrl,
    },
    /// The server does something that the protocol does not allow.
    #[error("Unexpected answer from `{url}`: {reason}")]
    Protocol {
        /// What was asked for.
        url: RedactedUrl,
        /// What is wrong with it, in a clause.
        reason: String,
    },
    /// An answer is longer than allowed.
    #[error("Answer from `{url}` is longer than {limit} bytes")]
    TooLong {
        /// What was asked for.
        url: RedactedUrl,
        /// The cap in bytes.
        limit: u64,
    },
    /// Content does not have the digest that names it.
    #[error("Content of `{what}` has digest {actual}, not {expected}")]
    DigestMismatch {
        /// Reference of the content.
        what: String,
        /// Digest that it should have.
        expected: Digest,
        /// Digest that it has.
        actual: Digest,
    },
    /// Content does not have the size that its descriptor says.
    #[error("Content of `{what}` has {actual} bytes, not {expected}")]
    SizeMismatch {
        /// Reference of the content.
        what: String,
        /// Size in bytes that it should have.
        expected: u64,
        /// Size in bytes that it has, as far as known.
        actual: u64,
    },
    /// `registries.conf` forbids contacting the registry.
    #[error("Repository `{repository}` is blocked by `registries.conf`")]
    Blocked {
        /// The repository.
        repository: String,
    },
    /// A location in `registries.conf` makes no name of the repository.
    #[error("`registries.conf` sends `{repository}` to `{location}`, which is no repository")]
    Rewritten {
        /// The repository.
        repository: String,
        /// What the location makes of it.
        location: String,
    },
    /// Credentials could not be had.
    #[error("Cannot get credentials for `{host}`")]
    Credentials {
        /// `host[:port]` of the registry.
        host: String,
        /// Why.
        source: CredentialsError,
    },
    /// Certificates or keys that the caller gave cannot be used, or there are no roots at all.
    #[error("Cannot set up TLS for `{host}`")]
    Certificates {
        /// `host[:port]` of the registry.
        host: String,
        /// Why.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The source of an upload could not be read.
    #[error("Cannot read `{what}` to upload it")]
    Source {
        /// Reference of the blob.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// An upload's session could not be kept or looked up.
    #[error("Cannot keep the upload session of `{what}`")]
    Session {
        /// Reference of the blob.
        what: String,
        /// Why.
        source: io::Error,
    },
}

/// Where credentials for a registry were looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// `host[:port]`.
    pub host: String,
    /// The files, in the order in which they are looked at, with a note on those that do not
    /// count.
    pub files: Vec<String>,
}

impl Sought {
    fn hint(&self) -> String {
        let login = format!("`podman login {}`", self.host);
        if self.files.is_empty() {
            return format!("log in with {login}, or give an auth file with --authfile");
        }
        format!(
            "log in with {login}, or give an auth file with --authfile; these were looked at: {}",
            self.files.join(", ")
        )
    }
}

impl Error {
    /// Whether trying again may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Connect { .. }
                | Self::Proxy { .. }
                | Self::NoAnswer { .. }
                | Self::NoPlainAnswer(_)
                | Self::Interrupted { .. }
                | Self::Ended { .. }
                | Self::TimedOut { .. }
                | Self::TokenExpired { .. }
                | Self::WrongOffset { .. }
                | Self::Status {
                    status: 408 | 425 | 429 | 500..,
                    ..
                }
        )
    }

    /// Whether a connection that was there ended before the answer did.
    pub(super) fn is_broken_off(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::Ended { .. } => true,
            Self::Connect { .. } => self.unconnected().is_none(),
            _ => false,
        }
    }

    /// Whether a registry says that it gets too many requests.
    pub(super) fn is_too_many(&self) -> bool {
        matches!(self, Self::Unavailable { answer, .. } if answer.status == 429)
    }

    /// Whether the network, and not a registry's decision, is the reason.
    pub fn is_network(&self) -> bool {
        self.is_transient()
            || matches!(
                self,
                Self::Tls { .. } | Self::TlsRefused { .. } | Self::NoTls { .. }
            )
    }

    /// Whether the registry says that the thing does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// `host[:port]` to which no connection came about: it does not resolve, refuses, or says
    /// nothing.
    pub(super) fn unconnected(&self) -> Option<&str> {
        match self {
            Self::Connect { url, source } | Self::Proxy { url, source, .. }
                if source.is_connect() =>
            {
                url.authority()
            }
            Self::NoAnswer { host, .. } => Some(host),
            Self::NoPlainAnswer(source) => match &**source {
                Self::TimedOut { url, .. } => url.authority(),
                other => other.unconnected(),
            },
            _ => None,
        }
    }

    /// What the registry said, where it is the registry that refused.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::NotFound { answer, .. }
            | Self::Unauthorized { answer, .. }
            | Self::Denied { answer, .. }
            | Self::PushRefused { answer, .. }
            | Self::SentElsewhere { answer, .. }
            | Self::Unavailable { answer, .. }
            | Self::Refused { answer, .. }
            | Self::ContentUnknown { answer, .. }
            | Self::ManifestRejected { answer, .. } => Some(answer),
            _ => None,
        }
    }

    /// What a person can do about it, where that is clear from here.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Tls { host, source } => match source.downcast_ref::<TlsProblem>() {
                Some(problem) => return Some(problem.hint(host)),
                None => "look at what the registry offers: `openssl s_client -connect HOST:PORT`",
            },
            Self::Unauthorized {
                sought: Some(sought),
                ..
            } => return Some(sought.hint()),
            Self::Connect { .. } | Self::TimedOut { .. } => {
                "check host and port, that the registry runs, and the network between"
            }
            Self::Proxy { .. } => {
                "check that the proxy runs, and the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
            }
            Self::NoAnswer { source, .. } | Self::NoPlainAnswer(source) => return source.hint(),
            Self::TlsRefused { .. } => {
                "it may want a certificate of the client that it knows: put it (*.cert) with its \
                 key (*.key) into the directory of --cert-dir"
            }
            Self::NoTls { .. } => "use --tls-verify=false if plain HTTP is intended",
            Self::Unauthorized { .. } | Self::Denied { .. } => {
                "log in with `podman login` or give an auth file with --authfile"
            }
            Self::PushRefused { answer, .. } | Self::Refused { answer, .. }
                if answer.is("NAME_INVALID") =>
            {
                "the registry does not take such a name; `--max-components 2` makes names without \
                 nested repositories"
            }
            Self::PushRefused { answer, .. } if is_explained(answer) => return None,
            Self::PushRefused { .. } => {
                "check that the project or organisation exists there, and that this account may \
                 write to it"
            }
            Self::SentElsewhere { .. } => {
                "give --to the name that the registry has for itself, or set that right in its \
                 configuration (Quay: SERVER_HOSTNAME)"
            }
            Self::Refused { answer, .. } if answer.status == 405 => {
                "the registry may be read-only now, for maintenance or a garbage collection"
            }
            Self::Unavailable { answer, .. } if answer.status >= 500 => {
                "the registry fails on its own side: look at its log and its free space"
            }
            Self::UntrustedRealm { .. } => {
                "verify TLS (--cert-dir with the CA certificate) so that the registry may name \
                 its token service"
            }
            Self::Rewritten { .. } => "correct the `location` in registries.conf",
            Self::Credentials { .. } => {
                "correct the entry or the helper, or log in again: `podman login` replaces an entry"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }

    /// The pause that the registry asked for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Status { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// The error for a response that is no success. The code in the body decides before the
    /// status does: registries answer with all kinds of statuses.
    pub(crate) fn refused(
        url: RedactedUrl,
        answer: Box<Answer>,
        retry_after: Option<Duration>,
    ) -> Self {
        match (answer.code.as_deref().unwrap_or(""), answer.status) {
            ("TOOMANYREQUESTS", _) => Self::Unavailable {
                url,
                answer,
                retry_after,
            },
            ("UNAUTHORIZED", _) => Self::Unauthorized {
                url,
                answer,
                credentials: true,
                sought: None,
                token_service: false,
            },
            ("DENIED", _) => Self::Denied { url, answer },
            ("MANIFEST_UNKNOWN" | "NAME_UNKNOWN" | "BLOB_UNKNOWN" | "BLOB_UPLOAD_UNKNOWN", _) => {
                Self::NotFound { url, answer }
            }
            (
                "NAME_INVALID"
                | "TAG_INVALID"
                | "MANIFEST_INVALID"
                | "MANIFEST_UNVERIFIED"
                | "MANIFEST_BLOB_UNKNOWN"
                | "DIGEST_INVALID"
                | "SIZE_INVALID"
                | "BLOB_UPLOAD_INVALID"
                | "RANGE_INVALID"
                | "UNSUPPORTED",
                _,
            ) => Self::Refused { url, answer },
            (_, 401) => Self::Unauthorized {
                url,
                answer,
                credentials: true,
                sought: None,
                token_service: false,
            },
            (_, 403) => Self::Denied { url, answer },
            (_, 404) => Self::NotFound { url, answer },
            (_, 408 | 425 | 429 | 500..) => Self::Unavailable {
                url,
                answer,
                retry_after,
            },
            _ => Self::Refused { url, answer },
        }
    }
}

/// Whether a refusal to write is of another kind than "this account may not": a quota, for
/// example, and says so.
fn is_explained(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 403) && answer.message.is_some()
}

fn push_refused(repository: &str, answer: &Answer) -> String {
    if is_explained(answer) {
        format!("Registry refuses a push to `{repository}`")
    } else {
        format!("This account may not push to `{repository}`, or that is not there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16, body: &str) -> Error {
        let url: url::Url = "https://r.example/v2/a/manifests/t".parse().unwrap();
        Error::refused((&url).into(), Answer::new(status, body.as_bytes()), None)
    }

    #[test]
    fn the_code_in_the_body_decides_before_the_status() {
        let body = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"m"}}]}}"#);
        assert!(refused(500, &body("MANIFEST_UNKNOWN")).is_not_found());
        assert!(refused(400, &body("TOOMANYREQUESTS")).is_transient());
        assert!(!refused(500, &body("MANIFEST_INVALID")).is_transient());
        assert!(matches!(
            refused(404, &body("DENIED")),
            Error::Denied { .. }
        ));
        assert!(matches!(
            refused(403, &body("UNAUTHORIZED")),
            Error::Unauthorized { .. }
        ));
        assert!(refused(404, "404 page not found").is_not_found());
        assert!(refused(502, "<html>").is_transient());
        assert!(!refused(413, "").is_transient());
    }

    #[test]
    fn answers_are_shown_on_one_harmless_line() {
        let long = "x".repeat(500);
        let body = format!(
            r#"{{"errors":[{{"code":"denied","message":"a\nb\u001b[31m {long}","detail":"x"}}]}}"#
        );
        let text = refused(403, &body).to_string();
        assert!(text.contains("403 DENIED: a b?[31m xxx"), "{text}");
        assert!(text.len() < 400, "{text}");
    }
}
