//! `chainstore bench`: our engines beside the best raw use of each, and beside other people's
//! stores, on the same work in the same run.
//!
//! Invariants: every life runs in a process of its own, this program started again for the stores
//! that it has and a program of `benches/peers` for each other; a program that is not built is
//! `SKIPPED`, visibly and in the report; losing figures are written like winning ones.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use benches::comparison::host::{Contest, Entrant};
use benches::comparison::report::Report;
use benches::comparison::script::Amounts;
use benches::comparison::{Workload, protocol, subjects};
use benches::machine;
use benches::report::Setting;
use clap::Args;

use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::output::Output;
use crate::progress::say;

/// The hidden command line on which this program lives one life of a store.
const LIFE: [&str; 2] = ["bench", "--one-life"];

/// A store of other people and its raw form, where it has one.
type Peer = (&'static str, Option<&'static str>);

/// The programs of other people's stores: directory, program, stores with their raw forms.
const PEERS: [(&str, &str, &[Peer]); 2] = [
    (
        "plain",
        "peers-plain",
        &[
            ("fjall", None),
            ("parity-db", None),
            ("kvdb-memorydb", None),
        ],
    ),
    (
        "kvdb",
        "peers-kvdb",
        &[
            ("kvdb-rocksdb", Some("raw rocksdb 0.24")),
            ("raw rocksdb 0.24", None),
        ],
    ),
];

/// Compare the engines with their raw use and with other stores on this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore bench --rows 100000
  chainstore bench --engines redb,lmdb --workloads gets,scans
  chainstore bench --engines all --out docs/reports")]
pub(crate) struct BenchArgs {
    /// The engines: `all`, or names between commas.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "all"
    )]
    engines: Vec<String>,

    /// The work: load, gets, scans, commits, updates, space; all of it otherwise.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    workloads: Vec<String>,

    /// Rows loaded, 20,000 at least.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    rows: usize,

    /// Rounds, each with every store once.
    #[arg(long, value_name = "N", default_value_t = 5)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,

    /// Where stores are made, to measure its disk; the system's place for temporary files
    /// otherwise.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,

    /// Where the built programs of other people's stores lie, `peers-plain` and `peers-kvdb`;
    /// where building them as `benches/peers/README.md` says puts them, otherwise.
    #[arg(long, value_name = "DIR")]
    peers: Option<PathBuf>,

    /// Write `comparison.md` and `comparison.json` into this directory as well.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// A sentence about the machine for the head of the report.
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,

    #[arg(long, hide = true)]
    one_life: bool,
}

impl BenchArgs {
    /// Whether this is a process that lives one life of a store.
    pub(crate) const fn is_second(&self) -> bool {
        self.one_life
    }
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs, out: &mut Output) -> Result<Exit> {
    if args.one_life {
        protocol::serve(&subjects::makers())?;
        return Ok(Exit::Done);
    }
    let engines = super::engines(&args.engines)?;
    let workloads = workloads(&args.workloads)?;
    let place = super::workplace(args.dir.as_deref())?;
    if let Some(out) = &args.out {
        fs::create_dir_all(out).with_context(|| format!("making {}", out.display()))?;
    }
    let names: Vec<&str> = engines.iter().map(|engine| engine.as_str()).collect();
    let life: Vec<String> = LIFE.iter().map(|&word| word.to_owned()).collect();
    let mut entrants = subjects::entrants(&names, &super::this_program()?, &life);
    let absent = peers(args.peers.as_deref(), &mut entrants);
    for (store, why) in &absent {
        say(&format!("SKIPPED {store}: {why}"));
    }
    let contest = Contest {
        entrants,
        workloads,
        amounts: Amounts::measuring(args.rows),
        rounds: usize::from(args.rounds),
        dir: place.path().to_owned(),
    };
    let before = machine::load();
    let sync_seconds = machine::sync_seconds(place.path());
    let _finish = interrupt::finish_commits();
    let records = contest.run(&mut |words| {
        say(words);
        if interrupt::asked() {
            return Err(Stop::Interrupted("interrupted; no report was written".to_owned()).into());
        }
        Ok(())
    })?;
    let report = Report {
        setting: Setting {
            date: machine::today(),
            command: super::command_line(),
            note: args.note.clone(),
            hardware: machine::hardware(),
            file_system: machine::file_system(place.path()),
            versions: format!("chainstore {}", env!("CARGO_PKG_VERSION")),
            load: [before, machine::load()],
        },
        sync_seconds,
        contest,
        records,
        absent,
    };
    let json = serde_json::to_string_pretty(&report.to_json())? + "\n";
    if let Some(dir) = &args.out {
        write(&dir.join("comparison.md"), &report.to_string())?;
        write(&dir.join("comparison.json"), &json)?;
    }
    match out.format() {
        crate::output::Format::Json | crate::output::Format::Jsonl => out.raw(json.as_bytes())?,
        _ => out.raw(report.to_string().as_bytes())?,
    }
    let failed = report.records.iter().any(|r| !r.failures.is_empty());
    Ok(if failed { Exit::Different } else { Exit::Done })
}

fn workloads(words: &[String]) -> Result<Vec<Workload>> {
    if words.is_empty() {
        return Ok(Workload::ALL.to_vec());
    }
    let workload = |word: &String| {
        word.parse()
            .map_err(|error: anyhow::Error| Stop::Usage(error.to_string()).into())
    };
    words.iter().map(workload).collect()
}

/// Adds the stores of the programs that are built; the others with the reason.
fn peers(dir: Option<&Path>, entrants: &mut Vec<Entrant>) -> Vec<(String, String)> {
    let mut absent = Vec::new();
    for (folder, program, stores) in PEERS {
        let built = match dir {
            Some(dir) => dir.join(program),
            None => Path::new("benches/peers")
                .join(folder)
                .join("target/release")
                .join(program),
        };
        // A path without a directory would be looked up among the system's programs.
        let built = fs::canonicalize(&built).map_err(|_| built);
        for (store, raw) in stores {
            match &built {
                Ok(program) => entrants.push(Entrant {
                    name: (*store).to_owned(),
                    raw: raw.map(str::to_owned),
                    program: program.clone(),
                    arguments: Vec::new(),
                }),
                Err(missing) => absent.push((
                    (*store).to_owned(),
                    format!("{} is not built", missing.display()),
                )),
            }
        }
    }
    absent
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}
