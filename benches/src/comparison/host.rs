//! The host: runs every store's life in processes of their own, round by round, and gathers the
//! figures.
//!
//! Invariants: the order of stores is shuffled in each round by a seeded generator; one process
//! runs at a time; a process that fails is noted with its last words and the run goes on, so that
//! one store's failure hides no other's figures; directories are removed after each life. A process
//! that takes longer than the deadline is ended by its id and noted as a failure.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::contestant::About;
use super::protocol::{Order, Outcome};
use super::script::Amounts;
use super::work::{Work, Workload};
use crate::figures::{Summary, percentile};

/// The seed of the first round; each further round takes the next one.
pub const SEED: u64 = 0x0063_6861_696e;

/// Memory for caches and buffers that every store is given, in bytes.
pub const MEMORY_BUDGET_BYTES: u64 = 512 << 20;

/// The longest life of one store.
const DEADLINE: Duration = Duration::from_secs(1_800);

/// A store and the program that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entrant {
    /// Its name.
    pub name: String,
    /// The store that it is measured against as its raw form, if there is one.
    pub raw: Option<String>,
    /// The program.
    pub program: PathBuf,
    /// Arguments of the program.
    pub arguments: Vec<String>,
}

/// What was measured of one store.
#[derive(Clone, Debug)]
pub struct Record {
    /// The store.
    pub entrant: Entrant,
    /// The store in words.
    pub about: About,
    /// Whether its rows outlive the process, so that it is ranked.
    pub is_persistent: bool,
    /// Rounds that failed, in words.
    pub failures: Vec<String>,
    wall: BTreeMap<Work, Vec<f64>>,
    cpu: BTreeMap<Work, Vec<f64>>,
    durable_commit_seconds: Vec<f64>,
}

impl Record {
    pub(super) fn new(entrant: Entrant) -> Self {
        Self {
            entrant,
            about: About::default(),
            is_persistent: false,
            failures: Vec::new(),
            wall: BTreeMap::new(),
            cpu: BTreeMap::new(),
            durable_commit_seconds: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome) {
        self.about = outcome.about;
        self.is_persistent = outcome.is_persistent;
        for sample in outcome.samples {
            self.wall.entry(sample.work).or_default().push(sample.wall);
            if sample.cpu > 0.0 {
                self.cpu.entry(sample.work).or_default().push(sample.cpu);
            }
        }
        self.durable_commit_seconds
            .extend(outcome.durable_commit_seconds);
    }

    /// The percentile is of the commits of all rounds together.
    pub(super) fn close(&mut self) {
        if let Some(slow) = percentile(&self.durable_commit_seconds, 99) {
            self.wall.insert(Work::CommitDurableSlow, vec![slow]);
        }
    }

    /// The samples of a work, in the order of the rounds.
    #[must_use]
    pub fn samples(&self, work: Work) -> &[f64] {
        self.wall.get(&work).map_or(&[], Vec::as_slice)
    }

    /// The figure of a work.
    #[must_use]
    pub fn figure(&self, work: Work) -> Option<Summary> {
        Summary::of(self.samples(work))
    }

    /// Samples of processor seconds of one operation.
    #[must_use]
    pub fn processor(&self, work: Work) -> &[f64] {
        self.cpu.get(&work).map_or(&[], Vec::as_slice)
    }
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Contest {
    /// The stores.
    pub entrants: Vec<Entrant>,
    /// The workloads.
    pub workloads: Vec<Workload>,
    /// How much.
    pub amounts: Amounts,
    /// How many rounds.
    pub rounds: usize,
    /// Where the stores are made.
    pub dir: PathBuf,
}

impl Contest {
    /// Runs all rounds, asking `go_on` before each life and telling it what comes next.
    ///
    /// # Errors
    /// A process that cannot be started, a directory that cannot be made; `go_on` said no.
    pub fn run(&self, go_on: &mut dyn FnMut(&str) -> Result<()>) -> Result<Vec<Record>> {
        let mut records: Vec<Record> = self.entrants.iter().cloned().map(Record::new).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(SEED);
        let mut order: Vec<usize> = (0..records.len()).collect();
        for round in 0..self.rounds {
            shuffle(&mut order, &mut rng);
            for at in &order {
                let record = &mut records[*at];
                go_on(&format!(
                    "round {} of {}: {}",
                    round + 1,
                    self.rounds,
                    record.entrant.name
                ))?;
                match self.life(&record.entrant, SEED + round as u64)? {
                    Ok(outcome) => record.add(outcome),
                    Err(words) => record
                        .failures
                        .push(format!("round {}: {words}", round + 1)),
                }
            }
        }
        records.iter_mut().for_each(Record::close);
        Ok(records)
    }

    /// One life in a process; the inner error is the store's.
    fn life(&self, entrant: &Entrant, seed: u64) -> Result<Result<Outcome, String>> {
        let dir = tempfile::Builder::new()
            .prefix("contest-")
            .tempdir_in(&self.dir)
            .with_context(|| format!("making a directory in {}", self.dir.display()))?;
        let order = Order {
            store: entrant.name.clone(),
            dir: dir.path().to_owned(),
            seed,
            amounts: self.amounts,
            workloads: self.workloads.iter().map(ToString::to_string).collect(),
            memory_budget_bytes: MEMORY_BUDGET_BYTES,
        };
        let mut child = Command::new(&entrant.program)
            .args(&entrant.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", entrant.program.display()))?;
        tell(&mut child, &order)?;
        wait(child)
    }
}

/// Shuffles with a generator whose numbers are the same everywhere.
fn shuffle(order: &mut [usize], rng: &mut impl Rng) {
    order.shuffle(rng);
}

fn tell(child: &mut Child, order: &Order) -> Result<()> {
    let order = serde_json::to_string(order).context("writing the order")?;
    let mut input = child.stdin.take().context("the process has no input")?;
    match input.write_all(order.as_bytes()) {
        // A process that ended before it read its order says why at its end.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        told => told.context("sending the order"),
    }
}

fn wait(mut child: Child) -> Result<Result<Outcome, String>> {
    let (Some(mut out), Some(mut err)) = (child.stdout.take(), child.stderr.take()) else {
        bail!("the process has no output");
    };
    let answer = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let words = thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text)
            .map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let begun = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("waiting for the process")? {
            break status;
        }
        if begun.elapsed() > DEADLINE {
            child.kill().context("ending the process")?;
            child.wait().context("waiting for the process")?;
            return Ok(Err(format!("not done after {} s", DEADLINE.as_secs())));
        }
        thread::sleep(Duration::from_millis(20));
    };
    let answer = answer.join().ok().and_then(Result::ok).unwrap_or_default();
    let words = words.join().ok().and_then(Result::ok).unwrap_or_default();
    if !status.success() {
        let last = words.lines().last().unwrap_or("no word").to_owned();
        return Ok(Err(format!("{status}: {last}")));
    }
    Ok(serde_json::from_str(&answer).map_err(|error| format!("its answer is no outcome: {error}")))
}
