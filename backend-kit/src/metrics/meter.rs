//! The handles of one open store.
//!
//! Invariants: every handle is fetched when the store opens and none later; a number is added to a
//! counter that other threads share only when a view, a transaction or a batch ends.

use std::time::{Duration, Instant};

use ::metrics::{Counter, Histogram};
use storage_api::{Catalogue, Durability, Result, TableId};

use super::catalog;
use super::tally::{TableTally, Tally};
use crate::tables::{Rule, Rules};

/// What a store does that is timed, or whose failures count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Open,
    BeginRead,
    BeginWrite,
    Commit,
    Apply,
    Sync,
    Bulk,
    Backup,
    Verify,
    Compact,
}

impl Work {
    pub(super) const ALL: [Self; 10] = [
        Self::Open,
        Self::BeginRead,
        Self::BeginWrite,
        Self::Commit,
        Self::Apply,
        Self::Sync,
        Self::Bulk,
        Self::Backup,
        Self::Verify,
        Self::Compact,
    ];

    /// The value of the label `op`, and the operation of errors.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::BeginRead => "begin_read",
            Self::BeginWrite => "begin_write",
            Self::Commit => "commit",
            Self::Apply => "apply",
            Self::Sync => "sync",
            Self::Bulk => "bulk",
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Compact => "compact",
        }
    }
}

/// Which way a commit came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A write transaction.
    Txn,
    /// A batch.
    Batch,
}

const DURABILITIES: [(Durability, &str); 3] = [
    (Durability::Volatile, "volatile"),
    (Durability::Buffered, "buffered"),
    (Durability::Durable, "durable"),
];

/// The word of a durability in labels and spans.
pub(super) const fn word(durability: Durability) -> &'static str {
    match durability {
        Durability::Volatile => DURABILITIES[0].1,
        Durability::Buffered => DURABILITIES[1].1,
        Durability::Durable => DURABILITIES[2].1,
    }
}

/// One table's handles.
#[derive(Debug)]
struct TableMeter {
    gets: Counter,
    seeks: Counter,
    puts: Counter,
    deletes: Counter,
    range_deletes: Counter,
    rows: Counter,
    scan: Histogram,
}

impl TableMeter {
    fn new(engine: &str, table: &str) -> Self {
        let op = |op| catalog::OPERATIONS.counter(&[engine, table, op]);
        Self {
            gets: op("get"),
            seeks: op("seek"),
            puts: op("put"),
            deletes: op("delete"),
            range_deletes: op("delete_range"),
            rows: catalog::ROWS.counter(&[engine, table]),
            scan: catalog::SCAN_SECONDS.histogram(&[engine, table]),
        }
    }

    /// Adds a table's numbers to the counters and leaves zero.
    fn add(&self, tally: &TableTally) {
        let pairs = [
            (&self.gets, &tally.gets),
            (&self.seeks, &tally.seeks),
            (&self.rows, &tally.rows),
            (&self.puts, &tally.puts),
            (&self.deletes, &tally.deletes),
            (&self.range_deletes, &tally.range_deletes),
        ];
        for (counter, cell) in pairs {
            let more = cell.take();
            if more > 0 {
                counter.increment(more);
            }
        }
    }
}

/// The handles of one open store.
#[derive(Debug)]
pub(crate) struct Meter {
    rules: Vec<Option<Rule>>,
    tables: Vec<Option<TableMeter>>,
    views: Counter,
    view_begin: Histogram,
    written_bytes: Counter,
    poisonings: Counter,
    bulk_rows: Counter,
    failures: [Counter; Work::ALL.len()],
    seconds: [Histogram; Work::ALL.len()],
    waits: [Histogram; 2],
    commits: [[Histogram; DURABILITIES.len()]; 2],
}

impl Meter {
    /// Fetches the handles.
    pub(crate) fn new(engine: &'static str, catalogue: &Catalogue, rules: &Rules) -> Self {
        catalog::describe();
        let rules = rules.by_number();
        let mut tables: Vec<_> = rules.iter().map(|_| None).collect();
        for table in catalogue.iter() {
            if let Some(meter) = tables.get_mut(table.id.index()) {
                *meter = Some(TableMeter::new(engine, table.def.name()));
            }
        }
        let commits = |op| {
            DURABILITIES.map(|(_, word)| catalog::COMMIT_SECONDS.histogram(&[engine, op, word]))
        };
        Self {
            rules: rules.to_vec(),
            tables,
            views: catalog::VIEWS.counter(&[engine]),
            view_begin: catalog::VIEW_BEGIN_SECONDS.histogram(&[engine]),
            written_bytes: catalog::WRITTEN_BYTES.counter(&[engine]),
            poisonings: catalog::POISONINGS.counter(&[engine]),
            bulk_rows: catalog::BULK_ROWS.counter(&[engine]),
            failures: Work::ALL.map(|work| failures(engine, work)),
            seconds: Work::ALL.map(|work| {
                if catalog::OPERATION_SECONDS.ops.contains(&work.as_str()) {
                    catalog::OPERATION_SECONDS.histogram(&[engine, work.as_str()])
                } else {
                    Histogram::noop()
                }
            }),
            waits: [Work::BeginWrite, Work::Apply]
                .map(|work| catalog::WRITE_WAIT_SECONDS.histogram(&[engine, work.as_str()])),
            commits: [
                commits(Work::Commit.as_str()),
                commits(Work::Apply.as_str()),
            ],
        }
    }

    /// A tally over this store's tables.
    pub(crate) fn tally(&self) -> Tally {
        Tally::new(&self.rules)
    }

    /// Adds what was counted to the counters and leaves zero.
    pub(crate) fn add(&self, tally: &Tally) {
        for (number, table) in tally.tables().iter().enumerate() {
            if !table.is_zero() {
                self.add_table(number, table);
            }
        }
    }

    fn add_table(&self, number: usize, table: &TableTally) {
        if let Some(Some(meter)) = self.tables.get(number) {
            meter.add(table);
        }
    }

    /// So many views began.
    #[inline]
    pub(crate) fn count_views(&self, views: u64) {
        self.views.increment(views);
    }

    /// A writer got in after waiting this long for others.
    pub(crate) fn record_wait(&self, lane: Lane, waited: Duration) {
        self.waits[lane as usize].record(waited.as_secs_f64());
    }

    /// Beginning a view took this long.
    pub(crate) fn record_view_begin(&self, took: Duration) {
        self.view_begin.record(took.as_secs_f64());
    }

    /// A call failed.
    #[cold]
    pub(crate) fn count_failure(&self, work: Work) {
        self.failures[work as usize].increment(1);
    }

    /// The store takes no writes any more.
    #[cold]
    pub(crate) fn count_poisoning(&self) {
        self.poisonings.increment(1);
    }

    /// A bulk load put in so many rows.
    pub(crate) fn count_bulk_rows(&self, rows: u64) {
        self.bulk_rows.increment(rows);
    }

    /// A call succeeded and took this long.
    pub(crate) fn record(&self, work: Work, took: Duration) {
        self.seconds[work as usize].record(took.as_secs_f64());
    }

    /// Runs some work, times it where it succeeds and counts it where it fails.
    pub(crate) fn time<T>(&self, work: Work, run: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let done = run();
        match &done {
            Ok(_) => self.record(work, began.elapsed()),
            Err(_) => self.count_failure(work),
        }
        done
    }

    /// Commits, times it and traces it.
    pub(crate) fn commit<T>(
        &self,
        about: CommitOf,
        tally: &Tally,
        run: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let CommitOf {
            engine,
            lane,
            durability,
            bytes,
        } = about;
        let work = match lane {
            Lane::Txn => Work::Commit,
            Lane::Batch => Work::Apply,
        };
        let span = tracing::debug_span!(
            "commit",
            engine,
            op = work.as_str(),
            durability = word(durability),
            ops = tally.writes(),
            bytes,
        );
        let _in_span = span.enter();
        let began = Instant::now();
        let done = run();
        if done.is_err() {
            self.count_failure(work);
            return done;
        }
        let took = began.elapsed().as_secs_f64();
        let [volatile, buffered, durable] = &self.commits[lane as usize];
        let histogram = match durability {
            Durability::Volatile => volatile,
            Durability::Buffered => buffered,
            Durability::Durable => durable,
        };
        histogram.record(took);
        self.written_bytes.increment(bytes);
        tracing::debug!(took_seconds = took, "committed");
        done
    }

    /// A stride of rows of a table took this long.
    pub(crate) fn record_scan(&self, table: TableId, took: Duration) {
        if let Some(Some(meter)) = self.tables.get(table.index()) {
            meter.scan.record(took.as_secs_f64());
        }
    }
}

/// A commit, for its numbers and its span.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitOf {
    pub(crate) engine: &'static str,
    pub(crate) lane: Lane,
    pub(crate) durability: Durability,
    /// Bytes of its keys and values.
    pub(crate) bytes: u64,
}

/// The counter of failures of some work.
pub(crate) fn failures(engine: &str, work: Work) -> Counter {
    catalog::FAILURES.counter(&[engine, work.as_str()])
}
