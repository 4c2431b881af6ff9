//! Why a server's certificate is not accepted, in words for people.

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use super::certificate::{Facts, day};
use crate::registry::redact::one_line;

/// What is wrong with the certificate that a server shows, in a clause.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsProblem {
    /// Its time is over.
    #[error("its certificate expired on {not_after}; the clock of this machine says {now}")]
    Expired {
        /// The last moment at which it was valid, to be shown.
        not_after: String,
        /// This machine's time, to be shown.
        now: String,
    },
    /// Its time has not come.
    #[error(
        "its certificate is not valid before {not_before}; the clock of this machine says {now}"
    )]
    NotYetValid {
        /// The first moment at which it is valid, to be shown.
        not_before: String,
        /// This machine's time, to be shown.
        now: String,
    },
    /// The certificate of an authority above it is not valid at this time.
    #[error(
        "the certificate of an authority above its own is not valid on {now}, by the clock of this machine"
    )]
    AuthorityOutOfDate {
        /// This machine's time, to be shown.
        now: String,
    },
    /// It is for other hosts.
    #[error("its certificate is not for `{name}`, but for {names}")]
    WrongName {
        /// Whom we wanted to speak to.
        name: String,
        /// The hosts that it names, to be shown.
        names: String,
    },
    /// It is for no host at all.
    #[error("its certificate names no host (no subjectAltName; a Common Name does not count)")]
    NoNames,
    /// It has the old format.
    #[error("its certificate has version 1 of X.509, which cannot name hosts")]
    Version1,
    /// It signed itself, and nobody said that it may be trusted.
    #[error("its certificate is self-signed (`{issuer}`) and is not trusted here")]
    SelfSigned {
        /// Its subject and issuer.
        issuer: String,
        /// Certificates that the person gave for this host.
        given: usize,
    },
    /// Nobody who is trusted has signed it.
    #[error("its certificate was issued by `{issuer}`, which is not trusted here")]
    UnknownIssuer {
        /// Who signed it.
        issuer: String,
        /// Certificates that the person gave for this host.
        given: usize,
    },
    /// The person gave its issuer's certificate, and that may not sign it.
    #[error("its certificate was issued by `{issuer}`, whose certificate given here {reason}")]
    UnfitAuthority {
        /// Who signed it.
        issuer: String,
        /// What is wrong with the issuer's certificate, in words that follow it.
        reason: String,
    },
    /// There is nothing that it could be checked with.
    #[error(
        "its certificate was issued by `{issuer}`, and this system has no certificates of \
         authorities to check it with"
    )]
    NoAuthorities {
        /// Who signed it.
        issuer: String,
    },
    /// It is a client's certificate, or for mails, or for code.
    #[error("its certificate is not for servers (extended key usage)")]
    Purpose,
    /// Something else.
    #[error("its certificate is not accepted: {reason}")]
    Other {
        /// What the TLS library said.
        reason: String,
    },
}

impl TlsProblem {
    /// `given`: how many certificates the person gave for this host.
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
            // The verifier refuses an authority's certificate as a server's before it asks who
            // signed it.
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

    /// What a person can do about it.
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
                "check this machine's clock, and the dates of the certificates of the registry's \
                 authorities"
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
                "put the certificate of the registry's authority, or the registry's own, as *.crt \
                 into the directory of --cert-dir or into ~/.config/containers/certs.d/{host}/; \
                 --tls-verify=false if you accept that nobody checks who answers"
            ),
            Self::SelfSigned { given, .. } => format!(
                "none of the {given} certificates given for it (--cert-dir, certs.d) is this one: \
                 the registry has another certificate now"
            ),
            Self::UnknownIssuer { given, .. } => format!(
                "none of the {given} certificates given for it (--cert-dir, certs.d) is this \
                 issuer's or the registry's own: get that, or have the registry send the \
                 certificates between"
            ),
            Self::UnfitAuthority { .. } => "give the certificate of the authority that signs for \
                 the registry now (--cert-dir, certs.d), or the registry's own"
                .to_owned(),
            Self::NoAuthorities { .. } => format!(
                "install the system's certificates of authorities (the package is usually called \
                 ca-certificates), or put the certificate of the registry's authority, or the \
                 registry's own, as *.crt into the directory of --cert-dir or into \
                 ~/.config/containers/certs.d/{host}/"
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

/// A host without its port.
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
