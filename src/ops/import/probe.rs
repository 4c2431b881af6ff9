//! Requests to the target before anything is changed there.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Class, Error};
use crate::model::Repository;
use crate::ops::context::Context;
use crate::progress::{Event, Phase};
use crate::registry;

/// Number of requests at the same time.
pub(super) const JOBS: usize = 32;

/// Emits an event for each request, and collects the repositories that the target did not show.
pub(super) struct Probe<'a> {
    context: &'a Context,
    hidden: Mutex<BTreeSet<Repository>>,
    /// The registry's words about the first of them.
    words: Mutex<Option<String>>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(context: &'a Context) -> Self {
        Self {
            context,
            hidden: Mutex::default(),
            words: Mutex::default(),
        }
    }

    pub(super) fn into_hidden(self) -> BTreeSet<Repository> {
        self.hidden
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the registry's words about a repository that it did not show, if it had any.
    pub(super) fn words(&self) -> Option<String> {
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        words.clone()
    }

    /// True if the target refused to show a repository in an earlier request.
    pub(super) fn is_hidden(&self, repository: &Repository) -> bool {
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.contains(repository)
    }

    /// Replaces a refusal by `absent`, and records the repository as hidden. For a repository that
    /// does not exist, registries answer 401 or 403, also to an account that may create it by a
    /// push. Only writing shows if this account may.
    pub(super) fn unless_hidden<T>(
        &self,
        repository: &Repository,
        answer: registry::Result<T>,
        absent: T,
    ) -> registry::Result<T> {
        match answer {
            Err(error) if error.is_hidden() => {
                let mut hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
                hidden.insert(repository.clone());
                let said = error.answer().filter(|answer| answer.message.is_some());
                if let Some(answer) = said {
                    let mut words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
                    words.get_or_insert_with(|| answer.to_string());
                }
                Ok(absent)
            }
            answer => answer,
        }
    }

    /// Makes a request and reports it as an item of the phase.
    pub(super) async fn item<T, E>(
        &self,
        item: impl fmt::Display,
        question: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let (phase, item): (_, Arc<str>) = (Phase::Probe, item.to_string().into());
        self.context.emit(Event::ItemStarted {
            phase,
            item: Arc::clone(&item),
            bytes: 0,
            bytes_cached: 0,
        });
        let answer = question.await;
        let ok = answer.is_ok();
        self.context.emit(Event::ItemFinished { phase, item, ok });
        answer
    }
}

/// The error for a failure of the target registry.
pub(super) fn target_error(message: String, error: registry::Error) -> Error {
    let hint = error.hint();
    let mut failure = Error::new(Class::Target, message).caused_by(error);
    if let Some(hint) = hint {
        failure = failure.hint(hint);
    }
    failure
}
