//! `cargo bench -p benches --bench bulk --features rocks`: the bulk lane of every engine against
//! that engine's best durable batches, and against its own loader used raw.
//!
//! Arguments after `--`: `--engines mem,redb`, `--rows N` (1,000,000), `--rounds N` (5), `--out
//! FILE` for the report, `--dir DIR` for the stores, `--note TEXT`, `--memory-mib N` for the loads
//! that are not meant to spill (the default of the options), `--only-loaders` to leave the batches
//! out.
//!
//! Invariant: without `--bench` nothing is timed: a tiny run loads every engine every way and
//! compares the number of rows.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use benches::comparison::script::{Amounts, Script};
use benches::comparison::{Contestant, Level, subjects};
use benches::figures::{Lap, Summary, Table, Unit, cost, factor, percent, ratio, timed, wrap};
use benches::machine;
use benches::workload::payload_bytes;
use chain_store::{AnyStore, EngineName, Opener, StoreUrl};
use storage_api::{
    BulkMode, BulkOptions, Durability, KvStore, KvStoreExt, ReaderExt, Schema, TableDef,
    WriteBatch, Writer,
};

const ROWS: TableDef = TableDef::new("rows");

const MEMORY_BUDGET_BYTES: u64 = 512 << 20;

/// The first round's seed; each further round takes the next one.
const SEED: u64 = 0x0062_756c_6b00;

/// A way to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Durable batches of so many rows used raw, in the order in which they come.
    RawBatches(usize),
    /// Durable batches of so many rows; from 10,000 on the store sorts them.
    Batches(usize),
    /// The bulk lane, rows in random order.
    Bulk,
    /// The bulk lane with a sixteenth of the memory that the rows take.
    Spilling,
    /// The bulk lane, rows in order.
    BulkInOrder,
    /// The engine's loader used raw, rows in order.
    RawInOrder,
}

impl Way {
    const ALL: [Self; 8] = [
        Self::RawBatches(1_000),
        Self::RawBatches(100_000),
        Self::Batches(1_000),
        Self::Batches(100_000),
        Self::Bulk,
        Self::Spilling,
        Self::BulkInOrder,
        Self::RawInOrder,
    ];

    const fn is_batches(self) -> bool {
        matches!(self, Self::RawBatches(_) | Self::Batches(_))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::RawBatches(1_000) => "raw durable batches of 1,000",
            Self::RawBatches(_) => "raw durable batches of 100,000",
            Self::Batches(1_000) => "durable batches of 1,000",
            Self::Batches(_) => "durable batches of 100,000, sorted inside",
            Self::Bulk => "bulk lane, any order",
            Self::Spilling => "bulk lane, any order, memory 1/16 of the rows",
            Self::BulkInOrder => "bulk lane, in order",
            Self::RawInOrder => "raw loader, in order",
        }
    }
}

struct Arguments {
    engines: Vec<EngineName>,
    rows: usize,
    rounds: usize,
    out: Option<PathBuf>,
    dir: PathBuf,
    note: String,
    memory_budget_bytes: Option<u64>,
    only_loaders: bool,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self> {
        let mut arguments = Self {
            engines: EngineName::compiled().collect(),
            rows: 1_000_000,
            rounds: 5,
            out: None,
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            note: String::new(),
            memory_budget_bytes: None,
            only_loaders: false,
        };
        let mut words = words.iter().filter(|word| *word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} lacks its value"))
            };
            match word.as_str() {
                "--engines" => {
                    let names = value()?.split(',').map(str::parse);
                    arguments.engines = names.collect::<Result<_, _>>()?;
                }
                "--rows" => arguments.rows = value()?.parse().context("--rows")?,
                "--rounds" => arguments.rounds = value()?.parse().context("--rounds")?,
                "--out" => arguments.out = Some(value()?.into()),
                "--dir" => arguments.dir = value()?.into(),
                "--memory-mib" => {
                    let mib: u64 = value()?.parse().context("--memory-mib")?;
                    arguments.memory_budget_bytes = Some(mib << 20);
                }
                "--only-loaders" => arguments.only_loaders = true,
                "--note" => value()?.clone_into(&mut arguments.note),
                other => bail!("unknown argument {other:?}; see the head of bulk.rs"),
            }
        }
        Ok(arguments)
    }
}

/// What one way of one engine took, and what it left.
#[derive(Clone, Debug, Default)]
struct Samples {
    wall: Vec<f64>,
    cpu: Vec<f64>,
    disk: Vec<f64>,
}

fn open(engine: EngineName, dir: &Path) -> Result<AnyStore> {
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, dir.join("store")),
    };
    let mut opener = Opener {
        schema: Schema::new(&[ROWS])?,
        ..Opener::default()
    };
    opener.options.memory_budget_bytes = Some(MEMORY_BUDGET_BYTES);
    if engine == EngineName::Mem {
        // There the budget is a limit of the contents.
        opener.options.memory_budget_bytes = None;
    }
    Ok(opener.open(&url)?.0)
}

fn batches(store: &AnyStore, script: &Script, rows_of_batch: usize) -> Result<()> {
    let table = store.catalogue().id(ROWS.name())?;
    let mut batch = WriteBatch::new();
    for (key, value) in script.rows() {
        batch.put(table, key, value)?;
        if batch.len() == rows_of_batch {
            store.apply(&batch, Durability::Durable)?;
            batch.clear();
        }
    }
    store.apply(&batch, Durability::Durable)?;
    Ok(())
}

fn bulk(store: &AnyStore, script: &Script, memory_budget_bytes: Option<u64>) -> Result<()> {
    let table = store.catalogue().id(ROWS.name())?;
    let lane = store.as_bulk().context("no bulk lane")?;
    let mut options = BulkOptions::default();
    if let Some(bytes) = memory_budget_bytes {
        options.memory_budget_bytes = bytes;
    }
    let mut load = lane.begin_bulk(table, &options)?;
    for (key, value) in script.rows() {
        load.put(key, value)?;
    }
    load.finish()?;
    Ok(())
}

fn raw(engine: EngineName, dir: &Path) -> Result<Box<dyn Contestant>> {
    let name = match engine {
        EngineName::Mem => "BTreeMap",
        EngineName::Redb => "raw redb",
        EngineName::Lmdb => "raw lmdb",
        EngineName::Rocks => "raw rocks",
        other => bail!("{other} has no raw form here"),
    };
    let makers = subjects::makers();
    let (_, make) = makers
        .iter()
        .find(|(found, _)| *found == name)
        .context("not in this build")?;
    make(dir, MEMORY_BUDGET_BYTES)
}

/// Loads once and compares the number of rows. Gives the time, and bytes on disk for each byte.
fn load(
    engine: EngineName,
    way: Way,
    script: &Script,
    dir: &Path,
    memory_budget_bytes: Option<u64>,
) -> Result<(Lap, Option<f64>)> {
    let dir = tempfile::Builder::new().prefix("bulk-").tempdir_in(dir)?;
    let rows = script.amounts.rows;
    if let Way::RawInOrder | Way::RawBatches(_) = way {
        let store = raw(engine, dir.path())?;
        let ((), lap) = match way {
            Way::RawBatches(rows) => {
                let script = script.load_in_commits(rows);
                timed(|| {
                    script.durable_blocks().try_for_each(|changes| {
                        store.commit(changes, Level::Durable)?;
                        Ok(())
                    })
                })?
            }
            _ => timed(|| store.bulk_load(script))?,
        };
        ensure!(store.scan()? == Some(rows), "raw {engine} lost rows");
        return Ok((lap, None));
    }
    let store = open(engine, dir.path())?;
    let ((), lap) = timed(|| match way {
        Way::Batches(rows) => batches(&store, script, rows),
        Way::Spilling => bulk(&store, script, Some(payload_bytes(rows) / 16)),
        _ => bulk(&store, script, memory_budget_bytes),
    })?;
    let table = store.catalogue().id(ROWS.name())?;
    let found = store.view(|view| view.count_exact(table))?;
    ensure!(found == rows as u64, "{engine} has {found} rows of {rows}");
    let disk = store.stats()?.disk_bytes as f64 / payload_bytes(rows) as f64;
    let persistent = store.capabilities().persistent;
    Ok((lap, persistent.then_some(disk)))
}

fn measure(arguments: &Arguments) -> Result<Vec<(EngineName, Vec<Samples>)>> {
    let mut all: Vec<_> = arguments
        .engines
        .iter()
        .map(|engine| (*engine, vec![Samples::default(); Way::ALL.len()]))
        .collect();
    let amounts = Amounts {
        rows: arguments.rows,
        ..Amounts::smoke()
    };
    for round in 0..arguments.rounds {
        let script = Script::new(SEED + round as u64, amounts);
        let ascending = script.clone().ascending();
        for (engine, samples) in &mut all {
            eprintln!("round {} of {}: {engine}", round + 1, arguments.rounds);
            for turn in 0..Way::ALL.len() {
                let at = (turn + round) % Way::ALL.len();
                let way = Way::ALL[at];
                if arguments.only_loaders && way.is_batches() {
                    continue;
                }
                let script = match way {
                    Way::BulkInOrder | Way::RawInOrder => &ascending,
                    _ => &script,
                };
                let (lap, disk) = load(
                    *engine,
                    way,
                    script,
                    &arguments.dir,
                    arguments.memory_budget_bytes,
                )
                .with_context(|| format!("{engine}, {}", way.name()))?;
                let (wall, cpu) = lap.per(arguments.rows);
                samples[at].wall.push(wall);
                samples[at].cpu.push(cpu);
                samples[at].disk.extend(disk);
            }
        }
    }
    Ok(all)
}

fn place(way: Way) -> usize {
    Way::ALL.iter().position(|one| *one == way).unwrap_or(0)
}

/// The multiple with its spread, of costs that were taken in pairs.
fn times(of: &Samples, to: &Samples) -> String {
    let words = |of: &[f64], to: &[f64]| {
        ratio(of, to).map_or("-".to_owned(), |ratio| {
            let spread = ratio
                .spread()
                .map_or(String::new(), |spread| format!(" +-{}", percent(spread)));
            format!("{}{spread}", factor(ratio.median))
        })
    };
    format!(
        "{} ({})",
        words(&of.wall, &to.wall),
        words(&of.cpu, &to.cpu)
    )
}

/// The rates of every way, and bytes on disk for each byte of rows.
fn rates(all: &[(EngineName, Vec<Samples>)]) -> [Table; 2] {
    let engines = all.iter().map(|(engine, _)| engine.as_str());
    let mut rates = Table::new(["way (rows)"].into_iter().chain(engines.clone()));
    let mut disks = Table::new(["disk / payload"].into_iter().chain(engines));
    for (at, way) in Way::ALL.into_iter().enumerate() {
        let figure = |samples: &[f64], unit| {
            let summary = Summary::of(samples);
            summary.map_or("-".to_owned(), |summary| cost(summary.median, unit))
        };
        let cells = (all.iter()).map(|(_, s)| {
            let [wall, cpu] = [&s[at].wall, &s[at].cpu].map(|laps| figure(laps, Unit::Rate));
            format!("{wall} ({cpu})")
        });
        rates.row([way.name().to_owned()].into_iter().chain(cells));
        if !matches!(way, Way::RawInOrder | Way::RawBatches(_)) {
            let cells = all.iter().map(|(_, s)| figure(&s[at].disk, Unit::Factor));
            disks.row([way.name().to_owned()].into_iter().chain(cells));
        }
    }
    [rates, disks]
}

/// The faster of two ways of one engine.
fn best(samples: &[Samples], ways: [Way; 2]) -> &Samples {
    let median = |s: &Samples| Summary::of(&s.wall).map_or(f64::MAX, |s| s.median);
    let [a, b] = ways.map(|way| &samples[place(way)]);
    if median(a) < median(b) { a } else { b }
}

/// How many times faster the lane is.
fn ratios(all: &[(EngineName, Vec<Samples>)]) -> Table {
    let engines = all.iter().map(|(engine, _)| engine.as_str());
    let mut table = Table::new(["how many times faster"].into_iter().chain(engines));
    let raw_batches = [1_000, 100_000].map(Way::RawBatches);
    let batches = [1_000, 100_000].map(Way::Batches);
    for (words, than, lane) in [
        (
            "bulk lane, any order, than the engine's best durable batches",
            raw_batches,
            Way::Bulk,
        ),
        (
            "bulk lane, any order, than our best durable batches, which sort",
            batches,
            Way::Bulk,
        ),
        (
            "bulk lane, spilling, than the bulk lane",
            [Way::Bulk; 2],
            Way::Spilling,
        ),
        (
            "bulk lane, in order, than the raw loader",
            [Way::RawInOrder; 2],
            Way::BulkInOrder,
        ),
    ] {
        let cells = all
            .iter()
            .map(|(_, s)| times(best(s, than), &s[place(lane)]));
        table.row([words.to_owned()].into_iter().chain(cells));
    }
    table
}

/// What each engine loads with.
fn loaders(all: &[(EngineName, Vec<Samples>)]) -> Result<String> {
    let mut loaders = Vec::new();
    for (engine, _) in all {
        let dir = tempfile::tempdir()?;
        let how = match open(*engine, dir.path())?.capabilities().bulk {
            BulkMode::Loader => "has a loader",
            BulkMode::Insertion => "has none: sorted rows are inserted in one transaction",
            BulkMode::None => "has no bulk lane",
        };
        loaders.push(format!("{engine} {how}"));
    }
    Ok(loaders.join(", "))
}

fn report(arguments: &Arguments, all: &[(EngineName, Vec<Samples>)]) -> Result<String> {
    let [rates, disks] = rates(all);
    let ratios = ratios(all);
    let note = format!(
        "{} rows of 32 random bytes with values of 150 bytes that do not compress, {} rounds, \
         medians, seeds from {SEED}; everything durable at its end, except in `mem`, which forgets \
         on exit. In brackets the processor time, which other work on the machine moves less. {}. \
         The raw loader of `mem` is `BTreeMap` built from sorted rows. Machine: {}; stores on {}; \
         load average {} at the end. Versions: {}.",
        arguments.rows,
        arguments.rounds,
        loaders(all)?,
        machine::hardware(),
        machine::file_system(&arguments.dir),
        machine::load(),
        machine::versions()
    );
    let extra = if arguments.note.is_empty() {
        String::new()
    } else {
        format!("{}\n\n", wrap(&arguments.note, "", ""))
    };
    Ok(format!(
        "# The bulk lane\n\nMade {} by\n\n```sh\ncargo bench -p benches --bench bulk --features \
         rocks\n```\n\n{extra}{ratios}\n{rates}\n{disks}\n{}\n",
        machine::today(),
        wrap(&note, "", "")
    ))
}

/// The tiny run: correctness only.
fn smoke() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let script = Script::new(SEED, Amounts::smoke());
    let ascending = script.clone().ascending();
    for engine in EngineName::compiled() {
        for way in Way::ALL {
            let script = match way {
                Way::BulkInOrder | Way::RawInOrder => &ascending,
                _ => &script,
            };
            load(engine, way, script, dir.path(), None)?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    if !has("--bench") {
        // Test runners ask every target for its tests; this one has none by name.
        return if has("--list") { Ok(()) } else { smoke() };
    }
    let arguments = Arguments::parse(&words)?;
    fs::create_dir_all(&arguments.dir)?;
    let all = measure(&arguments)?;
    let text = report(&arguments, &all)?;
    print!("{text}");
    if let Some(out) = &arguments.out {
        fs::write(out, text).with_context(|| format!("writing {}", out.display()))?;
    }
    Ok(())
}
