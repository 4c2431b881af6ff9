//! Finds and reads `registries.conf` as the library does that skopeo and podman share.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use crate::error::Error;
use crate::registry::{Mirrors, MirrorsError};
use crate::sys::files;

/// Limit for the length of a settings file, in bytes.
const CAP: u64 = 4 << 20;

/// Reads only the file of `--registries-conf` or, without it, the usual file with its drop-in
/// files.
pub(super) fn read(given: Option<&Path>, environment: &Environment) -> Result<Mirrors, Error> {
    if let Some(path) = given {
        return parsed(path, Mirrors::parse);
    }
    let named = environment.path("CONTAINERS_REGISTRIES_CONF");
    let own = environment.config_candidates("containers/registries.conf");
    let own = own.into_iter().find(|path| files::exists(path));
    // A user's own file is read without the machine's drop-in files.
    let is_own = named.is_none() && own.is_some();
    let machine = environment.etc("containers/registries.conf");
    let machine = files::exists(&machine).then_some(machine);
    let main = named.or(own).or(machine);
    let mut mirrors = match main {
        Some(path) => parsed(&path, Mirrors::parse)?,
        None => Mirrors::default(),
    };
    let mut directories: Vec<PathBuf> = Vec::new();
    if !is_own {
        directories.push(environment.etc("containers/registries.conf.d"));
    }
    directories.extend(environment.config_candidates("containers/registries.conf.d"));
    for directory in directories {
        if !files::is_dir(&directory) {
            continue;
        }
        let names = files::names_in(&directory).map_err(|error| {
            Error::usage("Mirrors of registries cannot be read").caused_by(error)
        })?;
        for name in names.iter().filter(|name| name.ends_with(".conf")) {
            let path = directory.join(name);
            if files::is_dir(&path) {
                continue;
            }
            mirrors = mirrors.overridden_by(parsed(&path, Mirrors::parse_drop_in)?);
        }
    }
    Ok(mirrors)
}

fn parsed(
    path: &Path,
    parse: impl Fn(&str) -> Result<Mirrors, MirrorsError>,
) -> Result<Mirrors, Error> {
    let refused = || {
        Error::usage(format!(
            "The mirrors of registries in `{}` cannot be used",
            path.display()
        ))
    };
    let text = files::read_text(path, CAP).map_err(|error| refused().caused_by(error))?;
    parse(&text).map_err(|error| {
        refused()
            .caused_by(error)
            .hint("correct the file, or give another one by --registries-conf; /dev/null for none")
    })
}
