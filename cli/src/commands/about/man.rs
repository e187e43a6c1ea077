//! `chainstore man`: the manual pages, one for the program and one for each command.
//!
//! Invariants: made from the definition that reads the command line; a file is written whole or not
//! at all; only files of the names of our pages are written.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};
use serde::Serialize;

use crate::args::Arguments;
use crate::exit::Exit;
use crate::output::Output;

/// Print the manual page of the program, or write the pages of all commands.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore man > chainstore.1
  chainstore man --dir ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// Where all pages are written; it is made where it is missing.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Serialize)]
struct Page {
    file: String,
    bytes: usize,
}

/// Runs the command.
pub(crate) fn run(args: &ManArgs, out: &mut Output) -> Result<Exit> {
    let mut definition = Arguments::command().disable_help_subcommand(true);
    definition.build();
    let Some(dir) = &args.dir else {
        out.raw(&page(&definition)?)?;
        return Ok(Exit::Done);
    };
    let mut pages = Vec::new();
    gather(&definition, &mut pages)?;
    fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for (name, text) in &pages {
        write(dir, name, text)?;
    }
    let mut list = out.list("")?;
    for (name, text) in &pages {
        let page = Page {
            file: dir.join(name).display().to_string(),
            bytes: text.len(),
        };
        list.row(&page, |page| page.file.clone())?;
    }
    list.end()?;
    Ok(Exit::Done)
}

fn write(dir: &Path, name: &str, text: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    let written = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
        file.write_all(text)?;
        (file.as_file()).set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(&path).map_err(|error| error.error)
    });
    let written = written.map(drop);
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// The page of a command and those of the commands below it.
fn gather(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name());
    pages.push((format!("{name}.1"), page(command)?));
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        gather(below, pages)?;
    }
    Ok(())
}

/// The page of a command.
fn page(command: &Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let man = Man::new(command.clone());
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    if let Some(after) = command.get_after_help() {
        notes(&after.to_string()).to_writer(&mut text)?;
    }
    Ok(text)
}

/// What stands below the options, with its lines as they are: they are commands and tables.
fn notes(after: &str) -> Roff {
    let mut roff = Roff::default();
    let mut is_open = false;
    for line in after.lines() {
        let title = match line {
            "Examples:" => Some("EXAMPLES"),
            "Exit codes:" => Some("EXIT STATUS"),
            _ => None,
        };
        if let Some(title) = title {
            if is_open {
                roff.control("fi", []);
            }
            roff.control("SH", [title]);
            roff.control("nf", []);
            is_open = true;
        } else {
            roff.text([roman(line)]);
        }
    }
    if is_open {
        roff.control("fi", []);
    }
    roff
}
