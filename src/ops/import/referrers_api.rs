//! Finds out which repositories of the target have the referrers API. Asks each once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::model::{Digest, Repository};
use crate::registry::{Client, ReferrersSource};

/// Remembers for each repository if it has the referrers API.
///
/// A registry with the API may answer 404 for a repository that does not exist yet. Results from
/// before the upload must therefore not be used after it: make a new value.
pub(super) struct ReferrersApis {
    client: Client,
    known: Mutex<BTreeMap<Repository, Arc<OnceCell<bool>>>>,
}

impl ReferrersApis {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
        }
    }

    /// True if a repository has the referrers API. A registry that refuses to list referrers, or
    /// does not answer, counts as one without: the fallback tag then lists the referrers of
    /// `subject`. If the API does work later, the tag does no harm.
    pub(super) async fn has_one(&self, repository: &Repository, subject: Digest) -> bool {
        let cell = {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(known.entry(repository.clone()).or_default())
        };
        let ask = || async {
            let listed = self.client.referrers(repository, subject).await;
            listed.is_ok_and(|listed| listed.source == ReferrersSource::Api)
        };
        *cell.get_or_init(ask).await
    }
}
