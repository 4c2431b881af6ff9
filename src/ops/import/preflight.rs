//! What can be found out about the target before anything is changed there.

use std::fmt;

use super::Opened;
use super::forecast::{self, Forecast};
use super::presumed::{self, Presence};
use super::request::Request;
use super::tags::{self, TagDecision};
use crate::ops::context::Context;
use crate::ops::error::{Class, Error, Result};
use crate::plan::import::ImportPlan;
use crate::progress::{Event, Phase};
use crate::registry;

/// Questions that are asked at the same time.
pub(super) const JOBS: usize = 32;

/// What was found out.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// For each image of the plan: what happens to its tag.
    pub(super) tags: Vec<TagDecision>,
    /// Where blobs that bases brought are.
    pub(super) presence: Presence,
    /// How much there is to send; found out by dry runs alone.
    pub(super) forecast: Option<Forecast>,
}

/// Asks the target everything that can be asked without changing it. All that is wrong is
/// reported together.
pub(super) async fn check(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    context: &Context,
) -> Result<Before> {
    tokio::select! {
        before = ask(request, opened, plan, context) => before,
        () = context.cancel.cancelled() => Err(Error::interrupted()),
    }
}

async fn ask(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    context: &Context,
) -> Result<Before> {
    let host = &request.target.host;
    request.client.ping(host).await.map_err(|error| {
        target_error(format!("The target registry {host} cannot be used"), error)
    })?;
    let mut items = plan.images.len() + presumed::questions(plan);
    if request.dry_run {
        items += forecast::questions(plan);
    }
    let phase = Phase::Probe;
    context.emit(Event::PhaseStarted {
        phase,
        items: items as u64,
        bytes: 0,
    });
    let probe = Probe { context };
    let mut problems = Vec::new();
    let presence = presumed::find(request, opened, plan, &probe, &mut problems).await?;
    let tags = tags::decide(request, opened, plan, &probe, &mut problems).await?;
    let forecast = match request.dry_run && problems.is_empty() {
        true => Some(forecast::measure(request, opened, plan, &presence, &probe).await?),
        false => None,
    };
    context.emit(Event::PhaseFinished { phase });
    if problems.is_empty() {
        return Ok(Before {
            tags,
            presence,
            forecast,
        });
    }
    let mut message = String::from("The target is not ready, and nothing was changed there:");
    for problem in &problems {
        message.push_str("\n  - ");
        message.push_str(problem);
    }
    Err(Error::new(Class::Target, message))
}

/// Tells whoever watches of each question.
pub(super) struct Probe<'a> {
    context: &'a Context,
}

impl Probe<'_> {
    /// Asks something, as an item of the phase.
    pub(super) async fn item<T, E>(
        &self,
        item: impl fmt::Display,
        question: impl Future<Output = std::result::Result<T, E>>,
    ) -> std::result::Result<T, E> {
        let (phase, item) = (Phase::Probe, item.to_string());
        self.context.emit(Event::ItemStarted {
            phase,
            item: item.clone(),
            bytes: 0,
            bytes_cached: 0,
        });
        let answer = question.await;
        let ok = answer.is_ok();
        self.context.emit(Event::ItemFinished { phase, item, ok });
        answer
    }
}

/// A failure of the target registry.
pub(super) fn target_error(message: String, error: registry::Error) -> Error {
    let hint = error.hint();
    let mut failure = Error::new(Class::Target, message).caused_by(error);
    if let Some(hint) = hint {
        failure = failure.hint(hint);
    }
    failure
}
