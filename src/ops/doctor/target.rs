//! Looks at a target without changing it.

use super::report::Report;
use super::request::{Request, TargetRequest};
use super::writes;
use crate::error::{Class, chain};
use crate::format::hash::sha256;
use crate::model::{Fact, Repository};
use crate::plan::doctor::clock_is_right;
use crate::registry::{Authentication, Known, PushGrant, Software};
use crate::sys::clock;

/// Returns false if the target cannot be used at all.
pub(super) async fn check(request: &Request, wanted: &TargetRequest, report: &mut Report) -> bool {
    let probe = match writes::repository(&wanted.target) {
        Ok(repository) => repository,
        Err(error) => {
            let advice = "use a shorter namespace in --to".to_owned();
            report.problem(Class::Usage, "target", error, Some(advice));
            return false;
        }
    };
    let subject = format!("target {}", wanted.target.host);
    let client = &request.client;
    let blocked = client.check_not_blocked(&probe);
    let software = match blocked {
        Ok(()) => client.software(&probe).await,
        Err(error) => Err(error),
    };
    let software = match software {
        Ok(software) => software,
        Err(error) => {
            let hint = error.hint();
            report.problem(Class::Target, subject, chain(&error), hint);
            return false;
        }
    };
    about_connection(&software, &subject, report);
    about_paths(&software, wanted, report);
    let existing = about_content(request, wanted, &probe, report).await;
    if !wanted.probe_writes {
        about_push(request, &software, existing.as_ref(), &probe, report).await;
    }
    let asked = existing.as_ref().unwrap_or(&probe);
    let nothing = sha256(b"");
    if let Ok(known) = client.referrers_api_there(asked, nothing, false).await {
        report.fact(Fact::ReferrersApi, known, None);
    }
    true
}

fn about_connection(software: &Software, subject: &str, report: &mut Report) {
    let name = software.name.as_deref().unwrap_or("software unknown");
    let connection = if software.tls { "TLS" } else { "plain HTTP" };
    report.ok(subject, format!("{name}, {connection}"));
    report.target.software.clone_from(&software.name);
    report.ok(
        "login",
        match software.authentication {
            Authentication::None => "none asked for at the registry's root",
            Authentication::Basic => "accepted (user name and password)",
            Authentication::Bearer => "accepted (tokens)",
        },
    );
    if let Some(date) = software.date {
        let difference = clock::now().0.saturating_sub(date);
        if !clock_is_right(difference) {
            report.note(
                "clock of the registry",
                format!(
                    "differs by {} seconds from this machine's",
                    difference.unsigned_abs()
                ),
                Some("set both clocks: tokens and certificates may count as expired".to_owned()),
            );
        }
    }
}

fn about_paths(software: &Software, wanted: &TargetRequest, report: &mut Report) {
    let namespace = wanted.target.namespace.as_ref();
    let depth = namespace.map_or(0, |path| path.components().count());
    report.target.namespace_components = u32::try_from(depth).ok();
    let limit = match software.known {
        Some(Known::OpenShift | Known::DockerHub) => Some(2),
        _ => None,
    };
    report.target.max_components = limit;
    match (limit, software.known) {
        (Some(limit), _) => report.note(
            "path depth",
            format!("at most {limit} components"),
            Some(format!("import with `--max-components {limit}`")),
        ),
        (None, Some(Known::Quay)) => report.unknown(
            "path depth",
            "Quay can be set to two components",
            Some("--probe-writes finds out; otherwise ask its administrator".to_owned()),
        ),
        (None, Some(Known::Harbor | Known::Pulp | Known::Zot)) => {
            report.ok("path depth", "any");
        }
        (None, _) => report.unknown("path depth", "this software is not known for a limit", None),
    }
    let needs_namespace = matches!(
        software.known,
        Some(Known::Harbor | Known::OpenShift | Known::DockerHub | Known::Quay)
    );
    if needs_namespace && depth == 0 {
        report.note(
            "namespace",
            "none in --to, and this registry wants an organisation or project there",
            Some("give it: --to HOST/PROJECT; the project must exist".to_owned()),
        );
    }
}

/// Reports what exists below the namespace, and returns one repository of it.
async fn about_content(
    request: &Request,
    wanted: &TargetRequest,
    probe: &Repository,
    report: &mut Report,
) -> Option<Repository> {
    let listed = match request.client.some_repositories(probe).await {
        Ok(listed) => listed,
        Err(error) => {
            let found = match error.answer() {
                Some(answer) => format!("the registry does not list its repositories ({answer})"),
                None => chain(&error),
            };
            report.unknown("content", found, None);
            return None;
        }
    };
    let prefix = wanted
        .target
        .namespace
        .as_ref()
        .map(|path| format!("{path}/"));
    let below = |repository: &&Repository| {
        let path = repository.path.to_string();
        prefix
            .as_ref()
            .is_none_or(|prefix| path.starts_with(prefix))
    };
    let own: Vec<&Repository> = listed.iter().filter(below).collect();
    let place = wanted.target.to_string();
    let found = match own.len() {
        0 => format!("no repository below {place} yet, as far as this account sees"),
        count => {
            let shown = match count {
                1 => "1 repository".to_owned(),
                count => format!("{count} repositories"),
            };
            let more = if count >= 1000 { " or more" } else { "" };
            format!("{shown}{more} below {place}")
        }
    };
    report.ok("content", found);
    own.first().copied().cloned()
}

/// Finds out, without creating anything, whether a token for a push is given.
async fn about_push(
    request: &Request,
    software: &Software,
    existing: Option<&Repository>,
    probe: &Repository,
    report: &mut Report,
) {
    // Quay creates the repository when it is asked for such a token, and an unknown registry might.
    let creates_none = matches!(
        software.known,
        Some(Known::Harbor | Known::OpenShift | Known::Pulp | Known::Zot)
    );
    let asked = match existing {
        Some(existing) => existing,
        None if creates_none => probe,
        None => {
            let words = "not asked, because that may create a repository: --probe-writes finds out";
            report.fact(Fact::Push, None, Some(words.to_owned()));
            return;
        }
    };
    let (known, words) = match request.client.push_grant(asked).await {
        Ok(PushGrant::Granted) => (Some(true), format!("a token grants it for {asked}")),
        Ok(PushGrant::Withheld) => (
            Some(false),
            format!("the token does not grant it for {asked}"),
        ),
        Ok(PushGrant::Untold | PushGrant::NoToken) => (
            None,
            "only a write shows it: --probe-writes finds out".to_owned(),
        ),
        Err(error) if error.is_network() => (None, chain(&error)),
        Err(error) => (Some(false), chain(&error)),
    };
    report.fact(Fact::Push, known, Some(words));
}
