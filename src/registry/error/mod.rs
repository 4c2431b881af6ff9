//! Errors of the registry client, in kinds that callers treat differently.
//!
//! All modules of `registry` return these errors, so this module uses none of those that send
//! requests. `answer` parses a registry's error document; `hint` says what the operator can do;
//! `refusal` maps a refusal to its meaning for the request that it answers.

mod answer;
mod hint;
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

/// Shorthand for results of the registry client.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the registry client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The registry answers that the repository, manifest, blob or upload does not exist.
    #[error("Registry does not know `{url}` ({answer}{})", deleted_or_misspelled(.answer))]
    NotFound {
        /// The requested URL.
        url: RedactedUrl,
        /// The registry's answer.
        answer: Box<Answer>,
    },
    /// The registry, or its token service, does not accept our credentials or asks for some. If
    /// its token service accepted them, the repository may also be missing, or hidden from this
    /// account.
    #[error("{} ({answer})", login_refused(.url, *.credentials, *.token_service))]
    Unauthorized {
        /// The requested URL.
        url: RedactedUrl,
        /// The registry's answer.
        answer: Box<Answer>,
        /// True if there were credentials for it.
        credentials: bool,
        /// Where credentials were looked for, if known.
        search: Option<Box<CredentialSearch>>,
        /// True if the token service refused, not the registry.
        token_service: bool,
    },
    /// The registry knows this account and does not allow the request.
    #[error("Registry denies access to `{url}` ({answer})")]
    Denied {
        /// The requested URL.
        url: RedactedUrl,
        /// The registry's answer.
        answer: Box<Answer>,
    },
    /// The registry refuses a push to a repository although it knows this account.
    #[error("{} ({answer})", push_refused(.repository, .answer))]
    PushRefused {
        /// The repository.
        repository: String,
        /// The registry's answer.
        answer: Box<Answer>,
    },
    /// An upload was refused for a reason that concerns others too; the error is shared by all of
    /// them, and the registry was asked once.
    #[error(transparent)]
    RefusedBefore(Arc<Error>),
    /// The registry sends uploads to another host, which asks for credentials; they are not sent
    /// there.
    #[error(
        "Registry `{host}` redirects uploads to another host, `{location}`, which refuses them: credentials are not sent to other hosts ({answer})"
    )]
    UploadOnOtherHost {
        /// `host[:port]` of the registry.
        host: String,
        /// `scheme://host[:port]` of the Location.
        location: RedactedUrl,
        /// The answer of that host.
        answer: Box<Answer>,
    },
    /// The registry cannot answer now: too many requests, or a failure on its side.
    #[error("Registry cannot serve `{url}` now ({answer})")]
    Unavailable {
        /// The requested URL.
        url: RedactedUrl,
        /// The registry's answer.
        answer: Box<Answer>,
        /// The pause that the registry asked for (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// A web server that is not a registry answers with an error status.
    #[error("Server answers with status {status} for `{url}`")]
    Status {
        /// The requested URL.
        url: RedactedUrl,
        /// The HTTP status.
        status: u16,
        /// The pause that the server asked for (`Retry-After`).
        retry_after: Option<Duration>,
    },
    /// The registry refused the request for another reason.
    #[error("Registry refused the request for `{url}` ({answer})")]
    Refused {
        /// The requested URL.
        url: RedactedUrl,
        /// The registry's answer.
        answer: Box<Answer>,
    },
    /// The registry refused a manifest because it lacks content that the manifest refers to.
    #[error("Content that manifest `{reference}` refers to is missing on the registry ({answer})")]
    ContentUnknown {
        /// The manifest's reference.
        reference: String,
        /// Digests that the registry named; may be empty.
        digests: Vec<Digest>,
        /// The registry's answer.
        answer: Box<Answer>,
    },
    /// The registry refused a manifest as invalid.
    #[error("Registry rejects manifest `{reference}` ({answer})")]
    ManifestRejected {
        /// The manifest's reference.
        reference: String,
        /// The registry's answer.
        answer: Box<Answer>,
    },
    /// No connection, or it failed before an answer arrived.
    #[error("Cannot reach `{url}`")]
    Connect {
        /// The requested URL.
        url: RedactedUrl,
        /// The cause.
        source: reqwest::Error,
    },
    /// No connection through the proxy set in the environment.
    #[error("Cannot reach `{url}` through the proxy `{proxy}`")]
    Proxy {
        /// The requested URL.
        url: RedactedUrl,
        /// The proxy.
        proxy: RedactedUrl,
        /// The cause.
        source: reqwest::Error,
    },
    /// The proxy itself answers: it requires a login (407).
    #[error("Proxy `{proxy}` requires a login for `{url}`")]
    ProxyLogin {
        /// The requested URL.
        url: RedactedUrl,
        /// The proxy.
        proxy: RedactedUrl,
    },
    /// A registry that may be asked over plain HTTP answers neither over TLS nor over plain HTTP.
    #[error("Registry `{host}` answers neither over TLS ({tls}) nor over plain HTTP")]
    NeitherTlsNorHttp {
        /// `host[:port]`.
        host: String,
        /// The failure over TLS, with its causes.
        tls: String,
        /// The failure over plain HTTP; shared by all requests that waited for this probe.
        source: Arc<Error>,
    },
    /// A registry that does not speak TLS cannot be reached over plain HTTP. The error is shared
    /// by all requests that waited for this probe.
    #[error(transparent)]
    HttpUnreachable(Arc<Error>),
    /// The connection broke in the middle of an answer.
    #[error("Connection broke while reading `{url}`")]
    Interrupted {
        /// The requested URL.
        url: RedactedUrl,
        /// The cause.
        source: reqwest::Error,
    },
    /// An answer ended early without a transport error.
    #[error("Answer from `{url}` broke off after {got} of {expected} bytes")]
    Ended {
        /// The requested URL.
        url: RedactedUrl,
        /// Bytes received.
        got: u64,
        /// Bytes expected.
        expected: u64,
    },
    /// The server sent nothing for too long.
    #[error("No data from `{url}` for {} seconds", .after.as_secs())]
    TimedOut {
        /// The requested URL.
        url: RedactedUrl,
        /// The timeout.
        after: Duration,
    },
    /// A token expired in the middle of a transfer; the next attempt fetches a new one.
    #[error("Token for `{url}` expired during the transfer")]
    TokenExpired {
        /// The requested URL.
        url: RedactedUrl,
    },
    /// A partial answer begins at another offset than requested.
    #[error("Registry sent bytes from offset {got} of `{url}` instead of {wanted}")]
    WrongOffset {
        /// The requested URL.
        url: RedactedUrl,
        /// The requested offset.
        wanted: u64,
        /// The offset in the answer.
        got: u64,
    },
    /// TLS failed: no trusted certificate, wrong name, no common version.
    #[error("TLS connection to `{host}` failed")]
    Tls {
        /// `host[:port]`.
        host: String,
        /// The cause: a [`TlsProblem`](crate::registry::TlsProblem), or the TLS library's error.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The server ended the TLS handshake with an alert, usually because of the client's
    /// certificate or because there was none.
    #[error("Registry `{host}` refused the TLS connection")]
    TlsRefused {
        /// `host[:port]`.
        host: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// The server does not speak TLS.
    #[error("Registry `{host}` does not speak TLS")]
    NoTls {
        /// `host[:port]`.
        host: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// A registry names a token service to which credentials must not be sent.
    #[error(
        "Registry `{host}` names the token service `{realm}`: credentials are sent only to the registry's own host, or over verified TLS"
    )]
    UntrustedRealm {
        /// `host[:port]` of the registry.
        host: String,
        /// The token service.
        realm: RedactedUrl,
    },
    /// The server violates the protocol.
    #[error("Unexpected answer from `{url}`: {reason}")]
    Protocol {
        /// The requested URL.
        url: RedactedUrl,
        /// The violation, as a clause.
        reason: String,
    },
    /// An answer is longer than allowed.
    #[error("Answer from `{url}` is longer than {limit} bytes")]
    TooLong {
        /// The requested URL.
        url: RedactedUrl,
        /// The limit in bytes.
        limit: u64,
    },
    /// Content does not match its digest.
    #[error("Content of `{what}` has digest {actual}, expected {expected}")]
    DigestMismatch {
        /// Reference of the content.
        what: String,
        /// The expected digest.
        expected: Digest,
        /// The digest of the content.
        actual: Digest,
    },
    /// Content does not have the size in its descriptor.
    #[error("Content of `{what}` has {actual} bytes, expected {expected}")]
    SizeMismatch {
        /// Reference of the content.
        what: String,
        /// The expected size in bytes.
        expected: u64,
        /// The size in bytes, as far as it is known.
        actual: u64,
    },
    /// `registries.conf` forbids contacting the registry.
    #[error("Repository `{repository}` is blocked by `registries.conf`")]
    Blocked {
        /// The repository.
        repository: String,
    },
    /// A `location` in `registries.conf` does not result in a repository name.
    #[error(
        "`registries.conf` rewrites `{repository}` to `{location}`, which is not a valid repository name"
    )]
    Rewritten {
        /// The repository.
        repository: String,
        /// The name that results from the location.
        location: String,
    },
    /// Credentials could not be obtained.
    #[error("Cannot get credentials for `{host}`")]
    Credentials {
        /// `host[:port]` of the registry.
        host: String,
        /// The cause.
        source: CredentialsError,
    },
    /// Certificates or keys given by the caller cannot be used, or there are no trusted roots at
    /// all.
    #[error("Cannot set up TLS for `{host}`")]
    Certificates {
        /// `host[:port]` of the registry.
        host: String,
        /// The cause.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// The source of an upload could not be read.
    #[error("Cannot read `{what}` to upload it")]
    Source {
        /// Reference of the blob.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// The state of an upload session could not be stored or loaded.
    #[error("Cannot store or load the upload session of `{what}`")]
    Session {
        /// Reference of the blob.
        what: String,
        /// The cause.
        source: io::Error,
    },
}

/// Where credentials for a registry were looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialSearch {
    /// `host[:port]`.
    pub host: String,
    /// The files in the order in which they are read, with a note on those that are not used.
    pub files: Vec<String>,
}

impl CredentialSearch {
    fn hint(&self) -> String {
        let login = format!("`podman login {}`", self.host);
        if self.files.is_empty() {
            return format!("log in with {login}, or give an auth file with --authfile");
        }
        format!(
            "log in with {login}, or give an auth file with --authfile; searched: {}",
            self.files.join(", ")
        )
    }
}

impl Error {
    /// True if a retry may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. }
                | Self::Connect { .. }
                | Self::Proxy { .. }
                | Self::NeitherTlsNorHttp { .. }
                | Self::HttpUnreachable(_)
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

    /// True if an established connection ended before the answer did.
    pub(super) fn is_broken_off(&self) -> bool {
        match self {
            Self::Interrupted { .. } | Self::Ended { .. } => true,
            Self::Connect { .. } => self.unconnected().is_none(),
            _ => false,
        }
    }

    /// True if the registry answers that it gets too many requests.
    pub(super) fn is_too_many(&self) -> bool {
        matches!(self, Self::Unavailable { answer, .. } if answer.is_too_many())
    }

    /// True if the network, TLS or a failure that may pass is the reason, and not a decision of
    /// the registry.
    pub fn is_network(&self) -> bool {
        self.is_transient()
            || matches!(
                self,
                Self::Tls { .. }
                    | Self::TlsRefused { .. }
                    | Self::NoTls { .. }
                    | Self::ProxyLogin { .. }
            )
    }

    /// True if the registry answers that the object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Returns the `host[:port]` to which no connection could be made: its name does not resolve,
    /// it refuses, or it does not answer.
    pub(super) fn unconnected(&self) -> Option<&str> {
        match self {
            Self::Connect { url, source } | Self::Proxy { url, source, .. }
                if source.is_connect() =>
            {
                url.authority()
            }
            Self::NeitherTlsNorHttp { host, .. } => Some(host),
            Self::HttpUnreachable(source) => match &**source {
                Self::TimedOut { url, .. } => url.authority(),
                other => other.unconnected(),
            },
            _ => None,
        }
    }

    /// Returns the message in one line. If the host cannot be reached, it names the host and not
    /// the requested URL, so that it is the same for every request to this host.
    pub fn reason(&self) -> String {
        let host = |url: &RedactedUrl| url.of_host();
        match self {
            Self::Connect { url, source } if self.unconnected().is_some() => {
                format!("Cannot reach `{}`: {}", host(url), chain(source))
            }
            Self::Proxy { url, proxy, source } if self.unconnected().is_some() => format!(
                "Cannot reach `{}` through the proxy `{proxy}`: {}",
                host(url),
                chain(source)
            ),
            other => chain(other),
        }
    }

    /// Returns the registry's answer, if the registry refused the request.
    pub fn answer(&self) -> Option<&Answer> {
        match self {
            Self::NotFound { answer, .. }
            | Self::Unauthorized { answer, .. }
            | Self::Denied { answer, .. }
            | Self::PushRefused { answer, .. }
            | Self::UploadOnOtherHost { answer, .. }
            | Self::Unavailable { answer, .. }
            | Self::Refused { answer, .. }
            | Self::ContentUnknown { answer, .. }
            | Self::ManifestRejected { answer, .. } => Some(answer),
            Self::RefusedBefore(error) => error.answer(),
            _ => None,
        }
    }

    /// Returns the pause that the server asked for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } | Self::Status { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// Makes the error for a response without success. The code in the body takes precedence over
    /// the status, because registries are inconsistent in their statuses.
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
                search: None,
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
                search: None,
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

/// True if the answer explains why a push was refused, for example by a quota. Otherwise this
/// account probably may not write there.
fn is_explained(answer: &Answer) -> bool {
    matches!(answer.status, 400 | 403) && answer.code.is_some() && answer.message.is_some()
}

/// A suggestion for what is named by people; a blob or an upload is not.
fn deleted_or_misspelled(answer: &Answer) -> &'static str {
    match answer.code.as_deref() {
        Some("BLOB_UNKNOWN" | "BLOB_UPLOAD_UNKNOWN") => "",
        _ => "; deleted or misspelled?",
    }
}

fn login_refused(url: &RedactedUrl, credentials: bool, token_service: bool) -> String {
    let server = match token_service {
        true => "Token service",
        false => "Registry",
    };
    match credentials {
        true => format!("{server} rejects the credentials for `{url}`"),
        false => format!("{server} requires a login for `{url}`, and no credentials were found"),
    }
}

fn push_refused(repository: &str, answer: &Answer) -> String {
    if is_explained(answer) {
        format!("Registry refuses a push to `{repository}`")
    } else {
        format!("This account may not push to `{repository}`, or the repository does not exist")
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
    fn a_refused_login_names_who_refused_it() {
        for (credentials, token_service, expected) in [
            (true, false, "Registry rejects the credentials for `"),
            (true, true, "Token service rejects the credentials for `"),
            (false, false, "Registry requires a login for `"),
            (false, true, "Token service requires a login for `"),
        ] {
            let url: url::Url = "https://r.example/token".parse().unwrap();
            let error = Error::Unauthorized {
                url: (&url).into(),
                answer: Answer::new(401, b""),
                credentials,
                search: None,
                token_service,
            };
            assert!(error.to_string().starts_with(expected), "{error}");
        }
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
