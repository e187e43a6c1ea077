//! The list of all metrics: name, kind, unit, labels, meaning.
//!
//! Invariants: no metric of a store has a name that is not in [`ALL`]; `docs/metrics.md` has the
//! same rows, which a test holds together; a unit other than a count is the last word of the name,
//! before `total`. Labels have few values: engines, tables, operations; gauges also name the store.

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Unit, with_recorder};

/// What kind of a number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from 0 when the process began.
    Counter,
    /// The state at the moment when it was published.
    Gauge,
    /// A distribution of durations.
    Histogram,
}

impl Kind {
    /// The word of the page and of Prometheus.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// The names of its labels, in order.
    pub labels: &'static [&'static str],
    /// The values of the label `op`, where it has that.
    pub ops: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

const fn metric(name: &'static str, kind: Kind, unit: Unit) -> Metric {
    Metric {
        name,
        kind,
        unit,
        labels: &["engine"],
        ops: &[],
        meaning: "",
    }
}

impl Metric {
    const fn by(self, labels: &'static [&'static str]) -> Self {
        Self { labels, ..self }
    }

    const fn of(self, ops: &'static [&'static str]) -> Self {
        Self { ops, ..self }
    }

    const fn means(self, meaning: &'static str) -> Self {
        Self { meaning, ..self }
    }

    /// Its key for these values of its labels, in the order of [`Metric::labels`].
    fn key(&self, values: &[&str]) -> Key {
        let labels = self.labels.iter().zip(values);
        let labels = labels.map(|(name, value)| Label::new(*name, (*value).to_owned()));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }

    const fn about() -> Metadata<'static> {
        Metadata::new("chainstore", Level::INFO, None)
    }

    /// The handle of this counter in the recorder, for these values of its labels in their order.
    /// Cost: a look-up; keep it.
    pub fn counter(&self, values: &[&str]) -> Counter {
        with_recorder(|recorder| recorder.register_counter(&self.key(values), &Self::about()))
    }

    /// As [`Metric::counter`], for a gauge.
    pub fn gauge(&self, values: &[&str]) -> Gauge {
        with_recorder(|recorder| recorder.register_gauge(&self.key(values), &Self::about()))
    }

    /// As [`Metric::counter`], for a histogram.
    pub fn histogram(&self, values: &[&str]) -> Histogram {
        with_recorder(|recorder| recorder.register_histogram(&self.key(values), &Self::about()))
    }
}

/// Reads and writes.
pub(crate) const OPERATIONS: Metric =
    metric("chainstore_operations_total", Kind::Counter, Unit::Count)
        .by(&["engine", "table", "op"])
        .of(&["get", "seek", "put", "delete", "delete_range"])
        .means(
            "Calls. Each key of a multi_get is a get; a seek is any cursor move but next and prev.",
        );

/// Rows of cursors.
pub(crate) const ROWS: Metric = metric("chainstore_rows_total", Kind::Counter, Unit::Count)
    .by(&["engine", "table"])
    .means("Rows that cursors lent on next and prev.");

/// Views.
pub(crate) const VIEWS: Metric =
    metric("chainstore_views_total", Kind::Counter, Unit::Count).means("Views begun.");

/// Payload.
pub(crate) const WRITTEN_BYTES: Metric =
    metric("chainstore_written_bytes_total", Kind::Counter, Unit::Bytes)
        .means("Keys and values of committed puts and deletes, before the engine's own overhead.");

/// Calls that failed.
pub(crate) const FAILURES: Metric = metric("chainstore_failures_total", Kind::Counter, Unit::Count)
    .by(&["engine", "op"])
    .of(&[
        "open",
        "begin_read",
        "begin_write",
        "commit",
        "apply",
        "sync",
        "bulk",
        "backup",
        "verify",
        "compact",
    ])
    .means("Calls that returned an error, refusals included.");

/// Stores that take no writes any more.
pub(crate) const POISONINGS: Metric =
    metric("chainstore_poisonings_total", Kind::Counter, Unit::Count)
        .means("Stores that stopped taking writes after a failed write or sync. Alert on any.");

/// Rows of bulk loads.
pub(crate) const BULK_ROWS: Metric =
    metric("chainstore_bulk_rows_total", Kind::Counter, Unit::Count)
        .means("Rows that finished bulk loads put in.");

/// Commits.
pub(crate) const COMMIT_SECONDS: Metric = metric(
    "chainstore_commit_seconds",
    Kind::Histogram,
    Unit::Seconds,
)
.by(&["engine", "op", "durability"])
.of(&["commit", "apply"])
.means(
    "A commit in the engine, its sync included; apply also writes its batch. Waiting for another \
     writer is not in it. durability is what was asked for: durable, buffered, volatile.",
);

/// Everything else that is timed always.
pub(crate) const OPERATION_SECONDS: Metric = metric(
    "chainstore_operation_seconds",
    Kind::Histogram,
    Unit::Seconds,
)
.by(&["engine", "op"])
.of(&["open", "sync", "bulk", "backup", "verify", "compact"])
.means("Calls that succeeded, waiting included; of a bulk load the part after its last row.");

/// Waiting of writers.
pub(crate) const WRITE_WAIT_SECONDS: Metric = metric(
    "chainstore_write_wait_seconds",
    Kind::Histogram,
    Unit::Seconds,
)
.by(&["engine", "op"])
.of(&["begin_write", "apply"])
.means("How long a writer waited for those before it, 0 where there were none.");

/// Beginning a view.
pub(crate) const VIEW_BEGIN_SECONDS: Metric = metric(
    "chainstore_view_begin_seconds",
    Kind::Histogram,
    Unit::Seconds,
)
.means("Beginning a view, every 16th one of a store; waiting for exclusive work is in it.");

/// Scans.
pub(crate) const SCAN_SECONDS: Metric = metric(
    "chainstore_scan_seconds",
    Kind::Histogram,
    Unit::Seconds,
)
.by(&["engine", "table"])
.means(
    "Each 1,024 rows that one cursor lent one after the other, the caller's work between them \
     included. Shorter scans are not timed.",
);

/// Single reads, only in the decorator that times them.
pub const READ_SECONDS: Metric = metric("chainstore_read_seconds", Kind::Histogram, Unit::Seconds)
    .by(&["engine", "table", "op"])
    .of(&["get", "multi_get", "seek"])
    .means("Single reads, with the decorator chain_store::Timed only.");

const STATE: &[&str] = &["engine", "store"];

/// Live views.
pub(crate) const READERS: Metric = metric("chainstore_readers", Kind::Gauge, Unit::Count)
    .by(STATE)
    .means("Live views.");

/// Age of the oldest view.
pub(crate) const OLDEST_READER: Metric = metric(
    "chainstore_oldest_reader_age_seconds",
    Kind::Gauge,
    Unit::Seconds,
)
.by(STATE)
.means("Age of the oldest live view, 0 without one.");

/// What the oldest view pins.
pub(crate) const PINNED_BYTES: Metric = metric("chainstore_pinned_bytes", Kind::Gauge, Unit::Bytes)
    .by(STATE)
    .means("What the store grew by since its oldest live view began, the most it can pin.");

/// Space on the device.
pub(crate) const DISK_BYTES: Metric = metric("chainstore_disk_bytes", Kind::Gauge, Unit::Bytes)
    .by(STATE)
    .means("Bytes that the store's directory holds on the device, 0 in memory.");

/// Space left on the device.
pub(crate) const DISK_FREE_BYTES: Metric =
    metric("chainstore_disk_free_bytes", Kind::Gauge, Unit::Bytes)
        .by(STATE)
        .means("Bytes that this process can still use of the directory's file system.");

/// Memory.
pub(crate) const MEMORY_BYTES: Metric = metric("chainstore_memory_bytes", Kind::Gauge, Unit::Bytes)
    .by(STATE)
    .means("Bytes of memory that the engine holds, where it knows.");

/// Reusable space.
pub(crate) const REUSABLE_BYTES: Metric =
    metric("chainstore_reusable_bytes", Kind::Gauge, Unit::Bytes)
        .by(STATE)
        .means("Bytes inside the files that can be used again, where the engine knows.");

/// The size limit.
pub(crate) const LIMIT_BYTES: Metric = metric("chainstore_limit_bytes", Kind::Gauge, Unit::Bytes)
    .by(STATE)
    .means("The store's size limit, where it has one.");

/// The last commit.
pub(crate) const COMMIT_SEQ: Metric = metric("chainstore_commit_seq", Kind::Gauge, Unit::Count)
    .by(STATE)
    .means("Number of the last ordered commit, which restarts keep.");

/// Every metric, in the order of the page.
pub const ALL: &[Metric] = &[
    OPERATIONS,
    ROWS,
    VIEWS,
    WRITTEN_BYTES,
    FAILURES,
    POISONINGS,
    BULK_ROWS,
    COMMIT_SECONDS,
    OPERATION_SECONDS,
    WRITE_WAIT_SECONDS,
    VIEW_BEGIN_SECONDS,
    SCAN_SECONDS,
    READ_SECONDS,
    READERS,
    OLDEST_READER,
    PINNED_BYTES,
    DISK_BYTES,
    DISK_FREE_BYTES,
    MEMORY_BYTES,
    REUSABLE_BYTES,
    LIMIT_BYTES,
    COMMIT_SEQ,
];

/// Tells the recorder unit and meaning of every metric. Opening a store does it.
pub fn describe() {
    with_recorder(|recorder| {
        for metric in ALL {
            let (unit, meaning) = (Some(metric.unit), metric.meaning.into());
            match metric.kind {
                Kind::Counter => recorder.describe_counter(metric.name.into(), unit, meaning),
                Kind::Gauge => recorder.describe_gauge(metric.name.into(), unit, meaning),
                Kind::Histogram => recorder.describe_histogram(metric.name.into(), unit, meaning),
            }
        }
    });
}
