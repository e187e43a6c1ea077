//! [`Blocks`]: a system's chain; opening it, restoring blocks, taking them back.
//!
//! Invariants: a block is admitted before anything of it is written, in the transaction that takes
//! it, so a refused one changes no byte of a file and no row; its bytes are durable before its rows
//! are committed, and rows and counters are one commit; heights begin at 1 and have no gap. Cost of
//! a block: one write, one sync, one commit; of a list, one sync and one commit for each
//! [`GROUP_BLOCKS`] blocks.

use std::fmt;
use std::sync::Arc;

use blocks::{Opened, SegmentBlocks, SegmentOptions};
use seglog::disk::Disk;
use storage_api::blocks::{BlockHash, BlockRef, BlockStore, Height, NewBlock};
use storage_api::{ChecksumSetting, KvStore, Reader, Result as StoreResult, Schema, WriteTxn};

use super::codec::{BlockCodec, BlockFacts, Codec2018};
use super::error::{Error, PreviousHash, RestoreError};
use super::words::{Options, Restored};

/// The height of the first block.
pub const FIRST_HEIGHT: Height = Height::new(1);

/// What the index has as the parent of a first block, whose previous hash is empty: one zero byte,
/// which is no hash of RepChain's.
pub(crate) const NO_PARENT: [u8; 1] = [0];

/// Blocks of a list that share a sync and a commit, at most.
pub const GROUP_BLOCKS: usize = 64;

/// Bytes of the blocks that share a sync and a commit, unless the last of them is longer.
const GROUP_BYTES: usize = 8 << 20;

/// The chain of one system over a store `S`, its blocks written as `C` says: the block chapter of
/// RepChain's `ImpDataAccess`. See the module's head for its names.
pub struct Blocks<S, C = Codec2018> {
    pub(crate) store: Arc<S>,
    pub(crate) blocks: SegmentBlocks<S>,
    pub(crate) codec: C,
    pub(crate) options: Options,
}

impl<S, C> fmt::Debug for Blocks<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocks")
            .field("options", &self.options)
            .field("blocks", &self.blocks)
            .finish_non_exhaustive()
    }
}

/// What a block is to the chain.
enum Admission {
    /// The next block: its height, and its parent in the index.
    Next(Height, BlockHash),
    /// The last block.
    Head(Height),
}

/// A block of a group that may be written.
struct Admitted {
    /// Its place in the group.
    at: usize,
    height: Height,
    parent: BlockHash,
}

/// What a group of blocks came to.
struct Group {
    /// Blocks from its beginning that are in the chain now.
    restored: u64,
    failed: Option<Error>,
}

impl<S: KvStore> Blocks<S> {
    /// The tables, with or without checksum envelope.
    ///
    /// # Errors
    /// None in practice: the tables are constants.
    pub fn schema(checksum: ChecksumSetting) -> StoreResult<Schema> {
        SegmentBlocks::<S>::schema(checksum)
    }

    /// Opens the chain of a system: its block files in a folder beside a store that was opened with
    /// [`Blocks::schema`]. What a crash left beyond the last commit is removed. The folder is the
    /// caller's, who makes sure that nobody else writes to it: it lies in the store's directory.
    ///
    /// # Errors
    /// `Block` as [`SegmentBlocks::open`].
    pub fn open(
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &Options,
    ) -> Result<(Self, Opened), Error> {
        Self::open_with(Codec2018::default(), store, disk, options)
    }
}

impl<S: KvStore, C: BlockCodec> Blocks<S, C> {
    /// As [`Blocks::open`], for blocks of another generation.
    ///
    /// # Errors
    /// As [`Blocks::open`].
    pub fn open_with(
        codec: C,
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &Options,
    ) -> Result<(Self, Opened), Error> {
        let segments = SegmentOptions {
            chain: options.chain(),
            segment_bytes_max: options.file_bytes_max,
            advance_bytes: options.advance_bytes,
        };
        let (blocks, opened) = SegmentBlocks::open(Arc::clone(&store), disk, &segments)?;
        let options = options.clone();
        let opened_blocks = Self {
            store,
            blocks,
            codec,
            options,
        };
        Ok((opened_blocks, opened))
    }

    /// As [`Blocks::open_with`], to be read only: writes nothing.
    ///
    /// # Errors
    /// As [`Blocks::open`].
    pub fn open_read_only(
        codec: C,
        store: Arc<S>,
        disk: Arc<dyn Disk>,
        options: &Options,
    ) -> Result<(Self, Opened), Error> {
        let (blocks, opened) =
            SegmentBlocks::open_read_only(Arc::clone(&store), disk, options.chain())?;
        let options = options.clone();
        let opened_blocks = Self {
            store,
            blocks,
            codec,
            options,
        };
        Ok((opened_blocks, opened))
    }

    /// `getSystemName` (R5).
    #[must_use]
    pub fn get_system_name(&self) -> &str {
        &self.options.system_name
    }

    /// The block store below, for work inside a transaction of the caller's.
    #[must_use]
    pub fn blocks(&self) -> &SegmentBlocks<S> {
        &self.blocks
    }

    /// The codec.
    #[must_use]
    pub fn codec(&self) -> &C {
        &self.codec
    }

    /// Whether a block may follow the tip.
    fn admit<R: Reader>(
        &self,
        reader: &R,
        tip: Option<&BlockRef>,
        facts: &BlockFacts,
    ) -> Result<Admission, Error> {
        if let Some(tip) = tip.filter(|tip| tip.hash == facts.hash) {
            return Ok(Admission::Head(tip.height));
        }
        if let Some(height) = self.blocks.height_of(reader, &facts.hash)? {
            return Err(Error::AlreadyStored { height });
        }
        let expected = tip.map(|tip| tip.hash);
        let height = tip.map_or(FIRST_HEIGHT, |tip| tip.height.next());
        if facts.previous != expected {
            return Err(Error::WrongPrevious {
                height,
                expected: PreviousHash::of(expected.as_ref()),
                found: PreviousHash::of(facts.previous.as_ref()),
            });
        }
        let parent = match expected {
            Some(parent) => parent,
            None => BlockHash::new(&NO_PARENT)?,
        };
        Ok(Admission::Next(height, parent))
    }

    fn check_space(&self) -> Result<(), Error> {
        let least = self.options.disk_free_bytes_min;
        if least == 0 {
            return Ok(());
        }
        match self.store.stats()?.disk_free_bytes {
            Some(free) if free < least => {
                tracing::warn!(free, least, "the disk is nearly full: blocks are refused");
                Err(Error::LowDiskSpace { free, least })
            }
            _ => Ok(()),
        }
    }

    /// What is known of the block of these bytes.
    pub(crate) fn facts(&self, bytes: &[u8]) -> Result<BlockFacts, Error> {
        let block = self.codec.decode(bytes)?;
        Ok(self.codec.facts(bytes, &block)?)
    }

    /// `restoreBlock` (R15, R23): takes the block that follows the last one. The last one again is
    /// a success that changes nothing.
    ///
    /// # Errors
    /// `WrongPrevious`, `AlreadyStored`, `LowDiskSpace`, `Codec`: nothing was written. `Block` when
    /// the store failed; the block is stored as a whole or not at all, and `CommitUnknown` says
    /// that only opening again tells which.
    pub fn restore_block(&self, block: &C::Block) -> Result<Restored, Error> {
        self.restore_block_bytes(&self.codec.encode(block))
    }

    /// As [`Blocks::restore_block`], of a block's bytes as they came: they are kept as they are.
    ///
    /// # Errors
    /// As [`Blocks::restore_block`].
    pub fn restore_block_bytes(&self, bytes: &[u8]) -> Result<Restored, Error> {
        let facts = self.facts(bytes)?;
        let mut txn = self.store.begin_write()?;
        let restored = self.restore_facts(&mut txn, &facts, bytes)?;
        if matches!(restored, Restored::Written(_)) {
            txn.commit(self.options.durability)?;
        }
        Ok(restored)
    }

    /// As [`Blocks::restore_block_bytes`], in a transaction of the caller's, who commits it with
    /// whatever else belongs to the block, or drops it. Of a dropped one nothing can be read, and
    /// its bytes go with their file or at the next opening.
    ///
    /// # Errors
    /// As [`Blocks::restore_block`].
    pub fn restore_block_in<W: WriteTxn>(
        &self,
        txn: &mut W,
        bytes: &[u8],
    ) -> Result<Restored, Error> {
        self.restore_facts(txn, &self.facts(bytes)?, bytes)
    }

    fn restore_facts<W: WriteTxn>(
        &self,
        txn: &mut W,
        facts: &BlockFacts,
        bytes: &[u8],
    ) -> Result<Restored, Error> {
        let tip = self.blocks.tip(txn)?;
        let (height, parent) = match self.admit(txn, tip.as_ref(), facts)? {
            Admission::Next(height, parent) => (height, parent),
            Admission::Head(height) => return Ok(Restored::WasHead(height)),
        };
        self.check_space()?;
        let staged = self.blocks.stage(NewBlock {
            height,
            hash: facts.hash,
            parent,
            tx_ids: &facts.tx_ids,
            body: bytes,
        })?;
        self.blocks.append(txn, staged)?;
        Ok(Restored::Written(height))
    }

    /// `restoreBlocks` (R15): takes blocks, each of which follows the one before it, and says how
    /// many: all of them.
    ///
    /// # Errors
    /// [`RestoreError`] with the number of those before the one that failed, which are durable, and
    /// with what [`Blocks::restore_block`] says of that one.
    pub fn restore_blocks(&self, blocks: &[C::Block]) -> Result<u64, RestoreError> {
        self.restore_blocks_bytes(blocks.iter().map(|block| self.codec.encode(block)))
    }

    /// As [`Blocks::restore_blocks`], of blocks' bytes as they come; of an iterator no more is held
    /// than a group.
    ///
    /// # Errors
    /// As [`Blocks::restore_blocks`].
    pub fn restore_blocks_bytes<B: AsRef<[u8]>>(
        &self,
        blocks: impl IntoIterator<Item = B>,
    ) -> Result<u64, RestoreError> {
        let mut blocks = blocks.into_iter();
        let mut restored = 0;
        loop {
            let (mut group, mut bytes) = (Vec::new(), 0);
            while group.len() < GROUP_BLOCKS && bytes < GROUP_BYTES {
                let Some(block) = blocks.next() else { break };
                bytes += block.as_ref().len();
                group.push(block);
            }
            if group.is_empty() {
                return Ok(restored);
            }
            let done = self.restore_group(&group);
            restored += done.restored;
            if let Some(source) = done.failed {
                return Err(RestoreError { restored, source });
            }
        }
    }

    /// Takes the blocks of a group up to the first that cannot be taken, in one commit.
    fn restore_group<B: AsRef<[u8]>>(&self, group: &[B]) -> Group {
        let (mut facts, mut failed) = (Vec::with_capacity(group.len()), None);
        for bytes in group {
            match self.facts(bytes.as_ref()) {
                Ok(known) => facts.push(known),
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            }
        }
        let mut admitted = Vec::with_capacity(facts.len());
        match self.restore_known(group, &facts, &mut admitted) {
            Ok(Group {
                restored,
                failed: None,
            }) => Group { restored, failed },
            Ok(ended) => ended,
            Err(error) => Group {
                // Of what was to be written nothing is there; what came before it was there before.
                restored: admitted.first().map_or(0, |first| first.at as u64),
                failed: Some(error),
            },
        }
    }

    fn restore_known<B: AsRef<[u8]>>(
        &self,
        group: &[B],
        facts: &[BlockFacts],
        admitted: &mut Vec<Admitted>,
    ) -> Result<Group, Error> {
        let mut txn = self.store.begin_write()?;
        let mut failed = self.admit_group(&txn, facts, admitted).err();
        let mut staged = Vec::with_capacity(admitted.len());
        if !admitted.is_empty() {
            self.check_space()?;
        }
        for block in &*admitted {
            let (Some(body), Some(facts)) = (group.get(block.at), facts.get(block.at)) else {
                break;
            };
            let new = NewBlock {
                height: block.height,
                hash: facts.hash,
                parent: block.parent,
                tx_ids: &facts.tx_ids,
                body: body.as_ref(),
            };
            match self.blocks.stage(new) {
                Ok(block) => staged.push(block),
                Err(error) => {
                    failed = Some((block.at, error.into()));
                    break;
                }
            }
        }
        if !staged.is_empty() {
            // All are staged before the first is appended, so one sync makes all of them durable.
            for block in staged {
                self.blocks.append(&mut txn, block)?;
            }
            txn.commit(self.options.durability)?;
        }
        let (restored, failed) = match failed {
            Some((at, error)) => (at, Some(error)),
            None => (facts.len(), None),
        };
        Ok(Group {
            restored: restored as u64,
            failed,
        })
    }

    /// Admits the blocks of a group, each behind the one before it; the first that cannot be taken
    /// ends it, with its place.
    fn admit_group<R: Reader>(
        &self,
        reader: &R,
        facts: &[BlockFacts],
        admitted: &mut Vec<Admitted>,
    ) -> Result<(), (usize, Error)> {
        let mut tip = self.blocks.tip(reader).map_err(|error| (0, error.into()))?;
        for (at, block) in facts.iter().enumerate() {
            let is_tip = tip.is_some_and(|tip| tip.hash == block.hash);
            let is_twin =
                |one: &&Admitted| facts.get(one.at).map(|one| one.hash) == Some(block.hash);
            if let Some(twin) = admitted.iter().find(is_twin).filter(|_| !is_tip) {
                let height = twin.height;
                return Err((at, Error::AlreadyStored { height }));
            }
            let admission = self.admit(reader, tip.as_ref(), block);
            if let Admission::Next(height, parent) = admission.map_err(|error| (at, error))? {
                tip = Some(BlockRef {
                    height,
                    hash: block.hash,
                });
                admitted.push(Admitted { at, height, parent });
            }
        }
        Ok(())
    }

    /// `rollbackToHeight` (R26): takes every block above this height back, with their rows, and
    /// cuts the files; 0 takes all. One commit, then the files; a crash between is put in order by
    /// the next opening. Files that an open view may still read are cut by a later call.
    ///
    /// # Errors
    /// `Block` with `OutOfRange` or `Empty`: nothing was changed. `Block` with `Store` also when
    /// the rows are gone and the files could not be cut, which the next opening does.
    pub fn rollback_to_height(&self, height: Height) -> Result<(), Error> {
        let mut txn = self.store.begin_write()?;
        let tip = self.blocks.tip(&txn)?.map(|tip| tip.height);
        if tip.unwrap_or(Height::ZERO) == height {
            return Ok(());
        }
        let kept = (height >= FIRST_HEIGHT).then_some(height);
        let cleanup = self.blocks.truncate(&mut txn, kept)?;
        txn.commit(self.options.durability)?;
        Ok(self.blocks.finish(cleanup)?)
    }
}
