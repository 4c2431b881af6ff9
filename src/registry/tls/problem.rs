//! Reasons for refusing a server's certificate, as messages.

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::certificate::{Facts, day};
use crate::registry::redact::one_line;

/// A reason for refusing a server's certificate, as a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// It has expired.
    #[error("its certificate expired on {not_after}; the clock of this machine says {now}")]
    Expired {
        /// The last moment at which it was valid, as text.
        not_after: String,
        /// This machine's time, as text.
        now: String,
    },
    /// It is not valid yet.
    #[error(
        "its certificate is not valid before {not_before}; the clock of this machine says {now}"
    )]
    NotYetValid {
        /// The first moment at which it is valid, as text.
        not_before: String,
        /// This machine's time, as text.
        now: String,
    },
    /// The certificate of a CA in its chain is not valid at this time.
    #[error(
        "the certificate of a CA in its chain is not valid on {now}, by the clock of this machine"
    )]
    AuthorityOutOfDate {
        /// This machine's time, as text.
        now: String,
    },
    /// It does not cover the requested name.
    #[error("its certificate is not for `{name}`, but for {names}")]
    WrongName {
        /// The requested name.
        name: String,
        /// The hosts that it covers, as text.
        names: String,
    },
    /// It covers no name at all.
    #[error("its certificate names no host (no subjectAltName; a Common Name does not count)")]
    NoNames,
    /// It has version 1 of X.509.
    #[error("its certificate has version 1 of X.509, which cannot name hosts")]
    Version1,
    /// It is self-signed and not among the trusted certificates.
    #[error("its certificate is self-signed (`{issuer}`) and is not trusted here")]
    SelfSigned {
        /// The subject, which is also the issuer.
        issuer: String,
        /// Number of certificates that the operator gave for this host.
        given: usize,
    },
    /// No trusted CA has signed it.
    #[error("its certificate was issued by `{issuer}`, which is not trusted here")]
    UnknownIssuer {
        /// The issuer.
        issuer: String,
        /// Number of certificates that the operator gave for this host.
        given: usize,
    },
    /// The operator gave its issuer's certificate, but that must not sign others.
    #[error("its certificate was issued by `{issuer}`, whose certificate given here {reason}")]
    UnfitAuthority {
        /// The issuer.
        issuer: String,
        /// The reason why the issuer's certificate must not sign, as a predicate.
        reason: String,
    },
    /// There are no trusted certificates to check it with.
    #[error(
        "its certificate was issued by `{issuer}`, and this system has no CA certificates \
         to check it with"
    )]
    NoAuthorities {
        /// The issuer.
        issuer: String,
    },
    /// Its extended key usage excludes servers; it is for clients, e-mail or code, for example.
    #[error("its certificate is not for servers (extended key usage)")]
    Purpose,
    /// Any other reason.
    #[error("its certificate is not accepted: {reason}")]
    Other {
        /// The TLS library's message.
        reason: String,
    },
}

impl TlsProblem {
    /// `given`: number of certificates that the operator gave for this host.
    pub(super) fn new(
        reason: CertificateError,
        facts: Option<Facts>,
        name: &str,
        now: UnixTime,
        given: usize,
    ) -> Self {
        use CertificateError as E;

        let Some(facts) = facts else {
            return Self::other(&reason);
        };
        let seconds = now.as_secs();
        match reason {
            _ if facts.version == 1 => Self::Version1,
            E::Expired | E::ExpiredContext { .. } if seconds > facts.not_after => Self::Expired {
                not_after: day(facts.not_after),
                now: day(seconds),
            },
            E::NotValidYet | E::NotValidYetContext { .. } if seconds < facts.not_before => {
                Self::NotYetValid {
                    not_before: day(facts.not_before),
                    now: day(seconds),
                }
            }
            E::Expired
            | E::ExpiredContext { .. }
            | E::NotValidYet
            | E::NotValidYetContext { .. } => Self::AuthorityOutOfDate { now: day(seconds) },
            E::NotValidForName | E::NotValidForNameContext { .. } if facts.names.is_empty() => {
                Self::NoNames
            }
            E::NotValidForName | E::NotValidForNameContext { .. } => Self::WrongName {
                name: one_line(name, 100),
                names: quoted(&facts.names),
            },
            // The verifier refuses a CA certificate as a server's before it looks for the issuer.
            _ if facts.is_self_issued && !is_about_purpose(&reason) => Self::SelfSigned {
                issuer: facts.issuer,
                given,
            },
            E::UnknownIssuer => Self::UnknownIssuer {
                issuer: facts.issuer,
                given,
            },
            ref reason if is_about_purpose(reason) => Self::Purpose,
            ref reason => Self::other(reason),
        }
    }

    fn other(reason: &CertificateError) -> Self {
        Self::Other {
            reason: one_line(&reason.to_string(), 200),
        }
    }

    /// Returns what the operator can do about it.
    pub(in crate::registry) fn hint(&self, host: &str) -> String {
        match self {
            Self::Expired { .. } => {
                "have the registry's certificate renewed; if the clock of this machine is wrong, \
                 set it"
                    .to_owned()
            }
            Self::NotYetValid { .. } => {
                "check this machine's clock: it is behind, unless the certificate was made on a \
                 machine whose clock is ahead"
                    .to_owned()
            }
            Self::AuthorityOutOfDate { .. } => {
                "check this machine's clock, and the dates of the registry's CA certificates"
                    .to_owned()
            }
            Self::WrongName { .. } => {
                "use one of these names for the registry, or give it a certificate that names it"
                    .to_owned()
            }
            Self::NoNames | Self::Version1 => format!(
                "give the registry a certificate with the host in subjectAltName (openssl: \
                 -addext subjectAltName=DNS:{})",
                name_of(host)
            ),
            Self::SelfSigned { given: 0, .. } | Self::UnknownIssuer { given: 0, .. } => format!(
                "put the registry's CA certificate, or its own, as *.crt into the directory of \
                 --cert-dir or into ~/.config/containers/certs.d/{host}/; or use \
                 --tls-verify=false, which accepts any server that answers"
            ),
            Self::SelfSigned { given, .. } => format!(
                "none of the {given} certificates given for it (--cert-dir, certs.d) is this one: \
                 the registry has another certificate now"
            ),
            Self::UnknownIssuer { given, .. } => format!(
                "none of the {given} certificates given for it (--cert-dir, certs.d) is this \
                 issuer's or the registry's own: get that certificate, or configure the registry \
                 to send its intermediate certificates"
            ),
            Self::UnfitAuthority { .. } => "give the certificate of the CA that signs for the \
                 registry now (--cert-dir, certs.d), or the registry's own"
                .to_owned(),
            Self::NoAuthorities { .. } => format!(
                "install the system's CA certificates (the package is usually called \
                 ca-certificates), or put the registry's CA certificate, or its own, as *.crt into \
                 the directory of --cert-dir or into ~/.config/containers/certs.d/{host}/"
            ),
            Self::Purpose => {
                "give the registry a certificate for servers (extendedKeyUsage serverAuth)"
                    .to_owned()
            }
            Self::Other { .. } => "look at the registry's certificate: \
                 `openssl s_client -connect HOST:PORT`"
                .to_owned(),
        }
    }
}

fn is_about_purpose(reason: &CertificateError) -> bool {
    matches!(
        reason,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. }
    )
}

/// Returns a host without its port.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
