//! The scopes that tokens are requested for.

use crate::model::RepositoryPath;

/// The scopes that a request needs, as the token specification writes them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::registry) struct Scopes(Vec<String>);

impl Scopes {
    /// True if there are no scopes.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns each scope, as a token service's GET request needs them.
    pub(super) fn each(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// Returns all scopes in one text, as OAuth2 needs them.
    pub(super) fn joined(&self) -> String {
        self.0.join(" ")
    }

    pub(in crate::registry) fn pull(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull")])
    }

    pub(in crate::registry) fn push(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull,push")])
    }

    /// Returns the scopes for removing something. Some registries refuse tokens for `delete`, and
    /// then give one for the rest.
    pub(in crate::registry) fn delete(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull,push,delete")])
    }

    /// Returns the scopes for mounting a blob of `from` into `path`.
    pub(in crate::registry) fn mount(path: &RepositoryPath, from: &RepositoryPath) -> Self {
        Self(vec![
            format!("repository:{path}:pull,push"),
            format!("repository:{from}:pull"),
        ])
    }
}
