//! Checks the target before anything is changed there.

use std::collections::BTreeSet;

use super::base_blobs::{self, BaseBlobPlaces};
use super::forecast::{self, Forecast};
use super::opened::Opened;
use super::probe::{Probe, target_error};
use super::request::Request;
use super::tags::{self, TagDecision};
use crate::error::{Class, Error, Result, chain};
use crate::model::Repository;
use crate::ops::context::Context;
use crate::plan::import::ImportPlan;
use crate::progress::{Event, Phase};
use crate::registry::PushGrant;

/// Upper limit of repositories that a dry run looks for, to ask for a token to push into one.
const EXISTENCE_PROBES: usize = 8;

/// Facts and decisions from before the first change on the target.
#[derive(Debug, Default)]
pub(super) struct TargetFacts {
    /// Decision about the tag of each image, in the plan's order.
    pub(super) tags: Vec<TagDecision>,
    /// Locations of blobs that bases carried.
    pub(super) base_blobs: BaseBlobPlaces,
    /// Repositories of the target that do not exist or that this account may not read.
    pub(super) hidden: BTreeSet<Repository>,
    /// Bytes to send; only for dry runs.
    pub(super) forecast: Option<Forecast>,
}

/// Asks the target for everything that can be asked without changing it. Reports all problems
/// together.
pub(super) async fn check(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    context: &Context,
) -> Result<TargetFacts> {
    tokio::select! {
        facts = ask(request, opened, plan, context) => facts,
        () = context.cancel.cancelled() => Err(Error::interrupted()),
    }
}

async fn ask(
    request: &Request,
    opened: &Opened,
    plan: &ImportPlan,
    context: &Context,
) -> Result<TargetFacts> {
    let host = &request.target.host;
    let unusable =
        |error| target_error(format!("The target registry {host} cannot be used"), error);
    let repositories = plan.repositories();
    for repository in &repositories {
        request
            .client
            .check_not_blocked(repository)
            .map_err(unusable)?;
    }
    let pinged = match repositories.first() {
        Some(repository) => request.client.ping_for(repository).await,
        None => request.client.ping(host).await,
    };
    pinged.map_err(unusable)?;
    let mut items = plan.images.len() + base_blobs::request_count(plan);
    if request.dry_run {
        items += forecast::request_count(plan);
    }
    let phase = Phase::Probe;
    context.emit(Event::PhaseStarted {
        phase,
        items: items as u64,
        bytes: 0,
    });
    let probe = Probe::new(context);
    let mut problems = Vec::new();
    let base_blobs = base_blobs::find(request, opened, plan, &probe, &mut problems).await?;
    let tags = tags::decide(request, opened, plan, &probe, &mut problems).await?;
    if request.dry_run {
        problems.extend(push_problem(request, &repositories, &probe).await);
    }
    let forecast = match request.dry_run && problems.is_empty() {
        true => Some(forecast::measure(request, opened, plan, &base_blobs, &probe).await?),
        false => None,
    };
    context.emit(Event::PhaseFinished { phase });
    let words = probe.words();
    let hidden = probe.into_hidden();
    if problems.is_empty() {
        if let Some(message) = of_hidden(&hidden, words.as_deref()) {
            context.warn(message);
        }
        return Ok(TargetFacts {
            tags,
            base_blobs,
            hidden,
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

/// Finds out from a token whether this account may push, for a dry run. Asks only for a repository
/// that exists: some registries create one when they are asked for such a token.
async fn push_problem(
    request: &Request,
    repositories: &BTreeSet<&Repository>,
    probe: &Probe<'_>,
) -> Option<String> {
    let shown = repositories.iter().filter(|r| !probe.is_hidden(r)).copied();
    for repository in shown.take(EXISTENCE_PROBES) {
        if !request.client.has_named_token_service(repository) {
            return None;
        }
        if !matches!(request.client.repository_exists(repository).await, Ok(true)) {
            continue;
        }
        return match request.client.push_grant(repository).await {
            Ok(PushGrant::Withheld) => Some(format!(
                "this account may not push to {repository}: the registry gives it a token without \
                 that right; let it write there, or log in with another account"
            )),
            Err(error) if error.is_hidden() => Some(format!(
                "this account may not push to {repository}: {}",
                chain(&error)
            )),
            _ => None,
        };
    }
    None
}

/// Returns the warning about repositories that the target did not show.
fn of_hidden(hidden: &BTreeSet<Repository>, words: Option<&str>) -> Option<String> {
    let first = hidden.first()?;
    let said = words.map_or_else(String::new, |words| format!(" ({words})"));
    Some(match hidden.len() {
        1 => format!(
            "{first} does not exist, or this account may not read it{said}; the upload will show \
             whether the target creates it",
        ),
        count => format!(
            "{count} repositories ({first}, ...) do not exist, or this account may not read \
             them{said}; the upload will show whether the target creates them",
        ),
    })
}
