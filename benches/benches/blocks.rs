//! `cargo bench -p benches --bench blocks --features rocks`: storing and reading the same blocks in
//! segments, as rows of every engine, in a plain framed file, and with the four syncs of static
//! files.
//!
//! Arguments after `--`: `--engines mem,redb`, `--blocks N` (20,000 of the smallest, fewer of the
//! others), `--rounds N` (5), `--dir DIR` for the stores, `--note TEXT`, `--out FILE`.
//!
//! Invariants: every subject stores the same bodies in the same groups and syncs as often as it is
//! told; the plain file checks nothing, which is what checksums are compared with; rounds turn the
//! order. Without `--bench` nothing is timed: a tiny run reads back what every subject stored.

use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use benches::figures::{Lap, Summary, Table, Unit, cost, factor, ratio, timed, wrap};
use benches::machine;
use blocks::{SegmentBlocks, SegmentOptions};
use chain_store::{AnyReadTxn, AnyStore, EngineName, Opener, StoreUrl};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::Folder;
use seglog::{Log, LogOptions, Place};
use storage_api::blocks::{BlockHash, BlockQuery, BlockStore, Height, KvBlocks, NewBlock};
use storage_api::{ChecksumSetting, Durability, KvStore, WriteTxn};

const SEED: u64 = 0x626c_6f63_6b73;

/// Lengths of bodies, in bytes.
const SIZES: [usize; 3] = [1_000, 20_000, 1_000_000];

/// How many blocks of the smallest length weigh as much as one of each.
const SHARES: [usize; 3] = [1, 4, 40];

/// Bytes of a segment: short ones, so that some are begun and ended in every measurement.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;

/// Bytes that are stored before anything is timed, in groups of so many: a node is older than its
/// first segment.
const WARM_BYTES: usize = 24 << 20;
const WARM_GROUP_BYTES: usize = 60_000;

/// Bodies that are drawn; blocks take them in turn.
const BODIES: usize = 64;

/// How many blocks are made durable at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Each,
    Hundred,
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
trait Subject {
    /// Stores bodies at heights from the first one on.
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

/// One file of lengths and bodies, the offsets in memory.
struct Plain {
    file: File,
    end: u64,
    places: Vec<(u64, usize)>,
    buffer: Vec<u8>,
}

impl Plain {
    fn new(dir: &Path) -> Result<Self> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).append(true).create_new(true);
        Ok(Self {
            file: options.open(dir.join("blocks"))?,
            end: 0,
            places: Vec::new(),
            buffer: Vec::new(),
        })
    }
}

impl Subject for Plain {
    fn append(&mut self, _first: u64, bodies: &[&[u8]]) -> Result<()> {
        for body in bodies {
            self.buffer.clear();
            self.buffer
                .extend_from_slice(&u32::try_from(body.len())?.to_le_bytes());
            self.buffer.extend_from_slice(body);
            self.file.write_all(&self.buffer)?;
            self.places.push((self.end + 4, body.len()));
            self.end += self.buffer.len() as u64;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(self.file.sync_data()?)
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let (at, len) = self.places[usize::try_from(height)?];
        self.buffer.resize(len, 0);
        self.file.read_exact_at(&mut self.buffer, at)?;
        Ok(len)
    }

    fn scan(&mut self) -> Result<u64> {
        self.buffer.resize(1 << 20, 0);
        let mut at = 0;
        loop {
            match self.file.read_at(&mut self.buffer, at)? {
                0 => return Ok(at - 4 * self.places.len() as u64),
                read => at += read as u64,
            }
        }
    }
}

/// Data, offsets and a description that is replaced, each synced, and the folder.
struct FourSyncs {
    data: Plain,
    offsets: File,
    dir: PathBuf,
}

impl FourSyncs {
    fn new(dir: &Path) -> Result<Self> {
        Ok(Self {
            data: Plain::new(dir)?,
            offsets: File::create_new(dir.join("offsets"))?,
            dir: dir.to_owned(),
        })
    }
}

impl Subject for FourSyncs {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        for body in bodies {
            self.offsets.write_all(&self.data.end.to_le_bytes())?;
            self.data.append(first, &[body])?;
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.data.sync()?;
        self.offsets.sync_data()?;
        let temporary = self.dir.join("description.tmp");
        let mut description = File::create(&temporary)?;
        description.write_all(&self.data.end.to_le_bytes())?;
        description.sync_data()?;
        fs::rename(&temporary, self.dir.join("description"))?;
        Ok(File::open(&self.dir)?.sync_all()?)
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        self.data.read(height)
    }

    fn scan(&mut self) -> Result<u64> {
        self.data.scan()
    }
}

/// The segmented log alone, the places in memory.
struct Segments {
    log: Log,
    places: Vec<Place>,
    buffer: Vec<u8>,
}

impl Segments {
    fn new(dir: &Path) -> Result<Self> {
        let options = LogOptions {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            ..LogOptions::default()
        };
        let (log, _) = Log::open(Arc::new(Folder::new(dir)), options)?;
        Ok(Self {
            log,
            places: Vec::new(),
            buffer: Vec::new(),
        })
    }
}

impl Subject for Segments {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        for (height, body) in (first..).zip(bodies) {
            let place = self.log.append(seglog::Height::new(height), body)?;
            self.places.push(place);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let before = self.log.syncs();
        self.log.sync()?;
        ensure!(self.log.syncs() <= before + 1, "one sync a group");
        Ok(())
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let place = &self.places[usize::try_from(height)?];
        let reader = self.log.reader();
        Ok(reader
            .read(seglog::Height::new(height), place, &mut self.buffer)?
            .len())
    }

    fn scan(&mut self) -> Result<u64> {
        let reader = self.log.reader();
        let (first, _) = reader.segments()[0];
        let mut scan = reader.scan_segment(first, self.log.next())?;
        let mut bytes = 0;
        while let Some((_, _, payload)) = scan.read_next()? {
            bytes += payload.len() as u64;
        }
        Ok(bytes)
    }
}

/// A block store over an engine.
struct Over<B> {
    store: Arc<AnyStore>,
    blocks: B,
    view: Option<AnyReadTxn>,
}

fn open(engine: EngineName, dir: &Path, schema: storage_api::Schema) -> Result<Arc<AnyStore>> {
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, dir.join("store")),
    };
    let mut opener = Opener {
        schema,
        ..Opener::default()
    };
    if engine != EngineName::Mem {
        opener.options.memory_budget_bytes = Some(512 << 20);
    }
    Ok(Arc::new(opener.open(&url)?.0))
}

impl Over<SegmentBlocks<AnyStore>> {
    fn new(engine: EngineName, dir: &Path) -> Result<Self> {
        let schema = SegmentBlocks::<AnyStore>::schema(ChecksumSetting::None)?;
        let store = open(engine, dir, schema)?;
        let segments = dir.join("segments");
        fs::create_dir_all(&segments)?;
        let disk = Arc::new(Folder::new(&segments));
        let options = SegmentOptions {
            segment_bytes_max: SEGMENT_BYTES_MAX,
            ..SegmentOptions::default()
        };
        let (blocks, _) = SegmentBlocks::open(Arc::clone(&store), disk, &options)?;
        Ok(Self {
            store,
            blocks,
            view: None,
        })
    }
}

impl Over<KvBlocks> {
    fn new(engine: EngineName, dir: &Path) -> Result<Self> {
        let store = open(engine, dir, KvBlocks::schema(ChecksumSetting::None)?)?;
        let blocks = KvBlocks::resolve(store.catalogue())?;
        Ok(Self {
            store,
            blocks,
            view: None,
        })
    }
}

fn hash(height: u64) -> Result<BlockHash> {
    Ok(BlockHash::new(&height.to_be_bytes())?)
}

impl<B: BlockStore> Subject for Over<B> {
    fn append(&mut self, first: u64, bodies: &[&[u8]]) -> Result<()> {
        let mut staged = Vec::with_capacity(bodies.len());
        for (height, body) in (first..).zip(bodies) {
            staged.push(self.blocks.stage(NewBlock {
                height: Height::new(height),
                hash: hash(height)?,
                parent: hash(height.wrapping_sub(1))?,
                tx_ids: &[],
                body,
            })?);
        }
        let mut txn = self.store.begin_write()?;
        for staged in staged {
            self.blocks.append(&mut txn, staged)?;
        }
        txn.commit(Durability::Durable)?;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.view = Some(self.store.begin_read()?);
        Ok(())
    }

    fn read(&mut self, height: u64) -> Result<usize> {
        let view = self.view.as_ref().context("no view")?;
        let mut len = None;
        let found = self
            .blocks
            .with_body(view, Height::new(height), &mut |body| {
                len = Some(body.len());
            })?;
        ensure!(found, "block {height} is not there");
        len.context("no body")
    }

    fn scan(&mut self) -> Result<u64> {
        let view = self.view.as_ref().context("no view")?;
        let mut bytes = 0;
        let all = BlockQuery::from(Height::new(0));
        self.blocks.range(view, all, &mut |_, body| {
            bytes += body.len() as u64;
            ControlFlow::Continue(())
        })?;
        Ok(bytes)
    }
}

/// The names of the subjects, the plain file first.
fn names(engines: &[EngineName]) -> Vec<String> {
    let mut names: Vec<String> = ["plain file", "four syncs", "segmented log"]
        .map(str::to_owned)
        .to_vec();
    for engine in engines {
        names.push(format!("segments beside {engine}"));
        names.push(format!("rows of {engine}"));
    }
    names
}

fn make(name: &str, dir: &Path) -> Result<Box<dyn Subject>> {
    Ok(match name {
        "plain file" => Box::new(Plain::new(dir)?),
        "four syncs" => Box::new(FourSyncs::new(dir)?),
        "segmented log" => Box::new(Segments::new(dir)?),
        name => {
            if let Some(engine) = name.strip_prefix("segments beside ") {
                Box::new(Over::<SegmentBlocks<AnyStore>>::new(engine.parse()?, dir)?)
            } else if let Some(engine) = name.strip_prefix("rows of ") {
                Box::new(Over::<KvBlocks>::new(engine.parse()?, dir)?)
            } else {
                bail!("no subject is called {name:?}")
            }
        }
    })
}

/// What is measured, a column each: the three ways of syncing, random reads, a scan.
const COLUMNS: [&str; 5] = [
    "sync each",
    "sync per 100",
    "one sync",
    "random read",
    "scan",
];

/// Seconds a block, a list of rounds for each column.
type Samples = [Vec<f64>; 5];

struct Work<'w> {
    bodies: &'w [Vec<u8>],
    /// Blocks that are stored before those that count.
    warm: usize,
    blocks: usize,
    dir: &'w Path,
}

impl Work<'_> {
    fn body(&self, height: u64) -> &[u8] {
        &self.bodies[(height % BODIES as u64) as usize]
    }

    /// Stores all blocks; gives the subject and the time.
    fn store(&self, name: &str, dir: &Path, group: Group) -> Result<(Box<dyn Subject>, Lap)> {
        let mut subject = make(name, dir)?;
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

    fn measure(&self, name: &str, samples: &mut Samples) -> Result<()> {
        for (column, group) in Group::ALL.into_iter().enumerate() {
            let dir = tempfile::Builder::new()
                .prefix("blocks-")
                .tempdir_in(self.dir)?;
            let (mut subject, lap) = self.store(name, dir.path(), group)?;
            samples[column].push(lap.per(self.blocks).0);
            if group != Group::All {
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
                "{name} lost bytes"
            );
            samples[3].push(lap.per(self.blocks).0);
            let (bytes, lap) = timed(|| subject.scan())?;
            let expected = (all * self.bodies[0].len()) as u64;
            ensure!(
                bytes == expected,
                "{name} scans {bytes} bytes of {expected}"
            );
            samples[4].push(lap.per(all).0);
        }
        Ok(())
    }
}

fn bodies(len: usize) -> Vec<Vec<u8>> {
    let mut dice = ChaCha8Rng::seed_from_u64(SEED + len as u64);
    let body = |_| {
        let mut body = vec![0; len];
        dice.fill(&mut body[..]);
        body
    };
    (0..BODIES).map(body).collect()
}

struct Arguments {
    engines: Vec<EngineName>,
    blocks: usize,
    rounds: usize,
    dir: PathBuf,
    note: String,
    out: Option<PathBuf>,
}

impl Arguments {
    fn parse(words: &[String]) -> Result<Self> {
        let mut arguments = Self {
            engines: EngineName::compiled().collect(),
            blocks: 20_000,
            rounds: 5,
            dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            note: String::new(),
            out: None,
        };
        let mut words = words.iter().filter(|word| *word != "--bench");
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} lacks its value"))
            };
            match word.as_str() {
                "--engines" => {
                    let names = value()?.split(',').map(str::parse);
                    arguments.engines = names.collect::<Result<_, _>>()?;
                }
                "--blocks" => arguments.blocks = value()?.parse().context("--blocks")?,
                "--rounds" => arguments.rounds = value()?.parse().context("--rounds")?,
                "--dir" => arguments.dir = value()?.into(),
                "--note" => value()?.clone_into(&mut arguments.note),
                "--out" => arguments.out = Some(value()?.into()),
                other => bail!("unknown argument {other:?}; see the head of blocks.rs"),
            }
        }
        Ok(arguments)
    }
}

fn table(names: &[String], samples: &[Samples], len: usize, blocks: usize) -> Table {
    let head = format!("{len} bytes, {blocks} blocks");
    let mut table = Table::new([head.as_str()].into_iter().chain(COLUMNS));
    for (name, of) in names.iter().zip(samples) {
        let cells = of.iter().enumerate().map(|(column, laps)| {
            let median = Summary::of(laps).map_or(f64::NAN, |summary| summary.median);
            // Times of the plain file over those of the subject: above one it is faster.
            let times = ratio(&samples[0][column], laps);
            let times = times.map_or("-".to_owned(), |times| factor(times.median));
            format!("{} ({times})", cost(median, Unit::Rate))
        });
        table.row([name.clone()].into_iter().chain(cells));
    }
    table
}

fn run(arguments: &Arguments) -> Result<String> {
    let names = names(&arguments.engines);
    let mut tables = String::new();
    for (len, share) in SIZES.into_iter().zip(SHARES) {
        let work = Work {
            bodies: &bodies(len),
            warm: WARM_BYTES / len,
            blocks: (arguments.blocks / share).max(BODIES),
            dir: &arguments.dir,
        };
        let mut samples: Vec<Samples> = names.iter().map(|_| Samples::default()).collect();
        for round in 0..arguments.rounds {
            for turn in 0..names.len() {
                let at = (turn + round) % names.len();
                eprintln!(
                    "{len} bytes, round {} of {}: {}",
                    round + 1,
                    arguments.rounds,
                    names[at]
                );
                let measured = work.measure(&names[at], &mut samples[at]);
                measured.with_context(|| names[at].clone())?;
            }
        }
        tables += &format!("{}\n", table(&names, &samples, len, work.blocks));
    }
    let note = format!(
        "Blocks a second, medians of {} rounds; in brackets how many times as fast as the \
         plain file in the same round. Bodies are random bytes, blocks have no transactions. \
         Segments and rows compare a checksum of each body that they give where the engine \
         does; the plain file compares nothing, keeps its offsets in memory and has no index. \
         Segments and rows are read in one view. `mem` forgets on exit. Machine: {}; stores \
         on {}; load average {} at the end. Versions: {}.",
        arguments.rounds,
        machine::hardware(),
        machine::file_system(&arguments.dir),
        machine::load(),
        machine::versions()
    );
    let extra = if arguments.note.is_empty() {
        String::new()
    } else {
        format!("{}\n\n", wrap(&arguments.note, "", ""))
    };
    Ok(format!(
        "# Blocks\n\nMade {} by\n\n```sh\ncargo bench -p benches --bench blocks --features \
         rocks\n```\n\n{extra}{tables}{}\n",
        machine::today(),
        wrap(&note, "", "")
    ))
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|found| found == word);
    if !has("--bench") {
        // Test runners ask every target for its tests; this one has none by name.
        if has("--list") {
            return Ok(());
        }
        let dir = tempfile::tempdir()?;
        let work = Work {
            bodies: &bodies(700),
            warm: 50,
            blocks: 300,
            dir: dir.path(),
        };
        let engines: Vec<EngineName> = EngineName::compiled().collect();
        return names(&engines)
            .iter()
            .try_for_each(|name| work.measure(name, &mut Samples::default()));
    }
    let arguments = Arguments::parse(&words)?;
    fs::create_dir_all(&arguments.dir)?;
    let text = run(&arguments)?;
    print!("{text}");
    if let Some(out) = &arguments.out {
        fs::write(out, text).with_context(|| format!("writing {}", out.display()))?;
    }
    Ok(())
}
