//! Bitcoin: block files into blocks and the set of unspent outputs.
//!
//! Invariants: one block is one commit where commits are durable, and many are where they are not;
//! the height comes from the parent, else from the genesis hash, else from what the caller says or
//! the coinbase says (BIP 34); a store that began in mid-chain stays marked as such; a block below
//! the tail is passed over (`below`), and only what follows the tip is ever stored. Not checked:
//! scripts, difficulty changes, subsidy, maturity; this stores what a node has accepted and proves
//! that it is complete and linked.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use storage_api::blocks::{BlockHash, BlockRef, BlockStore, Height, NewBlock, TxId};
use storage_api::{ChecksumSetting, Durability, KvStore, Reader, Result, Schema, WriteTxn};

use super::below::PassedOver;
use super::group::{BLOCKS_MAX, BYTES_MAX};
use super::source::SourceFile;
use super::unspent::{BitcoinSummary, Spent, UnspentSet};
use super::{BlockPlace, Coverage, ImportError, ImportReport, check_chain, is_below_tail};
use crate::any::{AnyStore, AnyWriteTxn};
use crate::bitcoin::{
    Block, BlockFile, BtcHash, DecodedBlock, Network, OutPoint, RawRecord, UnspentOutput,
};
use crate::bodies::{Blocks, Bodies};
use crate::format::ChainKind;

/// An import into one store.
#[derive(Debug)]
pub struct BitcoinImport {
    store: Arc<AnyStore>,
    blocks: Blocks,
    unspent: UnspentSet,
    coverage: Coverage,
    first_height: Option<Height>,
    durability: Durability,
    passed: PassedOver,
    report: ImportReport,
}

/// Blocks that wait for one commit: what they spend and add is in the transaction, they themselves
/// are put into it when it is committed, so that where bodies lie in segments one sync is for all.
#[derive(Default)]
struct Uncommitted<'s, 'b> {
    txn: Option<AnyWriteTxn<'s>>,
    blocks: Vec<Waiting<'b>>,
    heights: HashMap<BlockHash, Height>,
    body_bytes: usize,
}

/// A block that was checked against those before it.
struct Waiting<'b> {
    decoded: Cow<'b, DecodedBlock>,
    at: BlockRef,
    tx_ids: Vec<TxId>,
}

impl<'b> Uncommitted<'_, 'b> {
    fn push(&mut self, block: Waiting<'b>) {
        self.body_bytes += block.decoded.block.bytes().len();
        self.heights.insert(block.at.hash, block.at.height);
        self.blocks.push(block);
    }

    fn tip(&self) -> Option<BlockRef> {
        self.blocks.last().map(|last| last.at)
    }

    const fn is_full(&self) -> bool {
        self.blocks.len() >= BLOCKS_MAX || self.body_bytes >= BYTES_MAX
    }
}

/// What the caller of an import answers after each block.
pub(crate) type GoOn<'f> = dyn FnMut(&ImportReport) -> std::ops::ControlFlow<()> + 'f;

fn block_hash(hash: BtcHash) -> Result<BlockHash> {
    BlockHash::new(hash.as_bytes())
}

impl BitcoinImport {
    /// The tables that a store needs for this.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(bodies: Bodies, checksum: ChecksumSetting) -> Result<Schema> {
        let mut schema = bodies.schema(checksum)?;
        let tables = UnspentSet::TABLES.map(|table| table.with_checksum(checksum));
        schema.merge(&Schema::new(&tables)?)?;
        Ok(schema)
    }

    /// An import of a whole chain into a store that was opened with [`BitcoinImport::schema`], each
    /// block durable.
    ///
    /// # Errors
    /// `UnknownTable`; as [`Blocks::open`].
    pub fn into(store: &Arc<AnyStore>) -> Result<Self, ImportError> {
        Self::over(store, Blocks::open(store)?)
    }

    /// An import into these blocks of the store.
    ///
    /// # Errors
    /// `UnknownTable`.
    pub fn over(store: &Arc<AnyStore>, blocks: Blocks) -> Result<Self, ImportError> {
        Ok(Self {
            store: Arc::clone(store),
            blocks,
            unspent: UnspentSet::resolve(store.catalogue())?,
            coverage: Coverage::Whole,
            first_height: None,
            durability: Durability::Durable,
            passed: PassedOver::default(),
            report: ImportReport::default(),
        })
    }

    /// Allows to begin in mid-chain.
    #[must_use]
    pub fn with_coverage(mut self, coverage: Coverage) -> Self {
        self.coverage = coverage;
        self
    }

    /// Says the height of the first block of an empty store.
    #[must_use]
    pub fn with_first_height(mut self, height: Option<Height>) -> Self {
        self.first_height = height;
        self
    }

    /// Asks for another durability of each commit. Below [`Durability::Durable`], blocks of up to
    /// 1 MiB in all are one commit: what a crash may take is not promised, so there is nothing in
    /// a commit for each.
    #[must_use]
    pub fn with_durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// The blocks that are imported into.
    #[must_use]
    pub const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> &ImportReport {
        &self.report
    }

    /// Reads one file to its end, calling `go_on` after each record, stored, waiting for its commit
    /// or known; when this returns, none waits.
    ///
    /// # Errors
    /// [`ImportError`]; every block before the one it names is stored.
    pub fn file(&mut self, path: &Path, go_on: &mut GoOn<'_>) -> Result<(), ImportError> {
        self.read(BlockFile::open(path)?, path, go_on)
    }

    /// Reads a file that was opened before, as [`BitcoinImport::file`] does.
    ///
    /// # Errors
    /// As [`BitcoinImport::file`].
    pub fn source(&mut self, source: SourceFile, go_on: &mut GoOn<'_>) -> Result<(), ImportError> {
        let path = source.path().to_owned();
        let (opened, _) = source.into_opened();
        self.read(BlockFile::from_decompressed(&path, opened)?, &path, go_on)
    }

    fn read(
        &mut self,
        mut file: BlockFile,
        path: &Path,
        go_on: &mut GoOn<'_>,
    ) -> Result<(), ImportError> {
        self.report.file = path.to_owned();
        self.report.file_bytes_read = 0;
        self.report.stopped = false;
        let view = self.store.begin_read()?;
        check_chain(&self.blocks, &view, path, ChainKind::Bitcoin)?;
        drop(view);
        let store = Arc::clone(&self.store);
        let mut group = Uncommitted::default();
        let read = loop {
            let record = match file.next_record() {
                Ok(Some(record)) => record,
                Ok(None) => break Ok(()),
                Err(error) => break Err(error.into()),
            };
            self.report.file_bytes_read = file.bytes_read();
            if let Err(error) = self.add_record(&store, &mut group, record) {
                break Err(error);
            }
            if go_on(&self.report).is_break() {
                self.report.stopped = true;
                break Ok(());
            }
        };
        // What came before a bad record stays; what is wrong with that comes first, unless the
        // store had failed before.
        let committed = self.commit(group);
        match read {
            Err(error) if error.is_of_the_store() => Err(error),
            read => committed.and(read),
        }
    }

    /// Stores one record in one commit, or passes over it when it is stored.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn record(&mut self, record: RawRecord) -> Result<(), ImportError> {
        let store = Arc::clone(&self.store);
        let mut group = Uncommitted::default();
        self.add_record(&store, &mut group, record)?;
        self.commit(group)
    }

    /// Adds one record to a group, which is committed when it is full, or passes over it when it is
    /// stored or below the tail.
    fn add_record<'s>(
        &mut self,
        store: &'s AnyStore,
        group: &mut Uncommitted<'s, '_>,
        record: RawRecord,
    ) -> Result<(), ImportError> {
        let hash = block_hash(record.header()?.hash)?;
        let is_known = group.heights.contains_key(&hash)
            || match &group.txn {
                Some(txn) => self.blocks.height_of(txn, &hash)?.is_some(),
                None => self
                    .blocks
                    .height_of(&store.begin_read()?, &hash)?
                    .is_some(),
            };
        if is_known {
            self.report.known_blocks += 1;
            return Ok(());
        }
        let decoded = record.decode()?;
        let below = match &group.txn {
            Some(txn) => self.height_below_tail(txn, group, &decoded)?,
            None => self.height_below_tail(&store.begin_read()?, group, &decoded)?,
        };
        if let Some(height) = below {
            self.passed.set(BlockRef { height, hash });
            self.report.pass_below_tail();
            return Ok(());
        }
        self.add_block(store, group, Cow::Owned(decoded))?;
        if self.durability == Durability::Durable || group.is_full() {
            self.commit(std::mem::take(group))?;
        }
        Ok(())
    }

    /// The height of a block that is below the tail, of the network of those that are stored.
    fn height_below_tail<R: Reader>(
        &self,
        reader: &R,
        group: &Uncommitted<'_, '_>,
        decoded: &DecodedBlock,
    ) -> Result<Option<Height>, ImportError> {
        let block = &decoded.block;
        let parent = block_hash(block.parent())?;
        // What follows a stored block goes on the tip, or is a fork.
        if group.heights.contains_key(&parent) || self.blocks.height_of(reader, &parent)?.is_some()
        {
            return Ok(None);
        }
        let Some(height) = self.passed.height_of(block)? else {
            return Ok(None);
        };
        if !is_below_tail(&self.blocks, reader, height)? {
            return Ok(None);
        }
        let mut summary = self.unspent.summary(reader)?.unwrap_or_default();
        check_network(&mut summary, block, &|| place_of(decoded))?;
        Ok(Some(height))
    }

    /// Adds one block to a group. One that is refused leaves the group as it was.
    fn add_block<'s, 'b>(
        &self,
        store: &'s AnyStore,
        group: &mut Uncommitted<'s, 'b>,
        decoded: Cow<'b, DecodedBlock>,
    ) -> Result<(), ImportError> {
        let Some(mut txn) = group.txn.take() else {
            let mut txn = store.begin_write()?;
            let block = self.check_block(&mut txn, group, decoded)?;
            group.txn = Some(txn);
            group.push(block);
            return Ok(());
        };
        let mark = txn.savepoint()?;
        let added = match self.check_block(&mut txn, group, decoded) {
            Ok(block) => {
                txn.release(mark)?;
                group.push(block);
                Ok(())
            }
            Err(refused) => match txn.rollback_to(mark) {
                Err(failed) if !refused.is_of_the_store() => return Err(failed.into()),
                Err(_) => return Err(refused),
                Ok(()) => Err(refused),
            },
        };
        group.txn = Some(txn);
        added
    }

    /// Stores the blocks of a group, commits it and counts them.
    fn commit(&mut self, group: Uncommitted<'_, '_>) -> Result<(), ImportError> {
        let Some(mut txn) = group.txn else {
            return Ok(());
        };
        let mut staged = Vec::with_capacity(group.blocks.len());
        for waiting in &group.blocks {
            let block = &waiting.decoded.block;
            staged.push(self.blocks.stage(NewBlock {
                height: waiting.at.height,
                hash: waiting.at.hash,
                parent: block_hash(block.parent())?,
                tx_ids: &waiting.tx_ids,
                body: block.bytes(),
            })?);
        }
        for block in staged {
            self.blocks.append(&mut txn, block)?;
        }
        txn.commit(self.durability)?;
        for waiting in &group.blocks {
            self.report.blocks += 1;
            self.report.transactions += waiting.tx_ids.len() as u64;
            self.report.body_bytes += waiting.decoded.block.bytes().len() as u64;
            self.report.tip = Some(waiting.at.height);
        }
        Ok(())
    }

    /// Stores one block in one commit.
    ///
    /// # Errors
    /// [`ImportError`].
    pub fn block(&mut self, decoded: &DecodedBlock) -> Result<(), ImportError> {
        let store = Arc::clone(&self.store);
        let mut group = Uncommitted::default();
        self.add_block(&store, &mut group, Cow::Borrowed(decoded))?;
        self.commit(group)
    }

    /// Checks one block against the tip and the outputs that it spends, and puts what it spends and
    /// adds into a transaction.
    fn check_block<'b>(
        &self,
        txn: &mut AnyWriteTxn<'_>,
        group: &Uncommitted<'_, '_>,
        decoded: Cow<'b, DecodedBlock>,
    ) -> Result<Waiting<'b>, ImportError> {
        let block = &decoded.block;
        let place = || place_of(&decoded);
        let tip = match group.tip() {
            Some(tip) => Some(tip),
            None => self.blocks.tip(txn)?,
        };
        let mut summary = self.unspent.summary(txn)?.unwrap_or_default();
        let height = match tip {
            Some(tip) => {
                let waiting = &group.heights;
                self.height_above(txn, waiting, tip, block, &place)?
            }
            None => self.first_height(block, &mut summary, &place)?,
        };
        check_network(&mut summary, block, &place)?;
        let tx_ids = self.spend_and_add(txn, &mut summary, height, block, &place)?;
        self.unspent.set_summary(txn, &summary)?;
        let hash = block_hash(block.hash())?;
        Ok(Waiting {
            at: BlockRef { height, hash },
            tx_ids,
            decoded,
        })
    }

    fn height_above(
        &self,
        txn: &AnyWriteTxn<'_>,
        waiting: &HashMap<BlockHash, Height>,
        tip: BlockRef,
        block: &Block,
        place: &impl Fn() -> Box<BlockPlace>,
    ) -> Result<Height, ImportError> {
        let parent = block_hash(block.parent())?;
        if parent == tip.hash {
            return Ok(tip.height.next());
        }
        let below = match waiting.get(&parent) {
            Some(height) => Some(*height),
            None => self.blocks.height_of(txn, &parent)?,
        };
        if let Some(below) = below {
            return Err(ImportError::Fork {
                place: place(),
                parent: below,
                tip: tip.height,
            });
        }
        let tail = self.blocks.tail(txn)?.map(|tail| tail.height);
        let bytes = <[u8; 32]>::try_from(tip.hash.as_bytes()).unwrap_or([0; 32]);
        Err(ImportError::MissingParent {
            place: place(),
            parent: Box::new(block.parent()),
            tip: Box::new(BtcHash::from_bytes(bytes)),
            height: tip.height,
            // Where none is stored yet, the lowest is the first of those that wait.
            tail: tail
                .or(waiting.values().min().copied())
                .unwrap_or(tip.height),
        })
    }

    /// The height of the first block of an empty store, and whether that is the beginning of the
    /// chain.
    fn first_height(
        &self,
        block: &Block,
        summary: &mut BitcoinSummary,
        place: &impl Fn() -> Box<BlockPlace>,
    ) -> Result<Height, ImportError> {
        summary.coverage = self.coverage;
        let certain = if block.is_genesis() {
            Some(Height::ZERO)
        } else {
            // The outputs of a genesis block cannot be spent, so nothing is missing above it.
            Network::from_genesis(&block.parent()).map(|_| Height::ZERO.next())
        };
        if let Some(found) = certain {
            return match self.first_height {
                Some(asked) if asked != found => Err(ImportError::WrongHeight {
                    place: place(),
                    asked,
                    found,
                }),
                _ => Ok(found),
            };
        }
        if self.coverage == Coverage::Whole {
            return Err(ImportError::MidChain { place: place() });
        }
        let hint = block
            .coinbase_height()
            .map(|height| Height::new(u64::from(height)));
        match (self.first_height, hint) {
            (Some(asked), _) => Ok(asked),
            (None, Some(hint)) => Ok(hint),
            (None, None) => Err(ImportError::UnknownHeight { place: place() }),
        }
    }

    fn spend_and_add(
        &self,
        txn: &mut AnyWriteTxn<'_>,
        summary: &mut BitcoinSummary,
        height: Height,
        block: &Block,
        place: &impl Fn() -> Box<BlockPlace>,
    ) -> Result<Vec<TxId>, ImportError> {
        let height32 = u32::try_from(height.get()).map_err(|_| ImportError::TooHigh {
            place: place(),
            height,
        })?;
        let mut tx_ids = Vec::new();
        for transaction in block.transactions() {
            let tx_id = transaction.tx_id();
            tx_ids.push(TxId::new(tx_id.as_bytes())?);
            for input in transaction.inputs().filter(|input| !input.is_coinbase()) {
                match self.unspent.spend(txn, summary, &input.previous)? {
                    Spent::Known => {}
                    Spent::Unknown if summary.coverage == Coverage::Partial => {
                        summary.unknown_spends += 1;
                    }
                    Spent::Unknown => {
                        let output = Box::new(input.previous);
                        return Err(ImportError::MissingOutput {
                            place: place(),
                            output,
                        });
                    }
                }
            }
            if block.is_genesis() {
                continue;
            }
            let is_coinbase = transaction.is_coinbase();
            for (vout, output) in (0u32..).zip(transaction.outputs()) {
                if output.is_unspendable() {
                    continue;
                }
                let unspent = UnspentOutput {
                    height: height32,
                    is_coinbase,
                    value: output.value,
                    script: output.script,
                };
                self.unspent
                    .add(txn, summary, &OutPoint { tx_id, vout }, &unspent)?;
            }
        }
        Ok(tx_ids)
    }
}

fn place_of(decoded: &DecodedBlock) -> Box<BlockPlace> {
    Box::new(BlockPlace {
        at: decoded.position.clone(),
        hash: decoded.block.hash(),
    })
}

fn check_network(
    summary: &mut BitcoinSummary,
    block: &Block,
    place: &impl Fn() -> Box<BlockPlace>,
) -> Result<(), ImportError> {
    match (summary.network, block.network()) {
        (Some(expected), Some(found)) if expected != found => Err(ImportError::Network {
            place: place(),
            expected,
            found,
        }),
        (known, found) => {
            summary.network = known.or(found);
            Ok(())
        }
    }
}
