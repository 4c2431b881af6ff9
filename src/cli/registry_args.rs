//! Arguments for access to registries: credentials, certificates, mirrors, retries.
//!
//! The flags are those of skopeo and podman. Settings that no flag gives are read where those tools
//! read them.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::sync::Arc;

use super::Invocation;
use super::auth_files;
use super::certificates;
use super::environment::Environment;
use super::jobs_arg::at_least_one;
use super::registries_conf;
use super::shell::quoted;
use crate::error::Error;
use crate::model::ByteSize;
use crate::progress::Progress;
use crate::registry::{Client, ClientOptions, Mirrors, Proxies, ProxyVariables, RetryPolicy};

/// The lowest rate to which transfers can be limited, in bytes per second.
const SLOWEST: u64 = 1 << 10;

/// Arguments for access to registries; flattened into verbs that contact one.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct RegistryArgs {
    /// File with credentials, before the usual ones: REGISTRY_AUTH_FILE (not read beside this
    /// flag), $XDG_RUNTIME_DIR/containers/auth.json (without that variable
    /// /run/containers/$UID/auth.json), ~/.config/containers/auth.json, ~/.docker/config.json and
    /// ~/.dockercfg. The first that knows the registry decides.
    #[arg(long, short, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Require HTTPS with a valid certificate; false also allows plain HTTP. Overrides `insecure` in
    /// registries.conf [default: true].
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    tls_verify: Option<bool>,

    /// Directory with more certificates for all registries: authorities or the registry's own
    /// (*.crt), and a client's (*.cert with its *.key).
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,

    /// registries.conf with mirrors, instead of CONTAINERS_REGISTRIES_CONF,
    /// ~/.config/containers/registries.conf or /etc/containers/registries.conf and the files
    /// in registries.conf.d beside them.
    #[arg(long, value_name = "FILE")]
    registries_conf: Option<PathBuf>,

    /// Retries of a manifest or blob without progress before it counts as failed.
    #[arg(long, value_name = "N", default_value_t = RetryPolicy::default().attempts.saturating_sub(1))]
    retries: u32,

    /// Concurrent requests per registry. Default: adaptive; starts at 6, grows while throughput
    /// grows, halves on 429, 503 or timeouts.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<NonZeroUsize>,

    /// Limit for the total transfer rate to and from registries, in bytes per second: for example
    /// 2MiB, 500kB.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    limit_rate: Option<NonZeroU64>,
}

/// Parses a rate: a size, without those that have a name (`fat32`, `dvd`). Below 1 KiB per second,
/// registries give up before the transfer is done.
fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let size = text.trim().trim_end_matches("/s");
    let rate = match size.starts_with(|first: char| first.is_ascii_digit()) {
        true => size.parse().ok().map(|ByteSize(rate)| rate),
        false => None,
    };
    let rate = rate.ok_or("write a rate in bytes per second, such as 2MiB, 500kB or 1.5MB/s")?;
    NonZeroU64::new(rate)
        .filter(|rate| rate.get() >= SLOWEST)
        .ok_or_else(|| "the rate must be at least 1 KiB per second".to_owned())
}

impl RegistryArgs {
    /// Returns the number of concurrent requests per registry, if given.
    pub(crate) fn jobs(&self) -> Option<NonZeroUsize> {
        self.jobs
    }

    /// Returns the flags that decide how a registry is reached, as they were given, to be repeated
    /// in a command that airferry suggests.
    pub(crate) fn flags_as_given(&self) -> String {
        let mut again = String::new();
        if let Some(verify) = self.tls_verify {
            again.push_str(&format!(" --tls-verify={verify}"));
        }
        for (flag, path) in [("authfile", &self.authfile), ("cert-dir", &self.cert_dir)] {
            if let Some(path) = path {
                again.push_str(&format!(" --{flag} {}", quoted(path)));
            }
        }
        again
    }

    /// Makes the client. Contacts no registry.
    pub(crate) fn client(&self, invocation: &Invocation) -> Result<Client, Error> {
        self.client_with(invocation, Mirrors::default())
    }

    /// Makes the client with additional mirrors, which take precedence over those of the settings.
    pub(crate) fn client_with(
        &self,
        invocation: &Invocation,
        mirrors: Mirrors,
    ) -> Result<Client, Error> {
        let warn = |warning: String| invocation.output.note(&format!("warning: {warning}"));
        let progress = invocation.progress();
        let mut options = self.options(&invocation.environment, &warn, progress)?;
        options.mirrors = options.mirrors.overridden_by(mirrors);
        Ok(Client::new(options))
    }

    fn options(
        &self,
        environment: &Environment,
        warn: &dyn Fn(String),
        progress: Arc<dyn Progress>,
    ) -> Result<ClientOptions, Error> {
        let mut certificates = certificates::of_hosts(environment);
        if let Some(directory) = &self.cert_dir {
            certificates::add_for_all(&mut certificates, directory, warn)?;
        }
        let mirrors = registries_conf::read(self.registries_conf.as_deref(), environment)?;
        let credentials = auth_files::read(self.authfile.as_deref(), environment, warn)?;
        let helpers = mirrors.credential_helpers().unwrap_or_default();
        let proxies = proxies(environment);
        for name in proxies.unusable() {
            warn(format!(
                "{name} is not the URL of a proxy (http, https, socks5) and is not used"
            ));
        }
        Ok(ClientOptions {
            tls_verify: self.tls_verify,
            certificates,
            credentials: credentials.with_helpers(helpers),
            mirrors,
            proxies,
            retry: RetryPolicy {
                attempts: self.retries.saturating_add(1),
                ..RetryPolicy::default()
            },
            jobs: self.jobs,
            limit_rate: self.limit_rate,
            progress,
            ..ClientOptions::default()
        })
    }
}

/// Returns the proxies that the environment names.
pub(super) fn proxies(environment: &Environment) -> Proxies {
    let either = |upper: &str, lower: &str| {
        let value = environment.variable(upper);
        let value = value.or_else(|| environment.variable(lower))?;
        Some(value.to_string_lossy().into_owned())
    };
    // In a CGI program, HTTP_PROXY may be a header of the request.
    let is_cgi = environment.variable("REQUEST_METHOD").is_some();
    Proxies::new(&ProxyVariables {
        http: either("HTTP_PROXY", "http_proxy").filter(|_| !is_cgi),
        https: either("HTTPS_PROXY", "https_proxy"),
        all: either("ALL_PROXY", "all_proxy"),
        no: either("NO_PROXY", "no_proxy"),
    })
}

#[cfg(test)]
mod tests;
