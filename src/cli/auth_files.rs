//! Reads registry credentials from the places that containers-auth.json(5) names.
//!
//! An auth file that the operator names must be readable as a whole. One that is found in a usual
//! place and cannot be read is skipped with a warning: the registry may not need it.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::environment::Environment;
use crate::error::{Error, chain};
use crate::registry::{AuthFile, Credentials, ParsedAuthFile};
use crate::sys::files;

/// Limit for the length of an auth file, in bytes.
const CAP: u64 = 4 << 20;

/// Reads the auth file of `--authfile` or REGISTRY_AUTH_FILE, and those in the usual places.
pub(super) fn read(
    given: Option<&Path>,
    environment: &Environment,
    warn: &dyn Fn(String),
) -> Result<Credentials, Error> {
    let (mut found, mut places) = (Vec::new(), Vec::new());
    let variable = environment.path("REGISTRY_AUTH_FILE");
    // As in skopeo, the flag replaces the variable.
    let named = match given {
        Some(path) => Some((path, "--authfile")),
        None => variable.as_deref().map(|path| (path, "REGISTRY_AUTH_FILE")),
    };
    if let Some((path, by)) = named {
        let name = path.display();
        if !files::exists(path) {
            return Err(Error::usage(format!("There is no file `{name}`"))
                .hint(format!("check the path given by {by}")));
        }
        let file = read_auth_file(path).map_err(|error| {
            error.hint("`podman login --authfile FILE REGISTRY` writes such a file")
        })?;
        places.push(name.to_string());
        found.push(file);
    }
    for path in usual_paths(environment) {
        let name = path.display();
        if !files::exists(&path) {
            places.push(format!("{name} (not there)"));
            continue;
        }
        match read_auth_file(&path) {
            Ok(file) => {
                places.push(name.to_string());
                found.push(file);
            }
            Err(error) => {
                places.push(format!("{name} (cannot be read)"));
                warn(chain(&error));
            }
        }
    }
    Ok(Credentials::of(found).looked_at(places))
}

const UNUSABLE: &str = "Credentials cannot be used";

/// Returns the paths where container tools look for credentials, the most important first.
fn usual_paths(environment: &Environment) -> Vec<PathBuf> {
    let docker = match environment.path("DOCKER_CONFIG") {
        Some(directory) => Some(directory.join("config.json")),
        None => environment.home(".docker/config.json"),
    };
    let places = [
        Some(environment.containers_runtime("auth.json")),
        environment.config("containers/auth.json"),
        docker,
        environment.home(".dockercfg"),
    ];
    places.into_iter().flatten().collect()
}

/// Reads and parses one auth file.
fn read_auth_file(path: &Path) -> Result<ParsedAuthFile, Error> {
    let name = path.display().to_string();
    let bytes = files::read(path, CAP).map_err(|error| {
        Error::usage(format!("The credentials in `{name}` cannot be read")).caused_by(error)
    })?;
    let bytes = Zeroizing::new(bytes);
    // Replace invalid UTF-8: it may be in a place that nothing reads, such as a comment or the
    // entry of another registry.
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    let file = AuthFile {
        name: &name,
        text: &text,
    };
    file.parse()
        .map_err(|error| Error::usage(UNUSABLE).caused_by(error))
}
