//! `airferry completions`: prints completion scripts for shells.

use clap_complete::Shell;

use super::Invocation;

const EXAMPLES: &str = "\
Examples:
  airferry completions bash > /etc/bash_completion.d/airferry
  airferry completions zsh > \"${fpath[1]}/_airferry\"
  airferry completions fish > ~/.config/fish/completions/airferry.fish";

/// Prints a script that completes commands and flags in a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs, invocation: &Invocation) {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::command(), "airferry", &mut script);
    invocation.output.result(&String::from_utf8_lossy(&script));
}
