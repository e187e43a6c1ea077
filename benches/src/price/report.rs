//! The page of the price: what every layer costs, in instructions, allocations and time.
//!
//! Invariant: what misses its budget is marked and stays; a time whose interval is wider than the
//! budget is printed as not measurable, with its interval in the JSON beside it.

use std::fmt;

use serde::Serialize;

use super::budget::{INSTRUCTIONS_PER_NS, Verdict, budget, judge};
use super::case::{Case, Form};
use super::count::Counts;
use super::rows::SEED;
use super::timing::{Effort, Ratio, Timed};
use crate::figures::{Table, wrap};
use crate::report::Setting;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where and how.
    #[serde(skip)]
    pub setting: Setting,
    /// A write of 4 KiB with its sync, in seconds, where it could be measured.
    pub sync_seconds: Option<f64>,
    /// What the timed runs were made of.
    pub effort: Effort,
    /// Instructions and allocations, by engine; empty without callgrind.
    pub counts: Vec<Counts>,
    /// Times.
    pub times: Vec<Timed>,
}

const MISSING: &str = "-";

fn whole(number: f64) -> String {
    let digits = format!("{:.0}", number.abs());
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < -0.5 {
        grouped.insert(0, '-');
    }
    grouped
}

/// What a form costs over the baseline, marked when it is too much.
fn over(verdict: Option<&Verdict>) -> String {
    let Some(verdict) = verdict else {
        return MISSING.to_owned();
    };
    let percent = verdict.over() / verdict.base * 100.0;
    let sign = if verdict.over() >= 0.0 { "+" } else { "" };
    let words = format!("{sign}{} ({percent:+.1} %)", whole(verdict.over()));
    if verdict.keeps_instructions() {
        words
    } else {
        format!("**{words}**")
    }
}

fn allocations(counts: &Counts, case: Case) -> String {
    let forms = [Form::Raw, Form::Static, Form::Any, Form::Dyn];
    let cells = forms.map(|form| match counts.of(case, form) {
        Some(count) => format!("{:.1}", count.allocations.max(0.0))
            .trim_end_matches(".0")
            .to_owned(),
        None => MISSING.to_owned(),
    });
    cells.join(" / ")
}

impl Report {
    /// Instructions and allocations of an engine.
    #[must_use]
    pub fn counted(counts: &Counts) -> Table {
        let verdicts = judge(counts);
        let mut table = Table::new([
            "call",
            "against",
            "instructions",
            "static",
            "enum",
            "object-safe",
            "allocations",
        ]);
        for case in counts.cases() {
            let of = |form| {
                let is_it = |v: &&Verdict| v.case == case && v.form == form;
                verdicts.iter().find(is_it)
            };
            let base = of(Form::Any).or_else(|| of(Form::Static));
            table.row([
                case.to_string(),
                base.map_or(MISSING, |v| v.baseline.name()).to_owned(),
                base.map_or(MISSING.to_owned(), |v| whole(v.base)),
                over(of(Form::Static)),
                over(of(Form::Any)),
                over(of(Form::Dyn)),
                allocations(counts, case),
            ]);
        }
        table
    }

    /// Times of an engine, one or two threads.
    #[must_use]
    pub fn timed(&self, engine: &str) -> Table {
        let forms = [
            Form::Naive,
            Form::Optimistic,
            Form::Static,
            Form::Any,
            Form::Dyn,
        ];
        let names = forms.map(|form| format!("{} / first", form.name()));
        let head = ["call".to_owned(), "first".to_owned(), "time".to_owned()];
        let mut table = Table::new(head.into_iter().chain(names));
        for timed in self.times.iter().filter(|timed| timed.engine == engine) {
            let Some((first, ns, _)) = timed.forms.first() else {
                continue;
            };
            let name = match timed.threads {
                1 => timed.case.to_string(),
                threads => format!("{}, {threads} threads", timed.case),
            };
            let cell = |form: &Form| {
                let is_it = |found: &&(Form, f64, Option<Ratio>)| found.0 == *form;
                let found = timed.forms.iter().skip(1).find(is_it);
                let limit = budget(*form, timed.case.operation, *first).map_or(0.05, |b| b.part);
                match found.and_then(|found| found.2) {
                    Some(ratio) => in_words(ratio, limit),
                    None => MISSING.to_owned(),
                }
            };
            let head = [name, first.name().to_owned(), format!("{ns:.0} ns")];
            table.row(head.into_iter().chain(forms.iter().map(cell)));
        }
        table
    }

    fn notes(&self) -> [String; 6] {
        let setting = &self.setting;
        let [before, after] = &setting.load;
        let sync = self
            .sync_seconds
            .map_or("unknown".to_owned(), crate::figures::time);
        [
            format!(
                "Instructions are counted by callgrind in one process an engine, inside the \
                 measured loop alone, and repeat but for a few. The column `against` names what a \
                 form is held against; `instructions` is what that takes for one unit: a call, a \
                 row of a scan, an operation of a batch or transaction. The columns behind it are \
                 what a form takes more. Bold: over the budget, which is 2 % for the static form, \
                 3 % for the enum, or 5 ns where that is more (at {INSTRUCTIONS_PER_NS} \
                 instructions a nanosecond), 3 % alone for batches, and nothing against \
                 `OptimisticTransactionDB`. The object-safe form has a budget of allocations only."
            ),
            "Allocations are those of Rust code, of one time of the operation (a whole batch, scan \
             or transaction): raw / static / enum / object-safe."
                .to_owned(),
            format!(
                "Times are processor time of the thread, two threads on the clock; forms take \
                 turns forward and back, {} rounds; a ratio has its 95 % interval in brackets. \
                 `n/m`: the interval is wider than the budget, so that nothing can be said.",
                self.effort.rounds
            ),
            format!(
                "Rows: {} of 32-byte random keys and 128-byte values that do not compress, as many \
                 bytes of other values; everything fits into every cache. Seed {SEED:#x}. \
                 RocksDB's tables are compacted before they are read. Commits are buffered; redb \
                 and LMDB sync them all the same.",
                self.effort.rows
            ),
            "Raw is the best use of the engine's own library: handles, options, iterators and \
             read transactions kept, values lent, batches of 10,000 sorted. Naive is the loop \
             that keeps nothing: a read transaction and an opened table for each get (redb), an \
             iterator for each range (RocksDB). The raw transaction of RocksDB is a bare batch \
             with gets that do not see it."
                .to_owned(),
            format!(
                "Machine: {}; stores on {}, a write of 4 KiB with its sync takes {sync}. Load \
                 average {before} before and {after} after. Versions: {}.",
                setting.hardware, setting.file_system, setting.versions
            ),
        ]
    }
}

fn in_words(ratio: Ratio, limit: f64) -> String {
    let Ratio { median, low, high } = ratio;
    let interval = format!("{low:.2}-{high:.2}");
    if ratio.width() > limit.max(0.02) && (low..=high).contains(&(1.0 + limit)) {
        return format!("n/m ({interval})");
    }
    let words = format!("{median:.2}x ({interval})");
    if low > 1.0 + limit {
        format!("**{words}**")
    } else {
        words
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = &self.setting;
        writeln!(f, "# The price of the layers\n\nMade {} by", setting.date)?;
        writeln!(f, "\n```sh\n{}\n```\n", setting.command)?;
        if !setting.note.is_empty() {
            writeln!(f, "{}\n", wrap(&setting.note, "", ""))?;
        }
        for note in self.notes() {
            writeln!(f, "{}", wrap(&note, "- ", "  "))?;
        }
        if self.counts.is_empty() {
            writeln!(
                f,
                "\nInstructions were not counted: there is no valgrind here."
            )?;
        }
        for counts in &self.counts {
            let engine = &counts.engine;
            writeln!(f, "\n## Instructions and allocations: {engine}\n")?;
            write!(f, "{}", Self::counted(counts))?;
        }
        let mut engines: Vec<&str> = self.times.iter().map(|t| t.engine.as_str()).collect();
        engines.dedup();
        for engine in engines {
            writeln!(f, "\n## Times: {engine}\n")?;
            write!(f, "{}", self.timed(engine))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_marked_when_they_lose() {
        assert_eq!(
            [whole(1_234_567.2), whole(-12.0), whole(0.2)],
            ["1,234,567", "-12", "0"]
        );
        let ratio = |median, low, high| in_words(Ratio { median, low, high }, 0.02);
        assert_eq!(ratio(1.05, 1.04, 1.06), "**1.05x (1.04-1.06)**");
        assert_eq!(ratio(1.0, 0.99, 1.01), "1.00x (0.99-1.01)");
        assert_eq!(ratio(1.0, 0.9, 1.1), "n/m (0.90-1.10)");
        assert_eq!(ratio(0.7, 0.6, 0.8), "0.70x (0.60-0.80)");
    }
}
