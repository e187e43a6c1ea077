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
mod settings;
mod store;

use std::env;
use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use anyhow::Result;
use clap::{CommandFactory, FromArgMatches, Parser};
use tracing_subscriber::EnvFilter;

use crate::args::{Arguments, Command};
use crate::exit::Doing;
use crate::metrics::Server;
use crate::progress::say;
use crate::settings::{Settings, colour};

fn main() -> ExitCode {
    let asked: Vec<OsString> = env::args_os().collect();
    let settings = match Settings::gather(&asked) {
        Ok(settings) => settings,
        Err(error) => {
            exit_with_help(&asked);
            return exit::report(&error, Doing::NOTHING).into();
        }
    };
    let matches = settings.apply(Arguments::command()).get_matches_from(asked);
    let arguments = match Arguments::from_arg_matches(&matches) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    log_to_stderr(settings.log_filter(&matches));
    if let Some(bytes) = arguments.memory_budget_bytes {
        store::set_memory_budget_bytes(bytes);
    }
    let effective = settings.effective(&matches);
    let ended = interrupt::install()
        .and_then(|()| serve_metrics(&arguments))
        .and_then(|_server| commands::run(&arguments, &effective));
    match ended {
        Ok(exit) => exit.into(),
        Err(error) => exit::report(&error, arguments.doing()).into(),
    }
}

/// Ends with the help or the version where these were asked for, whatever the configuration says.
fn exit_with_help(asked: &[OsString]) {
    use clap::error::ErrorKind::{DisplayHelp, DisplayVersion};
    if let Err(error) = Arguments::try_parse_from(asked)
        && matches!(error.kind(), DisplayHelp | DisplayVersion)
    {
        error.exit();
    }
}

/// Serves metrics as long as the command runs, where that was asked for.
fn serve_metrics(arguments: &Arguments) -> Result<Option<Server>> {
    let Some(address) = arguments.metrics_addr else {
        return Ok(None);
    };
    match &arguments.command {
        // They open no store, and a running command may hold the address of the configuration.
        Command::Completions(_) | Command::Config(_) | Command::Man(_) | Command::Version(_) => {
            Ok(None)
        }
        // The first process serves at the address that both are told by the environment.
        #[cfg(feature = "bench")]
        Command::Bench(args) if args.is_second() => Ok(None),
        // Its second process does the work and serves; this one only sees that the address is free.
        Command::Verify(args) if !args.is_second() => address.bind().map(|_| None),
        // Another process was faster at the address, which is no reason not to verify.
        Command::Verify(_) => Ok(metrics::serve(address)
            .inspect_err(|error| say(&format!("chainstore: note: {error:#}")))
            .ok()),
        _ => metrics::serve(address).map(Some),
    }
}

/// Logs go to standard error.
fn log_to_stderr(filter: EnvFilter) {
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(colour::is_on(&io::stderr()))
        .init();
}
