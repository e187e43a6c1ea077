//! One import: which store, which bodies, which chain; and the part of the child that does it.
//!
//! Invariants: parent and child open a store in the same way, from the same words; the state of a
//! store is the number of its blocks; a block is told only after its commit returned, and one that
//! was there before is not told.

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain_store::{
    AnyStore, BitcoinImport, Blocks, Bodies, EngineName, FileImport, ImportError, ImportReport,
    Opener, SegmentOptions, StoreUrl,
};
use conformance::crash::{Message, Role, Sabotage, Voice, Wait};
use conformance::scaled;
use storage_api::blocks::{BlockIndex, BlockStore, Height};
use storage_api::{ChecksumSetting, Durability, KvStore, Reader, WriteBatch, Writer};

use super::chains::Chain;

pub(super) type Failed = Box<dyn Error + Send + Sync>;

/// The variable that names the file to a child.
pub(super) const FILE: &str = "CHAINSTORE_TEST_IMPORT_FILE";

/// Memory of a store for caches and buffers: so little that it is opened fast, and that a long
/// import flushes and compacts.
const MEMORY_BUDGET_BYTES: u64 = 1 << 20;

/// How long an import is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// Few blocks in tiny segments: every system call is struck.
    Short,
    /// Thousands of blocks in small segments, hundreds in plain runs.
    Long,
}

impl Length {
    pub(super) fn blocks(self) -> u32 {
        match self {
            Self::Short => 6,
            Self::Long => scaled(3_000) as u32,
        }
    }

    pub(super) const fn body_bytes(self) -> std::ops::Range<usize> {
        match self {
            Self::Short => 20..400,
            Self::Long => 100..5_000,
        }
    }

    /// Segments of a few blocks each, and of some hundred.
    fn segments(self) -> SegmentOptions {
        let (segment_bytes_max, advance_bytes) = match self {
            Self::Short => (800, 512),
            Self::Long => (256 << 10, 16 << 10),
        };
        SegmentOptions {
            segment_bytes_max,
            advance_bytes,
            ..SegmentOptions::default()
        }
    }
}

/// How many blocks are one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Commits {
    /// One, durable.
    Each,
    /// As many as an import takes that is buffered.
    Groups,
}

/// What is imported into what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    pub(super) engine: EngineName,
    pub(super) bodies: Bodies,
    pub(super) chain: Chain,
    pub(super) length: Length,
    pub(super) commits: Commits,
}

/// A store that is open for an import.
pub(super) struct Opened {
    pub(super) store: Arc<AnyStore>,
    pub(super) import: Import,
}

pub(super) enum Import {
    Files(FileImport),
    Bitcoin(BitcoinImport),
}

impl Import {
    pub(super) fn blocks(&self) -> &Blocks {
        match self {
            Self::Files(import) => import.blocks(),
            Self::Bitcoin(import) => import.blocks(),
        }
    }

    pub(super) fn report(&self) -> &ImportReport {
        match self {
            Self::Files(import) => import.report(),
            Self::Bitcoin(import) => import.report(),
        }
    }

    pub(super) fn file(
        &mut self,
        path: &Path,
        go_on: &mut dyn FnMut(&ImportReport) -> ControlFlow<()>,
    ) -> Result<(), ImportError> {
        match self {
            Self::Files(import) => import.file(path, go_on),
            Self::Bitcoin(import) => import.file(path, go_on),
        }
    }
}

impl Work {
    /// What stands for it in the part of a child.
    pub(super) fn words(self) -> String {
        let length = match self.length {
            Length::Short => "short",
            Length::Long => "long",
        };
        let commits = match self.commits {
            Commits::Each => "each",
            Commits::Groups => "groups",
        };
        [
            self.engine.as_str(),
            self.bodies.as_str(),
            self.chain.word(),
            length,
            commits,
        ]
        .join(",")
    }

    fn of_words(words: &str) -> Self {
        let [engine, bodies, chain, length, commits] = words.split(',').collect::<Vec<_>>()[..]
        else {
            panic!("no work: {words}");
        };
        Self {
            engine: engine.parse().unwrap(),
            bodies: bodies.parse().unwrap(),
            chain: Chain::ALL
                .into_iter()
                .find(|it| it.word() == chain)
                .unwrap(),
            length: match length {
                "short" => Length::Short,
                _ => Length::Long,
            },
            commits: match commits {
                "each" => Commits::Each,
                _ => Commits::Groups,
            },
        }
    }

    /// Opens the store in this directory, which is made if there is none.
    pub(super) fn open(self, directory: &Path) -> Result<Opened, Failed> {
        let checksum = ChecksumSetting::None;
        let mut opener = Opener {
            schema: match self.chain {
                Chain::Antelope => FileImport::schema(self.bodies, checksum)?,
                Chain::Bitcoin => BitcoinImport::schema(self.bodies, checksum)?,
            },
            ..Opener::default()
        };
        opener.options.memory_budget_bytes = Some(MEMORY_BUDGET_BYTES);
        let url = StoreUrl::Engine(self.engine, directory.to_owned());
        let store = Arc::new(opener.open(&url)?.0);
        let blocks = Blocks::open_with(&store, &self.length.segments())?;
        let level = match self.commits {
            Commits::Each => Durability::Durable,
            Commits::Groups => Durability::Buffered,
        };
        let import = match self.chain {
            Chain::Antelope => {
                Import::Files(FileImport::over(&store, blocks).with_durability(level))
            }
            Chain::Bitcoin => {
                Import::Bitcoin(BitcoinImport::over(&store, blocks)?.with_durability(level))
            }
        };
        Ok(Opened { store, import })
    }
}

impl Opened {
    /// How many blocks are there.
    pub(super) fn stored(&self) -> Result<u64, Failed> {
        let view = self.store.begin_read()?;
        Ok(self.import.blocks().totals(&view)?.blocks)
    }
}

/// The body of the child.
pub(super) fn play(role: &Role) -> Result<(), Failed> {
    let voice = Voice::to(&role.socket)?;
    let file = PathBuf::from(std::env::var_os(FILE).ok_or("no file is named")?);
    if role.wait == Wait::BeforeOpen {
        voice.wait()?;
    }
    let Opened { store, mut import } = Work::of_words(&role.engine).open(&role.directory)?;
    let stored = import.blocks().totals(&store.begin_read()?)?.blocks;
    voice.say(&Message::Opened(stored))?;
    if role.wait == Wait::BeforeWork {
        voice.wait()?;
    }
    let (mut told, mut before) = (Ok(()), 0);
    import.file(&file, &mut |report| {
        // What waits for its commit is not told.
        if report.blocks != before {
            before = report.blocks;
            told = tell(role, &voice, &store, report);
        }
        if told.is_err() || report.blocks + report.known_blocks >= role.commits {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    told?;
    if import.report().blocks != before {
        tell(role, &voice, &store, import.report())?;
    }
    drop((import, store));
    Ok(voice.say(&Message::Done)?)
}

/// Tells of a block that was stored, or does what a child must not do.
fn tell(role: &Role, voice: &Voice, store: &AnyStore, report: &ImportReport) -> Result<(), Failed> {
    let at = report.blocks + report.known_blocks;
    if report.blocks == 0 {
        return Ok(());
    }
    match role.sabotage {
        Sabotage::None => voice.say(&Message::Acked(at))?,
        Sabotage::AckFirst => voice.say(&Message::Acked(role.commits.min(at + 1)))?,
        Sabotage::Torn => {
            tear(store, report.tip.ok_or("no tip")?)?;
            voice.say(&Message::Acked(at))?;
        }
        other => return Err(format!("no import does {other:?}").into()),
    }
    Ok(())
}

/// Takes a row of a block away in one commit and brings it back in another.
fn tear(store: &AnyStore, height: Height) -> Result<(), Failed> {
    let table = store.catalogue().id("blocks.index")?;
    let key = BlockIndex::key(height);
    let row = store
        .begin_read()?
        .get(table, &key)?
        .map(|row| row.to_vec());
    let row = row.ok_or("no entry of the index")?;
    let mut batch = WriteBatch::new();
    batch.delete(table, &key)?;
    store.apply(&batch, Durability::Durable)?;
    let mut batch = WriteBatch::new();
    batch.put(table, &key, &row)?;
    store.apply(&batch, Durability::Durable)?;
    Ok(())
}
