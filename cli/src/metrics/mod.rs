//! The metrics of this process: kept while a command runs, printed at its end, or served to a
//! scraper.
//!
//! Invariants: without `--metrics` and `--metrics-addr` no recorder is installed and nothing
//! listens; the recorder is installed and the address bound before any store is opened or touched;
//! a scrape never outlives the store that it reads ([`Watching`]), so a store can be closed and
//! opened again at once. What the names mean: `docs/metrics.md`.

mod address;
mod server;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use anyhow::{Context, Result};
use chain_store::{AnyStore, metrics};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use storage_api::KvStore;

pub(crate) use address::Address;
pub(crate) use server::Server;

/// Bounds of the buckets of every histogram of durations, in seconds: what stores do takes between
/// a microsecond and minutes.
const BUCKETS: [f64; 17] = [
    1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0,
    100.0,
];

/// The one recorder of the process, once it is wanted.
static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// The stores whose gauges are read at a scrape.
static WATCHED: Mutex<Vec<Watched>> = Mutex::new(Vec::new());

struct Watched {
    name: String,
    store: Arc<AnyStore>,
}

/// The recorder of this process, installed if it is not yet. Stores opened from now on are counted.
pub(crate) fn recorder() -> Result<&'static PrometheusHandle> {
    if let Some(handle) = RECORDER.get() {
        return Ok(handle);
    }
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(seconds, &BUCKETS)
        .context("the buckets of the metrics are wrong")?;
    let handle = builder
        .install_recorder()
        .context("the metrics of this process cannot be kept")?;
    Ok(RECORDER.get_or_init(|| handle))
}

/// Begins to serve the metrics of this process.
pub(crate) fn serve(address: Address) -> Result<Server> {
    let listener = address.bind()?;
    let recorder = recorder()?;
    Server::start(listener, recorder)
}

fn watched() -> MutexGuard<'static, Vec<Watched>> {
    // A list is whole between any two statements that change it.
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, the gauges of a store are read at every scrape. It has to drop before the last
/// other handle of the store, so that the store is closed where its owner closes it.
#[derive(Debug)]
pub(crate) struct Watching(Arc<AnyStore>);

/// Has the gauges of a store read at every scrape, under this name.
pub(crate) fn watch(name: &str, store: &Arc<AnyStore>) -> Watching {
    watched().push(Watched {
        name: name.to_owned(),
        store: Arc::clone(store),
    });
    Watching(Arc::clone(store))
}

impl Drop for Watching {
    fn drop(&mut self) {
        // Waits for a scrape that is reading.
        watched().retain(|it| !Arc::ptr_eq(&it.store, &self.0));
    }
}

/// All metrics as Prometheus text, with the gauges of the watched stores as they are now.
pub(crate) fn text(recorder: &PrometheusHandle) -> String {
    for Watched { name, store } in watched().iter() {
        publish(store.as_ref(), name);
    }
    sorted(&recorder.render())
}

/// Reads the gauges of a store. A store that cannot tell them keeps the last ones.
fn publish(store: &AnyStore, name: &str) {
    if let Err(error) = metrics::publish(store, name) {
        tracing::warn!(engine = store.engine_name(), %error, "the gauges cannot be read");
    }
}

/// The same text with its metrics in the order of their names, and the samples of each in that of
/// their labels; only the buckets of a histogram stay as they are.
fn sorted(text: &str) -> String {
    let mut families: Vec<String> = text
        .split("\n\n")
        .map(str::trim)
        .filter(|family| !family.is_empty())
        .map(|family| {
            let mut lines: Vec<&str> = family.lines().collect();
            if !lines.iter().any(|line| line.ends_with(" histogram")) {
                lines.sort_unstable_by_key(|line| (!line.starts_with('#'), *line));
            }
            lines.join("\n")
        })
        .collect();
    families.sort_unstable();
    let mut text = families.join("\n\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_stand_in_the_order_of_their_names() {
        let text = "# HELP b x\n# TYPE b histogram\nb{le=\"3\"} 1\nb{le=\"10\"} 1\n\n\
                    # HELP a x\n# TYPE a counter\na{c=\"e\"} 1\na{c=\"d\"} 2\n\n";
        let expected = "# HELP a x\n# TYPE a counter\na{c=\"d\"} 2\na{c=\"e\"} 1\n\n\
                        # HELP b x\n# TYPE b histogram\nb{le=\"3\"} 1\nb{le=\"10\"} 1\n";
        assert_eq!(sorted(text), expected);
    }
}
