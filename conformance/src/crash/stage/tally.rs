//! What a campaign did, in one line for people and in one JSON object for the report.
//!
//! Invariants: a count that is not in the tally is not claimed; lines of several campaigns at once
//! do not mix, because each is appended in one write.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

/// The variable that names the folder for the JSON lines.
const PROOF_VARIABLE: &str = "CHAINSTORE_PROOF_OUT";

/// Counts of one campaign.
#[derive(Clone, Debug)]
pub struct Tally {
    /// The engine.
    pub engine: String,
    /// What was done to it.
    pub what: String,
    /// Counts by name.
    pub counts: BTreeMap<String, u64>,
    /// The places that were struck, each with how often.
    pub places: BTreeMap<String, u64>,
    began: Instant,
    took: Duration,
}

impl Tally {
    /// Nothing counted yet.
    #[must_use]
    pub fn new(engine: &str, what: &str) -> Self {
        Self {
            engine: engine.to_owned(),
            what: what.to_owned(),
            counts: BTreeMap::new(),
            places: BTreeMap::new(),
            began: Instant::now(),
            took: Duration::ZERO,
        }
    }

    /// Counts one more of this.
    pub fn add(&mut self, name: &str) {
        self.add_many(name, 1);
    }

    /// Counts so many more of this.
    pub fn add_many(&mut self, name: &str, many: u64) {
        *self.counts.entry(name.to_owned()).or_default() += many;
        self.took = self.began.elapsed();
    }

    /// Counts one more strike at this place.
    pub fn strike(&mut self, place: &str) {
        *self.places.entry(place.to_owned()).or_default() += 1;
    }

    /// How many of this were counted.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Prints the line, and appends the object to this file in the folder that the environment
    /// names, if it names one.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn publish(&self, file: &str) -> io::Result<()> {
        println!("{self}");
        let Some(folder) = std::env::var_os(PROOF_VARIABLE) else {
            return Ok(());
        };
        let line = json!({
            "engine": self.engine,
            "what": self.what,
            "counts": self.counts,
            "places": self.places,
            "took_ms": u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX),
        });
        std::fs::create_dir_all(&folder)?;
        let mut options = OpenOptions::new();
        let mut file = options
            .append(true)
            .create(true)
            .open(Path::new(&folder).join(file))?;
        file.write_all(format!("{line}\n").as_bytes())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}:", self.engine, self.what)?;
        for (name, count) in &self.counts {
            write!(f, " {name} {count};")?;
        }
        write!(f, " {} places", self.places.len())?;
        let mut by_call: BTreeMap<&str, u64> = BTreeMap::new();
        for (place, count) in &self.places {
            let call = place.split(' ').next().unwrap_or(place);
            *by_call.entry(call).or_default() += count;
        }
        for (at, (call, count)) in by_call.iter().enumerate() {
            let before = if at == 0 { " (" } else { ", " };
            write!(f, "{before}{call} {count}")?;
        }
        if !by_call.is_empty() {
            f.write_str(")")?;
        }
        write!(f, "; {:.1} s", self.took.as_secs_f64())
    }
}
