//! Certificates in directories, as containers-certs.d(5) describes them.

use std::path::Path;

use zeroize::Zeroizing;

use super::surroundings::Surroundings;
use crate::ops::Error;
use crate::registry::{CertificateStore, HostCertificates};
use crate::sys::files;

/// Certificates and keys are smaller than this, in bytes.
const CAP: u64 = 4 << 20;

/// Reads `certs.d/<host[:port]>/` in the usual places. What cannot be read is told of and left
/// out: it may concern a registry that nobody asks.
pub(super) fn of_hosts(surroundings: &Surroundings, warn: &dyn Fn(String)) -> CertificateStore {
    let mut store = CertificateStore::default();
    // The first place that has a directory for the host decides.
    let places = [
        surroundings.config("containers/certs.d"),
        Some(surroundings.etc("containers/certs.d")),
        Some(surroundings.etc("docker/certs.d")),
    ];
    for place in places.into_iter().flatten() {
        let hosts = files::names_in(&place).unwrap_or_default();
        for host in hosts {
            let directory = place.join(&host);
            if store.hosts.contains_key(&host) || !files::is_dir(&directory) {
                continue;
            }
            match read(&directory) {
                Ok(certificates) => {
                    store.hosts.insert(host, certificates);
                }
                Err(error) => warn(crate::ops::chain(&error)),
            }
        }
    }
    store
}

/// Adds what a directory holds, for all hosts.
pub(super) fn add_for_all(store: &mut CertificateStore, directory: &Path) -> Result<(), Error> {
    let certificates = read(directory)?;
    if certificates.roots.is_empty() && certificates.client.is_none() {
        return Err(Error::usage(format!(
            "There are no certificates in `{}`",
            directory.display()
        ))
        .hint("authorities are named *.crt, a client's certificate *.cert with its *.key"));
    }
    store.roots.extend(certificates.roots);
    store.client = certificates.client;
    Ok(())
}

fn read(directory: &Path) -> Result<HostCertificates, Error> {
    let name = directory.display();
    let unreadable = |error: crate::sys::IoAt| {
        Error::usage(format!("The certificates in `{name}` cannot be read")).caused_by(error)
    };
    let file = |name: &str| files::read(&directory.join(name), CAP).map_err(unreadable);
    let names = files::names_in(directory).map_err(unreadable)?;
    let mut certificates = HostCertificates::default();
    for certificate in &names {
        if certificate.ends_with(".crt") {
            certificates.roots.push(file(certificate)?);
        } else if let Some(stem) = certificate.strip_suffix(".cert") {
            let key = format!("{stem}.key");
            if !names.contains(&key) {
                let message = format!("`{certificate}` in `{name}` has no private key `{key}`");
                return Err(Error::usage(message));
            }
            if certificates.client.is_some() {
                let message = format!("There are several client certificates (*.cert) in `{name}`");
                return Err(Error::usage(message));
            }
            let key = Zeroizing::new(file(&key)?);
            certificates.client = Some((file(certificate)?, key));
        }
    }
    Ok(certificates)
}
