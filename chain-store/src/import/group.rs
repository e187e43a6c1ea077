//! Blocks of a file that wait to be stored in one commit.
//!
//! Invariants: blocks are stored in their order, all of a group or those before the first that is
//! refused; what waits is at most [`BLOCKS_MAX`] blocks and [`BYTES_MAX`] bytes of bodies, or one
//! body that is longer. Cost: one commit, and where bodies lie in segments one sync, for all.

use std::borrow::Cow;

use chain_files::{FileBlock, Position};
use storage_api::blocks::{BlockHash, BlockStore, Height, NewBlock, TxId};
use storage_api::{KvStore, Result};

use super::ImportError;
use crate::any::{AnyStore, AnyWriteTxn};
use crate::bodies::{Blocks, Staged};

/// Blocks of a group: more hardly make a commit cheaper.
pub(super) const BLOCKS_MAX: usize = 1_000;

/// Bytes of the bodies of a group.
pub(super) const BYTES_MAX: usize = 1 << 20;

/// A block that is to be stored.
#[derive(Debug)]
pub(super) struct Waiting<'b> {
    /// Its record in the file.
    pub(super) at: Position,
    pub(super) height: Height,
    hash: BlockHash,
    parent: BlockHash,
    pub(super) tx_ids: Vec<TxId>,
    pub(super) body: Cow<'b, [u8]>,
}

impl<'b> Waiting<'b> {
    /// The block of a record, with the body borrowed.
    pub(super) fn of(block: &FileBlock<'b>) -> Result<Self> {
        Ok(Self {
            at: block.at,
            height: Height::new(block.number),
            hash: BlockHash::new(&block.hash)?,
            parent: BlockHash::new(&block.parent)?,
            tx_ids: block
                .tx_ids
                .iter()
                .map(|id| TxId::new(id))
                .collect::<Result<_>>()?,
            body: Cow::Borrowed(block.body),
        })
    }

    fn into_owned(self) -> Waiting<'static> {
        Waiting {
            at: self.at,
            height: self.height,
            hash: self.hash,
            parent: self.parent,
            tx_ids: self.tx_ids,
            body: Cow::Owned(self.body.into_owned()),
        }
    }

    fn as_new(&self) -> NewBlock<'_> {
        NewBlock {
            height: self.height,
            hash: self.hash,
            parent: self.parent,
            tx_ids: &self.tx_ids,
            body: &self.body,
        }
    }
}

/// Blocks that follow each other.
#[derive(Debug, Default)]
pub(super) struct Group {
    blocks: Vec<Waiting<'static>>,
    bytes: usize,
}

impl Group {
    /// Whether a block of this height follows what waits.
    pub(super) fn is_before(&self, height: Height) -> bool {
        self.blocks
            .last()
            .is_some_and(|last| last.height.next() == height)
    }

    pub(super) fn push(&mut self, block: Waiting<'_>) {
        self.bytes += block.body.len();
        self.blocks.push(block.into_owned());
    }

    pub(super) fn is_full(&self) -> bool {
        self.blocks.len() >= BLOCKS_MAX || self.bytes >= BYTES_MAX
    }

    /// What waits, and nothing does then.
    pub(super) fn take(&mut self) -> Vec<Waiting<'static>> {
        self.bytes = 0;
        std::mem::take(&mut self.blocks)
    }
}

/// Which block of several was refused, and why.
pub(super) struct Refused {
    pub(super) index: usize,
    pub(super) why: ImportError,
}

/// Does the file work of blocks, and gives what was done and the first that failed.
pub(super) fn stage<'b>(
    blocks: &Blocks,
    waiting: &'b [Waiting<'_>],
) -> (Vec<Staged<'b>>, Option<Refused>) {
    let mut staged = Vec::with_capacity(waiting.len());
    for (index, block) in waiting.iter().enumerate() {
        match blocks.stage(block.as_new()) {
            Ok(block) => staged.push(block),
            Err(error) => {
                let why = error.into();
                return (staged, Some(Refused { index, why }));
            }
        }
    }
    (staged, None)
}

/// Begins a transaction and puts staged blocks into it; the transaction goes with the first that is
/// refused.
pub(super) fn append<'s>(
    store: &'s AnyStore,
    blocks: &Blocks,
    staged: &[Staged<'_>],
) -> std::result::Result<AnyWriteTxn<'s>, Refused> {
    let mut txn = match store.begin_write() {
        Ok(txn) => txn,
        Err(error) => {
            let why = error.into();
            return Err(Refused { index: 0, why });
        }
    };
    for (index, block) in staged.iter().enumerate() {
        if let Err(error) = blocks.append(&mut txn, *block) {
            let why = error.into();
            return Err(Refused { index, why });
        }
    }
    Ok(txn)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::path::Path;
    use std::sync::Arc;

    use storage_api::{ChecksumSetting, Durability, ReadTxn};

    use super::*;
    use crate::import::FileImport;
    use crate::{Bodies, EngineName, StoreUrl};

    fn block(height: u64, hash: u8) -> Waiting<'static> {
        let before = hash.wrapping_sub(1);
        Waiting {
            at: Position {
                record: height,
                ..Position::default()
            },
            height: Height::new(height),
            hash: BlockHash::new(&[hash; 32]).unwrap(),
            parent: BlockHash::new(&[before; 32]).unwrap(),
            tx_ids: vec![TxId::new(&[hash; 32]).unwrap()],
            body: Cow::Owned(vec![hash; 100]),
        }
    }

    fn import(engine: EngineName, bodies: Bodies, dir: &Path) -> (Arc<AnyStore>, FileImport) {
        let url = match engine {
            EngineName::Mem => StoreUrl::Memory,
            engine => StoreUrl::Engine(engine, dir.join("store")),
        };
        let schema = FileImport::schema(bodies, ChecksumSetting::None).unwrap();
        let store = Arc::new(AnyStore::open(&url.to_string(), &schema).unwrap());
        let import = FileImport::into(&store).unwrap();
        (store, import.with_durability(Durability::Buffered))
    }

    #[test]
    fn those_before_the_first_that_is_refused_are_stored_in_one_commit() {
        for engine in EngineName::compiled() {
            for bodies in Bodies::ALL {
                if engine == EngineName::Mem && bodies == Bodies::Segments {
                    continue;
                }
                let dir = tempfile::tempdir().unwrap();
                let (store, mut import) = import(engine, bodies, dir.path());
                let commits = |store: &AnyStore| store.begin_read().unwrap().commit_seq().unwrap();
                let before = commits(&store).get();
                // The fourth has the hash of the first: no chain goes on like that.
                let mut group = vec![block(0, 1), block(1, 2), block(2, 3), block(3, 1)];
                group[3].parent = group[2].hash;
                group.push(block(4, 5));
                let refused = import.commit(&group).unwrap_err();
                let ImportError::Refused { at, .. } = &refused else {
                    panic!("{engine}, {bodies}: {refused}");
                };
                assert_eq!(at.record, 3, "{engine}, {bodies}");
                assert_eq!(import.report().blocks, 3, "{engine}, {bodies}");
                assert_eq!(import.report().tip, Some(Height::new(2)));
                assert_eq!(commits(&store).get(), before + 1, "{engine}, {bodies}");
                import.commit(&[block(3, 4), block(4, 5)]).unwrap();
                let view = store.begin_read().unwrap();
                for (height, hash) in (0..5).zip(1_u8..) {
                    let body = import.blocks().body(&view, Height::new(height)).unwrap();
                    assert_eq!(body, Some(vec![hash; 100]), "{engine}, {bodies}, {height}");
                }
            }
        }
    }

    #[test]
    fn the_first_that_is_refused_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (store, mut import) = import(EngineName::Mem, Bodies::Store, dir.path());
        import.commit(&[block(7, 7)]).unwrap();
        let before = store.begin_read().unwrap().commit_seq().unwrap();
        let refused = import.commit(&[block(9, 9), block(10, 10)]).unwrap_err();
        assert!(matches!(refused, ImportError::Refused { .. }), "{refused}");
        assert_eq!(store.begin_read().unwrap().commit_seq().unwrap(), before);
        assert_eq!(import.report().blocks, 1);
    }
}
