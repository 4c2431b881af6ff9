//! `airferry doctor`: looks at this machine, its medium and keys, its sources, or at a target,
//! before the trip. By default it only reads.

mod here;
mod images;
mod report;
mod request;
mod sources;
mod target;
mod writes;

pub use report::{Line, Report};
pub use request::{HereRequest, KeyCheck, MediumRequest, Request, TargetRequest};
pub use writes::{planned_repositories, size_of_probe};

use super::context::Context;
use crate::error::{Error, Result};

/// Makes all checks of the request.
///
/// # Errors
///
/// When the operator interrupts. What a check finds is in the report, not an error.
pub async fn doctor(request: &Request, context: &Context) -> Result<Report> {
    let mut report = Report::default();
    here::check(&request.here, &mut report);
    tokio::select! {
        () = sources::check(request, &mut report) => {}
        () = context.cancel.cancelled() => return Err(Error::interrupted()),
    }
    if let Some(wanted) = &request.target {
        let usable = tokio::select! {
            usable = target::check(request, wanted, &mut report) => usable,
            () = context.cancel.cancelled() => return Err(Error::interrupted()),
        };
        // Not cancelled from outside: it removes what it wrote before it ends.
        if usable && wanted.probe_writes {
            writes::check(request, wanted, &mut report, context).await?;
        }
        report.target_reached = usable;
        if usable {
            report.add_facts();
        }
    }
    Ok(report)
}
