//! `cargo bench -p benches --bench price`: what every layer costs over the best raw use of the
//! engines, as Markdown on standard output.
//!
//! Arguments after `--`: `--engines mem,redb` chooses among the compiled engines, `--rounds N`,
//! `--rows N`, `--out DIR` writes `price.md` and `price.json` into a directory, `--note TEXT` goes
//! into the head. Relative paths begin at the package, because cargo starts benches there.
//!
//! Invariant: without `--bench`, which cargo passes to benches only, nothing is timed and nothing
//! printed: every case is done in every form on a small table, which compares all answers.

use std::fs;
use std::io::sink;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use benches::machine;
use benches::price::case::Extent;
use benches::price::count;
use benches::price::report::Report;
use benches::price::timing::{self, Effort};
use benches::report::Setting;
use chain_store::EngineName;

struct Arguments {
    engines: Vec<EngineName>,
    effort: Effort,
    out: Option<PathBuf>,
    note: String,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self> {
        let mut arguments = Self {
            engines: EngineName::compiled().collect(),
            effort: Effort {
                rows: 100_000,
                rounds: 31,
            },
            out: None,
            note: String::new(),
        };
        let mut words = words.iter().filter(|word| *word != "--bench");
        while let Some(word) = words.next() {
            let value = words.next();
            let value = value.with_context(|| format!("{word} lacks its value"))?;
            match word.as_str() {
                "--engines" => {
                    let engines = value.split(',').map(|name| Ok(name.parse()?));
                    arguments.engines = engines.collect::<Result<_>>()?;
                }
                "--rows" => arguments.effort.rows = value.parse().context("--rows")?,
                "--rounds" => arguments.effort.rounds = value.parse().context("--rounds")?,
                "--out" => arguments.out = Some(value.into()),
                "--note" => value.clone_into(&mut arguments.note),
                other => bail!("unknown argument {other:?}; see the head of price.rs"),
            }
        }
        Ok(arguments)
    }
}

fn measure(words: &[String]) -> Result<()> {
    let arguments = Arguments::parse(words)?;
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(dir)?;
    let before = machine::load();
    let (mut counts, mut times) = (Vec::new(), Vec::new());
    for &engine in &arguments.engines {
        if count::has_callgrind() {
            eprintln!("{engine}: counting");
            let program = Path::new(env!("CARGO_BIN_EXE_price"));
            counts.push(count::run(program, engine, Extent::Full)?);
        }
        let mut progress = |words: &str| eprintln!("{words}");
        times.extend(timing::run(
            engine,
            Extent::Full,
            arguments.effort,
            dir,
            &mut progress,
        )?);
    }
    let asked = words.iter().map(String::as_str);
    let asked: Vec<&str> = asked.filter(|word| *word != "--bench").collect();
    let report = Report {
        setting: Setting {
            date: machine::today(),
            command: format!(
                "cargo bench -p benches --bench price -- {}",
                asked.join(" ")
            ),
            note: arguments.note,
            hardware: machine::hardware(),
            file_system: machine::file_system(dir),
            versions: machine::versions(),
            load: [before, machine::load()],
        },
        sync_seconds: machine::sync_seconds(dir),
        effort: arguments.effort,
        counts,
        times,
    };
    print!("{report}");
    if let Some(out) = &arguments.out {
        fs::create_dir_all(out)?;
        fs::write(out.join("price.md"), report.to_string())?;
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(out.join("price.json"), json + "\n")?;
    }
    Ok(())
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    match (has("--bench"), has("--list")) {
        (true, _) => measure(&words),
        (false, true) => Ok(()),
        (false, false) => {
            for engine in EngineName::compiled() {
                let dir = tempfile::tempdir()?;
                count::serve(engine, Extent::Small, dir.path(), || 0, &mut sink())?;
            }
            Ok(())
        }
    }
}
