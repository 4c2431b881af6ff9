//! Asks each source for one image with the credentials of an export.

use super::report::Report;
use super::request::Request;
use crate::error::{Class, chain};
use crate::registry::Selector;

pub(super) async fn check(request: &Request, report: &mut Report) {
    for reference in &request.sources {
        let subject = format!("source {reference}");
        let selector = Selector::of(reference);
        let asked = request
            .client
            .head_manifest(&reference.repository, &selector);
        match asked.await {
            Ok(Some(found)) => report.ok(
                subject,
                format!("{} at {}", found.value.digest.short(), found.fetched_from),
            ),
            Ok(None) => {
                let advice = "check the reference: the registry answers, and does not know it";
                let found = "not there";
                report.problem(Class::Incomplete, subject, found, Some(advice.to_owned()));
            }
            Err(error) => {
                let class = match error.is_network() {
                    true => Class::Network,
                    false => Class::Incomplete,
                };
                let hint = error.hint();
                report.problem(class, subject, chain(&error), hint);
            }
        }
    }
}
