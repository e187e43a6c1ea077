//! The command line: what is common to all commands, and the list of them. Each command's own
//! arguments stand in its own file.
//!
//! Invariant: what clap refuses ends with exit code 2 and touches nothing; an argument that names a
//! store is parsed here once, so a bad URL or an unknown engine is refused before anything runs.

use chain_store::StoreUrl;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands;
use crate::exit::{self, Doing, Task};
use crate::metrics::Address;
use crate::output::Format;

const EXAMPLES: &str = "\
Examples:
  chainstore demo
  chainstore import --store redb:./first-blocks --from bitcoin blk00000.dat
  chainstore stat --store ./first-blocks --digest
  chainstore blocks get --store ./first-blocks --height 170 --output json
  chainstore verify --store ./first-blocks";

/// The storage layer of a blockchain node: import, read and verify stores of any engine.
#[derive(Debug, Parser)]
#[command(name = "chainstore", version, after_help = after_help())]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// How data is written to standard output.
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// Log more to standard error; twice for everything. `RUST_LOG` wins.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Serve the metrics of this process over HTTP while it runs; a bare PORT for this machine
    /// alone.
    #[arg(long, global = true, value_name = "[ADDRESS:]PORT")]
    pub(crate) metrics_addr: Option<Address>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// What is being done, for what is said when it fails.
    pub(crate) fn doing(&self) -> Doing<'_> {
        let (task, store) = match &self.command {
            Command::Import(args) => (Task::Import, Some(&args.store)),
            Command::Verify(args) => (Task::Verify, Some(&args.store)),
            Command::Blocks(args) => (Task::Other, Some(args.store())),
            Command::Checksum(args) => (Task::Other, Some(&args.store)),
            Command::Get(args) => (Task::Other, Some(&args.store)),
            Command::List(args) => (Task::Other, Some(&args.store)),
            Command::Stat(args) => (Task::Other, Some(&args.store)),
            _ => (Task::Other, None),
        };
        Doing {
            task,
            store: store.map(|arg| &arg.store),
        }
    }
}

fn after_help() -> String {
    format!("{EXAMPLES}\n\n{}", exit::help())
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[cfg(feature = "bench")]
    Bench(commands::prove::bench::BenchArgs),
    #[cfg(feature = "conform")]
    Conform(commands::prove::conform::ConformArgs),
    Checksum(commands::compare::checksum::ChecksumArgs),
    Demo(commands::demo::DemoArgs),
    Diff(commands::compare::diff::DiffArgs),
    Migrate(commands::compare::migrate::MigrateArgs),
    Import(commands::import::ImportArgs),
    Blocks(commands::blocks::BlocksArgs),
    Get(commands::get::GetArgs),
    List(commands::list::ListArgs),
    Stat(commands::stat::StatArgs),
    Verify(commands::verify::VerifyArgs),
    Version(commands::version::VersionArgs),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StoreArg {
    /// The store: ENGINE:PATH, or the PATH of an existing one, whose engine is then looked up.
    #[arg(long, env = "CHAINSTORE_STORE", value_name = "URL")]
    pub(crate) store: StoreUrl,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_exit_code() {
        let help = Arguments::command().render_help().to_string();
        for exit in exit::Exit::ALL {
            let code = format!("\n  {:>3}  ", exit.code());
            assert!(
                help.contains(&code),
                "exit code {code:?} is not in the help"
            );
        }
        for words in ["killed by a signal", "or another schema", "--first-height"] {
            assert!(help.contains(words), "{words:?} is not in the help");
        }
    }
}
