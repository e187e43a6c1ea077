//! The report of a comparison: Markdown for people, JSON for programs.
//!
//! Invariants: every store that entered and every work that any of them offers is in both; bold is
//! what ranks best or cannot be told apart from it; what a store does not offer is a dash and what
//! failed is named; what each durability means stands beside the figures; the price of our
//! interface is a table of its own, made of ratios within each round.

use std::fmt;

use serde_json::{Value, json};

use super::contestant::About;
use super::host::{Contest, MEMORY_BUDGET_BYTES, Record, SEED};
use super::script::{CHANGES_OF_COMMIT, RANGE_ROWS};
use super::work::Work;
use crate::figures::{Ranked, Summary, Table, Unit, cost, factor, percent, ratio, time, wrap};
use crate::report::Setting;
use crate::workload::{KEY_BYTES, VALUE_BYTES};

/// A whole run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where and how.
    pub setting: Setting,
    /// Seconds of one write with its sync on the disk of the stores.
    pub sync_seconds: Option<f64>,
    /// What was run.
    pub contest: Contest,
    /// What was measured.
    pub records: Vec<Record>,
    /// Stores that were not run, and why.
    pub absent: Vec<(String, String)>,
}

const MISSING: &str = "-";

/// A difference from one that no run resolves is not told.
fn is_seen(ratio: &Summary) -> bool {
    ratio.samples > 1 && (ratio.low > 1.0 || ratio.high < 1.0)
}

impl Report {
    fn works(&self) -> impl Iterator<Item = Work> {
        let any = |work: &Work| self.records.iter().any(|r| !r.samples(*work).is_empty());
        Work::ALL.into_iter().filter(any)
    }

    fn ranked(&self, work: Work) -> Ranked {
        let alone = self.records.iter().all(|record| !record.is_persistent);
        let figures: Vec<Summary> = self
            .records
            .iter()
            .filter(|record| record.is_persistent || alone)
            .filter_map(|record| record.figure(work))
            .collect();
        Ranked::new(&figures)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.records
            .iter()
            .map(|record| record.entrant.name.as_str())
    }

    /// Figures with their multiples of the best, a row a store so that any number of them fits.
    #[must_use]
    pub fn figures(&self, works: &[Work]) -> Table {
        let head = works.iter().map(|work| work.name());
        let mut table = Table::new(["store"].into_iter().chain(head));
        let ranks: Vec<Ranked> = works.iter().map(|work| self.ranked(*work)).collect();
        for record in &self.records {
            let cells = works.iter().zip(&ranks).map(|(work, ranked)| {
                let Some(figure) = record.figure(*work) else {
                    return MISSING.to_owned();
                };
                let multiple = ranked.multiple(&figure).map_or(String::new(), factor);
                let words = cost(figure.median, work.unit());
                if record.is_persistent && ranked.is_best(&figure) {
                    format!("**{words}** ({multiple})")
                } else {
                    format!("{words} ({multiple})")
                }
            });
            table.row([record.entrant.name.clone()].into_iter().chain(cells));
        }
        table
    }

    /// Spread of the figures, and processor time where it means something.
    #[must_use]
    pub fn firmness(&self) -> Table {
        let mut table = Table::new(["work"].into_iter().chain(self.names()));
        for work in self.works() {
            let cells = self.records.iter().map(|record| {
                let Some(figure) = record.figure(work) else {
                    return MISSING.to_owned();
                };
                let spread = figure.spread().map_or(MISSING.into(), percent);
                match Summary::of(record.processor(work)) {
                    Some(processor) if work.unit() != Unit::Bytes => {
                        format!("+-{spread}, {}", time(processor.median))
                    }
                    _ => format!("+-{spread}"),
                }
            });
            table.row([work.name().to_owned()].into_iter().chain(cells));
        }
        table
    }

    /// Each store of an interface against its raw form: time, and processor time.
    #[must_use]
    pub fn prices(&self) -> Table {
        let pairs: Vec<(&Record, &Record)> = self
            .records
            .iter()
            .filter_map(|record| {
                let raw = record.entrant.raw.as_ref()?;
                let raw = self.records.iter().find(|r| r.entrant.name == *raw)?;
                Some((record, raw))
            })
            .collect();
        let head = pairs
            .iter()
            .map(|(of, to)| format!("{} / {}", of.entrant.name, to.entrant.name));
        let mut table = Table::new(["work".to_owned()].into_iter().chain(head));
        for work in self.works() {
            let cells = pairs.iter().map(|(of, to)| {
                let (wall, cpu) = (
                    ratio(of.samples(work), to.samples(work)),
                    ratio(of.processor(work), to.processor(work)),
                );
                let told = |ratio: Summary| {
                    let words = factor(ratio.median);
                    if is_seen(&ratio) {
                        words
                    } else {
                        format!("n/a {words}")
                    }
                };
                match (wall, cpu) {
                    (None, _) => MISSING.to_owned(),
                    (Some(wall), None) => told(wall),
                    (Some(wall), Some(cpu)) => format!("{} ({})", told(wall), told(cpu)),
                }
            });
            table.row([work.name().to_owned()].into_iter().chain(cells));
        }
        table
    }

    /// What each store is and promises.
    #[must_use]
    pub fn stores(&self) -> Table {
        let head = [
            "store",
            "version",
            "durable commit",
            "buffered commit",
            "load",
        ];
        let mut table = Table::new(head);
        for record in &self.records {
            let About {
                version,
                durable,
                buffered,
                load,
            } = &record.about;
            let or_none = |words: &str| {
                if words.is_empty() {
                    "none".to_owned()
                } else {
                    words.to_owned()
                }
            };
            table.row([
                record.entrant.name.clone(),
                version.clone(),
                or_none(durable),
                or_none(buffered),
                load.clone(),
            ]);
        }
        table
    }

    /// Everything as JSON: all samples in seconds, bytes for a byte, or bytes.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let summary = |summary: Option<Summary>| {
            summary.map(|s| json!({ "median": s.median, "spread": s.spread() }))
        };
        let record = |record: &Record| {
            let figures: Vec<Value> = Work::ALL
                .into_iter()
                .filter(|work| !record.samples(*work).is_empty())
                .map(|work| {
                    json!({
                        "work": work,
                        "unit": match work.unit() {
                            Unit::Factor => "bytes/byte",
                            Unit::Bytes => "bytes",
                            Unit::Rate | Unit::Time => "s",
                        },
                        "figure": summary(record.figure(work)),
                        "samples": record.samples(work),
                        "processor": record.processor(work),
                    })
                })
                .collect();
            json!({
                "store": record.entrant.name,
                "raw": record.entrant.raw,
                "about": record.about,
                "persistent": record.is_persistent,
                "failures": record.failures,
                "figures": figures,
            })
        };
        let setting = &self.setting;
        json!({
            "schema": 1,
            "date": setting.date,
            "command": setting.command,
            "note": setting.note,
            "hardware": setting.hardware,
            "file_system": setting.file_system,
            "versions": setting.versions,
            "load": setting.load,
            "sync_seconds": self.sync_seconds,
            "seed": SEED,
            "rounds": self.contest.rounds,
            "amounts": self.contest.amounts,
            "memory_budget_bytes": MEMORY_BUDGET_BYTES,
            "absent": self.absent,
            "stores": self.records.iter().map(record).collect::<Vec<_>>(),
        })
    }

    fn notes(&self) -> Vec<String> {
        let (amounts, setting) = (&self.contest.amounts, &self.setting);
        let [before, after] = &setting.load;
        let sync = self.sync_seconds.map_or("unknown".to_owned(), time);
        vec![
            "In brackets: the cost as a multiple of the best, so 2.00x is half the rate, twice the \
             time or twice the space. Bold: the best and what cannot be told apart from it, \
             because the middle halves of their samples overlap. Stores that forget on exit are \
             not ranked. `-`: the store does not offer it."
                .to_owned(),
            format!(
                "Work: {} rows of {KEY_BYTES} random bytes with values of {VALUE_BYTES} bytes that \
                 do not compress, loaded in random order; {} gets of each kind (on each of two \
                 threads), {} ranges of {RANGE_ROWS} rows, {} scans; {} blocks of each durability, \
                 each one commit of {CHANGES_OF_COMMIT} changes (500 overwrites, 400 inserts, 100 \
                 deletes); {} commits of {CHANGES_OF_COMMIT} overwrites and as many of deletes.",
                amounts.rows,
                amounts.gets,
                amounts.ranges,
                amounts.scans,
                amounts.blocks,
                amounts.updates
            ),
            format!(
                "Fairness: each store lives in a process and a directory of its own, {} rounds, \
                 seeds from {SEED}, order shuffled in each round; {} MiB of cache where it can be \
                 told; reads after reopening, one scan and one get of each key, so everything is \
                 warm and in memory. Peak memory is of the whole process, the script's rows \
                 included, and counts what a mapped file has in memory. Bytes on disk are \
                 allocated blocks of everything in the directory.",
                self.contest.rounds,
                MEMORY_BUDGET_BYTES >> 20
            ),
            format!(
                "Machine: {}; stores on {}; one write of 4 KiB with its sync takes {sync} there. \
                 Load average {before} before and {after} after the run, of which the run itself \
                 is about 1. Versions: {}.",
                setting.hardware, setting.file_system, setting.versions
            ),
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = &self.setting;
        writeln!(f, "# Engines and other stores side by side\n")?;
        writeln!(
            f,
            "Made {} by\n\n```sh\n{}\n```\n",
            setting.date, setting.command
        )?;
        if !setting.note.is_empty() {
            writeln!(f, "{}\n", wrap(&setting.note, "", ""))?;
        }
        writeln!(
            f,
            "Only ratios inside one run mean anything; rates move with the machine and its load.\n"
        )?;
        let works: Vec<Work> = self.works().collect();
        for some in works.chunks(5) {
            writeln!(f, "{}", self.figures(some))?;
        }
        writeln!(
            f,
            "## What a commit of each store promises\n\n{}",
            self.stores()
        )?;
        let about = "Each store of ours through the facade against the best raw use of the same \
                     engine, and others against what they stand on: cost as a multiple, in \
                     brackets the processor time. `n/a`: the middle half of the multiples holds \
                     one.";
        let about = wrap(about, "", "");
        writeln!(
            f,
            "## The price of the interface\n\n{about}\n\n{}",
            self.prices()
        )?;
        let about = wrap(
            "Half the distance between the quartiles as a part of the median, and the processor \
             time of one operation.",
            "",
            "",
        );
        writeln!(
            f,
            "## How firm the figures are\n\n{about}\n\n{}",
            self.firmness()
        )?;
        for note in self.notes() {
            writeln!(f, "{}", wrap(&note, "- ", "  "))?;
        }
        for (store, why) in &self.absent {
            writeln!(
                f,
                "{}",
                wrap(&format!("SKIPPED {store}: {why}"), "- ", "  ")
            )?;
        }
        for record in &self.records {
            for failure in &record.failures {
                let name = &record.entrant.name;
                writeln!(
                    f,
                    "{}",
                    wrap(&format!("FAILED {name}, {failure}"), "- ", "  ")
                )?;
            }
        }
        Ok(())
    }
}
