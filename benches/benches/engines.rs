//! `cargo bench -p benches`: engines side by side and the facade's price, as Markdown on standard
//! output.
//!
//! Arguments after `--`: `--engines mem,redb` chooses among the compiled engines, `--rounds N` the
//! number of rounds, `--out FILE` writes the report to a file as well (and `FILE` with the ending
//! `json`), `--dir DIR` is where stores are made (default: below the target directory), `--note
//! TEXT` goes into the report's head. `CHAINSTORE_BENCH_KEYS` is the number of keys (200,000).
//! Relative paths begin at the package, because cargo starts benches there.
//!
//! Invariant: without `--bench`, which cargo passes to benches only, nothing is timed and nothing
//! printed: a tiny run compares every answer and all contents, so that `cargo test --benches` tests
//! this.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use benches::engines::{self, Checking};
use benches::report::{Report, Setting};
use benches::workload::Sizes;
use benches::{facade, machine};
use chain_store::EngineName;

const KEYS_VARIABLE: &str = "CHAINSTORE_BENCH_KEYS";

const KEYS_DEFAULT: usize = 200_000;

struct Arguments {
    engines: Vec<EngineName>,
    rounds: Option<usize>,
    out: Option<PathBuf>,
    dir: PathBuf,
    note: String,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self> {
        let mut arguments = Self {
            engines: EngineName::compiled().collect(),
            rounds: None,
            out: None,
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            note: String::new(),
        };
        let mut words = words.iter().filter(|word| *word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} lacks its value"))
            };
            match word.as_str() {
                "--engines" => arguments.engines = engines_of(value()?)?,
                "--rounds" => arguments.rounds = Some(value()?.parse().context("--rounds")?),
                "--out" => arguments.out = Some(value()?.into()),
                "--dir" => arguments.dir = value()?.into(),
                "--note" => value()?.clone_into(&mut arguments.note),
                other => bail!("unknown argument {other:?}; see the head of engines.rs"),
            }
        }
        Ok(arguments)
    }

    fn sizes(&self) -> Result<Sizes> {
        let keys = match std::env::var(KEYS_VARIABLE) {
            Ok(keys) => keys
                .parse()
                .with_context(|| format!("{KEYS_VARIABLE}={keys}"))?,
            Err(_) => KEYS_DEFAULT,
        };
        let mut sizes = Sizes::measuring(keys);
        if let Some(rounds) = self.rounds {
            ensure!(rounds > 0, "--rounds 0 measures nothing");
            sizes.rounds = rounds;
        }
        Ok(sizes)
    }
}

fn engines_of(names: &str) -> Result<Vec<EngineName>> {
    let engine = |name: &str| -> Result<EngineName> {
        let engine: EngineName = name.parse()?;
        ensure!(engine.is_compiled(), "{}", engine.not_compiled());
        Ok(engine)
    };
    names.split(',').map(engine).collect()
}

/// The command that makes this run again.
fn command(words: &[String]) -> String {
    let mut command = String::new();
    if let Ok(keys) = std::env::var(KEYS_VARIABLE) {
        command += &format!("{KEYS_VARIABLE}={keys} ");
    }
    command += "cargo bench -p benches";
    if cfg!(feature = "rocks") {
        command += " --features rocks";
    }
    let mut rest = words.iter().filter(|word| *word != "--bench").peekable();
    if rest.peek().is_some() {
        command += " --";
    }
    while let Some(word) = rest.next() {
        // The note is in the report itself.
        if word == "--note" {
            rest.next();
            continue;
        }
        command += " ";
        command += word;
    }
    command.strip_suffix(" --").unwrap_or(&command).to_owned()
}

fn measure(words: &[String]) -> Result<()> {
    let arguments = Arguments::parse(words)?;
    let sizes = arguments.sizes()?;
    let dir = arguments.dir.as_path();
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    let mut progress = |words: &str| eprintln!("{words}");
    let before = machine::load();
    let engines = &arguments.engines;
    let subjects = engines::run(engines, sizes, Checking::Counts, dir, &mut progress)?;
    let prices = facade::run(engines, sizes, dir, &mut progress)?;
    let setting = Setting {
        date: machine::today(),
        command: command(words),
        note: arguments.note.clone(),
        hardware: machine::hardware(),
        file_system: machine::file_system(dir),
        versions: machine::versions(),
        load: [before, machine::load()],
    };
    let report = Report {
        setting,
        sizes,
        subjects,
        prices,
    };
    print!("{report}");
    if let Some(out) = &arguments.out {
        write(out, &report.to_string())?;
        let json = serde_json::to_string_pretty(&report.to_json())?;
        write(&out.with_extension("json"), &(json + "\n"))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// The tiny run: correctness only.
fn smoke() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let all: Vec<EngineName> = EngineName::compiled().collect();
    let sizes = Sizes::smoke();
    engines::run(&all, sizes, Checking::Contents, dir.path(), &mut |_| {})?;
    facade::run(&all, sizes, dir.path(), &mut |_| {})?;
    Ok(())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    match (has("--bench"), has("--list")) {
        (true, _) => measure(&words),
        // Test runners ask every target for its tests; this one has none by name.
        (false, true) => Ok(()),
        (false, false) => smoke(),
    }
}
