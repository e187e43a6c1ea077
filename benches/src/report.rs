//! The report: figures of all engines as Markdown for people and as JSON for programs.
//!
//! Invariants: every row and every engine that was measured is in both; bold is what ranks best or
//! cannot be told apart from it; what a reader needs to judge a figure (regime, sizes, machine,
//! load) stands beneath.

use std::fmt;

use serde_json::{Value, json};
use storage_api::Effective;

use crate::engines::{MEMORY_BUDGET_BYTES, Row, Subject, rank};
use crate::facade::{Price, is_seen};
use crate::figures::{Summary, Table, Unit, cost, factor, percent, time, wrap};
use crate::workload::{BATCH_OPS, BODY_BYTES, KEY_BYTES, Sizes, VALUE_BYTES};

/// Where and how a run was made, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setting {
    /// The date.
    pub date: String,
    /// The command.
    pub command: String,
    /// What the operator says about the machine.
    pub note: String,
    /// Processor, memory, system.
    pub hardware: String,
    /// File system of the stores.
    pub file_system: String,
    /// Versions.
    pub versions: String,
    /// Load average before and after.
    pub load: [String; 2],
}

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where and how.
    pub setting: Setting,
    /// How much.
    pub sizes: Sizes,
    /// The engines, in the order of the columns.
    pub subjects: Vec<Subject>,
    /// The facade's price.
    pub prices: Vec<Price>,
}

const MISSING: &str = "-";

impl Report {
    fn measured(&self) -> impl Iterator<Item = Row> {
        let any = |row: &Row| self.subjects.iter().any(|s| !s.samples(*row).is_empty());
        Row::ALL.into_iter().filter(any)
    }

    fn table(&self, first: &str, cell: impl Fn(&Subject, Row) -> Option<String>) -> Table {
        let engines = self.subjects.iter().map(|subject| subject.engine.as_str());
        let mut table = Table::new([first].into_iter().chain(engines));
        for row in self.measured() {
            let cells: Vec<Option<String>> = self
                .subjects
                .iter()
                .map(|subject| cell(subject, row))
                .collect();
            if cells.iter().any(Option::is_some) {
                let cells = cells.into_iter().map(|cell| cell.unwrap_or(MISSING.into()));
                table.row([row.name().to_owned()].into_iter().chain(cells));
            }
        }
        table
    }

    /// Figures with their multiples of the best.
    #[must_use]
    pub fn figures(&self) -> Table {
        self.table("work", |subject, row| {
            let figure = subject.figure(row)?;
            let ranked = rank(&self.subjects, row);
            let multiple = ranked.multiple(&figure).map_or(String::new(), factor);
            let words = cost(figure.median, row.unit());
            let is_ranked = subject.persistent || self.subjects.iter().all(|s| !s.persistent);
            Some(if is_ranked && ranked.is_best(&figure) {
                format!("**{words}** ({multiple})")
            } else {
                format!("{words} ({multiple})")
            })
        })
    }

    /// Processor time of one operation, with the spread of the figure above.
    #[must_use]
    pub fn firmness(&self) -> Table {
        self.table(
            "processor time, spread of the figure above",
            |subject, row| {
                let figure = subject.figure(row).filter(|_| row.unit() != Unit::Factor)?;
                let processor = time(subject.processor(row)?.median);
                Some(format!("{processor}, {}", spread(&figure)))
            },
        )
    }

    /// The facade's price.
    #[must_use]
    pub fn facade(&self) -> Table {
        let mut table = Table::new(["call", "engine", "static type", "`AnyStore`", "`DynStore`"]);
        for price in &self.prices {
            let of_static = price.of_static();
            let of_static = of_static.map_or(MISSING.into(), |cpu| time(cpu.median));
            let multiple = |found: Option<Summary>| match found {
                Some(found) if is_seen(&found) => {
                    format!("{} ({})", factor(found.median), spread(&found))
                }
                Some(found) => format!("n/a ({})", spread(&found)),
                None => MISSING.into(),
            };
            table.row([
                price.call.name().to_owned(),
                price.engine.to_string(),
                of_static,
                multiple(price.of_any()),
                multiple(price.of_dyn()),
            ]);
        }
        table
    }

    /// Everything as JSON: medians, spreads and all samples, in seconds or bytes for a byte.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let summary = |summary: Option<Summary>| {
            summary.map(|s| json!({ "median": s.median, "spread": s.spread() }))
        };
        let figures: Vec<Value> = self
            .subjects
            .iter()
            .flat_map(|subject| self.measured().map(move |row| (subject, row)))
            .filter(|(subject, row)| !subject.samples(*row).is_empty())
            .map(|(subject, row)| {
                json!({
                    "engine": subject.engine.as_str(),
                    "work": row.name(),
                    "unit": if row.unit() == Unit::Factor { "bytes/byte" } else { "s" },
                    "figure": summary(subject.figure(row)),
                    "processor": summary(subject.processor(row)),
                    "samples": subject.samples(row),
                })
            })
            .collect();
        let price = |price: &Price| {
            json!({
                "engine": price.engine.as_str(),
                "call": price.call.name(),
                "static_seconds": summary(price.of_static()),
                "any_multiple": summary(price.of_any()),
                "dyn_multiple": summary(price.of_dyn()),
            })
        };
        let setting = &self.setting;
        json!({
            "date": setting.date,
            "command": setting.command,
            "note": setting.note,
            "hardware": setting.hardware,
            "file_system": setting.file_system,
            "versions": setting.versions,
            "load": setting.load,
            "keys": self.sizes.keys,
            "rounds": self.sizes.rounds,
            "figures": figures,
            "facade": self.prices.iter().map(price).collect::<Vec<_>>(),
        })
    }

    /// Engines that made buffered commits more durable than asked, in words.
    fn strengthened(&self) -> String {
        let names: Vec<&str> = self
            .subjects
            .iter()
            .filter(|subject| subject.buffered == Effective::Durable)
            .map(|subject| subject.engine.as_str())
            .collect();
        match names.as_slice() {
            [] => "No engine made buffered commits more durable than asked.".to_owned(),
            names => format!(
                "Buffered commits were made durable by: {}.",
                names.join(", ")
            ),
        }
    }

    /// What a reader needs to judge the figures.
    fn notes(&self) -> [String; 8] {
        let (sizes, setting) = (&self.sizes, &self.setting);
        let [before, after] = &setting.load;
        [
            "In brackets: the cost as a multiple of the best, so 2.00x is half the rate, twice the \
             time or twice the space. Bold: the best and what cannot be told apart from it, \
             because the middle halves of their samples overlap. `mem` forgets on exit and is not \
             ranked."
                .to_owned(),
            format!(
                "Spread: half the distance between the quartiles of {} rounds (of a scan: of all \
                 scans), as a part of the median. Processor time counts all threads of the \
                 process.",
                sizes.rounds
            ),
            format!(
                "Work: {} keys of {KEY_BYTES} random bytes, values of {VALUE_BYTES} bytes that do \
                 not compress. A round makes a new store of every engine, one after the other: \
                 load, close, reopen, warm by one scan and one get of each key, {} gets of each \
                 kind (and on each of two threads), {} ranges, {} scans, {} views, {} commits, \
                 compaction.",
                sizes.keys,
                sizes.reads,
                sizes.ranges,
                sizes.scans,
                sizes.snapshots,
                sizes.commits
            ),
            format!(
                "A block commit is one write transaction of {BATCH_OPS} operations at random keys: \
                 100 gets (70 hits), 500 overwrites, 100 deletes, 300 inserts. The 99th percentile \
                 is of all {} commits.",
                sizes.commits * sizes.rounds
            ),
            format!(
                "Blocks: {} bodies of {BODY_BYTES} bytes without transactions in a store of their \
                 own, one commit each; {} reads at random heights from one view, lent, first and \
                 last byte touched.",
                sizes.blocks, sizes.block_reads
            ),
            format!(
                "Regime: everything fits into memory and into each engine's cache ({} MiB). Schema \
                 without hints and without checksum envelope; default options of each engine. \
                 Bytes on disk are allocated blocks, what an engine allocated ahead included.",
                MEMORY_BUDGET_BYTES >> 20
            ),
            self.strengthened(),
            format!(
                "Machine: {}; stores on {}. Load average {before} before and {after} after the \
                 run, of which the run itself is about 1. Versions: {}.",
                setting.hardware, setting.file_system, setting.versions
            ),
        ]
    }
}

fn spread(of: &Summary) -> String {
    let part = of.spread().map(percent);
    part.map_or(MISSING.to_owned(), |part| format!("+-{part}"))
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = &self.setting;
        writeln!(f, "# Engines side by side\n\nMade {} by", setting.date)?;
        writeln!(f, "\n```sh\n{}\n```\n", setting.command)?;
        if !setting.note.is_empty() {
            writeln!(f, "{}\n", wrap(&setting.note, "", ""))?;
        }
        writeln!(
            f,
            "Only ratios inside one run mean anything; rates move with the machine and its load.\n"
        )?;
        writeln!(f, "{}", self.figures())?;
        writeln!(f, "How firm these figures are:\n\n{}", self.firmness())?;
        for note in self.notes() {
            writeln!(f, "{}", wrap(&note, "- ", "  "))?;
        }
        if !self.prices.is_empty() {
            let about = format!(
                "Processor time of a call by the static type, and of the enum and the erased form \
                 as multiples of it, on views of one and the same store; medians of {} rounds. \
                 `n/a`: the middle half of the multiples holds one. `get` of the erased form \
                 copies values above 64 bytes; lending copies nothing.",
                self.sizes.facade_rounds
            );
            let about = wrap(&about, "", "");
            writeln!(f, "\n## The price of choosing at run time\n\n{about}\n")?;
            write!(f, "{}", self.facade())?;
        }
        Ok(())
    }
}
