//! What is done to a store of blocks: bodies of 20 KiB without transactions, appended one a commit,
//! then read at random heights. The store is one of its own, so that blocks disturb no other row.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, ensure};
use storage_api::blocks::{BlockHash, BlockStore, Height, KvBlockStore, NewBlock};
use storage_api::{Durability, KvStore};

use crate::figures::{Lap, timed};
use crate::workload::{BODY_BYTES, Plan};

/// The hash of the block of this number; blocks are numbered from 1 here, the parent of the first
/// is 0.
fn hash(number: u64) -> Result<BlockHash> {
    let mut bytes = [0; 32];
    // An odd multiplier scatters the hashes over the table, as real ones are, and keeps them
    // distinct.
    let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for (at, chunk) in (1..).zip(bytes.chunks_exact_mut(8)) {
        chunk.copy_from_slice(&mixed.rotate_left(at * 13).to_be_bytes());
    }
    Ok(BlockHash::new(&bytes)?)
}

/// Appends all blocks, one durable commit each.
///
/// # Errors
/// Of the store; totals that are not what was appended.
pub fn append<S: KvStore>(store: &Arc<S>, plan: &Plan) -> Result<Lap> {
    let chain = KvBlockStore::over(Arc::clone(store), Durability::Durable)?;
    let blocks = plan.sizes.blocks as u64;
    let ((), lap) = timed(|| {
        for number in 0..blocks {
            chain.append(NewBlock {
                height: Height::new(number),
                hash: hash(number + 1)?,
                parent: hash(number)?,
                tx_ids: &[],
                body: plan.bytes.body(number),
            })?;
        }
        Ok(())
    })?;
    let totals = chain.totals()?;
    let expected = (blocks, blocks * BODY_BYTES as u64);
    ensure!(
        (totals.blocks, totals.body_bytes) == expected,
        "the chain has {totals:?}, {expected:?} blocks and bytes expected"
    );
    Ok(lap)
}

/// Reads the body at each planned height from one view.
///
/// # Errors
/// Of the store; a body that is missing or too short.
pub fn read<S: KvStore>(store: &Arc<S>, plan: &Plan) -> Result<Lap> {
    let chain = KvBlockStore::over(Arc::clone(store), Durability::Durable)?;
    let view = store.begin_read()?;
    let (bytes, lap) = timed(|| {
        let mut bytes = 0;
        for height in &plan.heights {
            let height = Height::new(*height);
            chain.blocks().with_body(&view, height, &mut |body| {
                bytes += body.len();
                black_box((body.first(), body.last()));
            })?;
        }
        Ok(bytes)
    })?;
    let expected = plan.heights.len() * BODY_BYTES;
    ensure!(
        bytes == expected,
        "bodies have {bytes} bytes, {expected} expected"
    );
    Ok(lap)
}

/// Compares every body with the plan's. Not timed.
///
/// # Errors
/// Of the store; the first body that is not the plan's.
pub fn verify<S: KvStore>(store: &Arc<S>, plan: &Plan) -> Result<()> {
    let chain = KvBlockStore::over(Arc::clone(store), Durability::Durable)?;
    for number in 0..plan.sizes.blocks as u64 {
        let found = chain.get_at(Height::new(number))?;
        let same = found.is_some_and(|(_, body)| body == plan.bytes.body(number));
        ensure!(same, "block {number} is not what was appended");
    }
    Ok(())
}
