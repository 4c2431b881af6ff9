//! The rights that tokens are asked for.

use crate::model::RepositoryPath;

/// The rights that a request needs, in the token specification's words.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(in crate::registry) struct Scopes(Vec<String>);

impl Scopes {
    /// Whether no rights are asked for.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each scope, as a token service wants it.
    pub(super) fn each(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// All scopes in one text, as OAuth2 wants them.
    pub(super) fn joined(&self) -> String {
        self.0.join(" ")
    }

    pub(in crate::registry) fn pull(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull")])
    }

    pub(in crate::registry) fn push(path: &RepositoryPath) -> Self {
        Self(vec![format!("repository:{path}:pull,push")])
    }

    /// For mounting a blob of `from` into `path`.
    pub(in crate::registry) fn mount(path: &RepositoryPath, from: &RepositoryPath) -> Self {
        Self(vec![
            format!("repository:{path}:pull,push"),
            format!("repository:{from}:pull"),
        ])
    }
}
