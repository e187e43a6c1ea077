//! The gauges: numbers that are read when somebody wants to see them.
//!
//! Invariant: nothing here runs by itself. What serves or prints metrics calls [`publish`] before.
//! Cost: that of [`KvStore::stats`], which looks at every file of the store's directory.

use storage_api::{KvStore, Result};

use super::catalog::{
    COMMIT_SEQ, DISK_BYTES, DISK_FREE_BYTES, LIMIT_BYTES, MEMORY_BYTES, Metric, OLDEST_READER,
    PINNED_BYTES, READERS, REUSABLE_BYTES,
};

/// Sets the gauges of a store to what [`KvStore::stats`] says now. `name` is the value of the
/// label `store`: the URL or path, the same at every call and one for each store of the process. A
/// gauge keeps its last value when its store is gone.
///
/// # Errors
/// As [`KvStore::stats`].
pub fn publish<S: KvStore>(store: &S, name: &str) -> Result<()> {
    let stats = store.stats()?;
    // Gauges are floating-point numbers; beyond 2^53 they are rounded.
    let set = |metric: Metric, value: u64| {
        metric.gauge(&[store.engine_name(), name]).set(value as f64);
    };
    set(READERS, stats.readers as u64);
    let (age, pinned_bytes) = stats
        .oldest_reader
        .map_or((0.0, 0), |it| (it.age.as_secs_f64(), it.pinned_bytes));
    OLDEST_READER.gauge(&[store.engine_name(), name]).set(age);
    set(PINNED_BYTES, pinned_bytes);
    set(DISK_BYTES, stats.disk_bytes);
    set(COMMIT_SEQ, stats.commit_seq.get());
    let known = [
        (DISK_FREE_BYTES, stats.disk_free_bytes),
        (MEMORY_BYTES, stats.memory_bytes),
        (REUSABLE_BYTES, stats.free_bytes),
        (LIMIT_BYTES, stats.limit_bytes),
    ];
    for (metric, value) in known {
        if let Some(value) = value {
            set(metric, value);
        }
    }
    Ok(())
}
