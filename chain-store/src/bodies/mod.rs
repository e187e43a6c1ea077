//! [`Blocks`]: one block store for whatever a store keeps its bodies in, rows or segment files.
//!
//! Invariants: a store says by its tables where bodies are, and is never both; the index is the
//! same either way and in the caller's transaction; segments lie in the store's directory, under
//! its lock, and belong to one [`Blocks`] that writes at a time.

mod digest;
mod open;

use std::fmt;
use std::ops::ControlFlow;
use std::str::FromStr;
use std::sync::Arc;

use ::blocks::{SegmentBlocks, SegmentOptions};
use storage_api::blocks::{
    BlockHash, BlockInfo, BlockQuery, BlockRef, BlockResult, BlockStore, BlockTotals, Height,
    KvBlocks, NewBlock, TxId, TxPlace,
};
use storage_api::{
    Catalogue, ChecksumSetting, Error, ErrorKind, KvStore, Reader, Result, Schema, TableDef,
    WriteTxn,
};

use crate::any::AnyStore;

pub use digest::BlocksDigest;
pub(crate) use open::{Held, chain_tag, segments_of};

/// Where a store keeps the bodies of its blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bodies {
    /// In the store, as rows.
    #[default]
    Store,
    /// In segment files beside the engine's, in `STORE/segments/`.
    Segments,
}

/// The table that only stores with bodies as rows have.
const ROWS: &str = "blocks.bodies";
/// The table that only stores with bodies in segments have.
const PLACES: &str = "blocks.places";

impl Bodies {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Store, Self::Segments];

    /// Its word on the command line and in JSON.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Segments => "segments",
        }
    }

    /// The table that only stores with bodies there have: of the bodies, or of their places.
    #[must_use]
    pub const fn table(self) -> &'static str {
        match self {
            Self::Store => ROWS,
            Self::Segments => PLACES,
        }
    }

    /// What these tables say, by name; `None` without a table of bodies.
    ///
    /// # Errors
    /// `InvalidArgument` for a store with both tables, which nothing here makes.
    pub fn of_tables<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Option<Self>> {
        let (mut rows, mut places) = (false, false);
        for name in names {
            rows |= name == ROWS;
            places |= name == PLACES;
        }
        match (rows, places) {
            (true, true) => Err(Error::invalid(format!(
                "the store has tables {ROWS} and {PLACES}, so nothing says where its bodies are"
            ))),
            (true, false) => Ok(Some(Self::Store)),
            (false, true) => Ok(Some(Self::Segments)),
            (false, false) => Ok(None),
        }
    }

    /// What a store's tables say.
    ///
    /// # Errors
    /// As [`Bodies::of_tables`].
    pub fn of(catalogue: &Catalogue) -> Result<Option<Self>> {
        Self::of_tables(catalogue.iter().map(|table| table.def.name()))
    }

    /// Refuses a schema that would give a store with bodies in one place the tables of the other:
    /// it could not be told any more where they are, and tables stay.
    pub(crate) fn refuse_both<'n>(
        schema: &Schema,
        stored: impl IntoIterator<Item = &'n str>,
    ) -> Result<()> {
        let asked = Self::of_tables(schema.tables().iter().map(TableDef::name))?;
        // A store that has both already is told when its blocks are opened.
        match (asked, Self::of_tables(stored)) {
            (Some(asked), Ok(Some(stored))) if asked != stored => {
                Err(Error::new(ErrorKind::SchemaRefused {
                    reason: format!(
                        "the store keeps bodies in {stored} since it was made, as table {} says; \
                         table {}, for bodies in {asked}, needs a new store",
                        stored.table(),
                        asked.table()
                    ),
                }))
            }
            _ => Ok(()),
        }
    }

    /// The tables of blocks whose bodies are there, without checksum envelope.
    #[must_use]
    pub fn tables(self) -> Vec<TableDef> {
        match self {
            Self::Store => KvBlocks::TABLES.to_vec(),
            Self::Segments => SegmentBlocks::<AnyStore>::tables(),
        }
    }

    /// The same tables as a schema, with or without checksum envelope.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(self, checksum: ChecksumSetting) -> Result<Schema> {
        match self {
            Self::Store => KvBlocks::schema(checksum),
            Self::Segments => SegmentBlocks::<AnyStore>::schema(checksum),
        }
    }
}

impl fmt::Display for Bodies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Bodies {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|it| it.as_str() == word);
        found.ok_or_else(|| Error::invalid(format!("{word:?} is neither store nor segments")))
    }
}

/// The blocks of a store, wherever their bodies are.
///
/// What a node does with them, here with bodies in segments. A call changes blocks and their index
/// and nothing else: what a block did to the node's own tables the node takes back itself, from
/// what it kept for that in the block's commit ([`storage_api::ChangeSet`] can tell it).
///
/// ```
/// use std::sync::Arc;
///
/// use chain_store::storage_api::blocks::{BlockHash, BlockQuery, BlockStore, Height, NewBlock};
/// use chain_store::storage_api::{
///     ChecksumSetting, Durability, Error, KvStore, Schema, TableDef, WriteTxn, Writer,
/// };
/// use chain_store::{AnyStore, Blocks, Bodies, ReadAhead};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let place = tempfile::tempdir()?;
/// # // The engine is the first that this build has; in memory, segments have no directory.
/// # let mut engines = chain_store::EngineName::compiled();
/// # let Some(engine) = engines.find(|engine| *engine != chain_store::EngineName::Mem) else {
/// #     return Ok(());
/// # };
/// # let url = format!("{engine}:{}", place.path().join("node").display());
/// let mut schema = Bodies::Segments.schema(ChecksumSetting::None)?;
/// schema.merge(&Schema::new([&TableDef::new("state")])?)?;
/// let store = Arc::new(AnyStore::open(&url, &schema)?);
/// let state = store.catalogue().id("state")?;
/// let blocks = Blocks::open(&store)?;
///
/// let hash = |branch: u8, height: u64| {
///     BlockHash::new(&[&[branch][..], &height.to_be_bytes()].concat())
/// };
/// let block = |branch: u8, height: u64, parent: BlockHash| -> Result<NewBlock<'static>, Error> {
///     let (tx_ids, body): (&[_], &[u8]) = (&[], b"a body");
///     let hash = hash(branch, height)?;
///     Ok(NewBlock { height: Height::new(height), hash, parent, tx_ids, body })
/// };
///
/// // A group of blocks is one commit. All of it is staged before the first one is appended, so
/// // that one sync makes all bodies durable and not one each.
/// let group = (1..=10).map(|height| blocks.stage(block(0, height, hash(0, height - 1)?)?));
/// let group: Vec<_> = group.collect::<Result<_, _>>()?;
/// let mut txn = store.begin_write()?;
/// for staged in group {
///     blocks.append(&mut txn, staged)?;
/// }
/// txn.put(state, b"applied", &10u64.to_be_bytes())?;
/// txn.commit(Durability::Durable)?;
///
/// // Any thread reads in a view of its own, also while blocks are appended; bodies in segments
/// // can be read ahead (`BlockStore::range` lends them wherever they are).
/// let segments = blocks.segments().ok_or("bodies are rows")?;
/// let view = store.begin_read()?;
/// let query = BlockQuery::from(Height::new(8));
/// for block in segments.iter(&view, query, ReadAhead::default()) {
///     assert_eq!(&block?.body[..], b"a body");
/// }
/// drop(view);
///
/// // A reorganisation is one commit, and then file work.
/// let rival = blocks.stage(block(1, 8, hash(0, 7)?)?)?;
/// let mut txn = store.begin_write()?;
/// let cleanup = blocks.truncate(&mut txn, Some(Height::new(7)))?;
/// blocks.append(&mut txn, rival)?;
/// txn.put(state, b"applied", &8u64.to_be_bytes())?;
/// txn.commit(Durability::Durable)?;
/// blocks.finish(cleanup)?;
///
/// // So is pruning; what lies below the tip for good may be packed at any time.
/// let mut txn = store.begin_write()?;
/// let cleanup = blocks.prune(&mut txn, Height::new(3))?;
/// txn.commit(Durability::Durable)?;
/// blocks.finish(cleanup)?;
/// segments.pack(&store.begin_read()?, Height::new(7))?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Blocks {
    /// Bodies as rows.
    Store(KvBlocks),
    /// Bodies in segment files.
    Segments(Box<Segments>),
}

/// Blocks with bodies in segment files, and the right to write to these.
#[derive(Debug)]
pub struct Segments {
    blocks: SegmentBlocks<AnyStore>,
    /// Keeps a second log out; `None` when opened to be read.
    _held: Option<Held>,
}

/// A block whose file work is done.
#[derive(Clone, Copy, Debug)]
pub enum Staged<'b> {
    /// For rows.
    Store(NewBlock<'b>),
    /// In a segment.
    Segments(::blocks::Staged<'b>),
}

/// File work that remains after a commit.
#[derive(Debug)]
#[must_use = "it is handed to `finish` after the commit"]
pub enum Cleanup {
    /// None.
    Store,
    /// In segments.
    Segments(::blocks::Cleanup),
}

impl Blocks {
    /// The blocks of a store, which was opened with [`Bodies::schema`] or as it is. A store that
    /// was opened to be read has its segments opened to be read: nothing is written.
    ///
    /// # Errors
    /// `Store` with `UnknownTable` for a store without blocks, `Corruption` for damage in the
    /// segment that is written to (nothing is changed; see `docs/damaged-blocks.md`), `Unsupported`
    /// for segments without a directory (a store in memory, an engine from outside), `AlreadyOpen`
    /// when something else in this process writes to the segments, and as `SegmentBlocks::open`.
    pub fn open(store: &Arc<AnyStore>) -> BlockResult<Self> {
        Self::open_with(store, &SegmentOptions::default())
    }

    /// As [`Blocks::open`], with segments of another size. The chain in the options is not used:
    /// the store's own stands in each segment.
    ///
    /// # Errors
    /// As [`Blocks::open`].
    pub fn open_with(store: &Arc<AnyStore>, options: &SegmentOptions) -> BlockResult<Self> {
        match Bodies::of(store.catalogue())? {
            None | Some(Bodies::Store) => Ok(Self::Store(KvBlocks::resolve(store.catalogue())?)),
            Some(Bodies::Segments) => {
                open::open(store, options).map(|own| Self::Segments(Box::new(own)))
            }
        }
    }

    /// Where the bodies are.
    #[must_use]
    pub const fn bodies(&self) -> Bodies {
        match self {
            Self::Store(_) => Bodies::Store,
            Self::Segments(_) => Bodies::Segments,
        }
    }

    /// The block store over segments, if bodies are there.
    #[must_use]
    pub const fn segments(&self) -> Option<&SegmentBlocks<AnyStore>> {
        match self {
            Self::Store(_) => None,
            Self::Segments(segments) => Some(&segments.blocks),
        }
    }
}

/// Runs an expression for whichever block store it is.
macro_rules! either {
    ($blocks:expr, $it:ident => $body:expr) => {
        match $blocks {
            Blocks::Store($it) => $body,
            Blocks::Segments(own) => {
                let $it = &own.blocks;
                $body
            }
        }
    };
}

fn other_kind() -> Error {
    Error::invalid("what was staged or cut in one block store was given to another")
}

impl BlockStore for Blocks {
    type Staged<'b> = Staged<'b>;
    type Cleanup = Cleanup;

    fn stage<'b>(&self, block: NewBlock<'b>) -> BlockResult<Staged<'b>> {
        match self {
            Self::Store(rows) => rows.stage(block).map(Staged::Store),
            Self::Segments(own) => own.blocks.stage(block).map(Staged::Segments),
        }
    }

    fn append<W: WriteTxn>(&self, txn: &mut W, staged: Staged<'_>) -> BlockResult<BlockRef> {
        match (self, staged) {
            (Self::Store(rows), Staged::Store(block)) => rows.append(txn, block),
            (Self::Segments(own), Staged::Segments(staged)) => own.blocks.append(txn, staged),
            _ => Err(other_kind().into()),
        }
    }

    fn tip<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        either!(self, it => it.tip(reader))
    }

    fn tail<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        either!(self, it => it.tail(reader))
    }

    fn totals<R: Reader>(&self, reader: &R) -> BlockResult<BlockTotals> {
        either!(self, it => it.totals(reader))
    }

    fn info<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<BlockInfo>> {
        either!(self, it => it.info(reader, height))
    }

    fn height_of<R: Reader>(&self, reader: &R, hash: &BlockHash) -> BlockResult<Option<Height>> {
        either!(self, it => it.height_of(reader, hash))
    }

    fn tx_ids<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Vec<TxId>> {
        either!(self, it => it.tx_ids(reader, height))
    }

    fn tx_places<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Vec<TxPlace>> {
        either!(self, it => it.tx_places(reader, tx_id))
    }

    fn tx_place<R: Reader>(&self, reader: &R, tx_id: &TxId) -> BlockResult<Option<TxPlace>> {
        either!(self, it => it.tx_place(reader, tx_id))
    }

    fn with_body<R: Reader>(
        &self,
        reader: &R,
        height: Height,
        sink: &mut dyn FnMut(&[u8]),
    ) -> BlockResult<bool> {
        either!(self, it => it.with_body(reader, height, sink))
    }

    fn body<R: Reader>(&self, reader: &R, height: Height) -> BlockResult<Option<Vec<u8>>> {
        either!(self, it => it.body(reader, height))
    }

    fn range<R: Reader>(
        &self,
        reader: &R,
        query: BlockQuery,
        visit: &mut dyn FnMut(&BlockInfo, &[u8]) -> ControlFlow<()>,
    ) -> BlockResult<Option<Height>> {
        either!(self, it => it.range(reader, query, visit))
    }

    fn truncate<W: WriteTxn>(&self, txn: &mut W, tip: Option<Height>) -> BlockResult<Cleanup> {
        match self {
            Self::Store(rows) => rows.truncate(txn, tip).map(|()| Cleanup::Store),
            Self::Segments(own) => own.blocks.truncate(txn, tip).map(Cleanup::Segments),
        }
    }

    fn prune<W: WriteTxn>(&self, txn: &mut W, tail: Height) -> BlockResult<Cleanup> {
        match self {
            Self::Store(rows) => rows.prune(txn, tail).map(|()| Cleanup::Store),
            Self::Segments(own) => own.blocks.prune(txn, tail).map(Cleanup::Segments),
        }
    }

    fn finish(&self, cleanup: Cleanup) -> BlockResult<()> {
        match (self, cleanup) {
            (Self::Store(_), Cleanup::Store) => Ok(()),
            (Self::Segments(own), Cleanup::Segments(cleanup)) => own.blocks.finish(cleanup),
            _ => Err(other_kind().into()),
        }
    }
}
