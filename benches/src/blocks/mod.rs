//! Blocks stored and read in turn by everything that stores them: groups of one, of a hundred and
//! of all, each durable; random reads; a scan.
//!
//! | file | what is in it |
//! |---|---|
//! | here | the work, and what a subject of it is |
//! | `files` | a plain framed file; the four syncs of static files |
//! | `stores` | segments and rows over every engine |
//! | `import` | a real chain file, decoded only and imported |
//!
//! Invariants: every subject stores the same bodies in the same groups and syncs as often as it is
//! told; before anything is timed it is older than its first segment; bytes that come back are
//! counted, and a wrong count is an error.

mod files;
pub mod import;
mod stores;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use blocks::SegmentBlocks;
use chain_store::{AnyStore, EngineName};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use storage_api::blocks::KvBlocks;

use crate::figures::{Lap, timed};

use files::{FourSyncs, Plain};
use stores::{Ahead, Over, Recycled, Segments};

const SEED: u64 = 0x626c_6f63_6b73;

/// Lengths of bodies, in bytes.
pub const SIZES: [usize; 3] = [1_000, 20_000, 1_000_000];

/// How many blocks of the smallest length weigh as much as one of each.
pub const SHARES: [usize; 3] = [1, 2, 40];

/// Bytes of a segment: of small bodies shorter ones than the default, so that every measurement has
/// some, and what they cost more often than a node does.
const fn segment_bytes_max(len: usize) -> u64 {
    match len {
        ..10_000 => 8 << 20,
        10_000..1_000_000 => 32 << 20,
        _ => 128 << 20,
    }
}

/// Bytes that are stored before anything is timed, in groups of so many: a node is older than its
/// first segment.
pub const WARM_BYTES: usize = 12 << 20;
const WARM_GROUP_BYTES: usize = 60_000;

/// Bodies that are drawn; blocks take them in turn.
pub const BODIES: usize = 64;

/// How many blocks are made durable at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// One.
    Each,
    /// A hundred.
    Hundred,
    /// All of them.
    All,
}

impl Group {
    const ALL: [Self; 3] = [Self::Each, Self::Hundred, Self::All];

    /// Blocks that are handed over at once: 64 MB where nothing is to be durable before the end.
    const fn blocks(self, len: usize) -> usize {
        match self {
            Self::Each => 1,
            Self::Hundred => 100,
            Self::All => 64_000_000 / len,
        }
    }
}

/// Something that stores blocks.
pub trait Subject {
    /// Whether it makes blocks durable when it is told.
    fn can_sync(&self) -> bool {
        true
    }
    /// Whether it keeps every block, to be read.
    fn can_read(&self) -> bool {
        true
    }
    /// Stores bodies at heights from the first one on.
    ///
    /// # Errors
    /// Of the store.
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()>;
    /// Makes everything durable that is not yet.
    fn sync(&mut self) -> Result<()>;
    /// Ends writing and begins reading.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }
    /// Reads one body; its length.
    fn read(&mut self, height: u64) -> Result<usize>;
    /// Reads everything in a row; bytes of bodies, or of the files.
    fn scan(&mut self) -> Result<u64>;
}

/// What follows the name of an engine where ranges are read ahead.
const AHEAD: &str = ", ahead";

/// The names of the subjects of this program, the plain file first.
pub fn names(engines: &[EngineName]) -> Vec<String> {
    let mut names: Vec<String> = ["plain file", "four syncs", "segmented log", "same, pruned"]
        .map(str::to_owned)
        .to_vec();
    for engine in engines {
        names.push(format!("segments beside {engine}"));
        if *engine == EngineName::Mem {
            // Threads read the log only, so one engine says what they are worth.
            names.push(format!("segments beside {engine}{AHEAD}"));
        }
        names.push(format!("rows of {engine}"));
    }
    names
}

/// Makes a subject of this program, for bodies of this length.
///
/// # Errors
/// A name that is none; what making it says.
pub fn make(name: &str, len: usize, dir: &Path) -> Result<Box<dyn Subject>> {
    let segment_bytes_max = segment_bytes_max(len);
    Ok(match name {
        "plain file" => Box::new(Plain::new(dir)?),
        "four syncs" => Box::new(FourSyncs::new(dir)?),
        "segmented log" => Box::new(Segments::new(dir, segment_bytes_max)?),
        "same, pruned" => Box::new(Recycled::new(dir, segment_bytes_max, len)?),
        name => {
            if let Some(engine) = name.strip_prefix("segments beside ") {
                let (engine, is_ahead) = match engine.strip_suffix(AHEAD) {
                    Some(engine) => (engine, true),
                    None => (engine, false),
                };
                let engine = engine.parse()?;
                let over = Over::<SegmentBlocks<AnyStore>>::new(engine, dir, segment_bytes_max)?;
                if is_ahead {
                    Box::new(Ahead(over))
                } else {
                    Box::new(over)
                }
            } else if let Some(engine) = name.strip_prefix("rows of ") {
                Box::new(Over::<KvBlocks>::new(engine.parse()?, dir)?)
            } else {
                bail!("no subject is called {name:?}")
            }
        }
    })
}

/// What is measured, a column each: the three ways of syncing, random reads, a scan.
pub const COLUMNS: [&str; 5] = [
    "sync each",
    "sync per 100",
    "one sync",
    "random read",
    "scan",
];

/// Seconds a block, a list of rounds for each column.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Samples(pub [Vec<f64>; 5]);

/// Makes a subject in an empty folder.
pub type Make<'m> = dyn Fn(&Path) -> Result<Box<dyn Subject>> + 'm;

/// What is stored and read.
#[derive(Clone, Debug)]
pub struct Work {
    bodies: Vec<Vec<u8>>,
    /// Blocks that are stored before those that count.
    warm: usize,
    blocks: usize,
    /// Where folders are made.
    dir: PathBuf,
}

impl Work {
    /// So many blocks of bodies of this length, behind so many bytes of others.
    #[must_use]
    pub fn new(len: usize, warm_bytes: usize, blocks: usize, dir: &Path) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(SEED + len as u64);
        let body = |_| {
            let mut body = vec![0; len];
            dice.fill(&mut body[..]);
            body
        };
        Self {
            bodies: (0..BODIES).map(body).collect(),
            warm: warm_bytes / len,
            blocks,
            dir: dir.to_owned(),
        }
    }

    fn body(&self, height: u64) -> &[u8] {
        &self.bodies[(height % BODIES as u64) as usize]
    }

    /// Stores all blocks; gives the subject and the time.
    fn store(
        &self,
        mut subject: Box<dyn Subject>,
        group: Group,
    ) -> Result<(Box<dyn Subject>, Lap)> {
        let all: Vec<&[u8]> = (0..(self.warm + self.blocks) as u64)
            .map(|height| self.body(height))
            .collect();
        let (warm, counted) = all.split_at(self.warm);
        let len = all[0].len();
        let mut first = 0;
        let mut append = |subject: &mut dyn Subject, bodies: &[&[u8]]| {
            subject.append(first, bodies)?;
            first += bodies.len() as u64;
            if group != Group::All {
                subject.sync()?;
            }
            anyhow::Ok(())
        };
        // One by one they would take long; in groups like these a log writes in advance as well.
        let warm_group = match group {
            Group::Each => (WARM_GROUP_BYTES / len).max(1),
            other => other.blocks(len),
        };
        for bodies in warm.chunks(warm_group) {
            append(&mut *subject, bodies)?;
        }
        let ((), lap) = timed(|| {
            for bodies in counted.chunks(group.blocks(len)) {
                append(&mut *subject, bodies)?;
            }
            subject.sync()
        })?;
        Ok((subject, lap))
    }

    /// Takes one subject after the other through all of it, and adds the figures.
    ///
    /// # Errors
    /// Of the subject; bytes that did not come back.
    pub fn measure(&self, make: &Make<'_>, samples: &mut Samples) -> Result<()> {
        let samples = &mut samples.0;
        for (column, group) in Group::ALL.into_iter().enumerate() {
            let dir = tempfile::Builder::new()
                .prefix("blocks-")
                .tempdir_in(&self.dir)?;
            let subject = make(dir.path())?;
            if group != Group::All && !subject.can_sync() {
                continue;
            }
            let (mut subject, lap) = self.store(subject, group)?;
            samples[column].push(lap.per(self.blocks).0);
            if group != Group::All || !subject.can_read() {
                continue;
            }
            subject.settle()?;
            let mut dice = ChaCha8Rng::seed_from_u64(SEED);
            let all = self.warm + self.blocks;
            let heights: Vec<u64> = (0..self.blocks)
                .map(|_| dice.random_range(0..all as u64))
                .collect();
            let (bytes, lap) = timed(|| {
                let mut bytes = 0;
                for height in &heights {
                    bytes += subject.read(*height)?;
                }
                Ok(bytes)
            })?;
            ensure!(
                bytes == self.blocks * self.bodies[0].len(),
                "bytes are lost"
            );
            samples[3].push(lap.per(self.blocks).0);
            let (bytes, lap) = timed(|| subject.scan())?;
            let expected = (all * self.bodies[0].len()) as u64;
            ensure!(
                bytes == expected,
                "a scan gives {bytes} bytes of {expected}"
            );
            samples[4].push(lap.per(all).0);
        }
        Ok(())
    }

    /// Has another program do one round with a subject of its own, and adds the figures.
    ///
    /// # Errors
    /// The program's last words.
    pub fn measure_in(&self, program: &Path, name: &str, samples: &mut Samples) -> Result<()> {
        let order = Order {
            name: name.to_owned(),
            len: self.bodies[0].len(),
            warm_bytes: self.warm * self.bodies[0].len(),
            blocks: self.blocks,
            dir: self.dir.clone(),
        };
        let order = serde_json::to_string(&order)?;
        let ended = Command::new(program).arg(order).output()?;
        ensure!(
            ended.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&ended.stderr)
        );
        let found: Samples = serde_json::from_slice(&ended.stdout)?;
        for (of, more) in samples.0.iter_mut().zip(found.0) {
            of.extend(more);
        }
        Ok(())
    }
}

/// What another program is asked for.
#[derive(Debug, Deserialize, Serialize)]
struct Order {
    name: String,
    len: usize,
    warm_bytes: usize,
    blocks: usize,
    dir: PathBuf,
}

/// Does what the order in the first argument asks for, with one of these subjects, and prints the
/// figures: the main function of a program of peers.
///
/// # Errors
/// An order that cannot be read, a subject that is not there, and what it says.
pub fn serve(subjects: &[(&str, &Make<'_>)]) -> Result<()> {
    let order = std::env::args().nth(1).context("no order")?;
    let order: Order = serde_json::from_str(&order)?;
    let found = subjects.iter().find(|(name, _)| *name == order.name);
    let (_, make) = found.with_context(|| format!("no subject is called {:?}", order.name))?;
    let work = Work::new(order.len, order.warm_bytes, order.blocks, &order.dir);
    let mut samples = Samples::default();
    work.measure(make, &mut samples)?;
    println!("{}", serde_json::to_string(&samples)?);
    Ok(())
}
