//! What the operator can do about an error.

use super::{Error, is_explained};
use crate::registry::tls::TlsProblem;

impl Error {
    /// Returns what the operator can do about it, if that is known here.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Tls { host, source } => match source.downcast_ref::<TlsProblem>() {
                Some(problem) => return Some(problem.hint(host)),
                None => "look at what the registry offers: `openssl s_client -connect HOST:PORT`",
            },
            Self::Unauthorized {
                search: Some(search),
                ..
            } => return Some(search.hint()),
            Self::Connect { .. } | Self::TimedOut { .. } => {
                "check host name and port, whether the registry is running, and the network path to it"
            }
            Self::Proxy { .. } => {
                "check that the proxy is running, and the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
            }
            Self::ProxyLogin { .. } => {
                "put user and password into the variable that names the proxy: \
                 http://USER:PASSWORD@HOST:PORT"
            }
            Self::NeitherTlsNorHttp { source, .. }
            | Self::HttpUnreachable(source)
            | Self::RefusedBefore(source) => {
                return source.hint();
            }
            Self::TlsRefused { .. } => {
                "the registry probably requires a client certificate: put it (*.cert) with its key \
                 (*.key) into the directory of --cert-dir"
            }
            Self::NoTls { .. } => "use --tls-verify=false if plain HTTP is intended",
            Self::Unauthorized { .. } | Self::Denied { .. } => {
                "log in with `podman login` or give an auth file with --authfile"
            }
            Self::PushRefused { answer, .. } | Self::Refused { answer, .. }
                if answer.is("NAME_INVALID") =>
            {
                "the registry does not allow this repository name; if it has no nested \
                 repositories, use `--max-components 2`"
            }
            Self::PushRefused { answer, .. } if is_explained(answer) => return None,
            Self::PushRefused { .. } => {
                "check that the project or organisation exists there, and that this account may \
                 write to it"
            }
            Self::UploadOnOtherHost { .. } => {
                "use the registry's own host name in --to, or correct that name in its \
                 configuration (Quay: SERVER_HOSTNAME)"
            }
            Self::Refused { answer, .. } if answer.status == 405 => {
                "the registry may be read-only now, for maintenance or a garbage collection"
            }
            Self::Unavailable { answer, .. } if answer.status >= 500 => {
                "the registry has an internal error: check its log and its free disk space"
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
}
