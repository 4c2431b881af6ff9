//! `airferry doctor`: its arguments and the report.

use std::io::{BufRead as _, IsTerminal as _, stdin};
use std::path::{Path, PathBuf};

use super::certificates;
use super::key_args::{describe_private, in_one_line, read_public};
use super::registry_args::{self, RegistryArgs};
use super::shell::quoted;
use super::{Invocation, OutputArgs};
use crate::encoding::target_facts;
use crate::error::{Error, chain};
use crate::model::Reference;
use crate::ops::doctor::{
    self, HereRequest, KeyCheck, MediumRequest, Report, Request, TargetRequest,
};
use crate::plan::doctor::Verdict;
use crate::plan::naming::Target;
use crate::sys::{entropy, files};

const EXAMPLES: &str = "\
Examples:
  Before an export: key, medium, and whether the sources let this account in:
    airferry doctor --key exporter.pem --medium /media/stick quay.io/team/app:v3

  On the far side, before the first bundle is exported; reads only:
    airferry doctor --to mirror.example.com:8443/okd

  The same, trying out what the registry takes, and writing the facts for `export --for`:
    airferry doctor --to mirror.example.com:8443/okd --probe-writes --facts target.toml

Exit codes: 0 all is well; 2 a key or the clock; 5 or 6 a source; 7 the target; 8 the medium.
What a registry lacks, and airferry can do without, is shown and does not change the code.";

/// Looks for what would stop an export or import: keys, medium, network, registries.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Images whose registries are asked once each, with the credentials of an export.
    #[arg(value_name = "REF")]
    sources: Vec<Reference>,

    /// Target registry to look at, with the credentials of an import; run on the far side.
    #[arg(
        long = "to",
        value_name = "HOST[:PORT][/NAMESPACE]",
        help_heading = "Target"
    )]
    target: Option<Target>,

    /// Write what was found about the target into this file, for `export --for`. Replaces it.
    #[arg(
        long,
        value_name = "FILE",
        requires = "target",
        help_heading = "Target"
    )]
    facts: Option<PathBuf>,

    /// Write the target's host and namespace into that file, too.
    #[arg(long, requires = "facts", help_heading = "Target")]
    facts_names: bool,

    /// Try out what the target takes, in repositories named airferry-doctor..., about 44 MiB. Asks
    /// first; removes what it can, and lists what stays.
    #[arg(long, requires = "target", help_heading = "Target")]
    probe_writes: bool,

    /// Do not ask before --probe-writes.
    #[arg(long, requires = "probe_writes", help_heading = "Target")]
    yes: bool,

    /// Private key to look at. Repeatable.
    #[arg(long, value_name = "FILE", help_heading = "This machine")]
    key: Vec<PathBuf>,

    /// Public key to look at; its fingerprint is shown. Repeatable.
    #[arg(long, value_name = "FILE", help_heading = "This machine")]
    trust: Vec<PathBuf>,

    /// Directory on the medium to look at: free space, file system and its limits.
    #[arg(long, value_name = "DIR", help_heading = "This machine")]
    medium: Option<PathBuf>,

    /// Write a file of 64 MiB there, measure the speed, and remove it.
    #[arg(long, requires = "medium", help_heading = "This machine")]
    write_test: bool,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    output: OutputArgs,
}

/// Maximum length of a file of facts in bytes.
const FACTS: u64 = 64 << 10;

pub(crate) async fn run(args: DoctorArgs, invocation: &Invocation) -> Result<(), Error> {
    if args.probe_writes
        && let Some(target) = &args.target
    {
        confirm(target, args.yes, invocation)?;
    }
    let target = match args.target.clone() {
        Some(target) => Some(TargetRequest {
            target,
            probe_writes: args.probe_writes,
            nonce: nonce()?,
        }),
        None => None,
    };
    let client = args.registry.client(invocation)?;
    let request = Request {
        here: here(&args, invocation),
        sources: args.sources.clone(),
        // Sources are asked where an export would read them, also at mirrors.
        client,
        target,
    };
    if let Some(path) = &args.facts {
        refuse_other_file(path)?;
    }
    let mut report = doctor::doctor(&request, invocation.context()).await?;
    if args.facts_names {
        report.target.target = args.target.as_ref().map(ToString::to_string);
    }
    let written = match args.facts.as_ref().filter(|_| report.target_reached) {
        Some(path) => {
            let text = target_facts::write(&report.target);
            files::write_atomically(path, text.as_bytes(), 0o644).map(|()| true)
        }
        None => Ok(false),
    };
    // The report names what stays on the target, so it is shown before any error.
    let has_facts = matches!(written, Ok(true));
    invocation
        .output
        .outcome(args.output.format, &report, |report| {
            text(report, &args, has_facts)
        })?;
    written?;
    report.failure().map_or(Ok(()), Err)
}

/// Refuses a file that exists and holds anything but facts: it would be replaced.
fn refuse_other_file(path: &Path) -> Result<(), Error> {
    let known = match files::read(path, FACTS) {
        Err(error) if error.is_not_found() => return Ok(()),
        Ok(bytes) => bytes.is_empty() || std::str::from_utf8(&bytes).is_ok_and(is_facts),
        Err(_) => false,
    };
    match known {
        true => Ok(()),
        false => Err(Error::usage(format!(
            "`{}` exists and is not a file of facts about a target",
            path.display()
        ))
        .hint("give --facts a new file, or the facts of an earlier run, which are replaced")),
    }
}

fn is_facts(text: &str) -> bool {
    target_facts::read(text).is_ok()
}

/// Names what --probe-writes will write to, and asks.
fn confirm(target: &Target, yes: bool, invocation: &Invocation) -> Result<(), Error> {
    let repositories = doctor::planned_repositories(target);
    invocation.output.note(&format!(
        "--probe-writes sends about {} into these repositories, and removes what it can:\n  {}",
        doctor::size_of_probe(),
        repositories.join("\n  ")
    ));
    if yes {
        return Ok(());
    }
    if !stdin().is_terminal() {
        return Err(
            Error::usage("--probe-writes asks first, and there is no terminal")
                .hint("add --yes if these repositories may be written"),
        );
    }
    invocation.output.note("Go on? [y/N]");
    let mut answer = String::new();
    let read = stdin().lock().read_line(&mut answer);
    let agreed = matches!(answer.trim(), "y" | "Y" | "yes");
    match read.is_ok() && agreed {
        true => Ok(()),
        false => Err(Error::usage("Stopped: --probe-writes was not confirmed")
            .hint("without --probe-writes, doctor only reads")),
    }
}

fn nonce() -> Result<String, Error> {
    let bytes: [u8; 6] = entropy::random()
        .map_err(|error| Error::internal("The system gives no random bytes", error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn here(args: &DoctorArgs, invocation: &Invocation) -> HereRequest {
    let mut keys = Vec::new();
    let check = |flag, path: &Path, found: Result<String, Error>| KeyCheck {
        flag,
        path: path.to_owned(),
        result: found.map_err(|error| (chain(&error), error.hints().first().cloned())),
    };
    for path in &args.key {
        keys.push(check("--key", path, describe_private(path)));
    }
    for path in &args.trust {
        let found = read_public(path).map(|key| format!("public, {}", in_one_line(&key)));
        keys.push(check("--trust", path, found));
    }
    let environment = &invocation.environment;
    let proxies = registry_args::proxies(environment);
    let proxies = proxies.shown().iter();
    let proxies = proxies.map(|(name, value)| ((*name).to_owned(), value.clone()));
    let (certificates, certificate_problems) = certificates::survey(environment);
    HereRequest {
        keys,
        medium: args.medium.clone().map(|path| MediumRequest {
            path,
            write_test: args.write_test,
        }),
        proxies: proxies.collect(),
        certificates,
        certificate_problems,
    }
}

fn text(report: &Report, args: &DoctorArgs, has_facts: bool) -> String {
    let mut text = String::new();
    for line in &report.lines {
        let verdict = match (line.verdict, line.is_problem) {
            (Verdict::Ok, _) => "ok",
            (Verdict::Not, true) => "FAILED",
            (Verdict::Not, false) => "note",
            (Verdict::Unknown, _) => "unknown",
        };
        let found = line
            .found
            .escape_debug()
            .to_string()
            .replace("\\'", "'")
            .replace("\\\"", "\"");
        let separator = if found.is_empty() { "" } else { ": " };
        text.push_str(&format!("{verdict:<8}{}{separator}{found}\n", line.subject));
        if let Some(advice) = &line.advice {
            text.push_str(&format!("        -> {advice}\n"));
        }
    }
    for left in &report.leftovers {
        text.push_str(&format!("left on the target: {left}\n"));
    }
    if let Some(path) = &args.facts {
        text.push_str(&match has_facts {
            true => format!(
                "facts written: carry {} to the exporting side\n",
                path.display()
            ),
            false => format!("facts not written to {}\n", path.display()),
        });
    }
    text.push_str(&next(report, args));
    text
}

/// Returns what to do next.
fn next(report: &Report, args: &DoctorArgs) -> String {
    let problems = report.lines.iter().filter(|line| line.is_problem);
    let problems: Vec<&str> = problems.map(|line| line.subject.as_str()).collect();
    if !problems.is_empty() {
        return format!(
            "Next: mend this, then run doctor again: {}\n",
            problems.join(", ")
        );
    }
    match (&args.target, &args.facts) {
        (Some(_), Some(path)) => {
            let path = quoted(path);
            format!("Next: airferry export ... --for {path}, on the exporting side\n")
        }
        (Some(target), None) if args.probe_writes => {
            format!("Next: airferry import DIR --to {target} --trust exporter.pub --dry-run\n")
        }
        (Some(target), None) => format!(
            "Next: airferry doctor --to {target} --probe-writes --facts target.toml tries out \
             the rest\n"
        ),
        (None, _) => "Next: nothing to mend here; on the far side run: airferry doctor --to \
                      REGISTRY/NS\n"
            .to_owned(),
    }
}
