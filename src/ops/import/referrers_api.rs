//! Which repositories of the target list referrers themselves: each is asked once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

use crate::model::{Digest, Repository};
use crate::registry::{Client, ReferrersSource};

/// What is known of the repositories.
///
/// A registry may answer 404 for a repository that does not exist yet although it has the API, so
/// what was found out before anything was sent is not to be used afterwards.
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

    /// Whether a repository has the referrers API. One that refuses to list them, or does not
    /// answer, is like one without: the fallback tag says there what refers to `subject`. Where the
    /// API works later, that tag does no harm.
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
