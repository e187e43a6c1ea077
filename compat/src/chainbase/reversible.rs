//! [`ReversibleBlocks`]: blocks that are not final yet, whole, in the store of the log's index.
//!
//! Invariants: one block for each number, as upstream's unique index by number has it: the current
//! branch, without a gap, on top of the log's head. A fork switch removes blocks from the top and
//! adds others; blocks of other branches are the caller's until then. A block is here or in the
//! log: it moves by one commit, which removes its rows here and puts those of the log's index; the
//! record is durable before that, and whoever opens both after a crash between the two finds the
//! block in the log, and here no more. Cost of a block: two rows when it comes and two when it
//! goes, and what the log costs. Source: EOSIO's `reversible_block_object` and `fork_database`.

use std::sync::Arc;

use blocks::LogBlock;
use storage_api::blocks::{BlockError, BlockHash, BlockRef, BlockResult, Height, NewBlock};
use storage_api::{
    ChecksumSetting, Cursor, Durability, Error, KeyRange, KvStore, Reader, Result, Schema,
    TableDef, TableId, WriteTxn,
};

use super::BlockLog;
use super::layout::{self, REVERSIBLE, REVERSIBLE_IDS};

/// Most bytes of blocks that a move holds in memory, but for one block.
const MOVED_BYTES: u64 = 16 << 20;

/// Blocks that may still be taken back; see the head of this file.
#[derive(Debug)]
pub struct ReversibleBlocks<S> {
    log: Arc<BlockLog<S>>,
    blocks: TableId,
    ids: TableId,
}

/// What opening found and did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciled {
    /// Blocks that are in the log: a crash came between their move and its commit.
    pub moved_blocks: u64,
    /// Blocks that are not those of the log, or do not stand on its head, which were dropped: the
    /// log was written by itself, or lost its end. They are not final and can be had again.
    pub dropped_blocks: u64,
}

impl<S: KvStore> ReversibleBlocks<S> {
    /// The tables, without checksum envelope.
    pub const TABLES: [TableDef; 2] = [REVERSIBLE, REVERSIBLE_IDS];

    /// The tables as a schema, with or without checksum envelope; those of the log come beside.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(checksum: ChecksumSetting) -> Result<Schema> {
        let tables = Self::TABLES.map(|table| table.with_checksum(checksum));
        Schema::new(&tables)
    }

    /// Opens the blocks on top of a log, in its store, and brings both together in one commit.
    ///
    /// # Errors
    /// `Store` with `UnknownTable`, `Corruption`, and of committing.
    pub fn open(log: Arc<BlockLog<S>>) -> BlockResult<(Self, Reconciled)> {
        let store = Arc::clone(log.blocks().store());
        let reversible = Self {
            blocks: store.catalogue().id(REVERSIBLE.name())?,
            ids: store.catalogue().id(REVERSIBLE_IDS.name())?,
            log,
        };
        let mut txn = store.begin_write()?;
        let is_lost = reversible.log.blocks().take_lost(&mut txn)?;
        let reconciled = match reversible.first(&txn)?.filter(|_| is_lost) {
            // What they stood on is gone, and the log must not begin in the middle of the chain.
            Some(first) => Reconciled {
                dropped_blocks: reversible.remove_rows_from(&mut txn, first)?,
                ..Reconciled::default()
            },
            None => reversible.reconcile(&mut txn)?,
        };
        if is_lost || reconciled != Reconciled::default() {
            tracing::info!(
                moved = reconciled.moved_blocks,
                dropped = reconciled.dropped_blocks,
                "reversible blocks follow the log"
            );
            txn.commit(Durability::Durable)?;
        }
        Ok((reversible, reconciled))
    }

    /// The log that the blocks move to.
    #[must_use]
    pub fn log(&self) -> &Arc<BlockLog<S>> {
        &self.log
    }

    fn reconcile<W: WriteTxn>(&self, txn: &mut W) -> BlockResult<Reconciled> {
        let mut reconciled = Reconciled::default();
        let Some(head) = self.log.head(txn)? else {
            return Ok(reconciled);
        };
        while let Some(first) = self.first(txn)?.filter(|first| *first <= head.height) {
            let here = self.known(txn, first)?.info.hash;
            let logged = self.log.read_block_id_by_num(txn, first)?;
            if logged == Some(here) {
                reconciled.moved_blocks += 1;
            } else {
                reconciled.dropped_blocks += 1;
            }
            self.forget(txn, first)?;
        }
        let Some(first) = self.first(txn)? else {
            return Ok(reconciled);
        };
        let lowest = self.known(txn, first)?.info;
        if lowest.height != head.height.next() || lowest.parent != head.hash {
            reconciled.dropped_blocks += self.remove_rows_from(txn, first)?;
        }
        Ok(reconciled)
    }

    /// Adds the block that follows [`Self::chain_head`].
    ///
    /// # Errors
    /// `HeightMismatch` for a gap or a number that has a block (a fork switch removes it first),
    /// `ParentMismatch`, `DuplicateHash`, `Store`; nothing is added then.
    pub fn add<W: WriteTxn>(&self, txn: &mut W, block: &NewBlock<'_>) -> BlockResult<()> {
        match self.chain_head(txn)? {
            None => self.log.check_first(txn, block.height)?,
            Some(head) => {
                let expected = head.height.next();
                if block.height != expected || expected == head.height {
                    let found = block.height;
                    return Err(BlockError::HeightMismatch { expected, found });
                }
                if block.parent != head.hash {
                    return Err(BlockError::ParentMismatch {
                        height: block.height,
                        expected: Box::new(head.hash),
                        found: Box::new(block.parent),
                    });
                }
            }
        }
        let known = match self.number_of(txn, &block.hash)? {
            None => self.log.blocks().index().height_of(txn, &block.hash)?,
            known => known,
        };
        if let Some(height) = known {
            return Err(BlockError::DuplicateHash {
                hash: Box::new(block.hash),
                height,
            });
        }
        // A move that was given up must not come true when the chain goes on without it.
        self.log.blocks().drop_uncommitted(txn)?;
        let key = layout::number_key(block.height);
        let value = layout::encode_block(block)?;
        txn.put(self.blocks, &key, &value)?;
        let value = layout::number_value(block.height);
        Ok(txn.put(self.ids, block.hash.as_bytes(), &value)?)
    }

    /// The block of a number, if it is here.
    ///
    /// # Errors
    /// `Store`.
    pub fn get<R: Reader>(&self, reader: &R, number: Height) -> BlockResult<Option<LogBlock>> {
        let value = reader.get(self.blocks, &layout::number_key(number))?;
        Ok(value
            .map(|value| layout::decode_block(number, &value))
            .transpose()?)
    }

    /// The block of an id, if it is here.
    ///
    /// # Errors
    /// `Store`.
    pub fn get_by_id<R: Reader>(
        &self,
        reader: &R,
        id: &BlockHash,
    ) -> BlockResult<Option<LogBlock>> {
        let Some(number) = self.number_of(reader, id)? else {
            return Ok(None);
        };
        let block = self.known(reader, number)?;
        if block.info.hash != *id {
            let what = format!("{id} is said to be block {number}, which is another");
            return Err(Error::corruption(place(&REVERSIBLE_IDS), what).into());
        }
        Ok(Some(block))
    }

    fn number_of<R: Reader>(&self, reader: &R, id: &BlockHash) -> Result<Option<Height>> {
        let value = reader.get(self.ids, id.as_bytes())?;
        value
            .map(|value| layout::number_of_value(&value))
            .transpose()
    }

    /// The block of a number that must be here.
    fn known<R: Reader>(&self, reader: &R, number: Height) -> BlockResult<LogBlock> {
        let missing = || Error::corruption(place(&REVERSIBLE), format!("no block {number}"));
        Ok(self.get(reader, number)?.ok_or_else(missing)?)
    }

    /// The lowest number here.
    ///
    /// # Errors
    /// `Store`.
    pub fn first<R: Reader>(&self, reader: &R) -> BlockResult<Option<Height>> {
        let mut rows = reader.cursor(self.blocks, KeyRange::all())?;
        let row = rows.first()?;
        Ok(row.map(|row| layout::number_of_key(row.key)).transpose()?)
    }

    /// The newest block here, whole.
    ///
    /// # Errors
    /// `Store`.
    pub fn head<R: Reader>(&self, reader: &R) -> BlockResult<Option<LogBlock>> {
        let mut rows = reader.cursor(self.blocks, KeyRange::all())?;
        let Some(row) = rows.last()? else {
            return Ok(None);
        };
        let number = layout::number_of_key(row.key)?;
        Ok(Some(layout::decode_block(number, row.value)?))
    }

    /// The newest block here or, when none is, in the log: what the next one follows.
    ///
    /// # Errors
    /// `Store`.
    pub fn chain_head<R: Reader>(&self, reader: &R) -> BlockResult<Option<BlockRef>> {
        match self.head(reader)? {
            Some(head) => Ok(Some(BlockRef {
                height: head.info.height,
                hash: head.info.hash,
            })),
            None => self.log.head(reader),
        }
    }

    /// Takes the newest block away and gives it.
    ///
    /// # Errors
    /// `Store`.
    pub fn pop<W: WriteTxn>(&self, txn: &mut W) -> BlockResult<Option<LogBlock>> {
        let Some(head) = self.head(txn)? else {
            return Ok(None);
        };
        self.remove_from(txn, head.info.height)?;
        Ok(Some(head))
    }

    /// Takes away the blocks of this number and above, as a fork switch does; how many that were.
    ///
    /// # Errors
    /// `Store`.
    pub fn remove_from<W: WriteTxn>(&self, txn: &mut W, number: Height) -> BlockResult<u64> {
        self.log.blocks().drop_uncommitted(txn)?;
        self.remove_rows_from(txn, number)
    }

    fn remove_rows_from<W: WriteTxn>(&self, txn: &mut W, number: Height) -> BlockResult<u64> {
        let mut removed = 0;
        loop {
            let head = {
                let range = KeyRange::from_key(&layout::number_key(number));
                let mut rows = txn.cursor(self.blocks, range)?;
                let row = rows.last()?;
                row.map(|row| layout::number_of_key(row.key)).transpose()?
            };
            let Some(head) = head else {
                return Ok(removed);
            };
            self.forget(txn, head)?;
            removed += 1;
        }
    }

    /// Removes the rows of one block.
    fn forget<W: WriteTxn>(&self, txn: &mut W, number: Height) -> BlockResult<()> {
        let block = self.known(txn, number)?;
        txn.delete(self.ids, block.info.hash.as_bytes())?;
        Ok(txn.delete(self.blocks, &layout::number_key(number))?)
    }

    /// Moves the blocks up to this number to the log; how many that were, none when they are there
    /// already. They are durable in the log when this returns, and have moved with the caller's
    /// commit. A transaction that is given up leaves them here: what the log has of them goes with
    /// the next write, or, if the process ends before that, they have moved after all.
    ///
    /// Cost: one sync for each 16 MiB of blocks.
    ///
    /// # Errors
    /// `OutOfRange`, `Empty` when the number is above the newest block; of appending to the log.
    /// The transaction is as it was before.
    pub fn make_irreversible<W: WriteTxn>(&self, txn: &mut W, up_to: Height) -> BlockResult<u64> {
        let (Some(first), Some(head)) = (self.first(txn)?, self.head(txn)?) else {
            return match self.log.head(txn)? {
                Some(head) if up_to <= head.height => Ok(0),
                Some(head) => Err(BlockError::OutOfRange {
                    asked: up_to,
                    tail: head.height,
                    tip: head.height,
                }),
                None => Err(BlockError::Empty),
            };
        };
        if up_to > head.info.height {
            return Err(BlockError::OutOfRange {
                asked: up_to,
                tail: first,
                tip: head.info.height,
            });
        }
        let savepoint = txn.savepoint()?;
        let moved = self.move_range(txn, first, up_to);
        match &moved {
            Ok(_) => txn.release(savepoint)?,
            // An engine that failed takes nothing back but the whole transaction; what is told is
            // the first error.
            Err(_) => drop(txn.rollback_to(savepoint)),
        }
        moved
    }

    fn move_range<W: WriteTxn>(
        &self,
        txn: &mut W,
        first: Height,
        up_to: Height,
    ) -> BlockResult<u64> {
        let (mut batch, mut bytes, mut moved) = (Vec::new(), 0, 0);
        for number in first.get()..=up_to.get() {
            let block = self.known(txn, Height::new(number))?;
            bytes += block.info.body_bytes;
            batch.push(block);
            if bytes >= MOVED_BYTES || number == up_to.get() {
                let blocks: Vec<NewBlock<'_>> = batch.iter().map(LogBlock::as_new).collect();
                self.log.append_all(txn, &blocks)?;
                for block in batch.drain(..) {
                    self.forget(txn, block.info.height)?;
                    moved += 1;
                }
                bytes = 0;
            }
        }
        Ok(moved)
    }
}

fn place(table: &TableDef) -> String {
    format!("table {}", table.name())
}
