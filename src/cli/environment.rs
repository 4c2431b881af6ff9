//! Environment variables, and the directories where container tools keep their settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
#[cfg(test)]
use std::path::Path;
use std::path::PathBuf;

use crate::sys::process;

/// Environment of the process: variables, root of the file system, user. The only reader of
/// environment variables in the crate.
pub(crate) struct Environment {
    variables: BTreeMap<OsString, OsString>,
    /// Directory that holds `etc` and `run`: `/`, or a temporary directory in tests.
    root: PathBuf,
    /// Numeric user id.
    user: u32,
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only the names: values may be secrets.
        f.debug_list().entries(self.variables.keys()).finish()
    }
}

impl Environment {
    /// Reads the environment of this process.
    pub(crate) fn of_process() -> Self {
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

    /// Returns a variable's value; an empty one counts as not set.
    pub(crate) fn variable(&self, name: &str) -> Option<OsString> {
        let value = self.variables.get(std::ffi::OsStr::new(name))?;
        (!value.is_empty()).then(|| value.clone())
    }

    /// Returns a variable's value as a path.
    pub(crate) fn path(&self, name: &str) -> Option<PathBuf> {
        self.variable(name).map(PathBuf::from)
    }

    /// Returns a path below `/etc`, where settings of the machine are.
    pub(crate) fn etc(&self, name: &str) -> PathBuf {
        self.root.join("etc").join(name)
    }

    /// Returns a path in the user's home directory.
    pub(crate) fn home(&self, name: &str) -> Option<PathBuf> {
        self.path("HOME").map(|home| home.join(name))
    }

    /// Returns the path of a user's settings: below XDG_CONFIG_HOME, else below `~/.config`.
    pub(crate) fn config(&self, name: &str) -> Option<PathBuf> {
        match self.path("XDG_CONFIG_HOME") {
            Some(config) => Some(config.join(name)),
            None => self.home(&format!(".config/{name}")),
        }
    }

    /// Returns all paths of a user's settings: that of [`Self::config`] and, if it differs, the one
    /// below `~/.config`, because some tools ignore XDG_CONFIG_HOME.
    pub(crate) fn config_candidates(&self, name: &str) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = self.config(name).into_iter().collect();
        let usual = self.home(&format!(".config/{name}"));
        found.extend(usual.filter(|usual| !found.contains(usual)));
        found
    }

    /// Returns a path for state: files whose loss costs only work that must be done again.
    pub(crate) fn state(&self, name: &str) -> Option<PathBuf> {
        match self.path("XDG_STATE_HOME") {
            Some(state) => Some(state.join(name)),
            None => self.home(&format!(".local/state/{name}")),
        }
    }

    /// Returns a path for containers' files that end with the login session. Without
    /// XDG_RUNTIME_DIR, as under `sudo`, it is below `/run/containers/<user id>`.
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
