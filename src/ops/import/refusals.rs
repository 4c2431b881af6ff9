//! Refusals that concern the whole target, or everything below one project of it: they are asked
//! for once, not for each blob of each image.
//!
//! Registries have no code for a quota that is used up, for maintenance, or for a project that does
//! not exist; only their words tell. A refusal that may concern one repository alone is not
//! remembered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

use crate::model::Repository;
use crate::registry;

/// Held by the upload that finds out whether the target accepts uploads at all.
pub(super) type First = OwnedMutexGuard<bool>;

/// Words of registries that accept no upload at present.
const WHOLE_TARGET: [&str; 5] = [
    "read-only",
    "read only",
    "readonly",
    "maintenance",
    "no space left",
];

/// Words of registries that accept no upload into a project.
const WHOLE_PROJECT: [&str; 2] = ["quota", "storage limit"];

/// The part of a target that a refusal concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Target,
    /// The first component of the repositories' paths.
    Project(String),
}

/// Refusals in this run.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    known: Mutex<BTreeMap<Scope, Arc<registry::Error>>>,
    /// True once the target accepted an upload. Before that, uploads begin one at a time.
    accepted: Arc<AsyncMutex<bool>>,
}

impl Refusals {
    /// Waits until an upload into a repository may begin.
    ///
    /// # Errors
    ///
    /// The refusal of an earlier upload, if it concerns this one too.
    pub(super) async fn enter(&self, repository: &Repository) -> registry::Result<Option<First>> {
        let accepted = Arc::clone(&self.accepted).lock_owned().await;
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let scopes = [Scope::Target, project(repository)];
        match scopes.iter().find_map(|scope| known.get(scope)) {
            Some(refusal) => Err(registry::Error::RefusedBefore(Arc::clone(refusal))),
            None => Ok((!*accepted).then_some(accepted)),
        }
    }

    /// Records a refusal if it concerns more than one repository, and returns it as an error.
    pub(super) fn note(&self, repository: &Repository, error: registry::Error) -> registry::Error {
        let scope = error.answer().and_then(|answer| {
            let words = answer.message.as_deref().unwrap_or_default();
            scope(answer.status, words, repository)
        });
        let Some(scope) = scope else {
            return error;
        };
        let error = Arc::new(error);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(scope, Arc::clone(&error));
        registry::Error::RefusedBefore(error)
    }
}

fn project(repository: &Repository) -> Scope {
    let path = repository.path.to_string();
    let first = path.split('/').next().unwrap_or_default();
    Scope::Project(first.to_owned())
}

/// Returns what a refusal of an upload concerns; `None` if that may be one repository.
fn scope(status: u16, words: &str, repository: &Repository) -> Option<Scope> {
    if !matches!(status, 400..=499 | 503 | 507) {
        return None;
    }
    let words = words.to_ascii_lowercase();
    // distribution's answer to every write when it is read-only.
    if status == 405 || WHOLE_TARGET.iter().any(|known| words.contains(known)) {
        return Some(Scope::Target);
    }
    let project = project(repository);
    let Scope::Project(name) = &project else {
        return None;
    };
    let path = repository.path.to_string();
    let is_name = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_alphanumeric());
        word == name
    };
    let names_project = words.split_whitespace().any(is_name)
        && (path == *name || !words.contains(path.as_str()))
        && words.contains("project") | words.contains("organi") | words.contains("namespace");
    let is_full = WHOLE_PROJECT.iter().any(|known| words.contains(known));
    (names_project || is_full).then_some(project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_about_more_than_one_repository_are_remembered() {
        let repository: Repository = "r.lan/m/team/app".parse().unwrap();
        let project = Some(Scope::Project("m".to_owned()));
        for (status, words, expected) in [
            (403, "the quota of project m is used up", project.clone()),
            (401, "project m not found", project.clone()),
            (401, "u may not write to project m", project.clone()),
            (
                403,
                "The registry is in READ-ONLY mode",
                Some(Scope::Target),
            ),
            (405, "", Some(Scope::Target)),
            (503, "maintenance until 18:00", Some(Scope::Target)),
            (403, "requested access to the resource is denied", None),
            (401, "project m: no access to m/team/app", None),
            (403, "you may not push to m/team/app", None),
            (500, "the quota service is down", None),
        ] {
            assert_eq!(scope(status, words, &repository), expected, "{words}");
        }
    }

    #[tokio::test]
    async fn uploads_begin_one_at_a_time_until_one_is_accepted() {
        let refusals = Refusals::default();
        let repository: Repository = "r.lan/m/app".parse().unwrap();
        let mut first = refusals.enter(&repository).await.unwrap().unwrap();
        *first = true;
        drop(first);
        assert!(refusals.enter(&repository).await.unwrap().is_none());
    }
}
