//! `chainstore config show`: every setting as it is in effect, and who says so.
//!
//! Invariant: what is shown is what a command with the same flags runs with.

use std::path::Path;

use anyhow::Result;
use chain_store::StoreUrl;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Column, Output, table};
use crate::settings::{Effective, Origin};

/// Show the configuration.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    Show(ShowArgs),
}

/// Print every effective setting with its origin.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore config show
  chainstore config show --config chainstore.toml --output json

Flags win over the environment, the environment over the file, the file over defaults. The file is
TOML and is read only if --config or CHAINSTORE_CONFIG names it. Its keys, all optional:

  store = \"redb:./node\"            # --store, CHAINSTORE_STORE
  output = \"json\"                  # --output, CHAINSTORE_OUTPUT: table, json, jsonl
  color = \"never\"                  # --color, NO_COLOR, CLICOLOR_FORCE: auto, always, never
  log_level = \"info\"               # --log-level, -v, RUST_LOG: off, error, warn, info, ...
  memory_budget_bytes = 268435456  # --memory-budget-bytes, CHAINSTORE_MEMORY_BUDGET_BYTES
  metrics_addr = 9187              # --metrics-addr, CHAINSTORE_METRICS_ADDR: a port or ADDRESS:PORT

A key that is none of these is an error. Relative paths count from the working directory, as on the
command line. The memory is for every command that opens a store but `verify`, `conform` and
`bench`, which leave it to the engine.")]
struct ShowArgs {
    /// The store, as other commands take it.
    #[arg(long, env = "CHAINSTORE_STORE", value_name = "URL")]
    store: Option<StoreUrl>,
}

#[derive(Serialize)]
struct Shown<'a> {
    settings: Vec<Setting<'a>>,
}

#[derive(Serialize)]
struct Setting<'a> {
    key: &'a str,
    value: Option<&'a str>,
    origin: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    flag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'a Path>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

fn setting(effective: &Effective) -> Setting<'_> {
    let mut setting = Setting {
        key: effective.key,
        value: effective.value.as_deref(),
        origin: "default",
        flag: None,
        variable: None,
        file: None,
        line: None,
    };
    match &effective.origin {
        Origin::Flag(flag) => (setting.origin, setting.flag) = ("flag", Some(*flag)),
        Origin::Environment(variable) => {
            (setting.origin, setting.variable) = ("environment", Some(*variable));
        }
        Origin::File(path, line) => {
            setting.origin = "file";
            (setting.file, setting.line) = (Some(path.as_path()), Some(*line));
        }
        Origin::Default => {}
    }
    setting
}

/// Runs the command.
pub(crate) fn run(args: &ConfigArgs, settings: &[Effective], out: &mut Output) -> Result<Exit> {
    let ConfigCommand::Show(_) = &args.command;
    let shown = Shown {
        settings: settings.iter().map(setting).collect(),
    };
    out.document(&shown, |_| {
        let head = ["setting", "value", "origin"].map(Column::Left);
        let rows = settings.iter().map(|it| {
            vec![
                it.key.to_owned(),
                it.value.clone().unwrap_or_else(|| "-".to_owned()),
                it.origin.to_string(),
            ]
        });
        table(&head, rows)
    })?;
    Ok(Exit::Done)
}
