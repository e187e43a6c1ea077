//! How much memory an export takes: that of a block, however many there are.

use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use chain_store::bitcoin::{BtcHash, Network};
use chain_store::export::{Export, ExportOptions, Origin};
use chain_store::{AnyStore, EngineName};
use conformance::scaled;
use sha2::{Digest, Sha256};
use stats_alloc::Region;
use storage_api::blocks::{BlockHash, BlockStore, Height, NewBlock, TxId};
use storage_api::{Durability, KvStore, WriteTxn};

use super::{FRAMED, blocks_of, empty};
use crate::ALLOCATOR;

const BLOCK_BYTES: usize = 200_000;
/// What an export sets aside once: its output buffer.
const ONCE_BYTES: usize = 96 * 1024;

fn twice(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(Sha256::digest(bytes)).into()
}

/// A block of regtest whose one transaction is large.
fn block(parent: [u8; 32], height: u32) -> (Vec<u8>, [u8; 32], [u8; 32]) {
    let mut coinbase = [&[1, 0, 0, 0, 1][..], &[0; 32], &[0xff; 4], &[5, 4]].concat();
    coinbase.extend(height.to_le_bytes());
    coinbase.extend([&[0xff; 4][..], &[1], &[0; 8], &[0xfe]].concat());
    coinbase.extend((BLOCK_BYTES as u32).to_le_bytes());
    coinbase.extend(vec![0x51; BLOCK_BYTES]);
    coinbase.extend([0; 4]);
    let tx_id = twice(&coinbase);
    let mut header = [&[2, 0, 0, 0][..], &parent, &tx_id, &[0; 4]].concat();
    header.extend(0x207f_ffff_u32.to_le_bytes());
    let mined = (0_u32..).map(|nonce| [&header[..], &nonce.to_le_bytes()].concat());
    let mut mined = mined.filter(|header| twice(header)[31] < 0x7f);
    let header = mined.next().unwrap();
    let hash = twice(&header);
    ([header, vec![1], coinbase].concat(), hash, tx_id)
}

fn filled(blocks: u32) -> Arc<AnyStore> {
    let store = empty(EngineName::Mem, Path::new("unused"), FRAMED.chain);
    let mut parent = Network::Regtest.genesis_hash().to_bytes();
    for height in 1..=blocks {
        let (body, hash, tx_id) = block(parent, height);
        let tx_ids = [TxId::new(&tx_id).unwrap()];
        let staged = blocks_of(&store).stage(NewBlock {
            height: Height::new(height.into()),
            hash: BlockHash::new(&hash).unwrap(),
            parent: BlockHash::new(&parent).unwrap(),
            tx_ids: &tx_ids,
            body: &body,
        });
        let mut txn = store.begin_write().unwrap();
        blocks_of(&store).append(&mut txn, staged.unwrap()).unwrap();
        txn.commit(Durability::Volatile).unwrap();
        parent = BtcHash::from_bytes(hash).to_bytes();
    }
    store
}

/// Runs alone in a process of its own, so that the counts are its own.
#[test]
#[ignore = "started by an_export_takes_the_memory_of_one_block, alone in its process"]
fn an_export_alone() {
    let blocks = scaled(400) as u32;
    let store = filled(blocks);
    let view = store.begin_read().unwrap();
    let kept = blocks_of(&store);
    let origin = Origin::default();
    let export = Export::plan(&kept, &view, &origin, ExportOptions::default()).unwrap();
    let whole = Region::new(ALLOCATOR);
    let mut step = Region::new(ALLOCATOR);
    let mut once = ONCE_BYTES;
    let report = export.write(&mut std::io::sink(), None, &mut |report| {
        // All that was set aside for this block, given back or not, is two copies of it at most.
        let spent = step.change_and_reset();
        let spent_bytes = spent.bytes_allocated + spent.bytes_reallocated.unsigned_abs();
        let limit = 2 * BLOCK_BYTES + once;
        assert!(spent_bytes <= limit, "{spent_bytes} for one block");
        once = 0;
        let now = whole.change();
        let held_bytes = now.bytes_allocated.saturating_sub(now.bytes_deallocated);
        let place = report.blocks;
        assert!(held_bytes <= ONCE_BYTES, "{held_bytes} after block {place}");
        ControlFlow::Continue(())
    });
    let report = report.unwrap();
    assert_eq!(report.blocks, u64::from(blocks));
    assert!(report.file_bytes > u64::from(blocks) * BLOCK_BYTES as u64);
}

#[test]
fn an_export_takes_the_memory_of_one_block() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([
            "--exact",
            "export::memory::an_export_alone",
            "--ignored",
            "--test-threads=1",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{errors}");
    assert!(text.contains("1 passed"), "the test was not found: {text}");
}
