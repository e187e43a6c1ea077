//! The commands, one file each.
//!
//! Invariant: a command returns how it ended or an error; it never ends the process itself and
//! prints no error.

pub(crate) mod about;
pub(crate) mod blocks;
pub(crate) mod compare;
pub(crate) mod demo;
pub(crate) mod export;
pub(crate) mod import;
#[cfg(any(feature = "bench", feature = "conform"))]
pub(crate) mod prove;
pub(crate) mod rows;
pub(crate) mod stat;
pub(crate) mod upkeep;
pub(crate) mod verify;

use anyhow::Result;

use crate::args::{Arguments, Command};
use crate::exit::{Exit, Stop};
use crate::output::Output;
use crate::settings::Effective;

/// Runs the command that was asked for.
pub(crate) fn run(arguments: &Arguments, settings: &[Effective]) -> Result<Exit> {
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
        Command::Export(args) => export::run(args, &mut out),
        Command::Blocks(args) => blocks::run(args, &mut out),
        Command::Get(args) => rows::get::run(args, &mut out),
        Command::List(args) => rows::list::run(args, &mut out),
        Command::Put(args) => rows::put::run(args, &mut out),
        Command::Delete(args) => rows::delete::run(args, &mut out),
        Command::Stat(args) => stat::run(args, &mut out),
        Command::Verify(args) => verify::run(args, arguments.metrics_addr, &mut out),
        Command::Compact(args) => upkeep::compact::run(args, &mut out),
        Command::Copy(args) => upkeep::copy::run(args, &mut out),
        Command::Config(args) => about::config::run(args, settings, &mut out),
        Command::Completions(args) => about::completions::run(args, &mut out),
        Command::Man(args) => about::man::run(args, &mut out),
        Command::Version(args) => about::version::run(args, &mut out),
    }
}

/// Refuses a page as the form of a command that has none.
fn pages_are_of_reports(arguments: &Arguments) -> Result<()> {
    let is_report = match &arguments.command {
        #[cfg(feature = "bench")]
        Command::Bench(_) => arguments.output == crate::output::Format::Md,
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
