//! `chainstore completions`: what a shell needs to complete this program's command line.
//!
//! Invariant: made from the definition itself, without the settings of this run.

use anyhow::Result;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Arguments;
use crate::exit::Exit;
use crate::output::Output;

/// Print the completions for a shell.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore completions bash > /etc/bash_completion.d/chainstore
  chainstore completions zsh > ~/.zfunc/_chainstore
  chainstore completions fish > ~/.config/fish/completions/chainstore.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
pub(crate) fn run(args: &CompletionsArgs, out: &mut Output) -> Result<Exit> {
    // Into memory first: the library gives up where standard output is closed.
    let mut script = Vec::new();
    let mut definition = Arguments::command();
    clap_complete::generate(args.shell, &mut definition, "chainstore", &mut script);
    out.raw(&script)?;
    Ok(Exit::Done)
}
