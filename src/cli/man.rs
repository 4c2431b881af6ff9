//! `airferry man`: manual pages, generated from the text of `--help`.

use std::path::PathBuf;

use clap_mangen::Man;

use super::Invocation;
use crate::error::Error;
use crate::sys::files;

const EXAMPLES: &str = "\
Examples:
  Read the page of a verb:
    airferry man export | man -l -

  Write all pages:
    airferry man --dir /usr/local/share/man/man1";

/// Prints a manual page, or writes all of them.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ManArgs {
    /// The verb whose page is printed; without it, the page of airferry itself.
    #[arg(value_name = "VERB")]
    verb: Vec<String>,

    /// Writes the pages of all verbs into this directory.
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: &ManArgs, invocation: &Invocation) -> Result<(), Error> {
    // `help` gets no page: it only prints what the other pages say.
    let mut command = super::command().disable_help_subcommand(true);
    command.build();
    if let Some(directory) = &args.dir {
        files::make_dirs(directory)?;
        for (name, page) in pages(&command)? {
            files::write_atomically(&directory.join(name), &page, 0o644)?;
        }
        return Ok(());
    }
    let mut chosen = &command;
    for verb in &args.verb {
        chosen = chosen
            .find_subcommand(verb)
            .ok_or_else(|| Error::usage(format!("There is no verb `{}`", verb.escape_debug())))?;
    }
    let (_, page) = page(chosen)?;
    invocation.output.result(&String::from_utf8_lossy(&page));
    Ok(())
}

/// File name and text of a page.
type Page = (String, Vec<u8>);

/// Returns the pages of a command and of all its subcommands.
fn pages(command: &clap::Command) -> Result<Vec<Page>, Error> {
    let mut pages = vec![page(command)?];
    for sub in command.get_subcommands() {
        pages.extend(self::pages(sub)?);
    }
    Ok(pages)
}

fn page(command: &clap::Command) -> Result<Page, Error> {
    let man = Man::new(command.clone()).source(concat!("airferry ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    let mut render = || {
        man.render_title(&mut text)?;
        man.render_name_section(&mut text)?;
        man.render_synopsis_section(&mut text)?;
        man.render_description_section(&mut text)?;
        man.render_options_section(&mut text)?;
        if command.has_subcommands() {
            man.render_subcommands_section(&mut text)?;
        }
        std::io::Write::write_all(&mut text, examples(command).as_bytes())
    };
    render().map_err(|error| Error::internal("The manual page cannot be written", error))?;
    Ok((man.get_filename(), text))
}

/// Returns the text after the flags as roff, with its line breaks: commands must not be filled into
/// paragraphs.
fn examples(command: &clap::Command) -> String {
    let long = command.get_after_long_help();
    let Some(text) = long.or_else(|| command.get_after_help()) else {
        return String::new();
    };
    let mut roff = ".SH EXAMPLES\n.nf\n".to_owned();
    for line in text.to_string().lines() {
        if line == "Examples:" {
            continue;
        }
        // The `\&` protects a dot or an apostrophe at the beginning, which would be a roff request.
        roff.push_str("\\&");
        roff.push_str(&line.replace('\\', "\\e").replace('-', "\\-"));
        roff.push('\n');
    }
    roff.push_str(".fi\n");
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_a_page_under_its_whole_name() {
        let mut command = super::super::command().disable_help_subcommand(true);
        command.build();
        let pages = pages(&command).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names[0], "airferry.1");
        assert!(names.contains(&"airferry-keygen.1"), "{names:?}");
        for (name, page) in &pages {
            let text = std::str::from_utf8(page).unwrap();
            assert!(text.contains(".TH airferry"), "{name}:\n{text}");
        }
    }

    #[test]
    fn every_page_has_the_examples_of_the_help() {
        fn check(command: &clap::Command) {
            let helps = [command.get_after_help(), command.get_after_long_help()];
            if helps.iter().any(Option::is_some) {
                let (name, page) = page(command).unwrap();
                let page = String::from_utf8(page).unwrap();
                assert!(page.contains(".SH EXAMPLES"), "{name}");
            }
            command.get_subcommands().for_each(check);
        }
        let mut command = super::super::command().disable_help_subcommand(true);
        command.build();
        check(&command);
    }
}
