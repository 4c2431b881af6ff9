//! The command line as a whole: error messages name the mistake. `outputs` tests the help texts.

use crate::support::command::Airferry;

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
        .stderr_has("--quiet cannot be used with");
}

#[test]
fn a_failure_is_a_json_document_where_one_was_asked_for() {
    let airferry = Airferry::new();
    let failed = airferry.run(["verify", "nothing-here", "--output", "json"]);
    let document = failed.fails_with(8).json();
    assert_eq!(document["exit_code"], 8);
    assert!(document["message"].is_string());
}
