//! Which blocks of Bitcoin files are below a store's tail: pruned, or never stored because the
//! store began above them. Their hashes are not known, so only their heights say it.
//!
//! Invariants: a height comes from a genesis block, else from the parent when that was passed over
//! just before, else from the coinbase, and there only from where BIP 34 is enforced: what a block
//! before that states is any number. A block without a height is not passed over. Nothing is stored
//! for what is said here: a chain that differs below the tail is refused at it, because the parent
//! of its block there is not stored. Cost: the memory of one block's hash.

use storage_api::Result;
use storage_api::blocks::{BlockHash, BlockRef, Height};

use crate::bitcoin::{Block, Network};

/// The block that was passed over last.
#[derive(Debug, Default)]
pub(super) struct PassedOver {
    last: Option<BlockRef>,
}

impl PassedOver {
    pub(super) fn set(&mut self, block: BlockRef) {
        self.last = Some(block);
    }

    /// The height of a block whose parent is not stored; `None` when nothing certain says it.
    pub(super) fn height_of(&self, block: &Block) -> Result<Option<Height>> {
        if block.is_genesis() {
            return Ok(Some(Height::ZERO));
        }
        if Network::from_genesis(&block.parent()).is_some() {
            return Ok(Some(Height::ZERO.next()));
        }
        let parent = BlockHash::new(block.parent().as_bytes())?;
        if let Some(last) = self.last.filter(|last| last.hash == parent) {
            return Ok(Some(last.height.next()));
        }
        let enforced = bip34_height(block.network());
        Ok(block
            .coinbase_height()
            .filter(|height| *height >= enforced)
            .map(|height| Height::new(u64::from(height))))
    }
}

/// The first height whose coinbase has to state it. Source: BIP 34, and `BIP34Height` of Bitcoin
/// Core's chain parameters. A bare block may be of mainnet.
const fn bip34_height(network: Option<Network>) -> u32 {
    match network {
        Some(Network::Testnet3) => 21_111,
        Some(Network::Testnet4 | Network::Signet | Network::Regtest) => 1,
        Some(Network::Mainnet) | None => 227_931,
    }
}
