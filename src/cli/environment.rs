//! The environment's variables, and the places where containers' tools keep their settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use crate::sys::process;

/// What this process finds around it. The only reader of environment variables.
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Holds `etc` and `run`; another one than `/` in tests.
    root: PathBuf,
    /// The number of the user.
    user: u32,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be secrets.
        f.debug_list().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// This process's own.
    pub(crate) fn here() -> Self {
        Self {
            variables: std::env::vars_os().collect(),
            root: PathBuf::from("/"),
            user: process::user(),
        }
    }

    #[cfg(test)]
    pub(crate) fn of(root: &Path, variables: &[(&str, &Path)]) -> Self {
        let variables = variables.iter();
        Self {
            variables: variables
                .map(|(name, value)| (name.into(), value.as_os_str().to_owned()))
                .collect(),
            root: root.to_owned(),
            user: 1234,
        }
    }

    /// A variable's value; an empty one counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        let value = self.variables.get(std::ffi::OsStr::new(name))?;
        (!value.is_empty()).then(|| value.clone())
    }

    /// A path that a variable holds.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// Settings of the machine.
    pub(crate) fn etc(&self, name: &str) -> PathBuf {
        self.root.join("etc").join(name)
    }

    /// A path in the person's home directory.
    pub(crate) fn home(&self, name: &str) -> Option<PathBuf> {
        self.path("HOME").map(|home| home.join(name))
    }

    /// The person's settings.
    pub(crate) fn config(&self, name: &str) -> Option<PathBuf> {
        match self.path("XDG_CONFIG_HOME") {
            Some(config) => Some(config.join(name)),
            None => self.home(&format!(".config/{name}")),
        }
    }

    /// The person's settings where tools look for them that do not know XDG_CONFIG_HOME too.
    pub(crate) fn configs(&self, name: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = self.config(name).into_iter().collect();
        let usual = self.home(&format!(".config/{name}"));
        found.extend(usual.filter(|usual| !found.contains(usual)));
        found
    }

    /// Files that may be deleted, and better are not.
    pub(crate) fn state(&self, name: &str) -> Option<PathBuf> {
        match self.path("XDG_STATE_HOME") {
            Some(state) => Some(state.join(name)),
            None => self.home(&format!(".local/state/{name}")),
        }
    }

    /// Containers' files that are gone after the session; without XDG_RUNTIME_DIR, as after
    /// `sudo`, they are in a directory of the user's number.
    pub(crate) fn containers_runtime(&self, name: &str) -> PathBuf {
        match self.path("XDG_RUNTIME_DIR") {
            Some(runtime) => runtime.join("containers").join(name),
            None => {
                let user = self.user.to_string();
                self.root.join("run/containers").join(user).join(name)
            }
        }
    }
}
