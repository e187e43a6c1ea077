//! `cargo bench -p benches --bench tunings --features rocks`: each engine used raw as ours uses it,
//! beside the same with one tuning left out or taken from another side.
//!
//! Arguments after `--`: `--engines rocks,redb`, `--rows N` (300,000), `--rounds N` (5), `--out
//! FILE` for the report, `--dir DIR` for the stores.
//!
//! Invariants: the stores live as those of the comparison do, each in a process of its own and all
//! by one script a round; without `--bench` nothing is timed: a tiny run takes every store through
//! its life.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use benches::comparison::host::{Contest, Entrant, Record};
use benches::comparison::protocol;
use benches::comparison::script::Amounts;
use benches::comparison::subjects::{Tuned, tuned};
use benches::comparison::{Maker, Work, Workload};
use benches::figures::{Table, cost, factor, ratio, wrap};
use benches::machine;

/// The argument that makes this program one store's process.
const SERVE: &str = "--serve";

const WORKLOADS: [Workload; 5] = [
    Workload::Load,
    Workload::Gets,
    Workload::Scans,
    Workload::Commits,
    Workload::Space,
];

/// The columns.
const WORKS: [Work; 8] = [
    Work::BulkLoad,
    Work::GetHit,
    Work::GetMiss,
    Work::GetHitTwo,
    Work::Range,
    Work::Scan,
    Work::CommitDurable,
    Work::DiskLoaded,
];

struct Arguments {
    engines: Vec<String>,
    rows: usize,
    rounds: usize,
    out: Option<PathBuf>,
    dir: PathBuf,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self> {
        let mut arguments = Self {
            engines: tuned().iter().map(|one| one.engine.to_owned()).collect(),
            rows: 300_000,
            rounds: 5,
            out: None,
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
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
                    arguments.engines = value()?.split(',').map(str::to_owned).collect();
                }
                "--rows" => arguments.rows = value()?.parse().context("--rows")?,
                "--rounds" => arguments.rounds = value()?.parse().context("--rounds")?,
                "--out" => arguments.out = Some(value()?.into()),
                "--dir" => arguments.dir = value()?.into(),
                other => bail!("unknown argument {other:?}; see the head of tunings.rs"),
            }
        }
        Ok(arguments)
    }

    fn stores(&self) -> Vec<Tuned> {
        let mut all = tuned();
        all.retain(|one| self.engines.iter().any(|engine| engine == one.engine));
        all
    }
}

fn measure(stores: &[Tuned], amounts: Amounts, rounds: usize, dir: PathBuf) -> Result<Vec<Record>> {
    let program = std::env::current_exe()?;
    let entrants = stores.iter().map(|one| Entrant {
        name: one.name(),
        raw: (!one.turned.is_empty()).then(|| one.engine.to_owned()),
        program: program.clone(),
        arguments: vec![SERVE.to_owned()],
    });
    let contest = Contest {
        entrants: entrants.collect(),
        workloads: WORKLOADS.to_vec(),
        amounts,
        rounds,
        dir,
    };
    let records = contest.run(&mut |what| {
        eprintln!("{what}");
        Ok(())
    })?;
    for record in &records {
        let failures = record.failures.join("; ");
        ensure!(failures.is_empty(), "{}: {failures}", record.entrant.name);
    }
    Ok(records)
}

/// What each turn of an engine costs, as a multiple of the engine as we use it.
fn table(engine: &str, stores: &[Tuned], records: &[Record]) -> Option<Table> {
    let of = |turned: &str| {
        let mut found = stores.iter().zip(records);
        found.find(|(one, _)| one.engine == engine && one.turned == turned)
    };
    let (_, ours) = of("")?;
    let names = WORKS.iter().map(|work| work.name());
    let mut table = Table::new([engine].into_iter().chain(names).chain(["why not"]));
    let figures = WORKS.iter().map(|work| {
        let figure = ours.figure(*work);
        figure.map_or("-".to_owned(), |figure| cost(figure.median, work.unit()))
    });
    table.row(["as ours uses it".to_owned()].into_iter().chain(figures));
    for one in stores.iter().filter(|one| one.engine == engine) {
        let Some((_, turned)) = of(one.turned).filter(|_| !one.turned.is_empty()) else {
            continue;
        };
        let ratios = WORKS.iter().map(|work| {
            let ratio = ratio(turned.samples(*work), ours.samples(*work));
            ratio.map_or("-".to_owned(), |ratio| {
                let is_one = ratio.low <= 1.0 && 1.0 <= ratio.high;
                let word = if is_one { "n/a " } else { "" };
                format!("{word}{}", factor(ratio.median))
            })
        });
        let first = [one.turned.to_owned()];
        table.row(
            first
                .into_iter()
                .chain(ratios)
                .chain([one.why_not.to_owned()]),
        );
    }
    Some(table)
}

fn report(arguments: &Arguments, stores: &[Tuned], records: &[Record]) -> String {
    let mut engines: Vec<&str> = stores.iter().map(|one| one.engine).collect();
    engines.dedup();
    let tables = engines
        .iter()
        .filter_map(|engine| table(engine, stores, records));
    let tables: Vec<String> = tables.map(|table| table.to_string()).collect();
    let about = "Each engine is used raw. The first row has it as our backend uses it; every other \
                 differs in one thing, and its cells are the cost as a multiple of the first row: \
                 2.00x is half the rate, twice the time or twice the space. `n/a`: the middle half \
                 of the multiples holds one. The last column says why ours has it otherwise.";
    let note = format!(
        "{} rows of 32 random bytes with values of 150 bytes that do not compress, {} rounds in \
         shuffled order, each store in a process of its own, medians of the multiples of each \
         round. Machine: {}; stores on {}; load average {} at the end. Versions: {}.",
        arguments.rows,
        arguments.rounds,
        machine::hardware(),
        machine::file_system(&arguments.dir),
        machine::load(),
        machine::versions()
    );
    format!(
        "# What each tuning is worth\n\nMade {} by\n\n```sh\ncargo bench -p benches --bench \
         tunings --features rocks\n```\n\n{}\n\n{}\n{}\n",
        machine::today(),
        wrap(about, "", ""),
        tables.join("\n"),
        wrap(&note, "", "")
    )
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == SERVE) {
        let names: Vec<(String, Maker)> = tuned().iter().map(|t| (t.name(), t.make)).collect();
        let makers: Vec<(&str, Maker)> =
            names.iter().map(|(name, make)| (&**name, *make)).collect();
        return protocol::serve(&makers);
    }
    let has = |word: &str| words.iter().any(|found| found == word);
    if !has("--bench") {
        // Test runners ask every target for its tests; this one has none by name.
        if has("--list") {
            return Ok(());
        }
        let dir = tempfile::tempdir()?;
        let records = measure(&tuned(), Amounts::smoke(), 1, dir.path().to_owned())?;
        println!("{} stores lived", records.len());
        return Ok(());
    }
    let arguments = Arguments::parse(&words)?;
    let stores = arguments.stores();
    ensure!(!stores.is_empty(), "no engine of this build is named");
    let amounts = Amounts::measuring(arguments.rows);
    let records = measure(&stores, amounts, arguments.rounds, arguments.dir.clone())?;
    let page = report(&arguments, &stores, &records);
    match &arguments.out {
        Some(file) => std::fs::write(file, page).with_context(|| file.display().to_string())?,
        None => print!("{page}"),
    }
    Ok(())
}
