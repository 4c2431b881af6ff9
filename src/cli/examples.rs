//! Tests that the program accepts every airferry command line that a page or a help text shows.

#![expect(clippy::disallowed_methods, reason = "the pages are files")]

use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A command line that a page or a help text shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Example {
    /// The page, or the command whose help it is, and the line as it is shown.
    place: String,
    words: Vec<String>,
    /// True if required arguments may be missing: it contains `...`, or stands in a sentence.
    is_part: bool,
}

/// Placeholders in examples, each with a valid value that replaces it.
const PLACEHOLDERS: &[(&str, &str)] = &[
    ("REF", "registry.example.com/team/app:1"),
    ("SRC", "registry.example.com/team/app:1"),
    ("INDEX", "registry.example.com/catalog:1"),
    ("PULLSPEC", "registry.example.com/release:1"),
    ("MIRROR/", "mirror.example.com/release:1"),
    ("REGISTRY/NAMESPACE", "mirror.example.com/lab"),
    ("REGISTRY/REPO", "mirror.example.com/lab"),
    ("REGISTRY/NS", "mirror.example.com/lab"),
    ("VERB", "verify"),
    ("SHELL", "bash"),
    ("NAME", "go126-6"),
    ("$SLOW_LINE_FAR:5000/app:v1", "registry.example.com/app:v1"),
];

/// Splits a line into commands and those into words, as a shell does. A quoted text is one word,
/// even if it contains a command line.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = vec![Vec::new()];
    let mut word: Option<String> = None;
    let mut quote = None;
    let end = |commands: &mut Vec<Vec<String>>, word: &mut Option<String>| {
        if let (Some(command), Some(word)) = (commands.last_mut(), word.take()) {
            command.push(word);
        }
    };
    for c in line.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.get_or_insert_default().push(c),
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => end(&mut commands, &mut word),
            (None, '|' | ';' | '&' | '>' | '<') => {
                end(&mut commands, &mut word);
                commands.push(Vec::new());
            }
            (None, c) => word.get_or_insert_default().push(c),
        }
    }
    end(&mut commands, &mut word);
    commands
}

/// Returns the arguments of each call of airferry in a line.
fn calls(line: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for command in commands(line) {
        // An explanation may stand before the command, separated by two spaces.
        let at = command.iter().position(|word| word == "airferry");
        match at {
            Some(at) if at == 0 || line.contains("  airferry ") => {
                found.push(command[at + 1..].to_vec());
            }
            _ => {
                let inner = command.iter().filter(|word| word.starts_with("airferry "));
                found.extend(inner.flat_map(|inner| calls(inner)));
            }
        }
    }
    found
}

fn example(place: &str, line: &str, words: Vec<String>, in_sentence: bool) -> Example {
    let is_part = in_sentence || words.iter().any(|word| word.ends_with("..."));
    let words = words.into_iter().filter(|word| word != "...");
    let words = words.map(|word| {
        if let Some(before) = word.strip_suffix("sha256:...") {
            return format!("{before}sha256:{}", "0".repeat(64));
        }
        let word = word.strip_suffix("...").unwrap_or(&word);
        let known = PLACEHOLDERS
            .iter()
            .find(|(placeholder, _)| *placeholder == word);
        known.map_or(word, |(_, value)| value).to_owned()
    });
    Example {
        place: format!("{place}: {}", line.trim()),
        words: words.collect(),
        is_part,
    }
}

/// Returns the examples in a block of code. If any line begins with `$ `, only such lines are
/// commands, and the others are output; without such a line all lines are commands.
fn of_code(place: &str, block: &[String]) -> Vec<Example> {
    let is_console = block.iter().any(|line| line.starts_with("$ "));
    let mut found = Vec::new();
    let mut lines = block.iter();
    while let Some(line) = lines.next() {
        let mut line = match (is_console, line.strip_prefix("$ ")) {
            (true, None) => continue,
            (_, typed) => typed.unwrap_or(line).to_owned(),
        };
        while let Some(before) = line.strip_suffix('\\') {
            let next = lines.next().map_or("", |next| next.trim());
            line = format!("{} {next}", before.trim_end());
        }
        found.extend(
            calls(&line)
                .into_iter()
                .map(|words| example(place, &line, words, false)),
        );
    }
    found
}

/// Returns the examples between backticks in a text.
fn of_prose(place: &str, text: &str) -> Vec<Example> {
    let spans = text.split('`').skip(1).step_by(2);
    let spans = spans.map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "));
    spans
        .filter(|span| span.starts_with("airferry "))
        .flat_map(|span| {
            let words = calls(&span).into_iter();
            words
                .map(|words| example(place, &span, words, true))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Returns the examples of a Markdown page.
fn of_page(place: &str, text: &str) -> Vec<Example> {
    let mut found = Vec::new();
    let (mut fenced, mut block, mut prose) = (false, Vec::new(), String::new());
    for line in text.lines().chain([""]) {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        let code = match fenced && !is_fence {
            true => Some(line),
            false => line.strip_prefix("    "),
        };
        if let Some(code) = code {
            block.push(code.to_owned());
            continue;
        }
        found.extend(of_code(place, &std::mem::take(&mut block)));
        // An empty line, a heading, a table row or a list item ends an open code span.
        if line.is_empty() || ["#", "|", "- "].iter().any(|mark| line.starts_with(mark)) {
            found.extend(of_prose(place, &std::mem::take(&mut prose)));
        }
        if !is_fence {
            prose.push_str(line);
            prose.push('\n');
        }
    }
    found.extend(of_prose(place, &prose));
    found
}

/// Returns the examples in the help of a command and of its subcommands.
fn of_help(command: &clap::Command) -> Vec<Example> {
    let place = format!("airferry {} --help", command.get_name());
    let after = [command.get_after_help(), command.get_after_long_help()];
    let mut texts: Vec<String> = after
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect();
    let mut found: Vec<Example> = texts
        .iter()
        .flat_map(|text| {
            let lines = text.lines().filter(|line| line.starts_with("  "));
            of_code(
                &place,
                &lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>(),
            )
        })
        .collect();
    let about = [command.get_about(), command.get_long_about()];
    texts.extend(about.into_iter().flatten().map(ToString::to_string));
    for argument in command.get_arguments() {
        let help = [argument.get_help(), argument.get_long_help()];
        texts.extend(help.into_iter().flatten().map(ToString::to_string));
    }
    found.extend(texts.iter().flat_map(|text| of_prose(&place, text)));
    found.extend(command.get_subcommands().flat_map(of_help));
    found
}

/// Returns the reason why the program refuses an example; `None` if it accepts it.
fn refusal(example: &Example) -> Option<String> {
    let args = std::iter::once("airferry").chain(example.words.iter().map(String::as_str));
    let error = super::parse(args.map(OsString::from)).err()?;
    let lacks_something = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => return None,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => true,
        // A flag without its value.
        ErrorKind::InvalidValue => {
            let value = error.get(ContextKind::InvalidValue);
            matches!(value, Some(ContextValue::String(value)) if value.is_empty())
        }
        _ => false,
    };
    let refused = !(example.is_part && lacks_something);
    refused.then(|| format!("{}\n    {error}", example.place))
}

fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = Vec::new();
    for directory in ["", "docs"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root).unwrap().display().to_string();
                pages.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    pages
}

#[test]
fn the_program_takes_every_example() {
    let pages = pages();
    let mut examples: Vec<Example> = pages
        .iter()
        .flat_map(|(name, text)| of_page(name, text))
        .collect();
    let of_pages = examples.len();
    let mut command = super::command();
    command.build();
    examples.extend(of_help(&command));
    assert!(
        of_pages > 80,
        "only {of_pages} examples were found in pages"
    );
    let of_help = examples.len() - of_pages;
    assert!(
        of_help > 40,
        "only {of_help} examples were found in help texts"
    );
    let refused: Vec<String> = examples.iter().filter_map(refusal).collect();
    assert!(refused.is_empty(), "\n{}", refused.join("\n"));
}

#[test]
fn examples_are_found_wherever_they_stand() {
    let page = "\
Text `airferry verify` and `airferry sign DIR
--key K`, `import --to X`.

    $ airferry export REF... --to out \\
        --dry-run   # nothing
    airferry registry listening

| a | `airferry man VERB \\| man -l -` |

    With it:  airferry verify DIR
    gzip -dc x | airferry codec encode --encoder 'a b' > y

```
sh -c 'airferry export $X --to media'
```
";
    let found: Vec<(String, bool)> = of_page("page", page)
        .into_iter()
        .map(|example| (example.words.join(" "), example.is_part))
        .collect();
    let expected = [
        ("verify", true),
        ("sign DIR --key K", true),
        (
            "export registry.example.com/team/app:1 --to out --dry-run",
            true,
        ),
        ("man verify \\", true),
        ("verify DIR", false),
        ("codec encode --encoder a b", false),
        ("export $X --to media", false),
    ];
    let expected = expected.map(|(words, part)| (words.to_owned(), part));
    assert_eq!(found, expected);
}

#[test]
fn a_line_that_the_program_does_not_take_is_refused() {
    for (page, taken) in [
        ("    airferry verify DIR --trust a.pub", true),
        ("    airferry verify", false),
        ("    airferry verify DIR --tryst a.pub", false),
        ("    airferry export a/b:1 --to", false),
        ("`airferry verify`", true),
        ("`airferry verfy`", false),
        ("`airferry export --tO x`", false),
        ("`airferry export --help`", true),
        ("`airferry export --to`", true),
        ("    airferry export a/b:1 --to ...", true),
        (
            "    airferry verify DIR --trust-fingerprint sha256:...",
            true,
        ),
    ] {
        let examples = of_page("page", page);
        assert_eq!(examples.len(), 1, "{page}");
        assert_eq!(refusal(&examples[0]).is_none(), taken, "{page}");
    }
}
