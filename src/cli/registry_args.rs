//! How registries are reached: credentials, certificates, mirrors, retries.
//!
//! The flags are those of skopeo and podman, and what they do not say is looked up where
//! those tools look.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Environment;
use super::certificates;
use super::jobs_arg::at_least_one;
use super::shell::quoted;
use super::surroundings::Surroundings;
use crate::model::ByteSize;
use crate::ops::Error;
use crate::progress::Progress;
use crate::registry::{AuthFile, Client, ClientOptions, Credentials, Mirrors, RetryPolicy};
use crate::sys::files;

/// Auth files and settings are smaller than this, in bytes.
const CAP: u64 = 4 << 20;

/// The slowest rate to which transfers can be limited, in bytes a second.
const SLOWEST: u64 = 1 << 10;

/// How registries are reached; flattened into verbs that do.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct RegistryArgs {
    /// File with credentials, before the usual ones: REGISTRY_AUTH_FILE,
    /// $XDG_RUNTIME_DIR/containers/auth.json, ~/.config/containers/auth.json and
    /// ~/.docker/config.json. The first that knows the registry decides.
    #[arg(long, short, value_name = "FILE")]
    authfile: Option<PathBuf>,

    /// Whether HTTPS with a certificate that verifies is needed; false allows plain HTTP too.
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_value_t = true,
        default_missing_value = "true",
        action = clap::ArgAction::Set
    )]
    tls_verify: bool,

    /// Directory with more certificates for all registries: authorities (*.crt) and a client's
    /// own (*.cert with its *.key).
    #[arg(long, value_name = "DIR")]
    cert_dir: Option<PathBuf>,

    /// Mirrors of registries, instead of CONTAINERS_REGISTRIES_CONF,
    /// ~/.config/containers/registries.conf or /etc/containers/registries.conf and the files
    /// in registries.conf.d beside them.
    #[arg(long, value_name = "FILE")]
    registries_conf: Option<PathBuf>,

    /// How often something (a manifest, a blob) is tried again after failures with no progress
    /// between them, before it counts as failed.
    #[arg(long, value_name = "N", default_value_t = RetryPolicy::default().attempts.saturating_sub(1))]
    retries: u32,

    /// Requests that a registry gets at the same time. Without it, as many as it does well with:
    /// a few at first, more while more gets done, half when it says that it has too much to do.
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    jobs: Option<NonZeroUsize>,

    /// Bytes a second at most, for everything that goes to registries or comes from them: for
    /// example 2MiB, 500kB.
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    limit_rate: Option<NonZeroU64>,
}

/// Reads a rate: a size, but none of those that have a name. Below a kibibyte a second, registries
/// give up before we do.
fn parse_rate(text: &str) -> Result<NonZeroU64, String> {
    let size = text.trim().trim_end_matches("/s");
    let rate = match size.starts_with(|first: char| first.is_ascii_digit()) {
        true => size.parse().ok().map(|ByteSize(rate)| rate),
        false => None,
    };
    let rate = rate.ok_or("bytes a second are written as in 2MiB, 500kB or 1.5MB/s")?;
    NonZeroU64::new(rate)
        .filter(|rate| rate.get() >= SLOWEST)
        .ok_or_else(|| "a rate below 1 KiB a second does not get a transfer done".to_owned())
}

impl RegistryArgs {
    /// The requests that a registry gets at the same time, if that is given.
    pub(crate) fn jobs(&self) -> Option<NonZeroUsize> {
        self.jobs
    }

    /// What decides how a registry is reached, as it was given, for a command that is typed next.
    pub(crate) fn again(&self) -> String {
        let mut again = String::new();
        if !self.tls_verify {
            again.push_str(" --tls-verify=false");
        }
        for (flag, path) in [("authfile", &self.authfile), ("cert-dir", &self.cert_dir)] {
            if let Some(path) = path {
                again.push_str(&format!(" --{flag} {}", quoted(path)));
            }
        }
        again
    }

    /// Makes the client; contacts nobody.
    pub(crate) fn client(&self, environment: &Environment) -> Result<Client, Error> {
        self.client_with(environment, Mirrors::default())
    }

    /// Makes the client, with more mirrors, which come before those of the settings.
    pub(crate) fn client_with(
        &self,
        environment: &Environment,
        mirrors: Mirrors,
    ) -> Result<Client, Error> {
        let warn = |warning: String| environment.output.note(&format!("warning: {warning}"));
        let progress = environment.progress();
        let mut options = self.options(&environment.surroundings, &warn, progress)?;
        options.mirrors = options.mirrors.overridden_by(mirrors);
        Ok(Client::new(options))
    }

    fn options(
        &self,
        surroundings: &Surroundings,
        warn: &dyn Fn(String),
        progress: Arc<dyn Progress>,
    ) -> Result<ClientOptions, Error> {
        let mut certificates = certificates::of_hosts(surroundings, warn);
        if let Some(directory) = &self.cert_dir {
            certificates::add_for_all(&mut certificates, directory)?;
        }
        Ok(ClientOptions {
            tls_verify: self.tls_verify,
            certificates,
            credentials: self.credentials(surroundings)?,
            mirrors: self.mirrors(surroundings)?,
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

    fn credentials(&self, surroundings: &Surroundings) -> Result<Credentials, Error> {
        let named = [
            (self.authfile.clone(), "--authfile"),
            (
                surroundings.path("REGISTRY_AUTH_FILE"),
                "REGISTRY_AUTH_FILE",
            ),
        ];
        let mut paths = Vec::new();
        for (path, by) in named {
            let Some(path) = path else { continue };
            if !files::exists(&path) {
                let name = path.display();
                return Err(Error::usage(format!("There is no file `{name}`"))
                    .hint(format!("check the path given by {by}")));
            }
            paths.push(path);
        }
        let docker = match surroundings.path("DOCKER_CONFIG") {
            Some(directory) => Some(directory.join("config.json")),
            None => surroundings.home(".docker/config.json"),
        };
        let usual = [
            surroundings.runtime("containers/auth.json"),
            surroundings.config("containers/auth.json"),
            docker,
        ];
        paths.extend(
            usual
                .into_iter()
                .flatten()
                .filter(|path| files::exists(path)),
        );

        let mut texts = Vec::with_capacity(paths.len());
        for path in &paths {
            let text =
                files::read_text(path, CAP).map_err(|error| bad_auth(path).caused_by(error))?;
            texts.push((path.display().to_string(), Zeroizing::new(text)));
        }
        Credentials::parse(texts.iter().map(|(name, text)| AuthFile { name, text })).map_err(
            |error| {
                Error::usage("Credentials cannot be used")
                    .caused_by(error)
                    .hint("`podman login --authfile FILE REGISTRY` writes such a file")
            },
        )
    }

    fn mirrors(&self, surroundings: &Surroundings) -> Result<Mirrors, Error> {
        if let Some(path) = &self.registries_conf {
            return read_mirrors(path);
        }
        let main = surroundings.path("CONTAINERS_REGISTRIES_CONF").or_else(|| {
            let own = surroundings.config("containers/registries.conf");
            let usual = own
                .into_iter()
                .chain([surroundings.etc("containers/registries.conf")]);
            usual.into_iter().find(|path| files::exists(path))
        });
        let mut mirrors = main
            .as_deref()
            .map_or(Ok(Mirrors::default()), read_mirrors)?;
        let drop_ins = [
            Some(surroundings.etc("containers/registries.conf.d")),
            surroundings.config("containers/registries.conf.d"),
        ];
        for directory in drop_ins.into_iter().flatten() {
            if !files::is_dir(&directory) {
                continue;
            }
            let names = files::names_in(&directory).map_err(|error| {
                Error::usage("Mirrors of registries cannot be read").caused_by(error)
            })?;
            for name in names.iter().filter(|name| name.ends_with(".conf")) {
                mirrors = mirrors.overridden_by(read_mirrors(&directory.join(name))?);
            }
        }
        Ok(mirrors)
    }
}

fn bad_auth(path: &Path) -> Error {
    Error::usage(format!(
        "The credentials in `{}` cannot be read",
        path.display()
    ))
}

fn read_mirrors(path: &Path) -> Result<Mirrors, Error> {
    let refused = || {
        Error::usage(format!(
            "The mirrors of registries in `{}` cannot be used",
            path.display()
        ))
    };
    let text = files::read_text(path, CAP).map_err(|error| refused().caused_by(error))?;
    Mirrors::parse(&text).map_err(|error| {
        refused()
            .caused_by(error)
            .hint("give another file by --registries-conf; /dev/null for no mirrors")
    })
}

#[cfg(test)]
mod tests;
