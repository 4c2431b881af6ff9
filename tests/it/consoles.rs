//! Types the console examples of README.md and docs/*.md, and compares the answers with the pages.

mod desk;

use std::fs;
use std::path::PathBuf;

use regex::Regex;

use desk::Desk;

use crate::support::console::{Shell, Step, agrees, steps};
use crate::support::images::Build;
use crate::support::source;
use crate::support::stage::{copy_directory, flip};

/// Pages whose consoles continue where those of the page before ended, in this order.
const PAGES: &[&str] = &[
    "README.md",
    "docs/security-model.md",
    "docs/reviewer.md",
    "docs/updater.md",
    "docs/operator.md",
    "docs/registries.md",
];

/// Pages with consoles in fences that no test can type, and why. `cli::examples` parses their
/// command lines.
const NOT_TYPED: &[(&str, &str)] = &[
    (
        "docs/many-importers.md",
        "four machines at once; `import::shards` has several importers of one bundle",
    ),
    (
        "docs/performance.md",
        "measurements of hours, with programs of others and as root",
    ),
];

impl Desk {
    /// Does what the text of the page demands before a step.
    fn prepare(&self, step: &Step, command: &str) {
        let at = |name: &str| self.account.path(name);
        if let Some(file) = command
            .strip_prefix("cat ")
            .filter(|file| !file.contains('/'))
        {
            fs::write(at(file), step.shown.join("\n") + "\n").unwrap();
        }
        if command.contains("verify damaged") {
            copy_directory(&at("stick/may"), &at("damaged"));
            let length = fs::metadata(at("damaged/chunks/000001.tar")).unwrap().len();
            flip(&at("damaged/chunks/000001.tar"), length as usize / 2, 0);
        }
        if command.contains("import stick/okd") {
            fs::remove_dir_all(at("cluster")).unwrap();
        }
        if command.contains("--to stick/june") {
            // "`images.txt` has one more line by now, another tag of one of the images".
            let _ = fs::remove_dir_all(at("stick/june"));
            let more = "registry.example.com/team/app:1.5\n";
            let list = fs::read_to_string(at("images.txt")).unwrap();
            fs::write(at("images.txt"), list.replace(more, "") + more).unwrap();
        }
        if command.contains("--to stick/inc") && at("stick/inc").exists() {
            // "Correct what is wrong, run it again".
            let image = Build::oci("gone").layer(300).image();
            self.push("team/gone", Some("1"), &image);
        }
        let run = |args: &str| {
            self.account.run(args.split(' ')).succeeds();
        };
        if step.heading == "By hand, without airferry" {
            fs::copy(at("exporter.pub"), at("stick/exporter.pub")).unwrap();
        }
        if command.contains("--trust reviewer.pub") {
            run("keygen --out reviewer");
            let sign = [
                "sign",
                "stick/may",
                "--key",
                "reviewer.pem",
                "--role",
                "reviewer",
            ];
            let comment = ["--comment", "transfer 2026-117"];
            self.account.run([&sign[..], &comment].concat()).succeeds();
        }
        if command.contains("import stick/sparse") && !at("stick/sparse").exists() {
            run(
                "export registry.example.com/team/app:1.4 --platform linux/amd64 --to stick/sparse \
                 --key exporter.pem --quiet",
            );
        }
    }

    /// Returns the directory and the command line of a step, with the names of this run.
    fn adapted(&self, step: &Step, command: &str) -> (PathBuf, String) {
        let target = Regex::new(r"127\.0\.0\.1:[0-9]+").unwrap();
        let command = target.replace_all(command, self.target.host.as_str());
        if step.heading != "By hand, without airferry" {
            return (self.account.home().to_owned(), command.into_owned());
        }
        let bundle = self.account.path("stick/may");
        let entries = fs::read_dir(bundle.join("signatures")).unwrap();
        let statement = entries.map(|entry| entry.unwrap().path()).next().unwrap();
        let stem = statement.file_stem().unwrap().to_str().unwrap();
        let shown = Regex::new("[0-9a-f]{16}-[0-9a-f]{16}-01").unwrap();
        (bundle, shown.replace_all(&command, stem).into_owned())
    }
}

fn page(name: &str) -> Vec<Step> {
    steps(name, &source::read(name.as_ref()))
}

/// All pages are typed by one user in one directory, so a page may use files that an earlier page
/// made.
#[test]
fn consoles_answer_what_the_pages_show() {
    let desk = Desk::new();
    let mut shell = Shell::new(&desk.account);
    let mut typed_lines = 0;
    let mut wrong = Vec::new();
    let mut last = String::new();
    for step in PAGES.iter().flat_map(|name| page(name)) {
        let (command, shown) = match &step.command {
            Some(command) => (command.clone(), step.shown.clone()),
            // "The same command without `--dry-run` writes the bundle, and ends with".
            None if step.shown[0].starts_with("sealed generation") => {
                let again = last.replace(" --dry-run", "");
                (again, [&["...".to_owned()], &step.shown[..]].concat())
            }
            None => continue,
        };
        desk.prepare(&step, &command);
        let (directory, line) = desk.adapted(&step, &command);
        let answered = shell.types(&directory, &line);
        if !agrees(&shown, &answered) {
            let (shown, answered) = (shown.join("\n"), answered.join("\n"));
            wrong.push(format!(
                "{}:{}: {command}\n--- the page\n{shown}\n--- the program\n{answered}\n",
                step.page, step.line
            ));
        }
        typed_lines += 1;
        last = command;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(typed_lines > 40, "only {typed_lines} lines were found");
}

#[test]
fn no_console_is_forgotten() {
    let pages = source::files("docs", &["md"]).into_iter();
    let pages = pages.map(|file| file.to_str().unwrap().to_owned());
    for name in pages.chain(["README.md".to_owned()]) {
        let mut steps = page(&name).into_iter();
        let first = steps.find(|step| step.command.is_some());
        let listed = PAGES.contains(&name.as_str());
        assert_eq!(first.is_some(), listed, "{name} {first:?}");
        let text = source::read(name.as_ref());
        let fenced = text.lines().any(|line| line.starts_with("$ "));
        let listed = NOT_TYPED.iter().any(|(page, _)| *page == name);
        assert_eq!(fenced, listed, "{name} has a console in a fence");
    }
}

#[test]
fn what_a_console_is() {
    let text = "# A\n\n    $ one \\\n        two\n    answer\n\n    ...\n    $ three\n\ntext\n\n    plain\n";
    let found: Vec<(Option<String>, String)> = steps("a.md", text)
        .into_iter()
        .map(|step| (step.command, step.shown.join("|")))
        .collect();
    let expected = [
        (Some("one two".to_owned()), "answer||...".to_owned()),
        (Some("three".to_owned()), String::new()),
        (None, "plain".to_owned()),
    ];
    assert_eq!(found, expected);
    let lines = |text: &str| text.split('|').map(str::to_owned).collect::<Vec<_>>();
    for (shown, answered, same) in [
        ("a 12 bytes|b", "a 12 bytes|b", true),
        ("1234 bytes", "99 bytes", false),
        ("97.0 MiB sent", "12 B sent", true),
        ("a|...", "a|b|c", true),
        ("a|...|c", "a|c", true),
        ("a|...|c", "a|b", false),
        ("a", "a|b", false),
        ("4 images", "5 images", false),
    ] {
        assert_eq!(
            agrees(&lines(shown), &lines(answered)),
            same,
            "{shown} {answered}"
        );
    }
}
