//! Maps a registry's refusal to what it means for the request that it answers.

use super::{CredentialSearch, Error};
use crate::model::Repository;

impl Error {
    /// True if the registry hides something from an account that it knows: the thing does not
    /// exist, or this account may not see it. Many registries do not distinguish the two.
    pub fn is_hidden(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. }
                | Self::Unauthorized {
                    credentials: true,
                    token_service: false,
                    ..
                }
        )
    }

    /// True if a refusal may concern only one tag, blob or repository: the registry answered, and
    /// the login is not the reason.
    pub fn may_concern_one_object(&self) -> bool {
        !matches!(self, Self::Unauthorized { .. }) && self.answer().is_some()
    }

    /// Converts a refusal into what it means for a request that writes into a repository.
    pub(in crate::registry) fn into_push_error(self, repository: &Repository) -> Self {
        if !self.is_hidden() {
            return self;
        }
        match self {
            Self::Unauthorized { answer, .. } | Self::Denied { answer, .. } => Self::PushRefused {
                repository: repository.to_string(),
                answer,
            },
            other => other,
        }
    }

    /// Converts a token service's refusal. Its 404 says nothing about the object that was
    /// requested from the registry. `search`: where credentials were looked for; `None` if the
    /// service accepted the credentials before, which means that this account has no access to
    /// the repository.
    pub(in crate::registry) fn into_token_service_error(
        self,
        credentials: bool,
        search: Option<CredentialSearch>,
    ) -> Self {
        match self {
            Self::Refused { url, answer }
            | Self::NotFound { url, answer }
            | Self::Denied { url, answer }
                if search.is_none() =>
            {
                Self::Denied { url, answer }
            }
            Self::NotFound { url, answer } => Self::Refused { url, answer },
            Self::Unauthorized { url, answer, .. } => Self::Unauthorized {
                url,
                answer,
                credentials,
                token_service: search.is_some(),
                search: search.map(Box::new),
            },
            other => other,
        }
    }
}
