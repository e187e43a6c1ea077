//! What stores declare, as rows of words for the reports.
//!
//! Invariant: one row for each field of [`Capabilities`], under the field's own name.

use storage_api::{
    BitRot, BulkMode, Capabilities, CountMode, Durability, Effective, Mode, Sharing, ValueLane,
};

/// One field: its name and its value in words.
type Row = (&'static str, fn(&Capabilities) -> String);

/// Every field, in the order of the type.
pub(super) const ROWS: &[Row] = &[
    ("key_bytes_max", |c| c.key_bytes_max.to_string()),
    ("value_bytes_max", |c| c.value_bytes_max.to_string()),
    ("tables_max", |c| c.tables_max.to_string()),
    ("readers_max", |c| limit(c.readers_max.map(u64::from))),
    ("txn_bytes_max", |c| limit(c.txn_bytes_max)),
    ("txn_age_seconds_max", |c| limit(c.txn_age_seconds_max)),
    ("persistent", |c| yes(c.persistent)),
    ("concurrent_batches", |c| yes(c.concurrent_batches)),
    ("native_savepoints", |c| yes(c.native_savepoints)),
    ("constant_range_delete", |c| yes(c.constant_range_delete)),
    ("batched_reads", |c| yes(c.batched_reads)),
    ("count", |c| match c.count {
        CountMode::Exact => "exact".to_owned(),
        CountMode::Estimate => "estimate".to_owned(),
    }),
    ("effective Volatile", |c| {
        effective(c.effective(Durability::Volatile))
    }),
    ("effective Buffered", |c| {
        effective(c.effective(Durability::Buffered))
    }),
    ("effective Durable", |c| {
        effective(c.effective(Durability::Durable))
    }),
    ("sharing", |c| match c.sharing {
        Sharing::None => "none".to_owned(),
        Sharing::ReadersOrWriter => "many readers or one writer".to_owned(),
    }),
    ("read_only_open", |c| yes(c.read_only_open)),
    ("bulk", |c| match c.bulk {
        BulkMode::None => "no".to_owned(),
        BulkMode::Insertion => "sorted insertion".to_owned(),
        BulkMode::Loader => "the engine's loader".to_owned(),
    }),
    ("compact", |c| mode(c.compact)),
    ("backup", |c| mode(c.backup)),
    ("bit_rot", |c| match c.bit_rot {
        BitRot::DetectedOnRead => "detected on read".to_owned(),
        BitRot::NotDetected => "not detected without the envelope".to_owned(),
        BitRot::NotApplicable => "no medium".to_owned(),
    }),
    ("value_lane", |c| match c.value_lane {
        ValueLane::Borrowed => "borrowed".to_owned(),
        ValueLane::Pinned => "pinned".to_owned(),
        ValueLane::Copied => "copied".to_owned(),
    }),
    ("size_limit", |c| yes(c.size_limit)),
];

fn yes(declared: bool) -> String {
    if declared { "yes" } else { "no" }.to_owned()
}

fn limit(most: Option<u64>) -> String {
    most.map_or_else(|| "none".to_owned(), |most| most.to_string())
}

fn mode(mode: Mode) -> String {
    match mode {
        Mode::None => "no",
        Mode::Online => "online",
        Mode::Exclusive => "exclusive",
    }
    .to_owned()
}

fn effective(level: Effective) -> String {
    format!("{level:?}").to_lowercase()
}
