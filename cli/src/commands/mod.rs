//! The commands, one file each.
//!
//! Invariant: a command returns how it ended or an error; it never ends the process itself and
//! prints no error.

pub(crate) mod blocks;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod prove;
pub(crate) mod stat;
pub(crate) mod verify;
pub(crate) mod version;

use anyhow::Result;

use crate::args::{Arguments, Command};
use crate::exit::{Exit, Stop};
use crate::output::{Format, Output};

/// Runs the command that was asked for.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let mut out = Output::new(arguments.output);
    pages_are_of_reports(arguments)?;
    match &arguments.command {
        #[cfg(feature = "bench")]
        Command::Bench(args) => prove::bench::run(args, &mut out),
        #[cfg(feature = "conform")]
        Command::Conform(args) => prove::conform::run(args, &mut out),
        Command::Checksum(args) => compare::checksum::run(args, &mut out),
        Command::Diff(args) => compare::diff::run(args, &mut out),
        Command::Migrate(args) => compare::migrate::run(args, &mut out),
        Command::Demo(args) => demo::run(args, &mut out),
        Command::Import(args) => import::run(args, &mut out),
        Command::Blocks(args) => blocks::run(args, &mut out),
        Command::Get(args) => get::run(args, &mut out),
        Command::List(args) => list::run(args, &mut out),
        Command::Stat(args) => stat::run(args, &mut out),
        Command::Verify(args) => verify::run(args, arguments.metrics_addr, &mut out),
        Command::Version(args) => version::run(args, &mut out),
    }
}

/// Refuses a page as the form of a command that has none.
fn pages_are_of_reports(arguments: &Arguments) -> Result<()> {
    let is_report = match &arguments.command {
        #[cfg(feature = "bench")]
        Command::Bench(_) => arguments.output == Format::Md,
        #[cfg(feature = "conform")]
        Command::Conform(_) => true,
        _ => false,
    };
    if arguments.output.is_page() && !is_report {
        let words = "--output md and html are forms of reports: conform writes both, bench md";
        return Err(Stop::Usage(words.to_owned()).into());
    }
    Ok(())
}
