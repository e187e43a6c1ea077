//! `cargo bench -p benches --bench blocks --features rocks`: storing and reading the same blocks in
//! segments, as rows of every engine, in a plain framed file, with the four syncs of static files,
//! and in other people's stores; and a real chain file imported, against decoding it only.
//!
//! Arguments after `--`: `--engines mem,redb`, `--blocks N` (20,000 of the smallest, fewer of the
//! others), `--rounds N` (5), `--dir DIR` for the stores, `--peers PROGRAM` (built as
//! `benches/peers/README.md` says), `--only NAME` (beside the plain file those whose names begin
//! so, or the import), `--note TEXT`, `--out FILE`.
//!
//! Invariants: rounds turn the order; every figure is a ratio to the plain file in the same round.
//! Without `--bench` nothing is timed: a tiny run reads back what every subject stored.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use benches::blocks::{
    self, BODIES, COLUMNS, SHARES, SIZES, Samples, WARM_BYTES, Work, import, make,
};
use benches::figures::{Summary, Table, Unit, cost, factor, ratio, wrap};
use benches::machine;
use chain_store::EngineName;

/// Stores of blocks in the program of peers.
const PEERS: [&str; 2] = ["fjall, values apart", "parity-db"];

/// What decides the figures against the plain file.
const REASONS: &str = "Why. The log writes many records at once, in pieces that end at multiples \
    of 256 KiB, and the file system keeps what one write brought in units as large as the write \
    and its place allow: both writing and reading small bodies take less than in the plain file, \
    which is written body by body, although each body is compared with its checksum. Of 1 MB the \
    plain file is as good, and the checksum is what is left: a pass of 15 us beside a copy of 30 \
    to 35 us out of the system's cache, and one before the bytes are written. Of long bodies, \
    threads that read ahead make up for it; of short ones, handing them over costs more than \
    reading them. With a sync for each block, the plain file pays for the file system's journal \
    and segments do not; a log that is not pruned writes every byte once more in advance instead, \
    which takes a part of that back where the bandwidth decides, and of 1 MB all of it, so such \
    batches are written without. Beside an engine a block also costs the engine's commit.";

/// The real file that is imported.
const ERA1: &str = "sepolia-00000-643a00f7.era1";

struct Arguments {
    engines: Vec<EngineName>,
    blocks: usize,
    rounds: usize,
    dir: PathBuf,
    /// What the names of those begin with that are measured beside the plain file.
    only: String,
    peers: Option<PathBuf>,
    note: String,
    out: Option<PathBuf>,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self> {
        let mut arguments = Self {
            engines: EngineName::compiled().collect(),
            blocks: 20_000,
            rounds: 5,
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            only: String::new(),
            peers: None,
            note: String::new(),
            out: None,
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
                "--blocks" => arguments.blocks = value()?.parse().context("--blocks")?,
                "--rounds" => arguments.rounds = value()?.parse().context("--rounds")?,
                "--dir" => arguments.dir = value()?.into(),
                "--only" => value()?.clone_into(&mut arguments.only),
                "--peers" => arguments.peers = Some(value()?.into()),
                "--note" => value()?.clone_into(&mut arguments.note),
                "--out" => arguments.out = Some(value()?.into()),
                other => bail!("unknown argument {other:?}; see the head of blocks.rs"),
            }
        }
        Ok(arguments)
    }
}

fn table(names: &[String], samples: &[Samples], len: usize, blocks: usize) -> Table {
    let head = format!("{len} bytes, {blocks} blocks");
    let mut table = Table::new([head.as_str()].into_iter().chain(COLUMNS));
    for (name, of) in names.iter().zip(samples) {
        let cells = of.0.iter().enumerate().map(|(column, laps)| {
            if laps.is_empty() {
                return "-".to_owned();
            }
            let median = Summary::of(laps).map_or(f64::NAN, |summary| summary.median);
            // Times of the plain file over those of the subject: above one it is faster.
            let times = ratio(&samples[0].0[column], laps);
            let times = times.map_or("-".to_owned(), |times| factor(times.median));
            format!("{} ({times})", cost(median, Unit::Rate))
        });
        table.row([name.clone()].into_iter().chain(cells));
    }
    table
}

/// The table of imports, or a line that says why there is none.
fn imported(arguments: &Arguments) -> Result<String> {
    let folder = std::env::var_os("CHAINSTORE_REALDATA").map_or_else(
        || {
            PathBuf::from(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../../shared/realdata"
            ))
        },
        PathBuf::from,
    );
    let file = folder.join(ERA1);
    if !file.is_file() {
        let place = file.display();
        eprintln!("SKIPPED: {place} is not there; CHAINSTORE_REALDATA names its folder");
        return Ok(format!(
            "SKIPPED: the import of a real file; {ERA1} is not there\n\n"
        ));
    }
    eprintln!("import of {ERA1}");
    let table = import::measure(&file, &arguments.dir, &arguments.engines, arguments.rounds)?;
    let note = "Blocks a second of a real file, checked block by block; in brackets how many times \
                as fast as decoding it only.";
    Ok(format!("{table}\n{}\n\n", wrap(note, "", "")))
}

/// What every figure was measured with.
fn conditions(arguments: &Arguments) -> String {
    format!(
        "Blocks a second, medians of {} rounds; in brackets how many times as fast as the plain \
         file in the same round. Bodies are random bytes, blocks have no transactions. Segments \
         and rows compare a checksum of each body that they give where the engine does; the plain \
         file compares nothing, keeps its offsets in memory and has no index. Segments and rows \
         are read in one view. `mem` forgets on exit. Before those that count, 12 MiB of blocks \
         are stored; segments are of 8, 32 and 128 MiB. \"same, pruned\" is the log of a node that \
         keeps few blocks: segments that are full become the next ones, out of the system's \
         cache. Of \"ahead\", the scan is read by two threads. fjall keeps values apart from keys \
         and syncs its journal; parity-db is told nothing about syncs and closed at the end, and \
         its scan is a read of every height. Machine: {}; stores on {}; load average {} at the \
         end. Versions: {}.",
        arguments.rounds,
        machine::hardware(),
        machine::file_system(&arguments.dir),
        machine::load(),
        machine::versions()
    )
}

fn run(arguments: &Arguments) -> Result<String> {
    let mut ours = blocks::names(&arguments.engines);
    ours.retain(|name| name == "plain file" || name.starts_with(&arguments.only));
    let peers = arguments
        .peers
        .iter()
        .flat_map(|_| PEERS.map(str::to_owned))
        .filter(|name| name.starts_with(&arguments.only));
    let names: Vec<String> = ours.iter().cloned().chain(peers).collect();
    let mut tables = String::new();
    for (len, share) in SIZES.into_iter().zip(SHARES) {
        let blocks = (arguments.blocks / share).max(BODIES);
        let work = Work::new(len, WARM_BYTES, blocks, &arguments.dir);
        let mut samples: Vec<Samples> = names.iter().map(|_| Samples::default()).collect();
        for round in 0..arguments.rounds {
            for turn in 0..names.len() {
                let at = (turn + round) % names.len();
                let name = &names[at];
                let round = round + 1;
                eprintln!("{len} bytes, round {round} of {}: {name}", arguments.rounds);
                let measured = match &arguments.peers {
                    Some(program) if at >= ours.len() => {
                        work.measure_in(program, name, &mut samples[at])
                    }
                    _ => work.measure(&|dir| make(name, len, dir), &mut samples[at]),
                };
                measured.with_context(|| name.clone())?;
            }
        }
        tables += &format!("{}\n", table(&names, &samples, len, blocks));
    }
    if "import".starts_with(&arguments.only) {
        tables += &imported(arguments)?;
    }
    let extra = if arguments.note.is_empty() {
        String::new()
    } else {
        format!("{}\n\n", wrap(&arguments.note, "", ""))
    };
    Ok(format!(
        "# Blocks\n\nMade {} by\n\n```sh\ncargo bench -p benches --bench blocks --features \
         rocks -- --blocks {} --rounds {}{}\n```\n\n{extra}{tables}{}\n\n{}\n",
        machine::today(),
        arguments.blocks,
        arguments.rounds,
        if arguments.peers.is_some() {
            " --peers peers/plain/target/release/blocks"
        } else {
            ""
        },
        wrap(REASONS, "", ""),
        wrap(&conditions(arguments), "", "")
    ))
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    if !has("--bench") {
        // Test runners ask every target for its tests; this one has none by name.
        if has("--list") {
            return Ok(());
        }
        let dir = tempfile::tempdir()?;
        let work = Work::new(700, 35_000, 300, dir.path());
        let engines: Vec<EngineName> = EngineName::compiled().collect();
        return blocks::names(&engines).iter().try_for_each(|name| {
            let make = |dir: &std::path::Path| make(name, 700, dir);
            work.measure(&make, &mut Samples::default())
        });
    }
    let arguments = Arguments::parse(&words)?;
    fs::create_dir_all(&arguments.dir)?;
    let text = run(&arguments)?;
    print!("{text}");
    if let Some(out) = &arguments.out {
        fs::write(out, text).with_context(|| format!("writing {}", out.display()))?;
    }
    Ok(())
}
