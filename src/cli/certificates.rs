//! Reads directories of certificates as containers-certs.d(5) describes them: `*.crt` are
//! authorities, `*.cert` with its `*.key` is a client's own; other files are ignored.
//!
//! A file that cannot be used is skipped and reported. (skopeo stops, or ignores it silently.)

use std::collections::BTreeSet;
use std::path::Path;

use zeroize::Zeroizing;

use super::environment::Environment;
use crate::error::Error;
use crate::registry::{CertificateStore, HostCertificates, check_authorities, check_client};
use crate::sys::files;

/// Limit for the length of a certificate or key file, in bytes.
const CAP: u64 = 4 << 20;

/// Reads `certs.d/<host[:port]>/` in the usual places. Problems are stored with the host and
/// reported when the host is contacted.
pub(super) fn of_hosts(environment: &Environment) -> CertificateStore {
    let mut store = CertificateStore::default();
    // The first place that has a directory for the host is used; later ones are ignored.
    let mut places = environment.config_candidates("containers/certs.d");
    places.push(environment.etc("containers/certs.d"));
    places.push(environment.etc("docker/certs.d"));
    for place in places {
        for name in files::names_in(&place).unwrap_or_default() {
            let (directory, host) = (place.join(&name), name.to_ascii_lowercase());
            if store.hosts.contains_key(&host) || !files::is_dir(&directory) {
                continue;
            }
            let certificates = read(&directory).unwrap_or_else(|error| HostCertificates {
                problems: vec![crate::error::chain(&error)],
                ..HostCertificates::default()
            });
            store.hosts.insert(host, certificates);
        }
    }
    store
}

/// Returns the directories and files of certificates in use besides the system's, and what is wrong
/// with them.
pub(super) fn survey(environment: &Environment) -> (Vec<String>, Vec<String>) {
    let (mut used, mut problems) = (Vec::new(), Vec::new());
    for (host, found) in &of_hosts(environment).hosts {
        used.push(format!("certs.d/{host}"));
        problems.extend(found.problems.iter().cloned());
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let Some(path) = environment.path(name) else {
            continue;
        };
        let there = match name {
            "SSL_CERT_DIR" => files::is_dir(&path),
            _ => files::is_file(&path),
        };
        match there {
            true => used.push(format!("{name}={}", path.display())),
            false => problems.push(format!(
                "{name} names `{}`, which is not there",
                path.display()
            )),
        }
    }
    (used, problems)
}

/// Adds the certificates of a directory for all hosts.
pub(super) fn add_for_all(
    store: &mut CertificateStore,
    directory: &Path,
    warn: &dyn Fn(String),
) -> Result<(), Error> {
    let certificates = read(directory)?;
    if certificates.roots.is_empty() && certificates.clients.is_empty() {
        let mut none = Error::usage(format!(
            "No usable certificate in `{}`",
            directory.display()
        ))
        .hint("authorities are named *.crt, a client's certificate *.cert with its *.key");
        for problem in certificates.problems {
            none = none.hint(problem);
        }
        return Err(none);
    }
    certificates.problems.into_iter().for_each(warn);
    store.roots.extend(certificates.roots);
    store.clients = certificates.clients;
    Ok(())
}

fn read(directory: &Path) -> Result<HostCertificates, Error> {
    let names = files::names_in(directory).map_err(|error| {
        let name = directory.display();
        Error::usage(format!("The certificates in `{name}` cannot be read")).caused_by(error)
    })?;
    let names: BTreeSet<String> = names.into_iter().collect();
    let mut found = HostCertificates::default();
    for name in &names {
        let read = match name.rsplit_once('.') {
            Some((_, "crt")) => authorities(directory, name).map(|file| found.roots.push(file)),
            Some((stem, "cert")) => {
                let key = format!("{stem}.key");
                let pair = pair(directory, name, names.contains(&key).then_some(&key));
                pair.map(|pair| found.clients.push(pair))
            }
            Some((stem, "key")) if !names.contains(&format!("{stem}.cert")) => Err(format!(
                "there is no certificate `{stem}.cert` for this key"
            )),
            _ => Ok(()),
        };
        if let Err(reason) = read {
            let path = directory.join(name);
            let problem = format!("`{}` is not used: {reason}", path.display());
            found.problems.push(problem);
        }
    }
    Ok(found)
}

fn authorities(directory: &Path, name: &str) -> Result<Vec<u8>, String> {
    let file = content(directory, name)?;
    check_authorities(&file).map(|()| file)
}

fn pair(
    directory: &Path,
    name: &str,
    key: Option<&String>,
) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), String> {
    let key = key.ok_or("its private key (*.key) is not there; authorities are named *.crt")?;
    let certificate = content(directory, name)?;
    let key = Zeroizing::new(content(directory, key)?);
    check_client(&certificate, &key).map(|()| (certificate, key))
}

fn content(directory: &Path, name: &str) -> Result<Vec<u8>, String> {
    files::read(&directory.join(name), CAP).map_err(|error| crate::error::chain(&error))
}
