//! Texts that people read: the help of every command, and the output of the verbs. CONTRIBUTING.md
//! says how a changed text is accepted.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use crate::import::Serve;
use crate::support::command::Airferry;
use crate::support::images::{Build, index, publish};
use crate::support::snapshot::{self, Transcript};
use crate::support::source;
use crate::support::stage::flip;

/// Snapshots of runs; the other snapshots are of help texts.
const RUNS: &[&str] = &[
    "first-bundle",
    "keys",
    "mistakes",
    "refusals",
    "missing-image",
    "unpack",
];

/// Returns the verbs that a help text lists, without `help`.
pub(crate) fn verbs(help: &str) -> Vec<String> {
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

/// Returns the help of the program and of each of its commands, with the name of its snapshot.
fn helps() -> Vec<(String, String)> {
    let airferry = Airferry::new();
    let mut open = VecDeque::from([Vec::new()]);
    let mut found = Vec::new();
    while let Some(verb) = open.pop_front() {
        let call: Vec<String> = [verb.as_slice(), &["--help".to_owned()]].concat();
        let help = airferry.run(&call).succeeds();
        help.stdout_has("Usage: airferry").stderr_is("");
        for sub in verbs(&help.stdout) {
            open.push_back([verb.as_slice(), &[sub]].concat());
        }
        let name: Vec<String> = [&["help".to_owned()], verb.as_slice()].concat();
        found.push((name.join("-"), help.stdout));
    }
    assert!(found.len() > 2, "no verbs were found in the help");
    found
}

#[test]
fn every_help_is_the_accepted_one() {
    for (name, help) in helps() {
        snapshot::check(&name, &help);
    }
}

#[test]
fn no_snapshot_is_forgotten() {
    let runs = RUNS.iter().map(|name| (*name).to_owned());
    let known: BTreeSet<String> = helps()
        .into_iter()
        .map(|(name, _)| name)
        .chain(runs)
        .collect();
    let files = source::files("tests/it/snapshots", &["snap"]);
    let found = files.iter().filter_map(|file| file.file_stem()?.to_str());
    assert_eq!(found.map(str::to_owned).collect::<BTreeSet<_>>(), known);
}

/// Two registries, and an account with a key for which one of them is `registry.example.com`.
struct Desk {
    account: Airferry,
    source: Serve,
    target: Serve,
}

impl Desk {
    fn new() -> Self {
        let account = Airferry::new();
        let (source, target) = (Serve::start(&account, &[]), Serve::start(&account, &[]));
        let settings = account.path(".config/containers/registries.conf");
        fs::create_dir_all(settings.parent().unwrap()).unwrap();
        let leads = format!(
            "[[registry]]\nprefix = \"registry.example.com\"\nlocation = \"{}\"\ninsecure = true\n",
            source.host
        );
        fs::write(settings, leads).unwrap();
        account.run(["keygen", "--out", "exporter"]).succeeds();
        let desk = Self {
            account,
            source,
            target,
        };
        let amd64 = Build::oci("app").plain_layer(30_000).image();
        let arm64 = Build::oci("app")
            .platform("linux/arm64")
            .plain_layer(20_000)
            .image();
        let shell = Build::oci("shell").plain_layer(10_000).image();
        let app = index([&amd64, &arm64]);
        let sbom = Build::artifact("application/spdx+json")
            .file(b"{}")
            .subject(&shell)
            .image();
        publish::push(&desk.source.host, "team/app", Some("1.4"), &app);
        publish::push(&desk.source.host, "team/shell", Some("1"), &shell);
        publish::push(&desk.source.host, "team/shell", None, &sbom);
        desk
    }

    /// Makes a transcript that shows the target as `mirror.example.com`.
    fn transcript(&self) -> Transcript<'_> {
        Transcript::new(&self.account)
            .showing(&self.target.host, "mirror.example.com")
            .showing(&self.source.host, "registry.example.com")
    }

    fn export<'a>(&self, to: &'a str) -> [&'a str; 7] {
        let [app, shell] = [
            "registry.example.com/team/app:1.4",
            "registry.example.com/team/shell:1",
        ];
        ["export", app, shell, "--to", to, "--key", "exporter.pem"]
    }

    fn import(&self, to: &str) -> [String; 7] {
        let to = format!("{}/{to}", self.target.host);
        let args = [
            "import",
            "stick",
            "--to",
            &to,
            "--trust",
            "exporter.pub",
            "--tls-verify=false",
        ];
        args.map(str::to_owned)
    }
}

#[test]
fn a_bundle_goes_across() {
    let desk = Desk::new();
    let mut shown = desk.transcript();
    let dry = [&desk.export("stick")[..], &["--dry-run"]].concat();
    shown.run(dry).succeeds();
    let titled = ["--title", "Team images, May", "--owner", "J. Doe"];
    shown
        .run([&desk.export("stick")[..], &titled].concat())
        .succeeds();
    shown
        .run([&desk.export("stick")[..], &titled].concat())
        .succeeds();
    shown
        .run(["verify", "stick", "--trust", "exporter.pub"])
        .succeeds();
    shown
        .run(["inspect", "stick", "--trust", "exporter.pub"])
        .succeeds();
    let sign = [
        "sign",
        "stick",
        "--key",
        "exporter.pem",
        "--role",
        "reviewer",
    ];
    shown
        .run([&sign[..], &["--comment", "transfer 117"]].concat())
        .succeeds();
    let dry = [&desk.import("lab")[..], &["--dry-run".to_owned()]].concat();
    shown.run(dry).succeeds();
    let resources = ["--resources", "cluster"].map(str::to_owned);
    shown
        .run([&desk.import("lab")[..], &resources].concat())
        .succeeds();
    shown.run(desk.import("lab")).succeeds();
    let more = [&desk.export("june")[..], &["--base", "stick"]].concat();
    shown.run(more).succeeds();
    shown.check("first-bundle");
}

#[test]
fn keys_are_shown() {
    let account = Airferry::new();
    let mut shown = Transcript::new(&account);
    shown.run(["keygen", "--out", "exporter"]).succeeds();
    shown.run(["keygen", "--show", "exporter.pub"]).succeeds();
    shown.run(["keygen", "--out", "exporter"]).fails_with(2);
    shown.check("keys");
}

#[test]
fn an_image_that_is_missing_is_named() {
    let desk = Desk::new();
    let mut shown = desk.transcript();
    let gone = "registry.example.com/team/gone:1";
    let with_gone = [&desk.export("stick")[..], &[gone]].concat();
    shown.run(&with_gone).fails_with(5);
    shown
        .run(["verify", "stick", "--trust", "exporter.pub"])
        .fails_with(5);
    shown.run(["inspect", "stick", "--trust", "exporter.pub"]);
    shown.run(desk.import("lab")).fails_with(5);
    let whole = ["--allow-incomplete".to_owned()];
    shown.run([&desk.import("lab")[..], &whole].concat());
    shown.run(["export", gone, "--to", "none", "--key", "exporter.pem"]);
    shown.check("missing-image");
}

#[test]
fn what_is_not_to_be_trusted_is_refused() {
    let desk = Desk::new();
    let mut shown = desk.transcript();
    desk.account.run(["keygen", "--out", "other"]).succeeds();
    desk.account.run(desk.export("stick")).succeeds();
    shown.run(["verify", "stick"]).fails_with(3);
    shown
        .run(["verify", "stick", "--trust", "other.pub"])
        .fails_with(3);
    let untrusted = desk
        .import("lab")
        .map(|arg| arg.replace("exporter.pub", "other.pub"));
    shown.run(untrusted).fails_with(3);
    fs::write(desk.account.path("stick/notes.txt"), "hello").unwrap();
    let strict = ["verify", "stick", "--trust", "exporter.pub", "--strict"];
    shown.run(strict).fails_with(9);
    fs::remove_file(desk.account.path("stick/notes.txt")).unwrap();
    flip(&desk.account.path("stick/chunks/000001.tar"), 20_000, 3);
    shown
        .run(["verify", "stick", "--trust", "exporter.pub"])
        .fails_with(4);
    fs::remove_file(desk.account.path("stick/chunks/000001.tar")).unwrap();
    shown
        .run(["verify", "stick", "--trust", "exporter.pub"])
        .fails_with(4);
    shown.check("refusals");
}

#[test]
fn mistakes_of_the_command_line_are_explained() {
    let desk = Desk::new();
    let mut shown = desk.transcript();
    let shell = "registry.example.com/team/shell:1";
    shown.run(["export", shell, "--to", "unsigned"]).succeeds();
    shown.run(["export", "--to", "nothing"]).fails_with(2);
    shown
        .run([
            "export",
            "Not/A:Reference:",
            "--to",
            "stick",
            "--key",
            "exporter.pem",
        ])
        .fails_with(2);
    shown.run(["export", shell, "--to", "stick", "--key", "absent.pem"]);
    shown
        .run(["verify", "absent", "--trust", "exporter.pub"])
        .fails_with(8);
    shown.run(["verify", ".", "--trust", "exporter.pub"]);
    shown.run(["verify", "absent", "--trust", "exporter.pem"]);
    desk.account.run(desk.export("stick")).succeeds();
    shown.run(["export", shell, "--to", "stick", "--key", "exporter.pem"]);
    shown
        .run(["import", "stick", "--trust", "exporter.pub"])
        .fails_with(2);
    shown.run(["catalog", "list", shell]);
    shown.run(["release", "info", shell]);
    shown.check("mistakes");
}

#[test]
fn trees_for_other_tools_are_unpacked() {
    let desk = Desk::new();
    let mut shown = desk.transcript();
    desk.account.run(desk.export("stick")).succeeds();
    for (to, kind) in [("tree", "v2"), ("layout", "oci")] {
        let args = [
            "unpack",
            "stick",
            "--to",
            to,
            "--as",
            kind,
            "--trust",
            "exporter.pub",
        ];
        shown.run(args).succeeds();
        assert!(Path::new(&desk.account.path(to)).is_dir());
    }
    shown.check("unpack");
}
