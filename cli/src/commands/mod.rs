//! The commands, one file each.
//!
//! Invariant: a command returns how it ended or an error; it never ends the process itself and
//! prints no error.

pub(crate) mod blocks;
pub(crate) mod demo;
pub(crate) mod get;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod stat;
pub(crate) mod verify;
pub(crate) mod version;

use anyhow::Result;

use crate::args::{Arguments, Command};
use crate::exit::Exit;
use crate::output::Output;

/// Runs the command that was asked for.
pub(crate) fn run(arguments: &Arguments) -> Result<Exit> {
    let mut out = Output::new(arguments.output);
    match &arguments.command {
        Command::Demo(args) => demo::run(args, &mut out),
        Command::Import(args) => import::run(args, &mut out),
        Command::Blocks(args) => blocks::run(args, &mut out),
        Command::Get(args) => get::run(args, &mut out),
        Command::List(args) => list::run(args, &mut out),
        Command::Stat(args) => stat::run(args, &mut out),
        Command::Verify(args) => verify::run(args, &mut out),
        Command::Version(args) => version::run(args, &mut out),
    }
}
