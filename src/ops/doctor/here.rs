//! Checks this machine: keys, clock, medium, proxies, certificates.

use std::path::Path;

use super::report::Report;
use super::request::{HereRequest, MediumRequest};
use crate::encoding::time::render_time;
use crate::error::{Class, chain};
use crate::model::{ByteSize, Timestamp};
use crate::sys::clock;
use crate::sys::filesystem::{FileSystem, lacks_its_medium};
use crate::sys::speed;

/// Earliest time (2026-01-01) that a right clock can show: the program is newer.
const FIRST_DAY: Timestamp = Timestamp(1_767_225_600);

/// Free bytes below which a medium is called full.
const LITTLE: u64 = 64 << 20;

/// Bytes of the test file.
const TEST: u64 = 64 << 20;

pub(super) fn check(request: &HereRequest, report: &mut Report) {
    for key in &request.keys {
        let subject = format!("{} {}", key.flag, key.path.display());
        match &key.result {
            Ok(found) => report.ok(subject, found),
            Err((why, advice)) => report.problem(Class::Usage, subject, why, advice.clone()),
        }
    }
    clock_of_machine(report);
    if let Some(wanted) = &request.medium {
        medium(wanted, report);
    }
    match request.proxies.is_empty() {
        true => report.ok("proxy", "none set"),
        false => {
            let set = request.proxies.iter();
            let set: Vec<String> = set.map(|(name, value)| format!("{name}={value}")).collect();
            report.ok("proxy", set.join(", "));
        }
    }
    for problem in &request.certificate_problems {
        let advice = "correct or remove it: it is not used".to_owned();
        report.note("certificates", problem, Some(advice));
    }
    if request.certificate_problems.is_empty() {
        report.ok(
            "certificates",
            match request.certificates.is_empty() {
                true => "the system's authorities".to_owned(),
                false => format!(
                    "the system's authorities, and {}",
                    request.certificates.join(", ")
                ),
            },
        );
    }
}

fn clock_of_machine(report: &mut Report) {
    let now = clock::now();
    let shown = render_time(now).unwrap_or_else(|| "an impossible time".to_owned());
    if now < FIRST_DAY {
        let advice = "set the clock: signatures, certificates and tokens depend on it";
        report.problem(Class::Usage, "clock", shown, Some(advice.to_owned()));
    } else {
        report.ok("clock", shown);
    }
}

fn medium(wanted: &MediumRequest, report: &mut Report) {
    let subject = format!("medium {}", wanted.path.display());
    if lacks_its_medium(&wanted.path) {
        let advice = "plug the medium in and mount it".to_owned();
        let found = "nothing is mounted at its mount point";
        return report.problem(Class::Media, subject, found, Some(advice));
    }
    let file_system = match FileSystem::of(&wanted.path) {
        Ok(file_system) => file_system,
        Err(error) => {
            let advice = "check the path, and whether the medium is plugged in".to_owned();
            return report.problem(Class::Media, subject, chain(&error), Some(advice));
        }
    };
    let free = match file_system.available {
        Some(available) => format!(
            "{} of {} free",
            ByteSize(available),
            ByteSize(file_system.total)
        ),
        None => format!("{}, free space unknown", ByteSize(file_system.total)),
    };
    let found = format!("{}, {free}", file_system.kind);
    if file_system.read_only {
        report.note(
            subject.clone(),
            format!("{found}, mounted read-only"),
            Some("an import can read it; mount it writable to export to it".to_owned()),
        );
    } else if file_system.available.is_some_and(|free| free < LITTLE) {
        let advice = "remove what is not needed, or use another medium".to_owned();
        report.problem(Class::Media, subject.clone(), found, Some(advice));
    } else {
        report.ok(subject.clone(), found);
    }
    if let Some(limit) = file_system.max_file {
        report.ok(
            format!("{subject}: largest file"),
            format!("{limit} bytes; export with --chunk-size fat32 or less (default 1GiB)"),
        );
    }
    if wanted.write_test {
        write_test(&wanted.path, subject, &file_system, report);
    }
}

fn write_test(path: &Path, subject: String, file_system: &FileSystem, report: &mut Report) {
    let subject = format!("{subject}: write test");
    if file_system
        .available
        .is_some_and(|free| free < TEST + LITTLE)
    {
        return report.unknown(subject, "not enough free space for it", None);
    }
    match speed::write_and_remove(path, TEST) {
        Ok(time) => {
            let millis = time.as_millis().max(1);
            let rate = u128::from(TEST).saturating_mul(1000) / millis;
            let rate = u64::try_from(rate).unwrap_or(u64::MAX);
            report.ok(
                subject,
                format!(
                    "{} per second ({} written and removed)",
                    ByteSize(rate),
                    ByteSize(TEST)
                ),
            );
        }
        Err(error) => {
            let advice = "check permissions, and whether the medium is write-protected".to_owned();
            report.problem(Class::Media, subject, chain(&error), Some(advice));
        }
    }
}
