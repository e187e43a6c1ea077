//! `chainstore`: the program for operators, over the facade.
//!
//! This file only reads the arguments and hands over. Must always hold for every command: data goes
//! to standard output, everything else to standard error; the exit code is one of the table in
//! [`exit`]; a reader that goes away (`| head`) ends the program quietly; reading commands open the
//! store read-only and change no byte of it.
#![forbid(unsafe_code)]

mod args;
mod commands;
mod exit;
mod hex;
mod interrupt;
mod output;
mod progress;
mod store;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.verbose);
    let ended = interrupt::install().and_then(|()| commands::run(&arguments));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error, arguments.doing()).into(),
    }
}

/// Logs go to standard error: `RUST_LOG` decides, else `-v` (information) and `-vv` (everything).
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::WARN,
        1 => LevelFilter::INFO,
        _ => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env_lossy();
    let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour)
        .init();
}
