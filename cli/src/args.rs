//! The command line: what is common to all commands, and the list of them. Each command's own
//! arguments stand in its own file.
//!
//! Invariant: what clap refuses ends with exit code 2 and touches nothing; an argument that names a
//! store is parsed here once, so a bad URL or an unknown engine is refused before anything runs.

use std::path::PathBuf;

use anyhow::Result;
use chain_store::StoreUrl;
use clap::{ArgAction, Args, Parser, Subcommand};

use crate::commands;
use crate::exit::{self, Doing, Stop, Task};
use crate::metrics::Address;
use crate::output::Format;
use crate::settings::LogLevel;
use crate::settings::colour::Choice;

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
    /// A configuration file; `config show` tells its keys (or `CHAINSTORE_CONFIG`).
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// How data is written to standard output (or `CHAINSTORE_OUTPUT`).
    #[arg(long, global = true, value_enum, default_value_t = Format::Table, value_name = "FORMAT")]
    pub(crate) output: Format,

    /// When there are colours (or `NO_COLOR`, `CLICOLOR_FORCE`) [default: auto].
    #[arg(long, global = true, value_enum, value_name = "WHEN")]
    pub(crate) color: Option<Choice>,

    /// Log more to standard error; twice for everything.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,

    /// What is logged to standard error (or `RUST_LOG`) [default: warn].
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "LEVEL",
        conflicts_with = "verbose"
    )]
    pub(crate) log_level: Option<LogLevel>,

    /// Memory for the caches and buffers of a store, the limit of one in memory, in bytes; what its
    /// engine finds best otherwise (or `CHAINSTORE_MEMORY_BUDGET_BYTES`).
    #[arg(long, global = true, value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) memory_budget_bytes: Option<u64>,

    /// Serve the metrics of this process over HTTP while it runs; a bare PORT for this machine
    /// alone (or `CHAINSTORE_METRICS_ADDR`).
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
            Command::Export(args) => (Task::Other, Some(&args.store)),
            Command::Verify(args) => (Task::Verify, Some(&args.store)),
            Command::Blocks(args) => (Task::Other, Some(args.store())),
            Command::Checksum(args) => (Task::Other, Some(&args.store)),
            Command::Compact(args) => (Task::Other, Some(&args.store)),
            Command::Copy(args) => (Task::Other, Some(&args.store)),
            Command::Delete(args) => (Task::Other, Some(&args.target.store)),
            Command::Put(args) => (Task::Other, Some(&args.target.store)),
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
    Export(commands::export::ExportArgs),
    Blocks(commands::blocks::BlocksArgs),
    Get(commands::rows::get::GetArgs),
    List(commands::rows::list::ListArgs),
    Put(commands::rows::put::PutArgs),
    Delete(commands::rows::delete::DeleteArgs),
    Stat(commands::stat::StatArgs),
    Verify(commands::verify::VerifyArgs),
    Compact(commands::upkeep::compact::CompactArgs),
    Copy(commands::upkeep::copy::CopyArgs),
    Config(commands::about::config::ConfigArgs),
    Completions(commands::about::completions::CompletionsArgs),
    Man(commands::about::man::ManArgs),
    Version(commands::about::version::VersionArgs),
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StoreArg {
    /// The store: ENGINE:PATH, or the PATH of an existing one, whose engine is then looked up.
    #[arg(long, env = "CHAINSTORE_STORE", value_name = "URL")]
    pub(crate) store: StoreUrl,
}

/// The word that a command which changes a store asks for.
#[derive(Debug, Args)]
pub(crate) struct WriteArg {
    /// Agree that the store is changed.
    #[arg(long)]
    write: bool,
}

impl WriteArg {
    /// Refuses where it was not said.
    pub(crate) fn check(&self, command: &'static str) -> Result<()> {
        if self.write {
            return Ok(());
        }
        Err(Stop::NotAgreed(command).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    /// The words of a line of examples as a shell would hand them over, for each command in it that
    /// is ours.
    fn commands_of(line: &str) -> Vec<Vec<String>> {
        let words = line.split_whitespace().map(str::to_owned);
        let words: Vec<String> = words.collect();
        let parts = words.split(|word| matches!(word.as_str(), "|" | "&&" | "||"));
        parts
            .map(|part| {
                let end = part.iter().position(|word| word == ">");
                part[..end.unwrap_or(part.len())].to_vec()
            })
            .filter(|part| part.first().is_some_and(|word| word == "chainstore"))
            .collect()
    }

    /// The commands of an Examples section; a line that ends in `\\` or `|` goes on in the next.
    fn examples(help: &str) -> Vec<Vec<String>> {
        let Some((_, section)) = help.split_once("Examples:\n") else {
            return Vec::new();
        };
        let mut lines: Vec<String> = Vec::new();
        let mut goes_on = false;
        for line in section.lines().take_while(|line| line.starts_with("  ")) {
            let part = line.trim_end_matches('\\');
            match lines.last_mut() {
                Some(last) if goes_on => last.push_str(part),
                _ => lines.push(part.to_owned()),
            }
            goes_on = line.ends_with(['\\', '|']);
        }
        lines.iter().flat_map(|line| commands_of(line)).collect()
    }

    #[test]
    fn every_command_has_examples_that_its_definition_reads() {
        let mut left = vec![Arguments::command()];
        let mut read = 0;
        while let Some(command) = left.pop() {
            let below = command
                .get_subcommands()
                .filter(|it| it.get_name() != "help");
            left.extend(below.cloned());
            let name = command.get_name();
            if command.get_arguments().next().is_none() && command.has_subcommands() {
                continue;
            }
            let help = command.get_after_help().map(ToString::to_string);
            let examples = examples(&help.unwrap_or_default());
            assert!(!examples.is_empty(), "{name} has no examples");
            for words in examples {
                if let Err(error) = Arguments::try_parse_from(&words) {
                    panic!("{name}: {}: {error}", words.join(" "));
                }
                read += 1;
            }
        }
        assert!(read > 40, "{read} examples were read");
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
