//! [`BlockLog`]: irreversible blocks under the names of EOSIO's `block_log`.
//!
//! Invariants: those of [`LogBlocks`]; the first block of a log whose preamble is known has the
//! number that the preamble says. Cost: that of [`LogBlocks`].

use std::sync::Arc;

use blocks::{Compared, Followed, LogBlock, LogBlocks, LogBlocksOptions, RecordPlace, WalkBack};
use chain_files::antelope::{AntelopeBlock, Layout, Preamble, decode_block};
use seglog::ChainTag;
use seglog::disk::Disk;
use storage_api::blocks::{BlockError, BlockHash, BlockRef, BlockResult, Height, NewBlock, TxId};
use storage_api::{
    ChecksumSetting, Error, KvStore, Reader, Result, Schema, TableDef, TableId, WriteTxn,
};

use super::layout::{self, LOG, PREAMBLE_KEY};

/// Irreversible blocks, append-only; see the head of this file.
#[derive(Debug)]
pub struct BlockLog<S> {
    blocks: LogBlocks<S>,
    meta: TableId,
}

/// The tag of segments for a chain's id, so that the files of two chains are not mixed up.
#[must_use]
pub fn chain_tag(chain_id: &chain_files::Hash) -> ChainTag {
    let [b0, b1, b2, b3, b4, b5, b6, b7, ..] = *chain_id;
    ChainTag::new(u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]))
}

/// A packed block, opened as far as it says what is stored of it.
pub(super) struct Opened {
    pub(super) block: AntelopeBlock,
    pub(super) tx_ids: Vec<TxId>,
}

impl Opened {
    pub(super) fn of(packed: &[u8], layout: Layout) -> Result<Self> {
        let mut ids = Vec::new();
        let block = decode_block(packed, layout, &mut ids)
            .map_err(|fault| Error::invalid(format!("a packed block is refused: {fault}")))?;
        let tx_ids = ids.iter().map(|id| TxId::new(id)).collect::<Result<_>>()?;
        Ok(Self { block, tx_ids })
    }

    pub(super) fn as_new<'b>(&'b self, packed: &'b [u8]) -> Result<NewBlock<'b>> {
        Ok(NewBlock {
            height: Height::new(u64::from(self.block.number)),
            hash: BlockHash::new(&self.block.id)?,
            parent: BlockHash::new(&self.block.previous)?,
            tx_ids: &self.tx_ids,
            body: packed,
        })
    }
}

impl<S: KvStore> BlockLog<S> {
    /// The tables, without checksum envelope.
    #[must_use]
    pub fn tables() -> Vec<TableDef> {
        let mut tables = LogBlocks::<S>::tables();
        tables.push(LOG);
        tables
    }

    /// The tables as a schema, with or without checksum envelope.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(checksum: ChecksumSetting) -> Result<Schema> {
        let tables = Self::tables().into_iter();
        let tables: Vec<TableDef> = tables.map(|table| table.with_checksum(checksum)).collect();
        Schema::new(&tables)
    }

    /// Opens the log in a folder beside a store that was opened with [`Self::schema`]; an index
    /// that is short gets what it lacks, one that is long loses what the log does not have, and
    /// one that is damaged is made again. See [`LogBlocks::open`] for who owns the folder, and for
    /// the cost.
    ///
    /// # Errors
    /// As [`LogBlocks::open`].
    pub fn open(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &LogBlocksOptions,
    ) -> BlockResult<(Self, Followed)> {
        let meta = store.catalogue().id(LOG.name())?;
        let (blocks, followed) = LogBlocks::open(store, disk, options)?;
        Ok((Self { blocks, meta }, followed))
    }

    /// The blocks below, with what has no name of EOSIO's.
    #[must_use]
    pub fn blocks(&self) -> &LogBlocks<S> {
        &self.blocks
    }

    /// Appends the block that follows the head. It is durable in the log when this returns, and in
    /// the index with the caller's commit; a transaction that is given up takes it back with the
    /// next write, and not if the process ends before that.
    ///
    /// # Errors
    /// `HeightMismatch` for a gap or a number that has a block, `ParentMismatch`, `DuplicateHash`,
    /// `Store`. The transaction is as it was before.
    pub fn append<W: WriteTxn>(&self, txn: &mut W, block: &NewBlock<'_>) -> BlockResult<()> {
        self.append_all(txn, std::slice::from_ref(block))
    }

    /// As [`Self::append`], of several blocks with one sync, all or none.
    ///
    /// # Errors
    /// As [`Self::append`].
    pub fn append_all<W: WriteTxn>(&self, txn: &mut W, blocks: &[NewBlock<'_>]) -> BlockResult<()> {
        if let Some(first) = blocks.first() {
            self.check_first(txn, first.height)?;
        }
        self.blocks.append_all(txn, blocks)
    }

    /// Appends a packed signed block of an Antelope chain, whose number, id, parent and
    /// transactions are read from it.
    ///
    /// # Errors
    /// As [`Self::append`]; `Store` with `InvalidArgument` for bytes that are no block.
    pub fn append_packed<W: WriteTxn>(
        &self,
        txn: &mut W,
        packed: &[u8],
        layout: Layout,
    ) -> BlockResult<BlockRef> {
        let opened = Opened::of(packed, layout)?;
        let block = opened.as_new(packed)?;
        self.append(txn, &block)?;
        Ok(BlockRef {
            height: block.height,
            hash: block.hash,
        })
    }

    /// A log whose preamble is known begins with the number that it says.
    pub(super) fn check_first<R: Reader>(&self, reader: &R, found: Height) -> BlockResult<()> {
        if self.head(reader)?.is_some() {
            return Ok(());
        }
        let Some(preamble) = self.preamble(reader)? else {
            return Ok(());
        };
        let expected = Height::new(u64::from(preamble.first_block()));
        if found == expected {
            return Ok(());
        }
        Err(BlockError::HeightMismatch { expected, found })
    }

    /// Makes everything that was appended durable, which appending did already.
    ///
    /// # Errors
    /// `Store` with `Io`, `Poisoned`.
    pub fn flush(&self) -> BlockResult<()> {
        self.blocks.flush()
    }

    /// The block of a number. Cost: one get and one positioned read.
    ///
    /// # Errors
    /// `Store`, with `Corruption` that names segment and offset where the log is damaged;
    /// `BodyAbsent`.
    pub fn read_block_by_num<R: Reader>(
        &self,
        reader: &R,
        number: Height,
    ) -> BlockResult<Option<LogBlock>> {
        self.blocks.block(reader, number)
    }

    /// The block of an id. Cost: two gets and one positioned read.
    ///
    /// # Errors
    /// As [`Self::read_block_by_num`].
    pub fn read_block_by_id<R: Reader>(
        &self,
        reader: &R,
        id: &BlockHash,
    ) -> BlockResult<Option<LogBlock>> {
        self.blocks.block_of_hash(reader, id)
    }

    /// The id of the block of a number. Cost: one get.
    ///
    /// # Errors
    /// `Store`.
    pub fn read_block_id_by_num<R: Reader>(
        &self,
        reader: &R,
        number: Height,
    ) -> BlockResult<Option<BlockHash>> {
        let info = self.blocks.index().info(reader, number)?;
        Ok(info.map(|info| info.hash))
    }

    /// The newest block, read from the log.
    ///
    /// # Errors
    /// As [`Self::read_block_by_num`].
    pub fn read_head<R: Reader>(&self, reader: &R) -> BlockResult<Option<LogBlock>> {
        match self.head(reader)? {
            Some(head) => self.read_block_by_num(reader, head.height),
            None => Ok(None),
        }
    }

    /// Number and id of the newest block.
    ///
    /// # Errors
    /// `Store`.
    pub fn head<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        self.blocks.tip(reader)
    }

    /// The id of the newest block.
    ///
    /// # Errors
    /// `Store`.
    pub fn head_id<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockHash>> {
        Ok(self.head(reader)?.map(|head| head.hash))
    }

    /// The number of the first block; of a log without blocks, the one that the preamble says.
    ///
    /// # Errors
    /// `Store`.
    pub fn first_block_num<R: Reader>(&self, reader: &R) -> BlockResult<Option<Height>> {
        if let Some(tail) = self.blocks.tail(reader)? {
            return Ok(Some(tail.height));
        }
        let preamble = self.preamble(reader)?;
        Ok(preamble.map(|preamble| Height::new(u64::from(preamble.first_block()))))
    }

    /// Where the block of a number is in our log: its record, segment and offset.
    ///
    /// # Errors
    /// `Store`.
    pub fn get_block_pos<R: Reader>(
        &self,
        reader: &R,
        number: Height,
    ) -> BlockResult<Option<RecordPlace>> {
        self.blocks.record_place(reader, number)
    }

    /// Walks backwards from the head.
    ///
    /// # Errors
    /// `Store`.
    pub fn walk_back<'w, R: Reader>(&'w self, reader: &'w R) -> BlockResult<WalkBack<'w, S, R>> {
        self.blocks.walk_back(reader, None)
    }

    /// Walks backwards from the block of a number; nothing comes when there is none.
    ///
    /// # Errors
    /// `Store`.
    pub fn walk_back_from<'w, R: Reader>(
        &'w self,
        reader: &'w R,
        number: Height,
    ) -> BlockResult<WalkBack<'w, S, R>> {
        self.blocks.walk_back(reader, Some(number))
    }

    /// Compares every row of the index with every record of the log; see [`LogBlocks::compare`].
    ///
    /// # Errors
    /// `Store` with `Io`; what does not agree is an answer.
    pub fn verify<R: Reader>(&self, reader: &R) -> BlockResult<Compared> {
        self.blocks.compare(reader)
    }

    /// What stands before the first entry of this log as a `blocks.log`: version, first block,
    /// genesis state or chain id.
    ///
    /// # Errors
    /// `Store`.
    pub fn preamble<R: Reader>(&self, reader: &R) -> BlockResult<Option<Preamble>> {
        let value = reader.get(self.meta, PREAMBLE_KEY)?;
        Ok(value
            .map(|value| layout::decode_preamble(&value))
            .transpose()?)
    }

    /// Says what stands before the first entry. It can be said again, and not otherwise.
    ///
    /// # Errors
    /// `HeightMismatch` when the log begins with another block, `Store` with `InvalidArgument` when
    /// another preamble is there.
    pub fn set_preamble<W: WriteTxn>(&self, txn: &mut W, preamble: &Preamble) -> BlockResult<()> {
        if let Some(present) = self.preamble(txn)? {
            if present == *preamble {
                return Ok(());
            }
            let what = "the log has another beginning: another version, first block or chain";
            return Err(Error::invalid(what).into());
        }
        let found = Height::new(u64::from(preamble.first_block()));
        match self.blocks.tail(txn)? {
            Some(tail) if tail.height != found => Err(BlockError::HeightMismatch {
                expected: tail.height,
                found,
            }),
            _ => Ok(txn.put(self.meta, PREAMBLE_KEY, &layout::encode_preamble(preamble))?),
        }
    }
}
