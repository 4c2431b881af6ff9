//! `airferry serve`: the embedded registry.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Invocation, Output};
use crate::error::{Class, Error};
use crate::model::ByteSize;
use crate::serve::{
    Access, Credentials, Observer, ServeError, ServeOptions, Server, Signals, TlsIdentity,
};
use crate::sys::private_file::{self, Exposure, PrivateFileError};
use crate::sys::registry_store::StoreError;

/// Limit for the length of a certificate, key or credentials file, in bytes.
const FILE_LIMIT: u64 = 1 << 20;

const EXAMPLES: &str = "\
Examples:
  A registry for this machine only:
    airferry serve --store /srv/registry

  Reachable from the network, with TLS and a user:
    (umask 077; echo 'mirror:a long password' > users)
    airferry serve --store /srv/registry --listen 0.0.0.0:5000 \\
      --tls-cert registry.crt --tls-key registry.key --htpasswd users

  Serve a store from read-only media:
    airferry serve --store /mnt/registry --read-only

Once it accepts connections it prints one line with its address. Ctrl-C or SIGTERM end it;
uploads that were cut off can be continued after the next start.";

/// Serves a small OCI registry from a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Directory of the registry's data; created when it does not exist.
    #[arg(long, value_name = "DIR")]
    store: PathBuf,

    /// Address and port to listen on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,

    /// Certificate chain for HTTPS (PEM), the server's own first.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// Private key for HTTPS (PEM, not encrypted).
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Asks for basic authentication: a file with lines `user:password`, readable by its owner
    /// alone. Passwords are in plain text; hashes (`htpasswd -B`) are refused.
    #[arg(long, value_name = "FILE")]
    htpasswd: Option<PathBuf>,

    /// Allows an address that others can reach without TLS and --htpasswd.
    #[arg(long)]
    insecure_listen: bool,

    /// Refuses every change; the store may be on read-only media.
    #[arg(long)]
    read_only: bool,

    /// Allows clients to delete tags, manifests and blobs. The disk space is not freed.
    #[arg(long, conflicts_with = "read_only")]
    allow_delete: bool,

    /// Accepts indexes with missing platform images (sparse indexes).
    #[arg(long)]
    accept_sparse: bool,

    /// Largest blob that is accepted.
    #[arg(long, value_name = "SIZE", default_value = "1TiB")]
    max_blob_size: ByteSize,

    /// Prints a line for each request to stderr.
    #[arg(long)]
    access_log: bool,
}

pub(crate) async fn run(args: ServeArgs, invocation: &Invocation) -> Result<(), Error> {
    let output = &invocation.output;
    let server = Server::bind(options(&args, output)?)
        .await
        .map_err(|error| explain(error, &args))?;
    // Before the line that says it is ready: a reader of that line may end the server at once.
    let mut signals = Signals::listen().map_err(|error| {
        Error::new(Class::Internal, "Cannot listen for signals").caused_by(error)
    })?;
    let url = server.url();
    output.result(&format!("airferry registry listening on {url}\n"));
    server.run(signals.received()).await;
    Ok(())
}

fn options(args: &ServeArgs, output: &Output) -> Result<ServeOptions, Error> {
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificates), Some(key)) => Some(TlsIdentity {
            certificates: read(certificates, Exposure::Allowed)?.to_vec(),
            // Often a mounted secret whose mode the operator cannot choose.
            key: read(key, Exposure::Allowed)?,
        }),
        _ => None,
    };
    let credentials = match &args.htpasswd {
        Some(path) => Some(credentials(path)?),
        None => None,
    };
    let mut options = ServeOptions::new(&args.store);
    options.listen = args.listen;
    options.insecure_listen = args.insecure_listen;
    options.tls = tls;
    options.credentials = credentials;
    options.read_only = args.read_only;
    options.allow_delete = args.allow_delete;
    options.accept_sparse = args.accept_sparse;
    options.max_blob = args.max_blob_size.0;
    options.observer = Arc::new(Log {
        output: output.clone(),
        requests: args.access_log,
    });
    Ok(options)
}

fn read(path: &Path, exposure: Exposure) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    private_file::read(path, FILE_LIMIT, exposure).map_err(|error| {
        let hint = match &error {
            PrivateFileError::Exposed { path, .. } => Some(format!("chmod 600 {}", path.display())),
            _ => None,
        };
        let error = Error::usage(format!("Cannot use `{}`", path.display())).caused_by(error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })
}

fn credentials(path: &Path) -> Result<Credentials, Error> {
    let bytes = read(path, Exposure::Refused)?;
    let refused = || {
        Error::usage(format!(
            "Cannot use the credentials in `{}`",
            path.display()
        ))
    };
    let text = std::str::from_utf8(&bytes).map_err(|error| refused().caused_by(error))?;
    Credentials::parse(text).map_err(|error| {
        refused()
            .caused_by(error)
            .hint("write one line `user:password` for each user, with the password itself")
    })
}

/// Makes the error for a server that does not start, with a hint.
fn explain(error: ServeError, args: &ServeArgs) -> Error {
    let (class, hint) = match &error {
        ServeError::Exposed { .. } => (
            Class::Usage,
            "give --tls-cert, --tls-key and --htpasswd, or accept the risk with --insecure-listen"
                .to_owned(),
        ),
        ServeError::Listen { source, .. } => (
            Class::Network,
            match source.kind() {
                ErrorKind::AddrInUse => format!(
                    "another program listens on port {}; choose another one with --listen",
                    args.listen.port()
                ),
                ErrorKind::PermissionDenied => {
                    "ports below 1024 need privileges; choose a higher one with --listen".to_owned()
                }
                ErrorKind::AddrNotAvailable => {
                    "this machine does not have that address; see `ip address`".to_owned()
                }
                _ => "choose another address with --listen".to_owned(),
            },
        ),
        ServeError::Tls { .. } => (
            Class::Usage,
            "both files must be PEM, the key unencrypted and the certificate's own".to_owned(),
        ),
        ServeError::Store { source } => (
            Class::Media,
            match source {
                StoreError::NotAStore { .. } if args.read_only => {
                    "run once without --read-only to create a store, or name another --store"
                        .to_owned()
                }
                StoreError::NotAStore { .. } => {
                    "name an empty directory, or one that `airferry serve` has made".to_owned()
                }
                StoreError::Locked { .. } => {
                    "another `airferry serve` writes to this store; stop it, or use --read-only"
                        .to_owned()
                }
                StoreError::CaseInsensitive { .. } => {
                    "tags may differ in case only; put the store on another file system".to_owned()
                }
                StoreError::Version { .. } => {
                    "use the airferry version that made the store".to_owned()
                }
                _ => "the store's directory must be writable (or give --read-only)".to_owned(),
            },
        ),
        _ => return Error::new(Class::Internal, "The registry did not start").caused_by(error),
    };
    Error::new(class, "The registry did not start")
        .caused_by(error)
        .hint(hint)
}

/// Writes the server's failures and, if asked, its requests to stderr.
#[derive(Debug)]
struct Log {
    output: Output,
    requests: bool,
}

impl Observer for Log {
    fn answered(&self, access: &Access) {
        if !self.requests {
            return;
        }
        let Access {
            peer,
            user,
            method,
            path,
            status,
            length,
        } = access;
        let user = user.as_deref().unwrap_or("-");
        let length = length.map_or_else(|| "-".to_owned(), |length| length.to_string());
        self.output
            .note(&format!("{peer} {user} {method} {path} {status} {length}"));
    }

    fn failed(&self, failure: &str) {
        self.output.note(&format!("error: {failure}"));
    }
}
