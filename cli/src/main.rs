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
mod metrics;
mod output;
mod progress;
mod store;

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Arguments, Command};
use crate::metrics::Server;
use crate::progress::say;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    log_to_stderr(arguments.verbose);
    let ended = interrupt::install()
        .and_then(|()| serve_metrics(&arguments))
        .and_then(|_server| commands::run(&arguments));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error, arguments.doing()).into(),
    }
}

/// Serves metrics as long as the command runs, where that was asked for.
fn serve_metrics(arguments: &Arguments) -> Result<Option<Server>> {
    let Some(address) = arguments.metrics_addr else {
        return Ok(None);
    };
    match &arguments.command {
        // Its second process does the work and serves; this one only sees that the address is free.
        Command::Verify(args) if !args.is_second() => address.bind().map(|_| None),
        // Another process was faster at the address, which is no reason not to verify.
        Command::Verify(_) => Ok(metrics::serve(address)
            .inspect_err(|error| say(&format!("chainstore: note: {error:#}")))
            .ok()),
        _ => metrics::serve(address).map(Some),
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
