//! The command line as a whole: help everywhere, and mistakes that are named.

use std::collections::VecDeque;

use crate::support::command::Airferry;

/// The verbs that a help text lists, `help` itself left out.
fn verbs(help: &str) -> Vec<String> {
    help.lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_help_works() {
    let airferry = Airferry::new();
    let mut open = VecDeque::from([Vec::new()]);
    let mut seen = 0;
    while let Some(verb) = open.pop_front() {
        let call: Vec<String> = [verb.as_slice(), &["--help".to_owned()]].concat();
        let help = airferry.run(&call).succeeds();
        help.stdout_has("Usage: airferry").stderr_is("");
        for sub in verbs(&help.stdout) {
            open.push_back([verb.as_slice(), &[sub]].concat());
        }
        seen += 1;
    }
    assert!(seen > 2, "no verbs were found in the help");
}

#[test]
fn version_names_the_program() {
    let version = concat!("airferry ", env!("CARGO_PKG_VERSION"), "\n");
    Airferry::new()
        .run(["--version"])
        .succeeds()
        .stdout_is(version);
}

#[test]
fn mistakes_are_named_and_exit_with_2() {
    let airferry = Airferry::new();
    for (call, named) in [
        (&["--no-such-flag"][..], "--no-such-flag"),
        (&["no-such-verb"], "no-such-verb"),
        (&["serve", "--no-such-flag"], "--no-such-flag"),
        (&[], "Usage: airferry"),
    ] {
        airferry
            .run(call)
            .fails_with(2)
            .stdout_is("")
            .stderr_has(named);
    }
}

#[test]
fn quiet_and_no_progress_are_the_same_wish() {
    let airferry = Airferry::new();
    let run = |more: &[&str]| airferry.run([&["verify", "nothing-here", "-q"], more].concat());
    run(&["--progress", "none"]).fails_with(8);
    run(&["--progress", "auto"]).fails_with(8);
    run(&["--progress", "json"])
        .fails_with(2)
        .stderr_has("--quiet shows no progress");
}

#[test]
fn a_failure_is_a_json_document_where_one_was_asked_for() {
    let airferry = Airferry::new();
    let failed = airferry.run(["verify", "nothing-here", "--output", "json"]);
    let document = failed.fails_with(8).json();
    assert_eq!(document["exit_code"], 8);
    assert!(document["message"].is_string());
}
