//! `chainstore version`: what this program is, which engines it has, which formats it reads.
//!
//! Invariant: the versions of libraries are those that were linked (see `build.rs`).

use anyhow::Result;
use chain_store::{EngineName, MARKER_VERSION};
use clap::Args;
use serde::Serialize;

use crate::exit::Exit;
use crate::output::{Column, Output, facts, table};

/// Print versions: the program, its engines, the formats it reads.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore version
  chainstore version --output json")]
pub(crate) struct VersionArgs {}

#[derive(Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    target: &'static str,
    debug: bool,
    directory_format: u32,
    engines: Vec<Engine>,
}

#[derive(Serialize)]
struct Engine {
    name: &'static str,
    compiled: bool,
    format: Option<u32>,
    library: Option<&'static str>,
}

const fn library(engine: EngineName) -> Option<&'static str> {
    match engine {
        EngineName::Redb => Some(env!("CHAINSTORE_LIBRARY_REDB")),
        EngineName::Lmdb => Some(env!("CHAINSTORE_LIBRARY_LMDB")),
        EngineName::Rocks => Some(env!("CHAINSTORE_LIBRARY_ROCKS")),
        _ => None,
    }
}

/// Runs the command.
pub(crate) fn run(_args: &VersionArgs, out: &mut Output) -> Result<Exit> {
    let engines = EngineName::ALL.into_iter().map(|engine| Engine {
        name: engine.as_str(),
        compiled: engine.is_compiled(),
        format: engine.format(),
        library: library(engine).filter(|_| engine.is_compiled()),
    });
    let version = Version {
        name: "chainstore",
        version: env!("CARGO_PKG_VERSION"),
        target: env!("CHAINSTORE_TARGET"),
        debug: cfg!(debug_assertions),
        directory_format: MARKER_VERSION,
        engines: engines.collect(),
    };
    out.document(&version, to_table)?;
    Ok(Exit::Done)
}

fn to_table(version: &Version) -> String {
    let about = facts([
        ("chainstore", version.version.to_owned()),
        ("target", version.target.to_owned()),
        ("directory format", version.directory_format.to_string()),
    ]);
    let head = [
        Column::Left("engine"),
        Column::Left("in this build"),
        Column::Right("format"),
        Column::Left("library"),
    ];
    let rows = version.engines.iter().map(|engine| {
        vec![
            engine.name.to_owned(),
            if engine.compiled { "yes" } else { "no" }.to_owned(),
            engine
                .format
                .map_or_else(|| "-".to_owned(), |format| format.to_string()),
            engine.library.unwrap_or("-").to_owned(),
        ]
    });
    format!("{about}\n\n{}", table(&head, rows))
}
