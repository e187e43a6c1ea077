//! Targets of Bitcoin's formats: transactions, blocks, block files, rows of the world state.
//!
//! The proof of work and the Merkle root guard a block, so one that fails at them is tried again
//! with the root that its transactions have and with a few other nonces at the easiest target.

use std::cell::OnceCell;
use std::io::Cursor;
use std::path::Path;

use chain_store::bitcoin::{
    Block, BlockFile, DecodeFault, Error, HEADER_BYTES, Header, Network, OutPoint, SATOSHI_MAX,
    Transaction, UnspentOutput, coinbase_height, is_unspendable,
};
use chain_store::{AnyStore, BitcoinImport, Bodies, StoreStat, UnspentSet};
use storage_api::{ChecksumSetting, Durability, KvStore, TableId, WriteBatch, Writer};

use crate::must;

const MERKLE_ROOT_AT: usize = 36;
const BITS_AT: usize = 72;
const NONCE_AT: usize = 76;
/// Half of all hashes are below the easiest target, so this many fail once in 65,536 times.
const NONCES: u32 = 16;
/// Compressed files are kept short: some decompress to a thousand times as much.
const FILE_BYTES_MAX: usize = 64 << 10;

/// A transaction: its parts are those that its counts say, and within the limits.
pub(crate) fn transaction(data: &[u8]) {
    let Ok(transaction) = Transaction::decode(data) else {
        return;
    };
    assert_eq!(transaction.bytes(), data);
    check_transaction(&transaction);
}

fn check_transaction(transaction: &Transaction<'_>) {
    assert_eq!(transaction.inputs().len(), transaction.inputs().count());
    assert_eq!(transaction.outputs().len(), transaction.outputs().count());
    assert!(transaction.inputs().len() > 0 && transaction.outputs().len() > 0);
    let mut sum = 0;
    for (vout, output) in (0..).zip(transaction.outputs()) {
        sum += output.value.0;
        let kept = UnspentOutput {
            height: vout,
            is_coinbase: transaction.is_coinbase(),
            value: output.value,
            script: output.script,
        };
        let bytes = kept.encode();
        assert_eq!(UnspentOutput::decode(&bytes).ok(), Some(kept));
        let point = OutPoint {
            tx_id: transaction.tx_id(),
            vout,
        };
        assert_eq!(OutPoint::from_key(&point.to_key()), Some(point));
    }
    assert!(sum <= SATOSHI_MAX && sum == transaction.output_value().0);
}

/// A block, and the same one with its root and work made right.
pub(crate) fn block(data: &[u8]) {
    let header = Header::decode(data);
    assert_eq!(header.is_ok(), data.len() >= HEADER_BYTES);
    if let Ok(block) = Block::decode(data.to_vec(), None) {
        check_block(&block, data);
    }
    let mut bytes = data.to_vec();
    let Some(bits) = bytes.get_mut(BITS_AT..NONCE_AT) else {
        return;
    };
    bits.copy_from_slice(&Network::Regtest.easiest_bits().to_le_bytes());
    let mut root_is_right = false;
    for nonce in 0..NONCES {
        if let Some(place) = bytes.get_mut(NONCE_AT..HEADER_BYTES) {
            place.copy_from_slice(&nonce.to_le_bytes());
        }
        let fault = match Block::decode(bytes.clone(), Some(Network::Regtest)) {
            Ok(block) => return check_block(&block, &bytes),
            Err(error) => {
                assert!(error.offset <= bytes.len(), "{error}");
                error.fault
            }
        };
        match fault {
            DecodeFault::Work { .. } => {}
            DecodeFault::MerkleRoot { computed, .. } if !root_is_right => {
                if let Some(place) = bytes.get_mut(MERKLE_ROOT_AT..MERKLE_ROOT_AT + 32) {
                    place.copy_from_slice(computed.as_bytes());
                }
                root_is_right = true;
            }
            _ => return,
        }
    }
}

fn check_block(block: &Block, bytes: &[u8]) {
    assert_eq!(block.bytes(), bytes);
    let mut at = None;
    for (number, transaction) in block.transactions().enumerate() {
        assert_eq!(transaction.is_coinbase(), number == 0);
        assert!(at.is_none_or(|at| at == transaction.offset()), "a gap");
        at = Some(transaction.offset() + transaction.bytes().len());
        check_transaction(&transaction);
        let alone = must("a transaction", Transaction::decode(transaction.bytes()));
        assert_eq!(alone.tx_id(), transaction.tx_id());
    }
    assert_eq!(at, Some(bytes.len()), "bytes are left over");
    assert_eq!(block.header().hash, block.hash());
    let _ = block.coinbase_height();
}

fn open(data: &[u8]) -> Result<BlockFile, Error> {
    BlockFile::from_reader(Path::new("file"), Cursor::new(data.to_vec()))
}

/// A block file, plain or compressed: records in order, the same whether they are decoded or not.
pub(crate) fn file(data: &[u8]) {
    let data = data.get(..FILE_BYTES_MAX).unwrap_or(data);
    let (mut records, mut blocks) = match (open(data), open(data)) {
        (Ok(records), Ok(blocks)) => (records, blocks),
        (Err(error), Err(_)) => return check_error(&error, 0),
        _ => panic!("a file opens one time and not the other"),
    };
    let (mut count, mut offset) = (0, 0);
    loop {
        let record = match records.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => {
                assert!(blocks.next().is_none());
                return;
            }
            Err(error) => {
                check_error(&error, count);
                let block = blocks.next();
                assert!(block.is_some_and(|block| block.is_err()));
                assert!(blocks.next().is_none() && matches!(records.next_record(), Ok(None)));
                return;
            }
        };
        assert_eq!(record.position.record, count);
        assert!(record.position.offset >= offset, "records overlap");
        offset = record.position.offset + record.bytes.len() as u64;
        let decoded = record.clone().decode();
        match (blocks.next(), decoded) {
            (Some(Ok(block)), Ok(decoded)) => {
                assert_eq!(block.position, record.position);
                assert_eq!(block.block.bytes(), decoded.block.bytes());
                let header = must("the header of a good block", record.header());
                assert_eq!(header.hash, block.block.hash());
            }
            (Some(Err(error)), Err(_)) => {
                check_error(&error, count);
                return assert!(blocks.next().is_none());
            }
            (block, decoded) => panic!("{block:?} and {decoded:?}"),
        }
        count += 1;
    }
}

fn check_error(error: &Error, record: u64) {
    assert!(error.to_string().contains("file"), "{error}");
    if let Some(at) = error.position() {
        assert_eq!(at.record, record, "{error}");
    } else {
        assert_eq!(record, 0, "{error}");
    }
}

/// Rows of unspent outputs, their keys, and scripts: one encoding each.
pub(crate) fn unspent(data: &[u8]) {
    if let Ok(output) = UnspentOutput::decode(data) {
        assert_eq!(output.encode(), data, "one output has two encodings");
    }
    match OutPoint::from_key(data) {
        Some(point) => assert_eq!(&point.to_key()[..], data),
        None => assert_ne!(data.len(), 36),
    }
    let _ = (is_unspendable(data), coinbase_height(data));
}

/// The row of the summary, read back through a store.
pub(crate) fn state(data: &[u8]) {
    thread_local! {
        static STORE: OnceCell<(AnyStore, TableId)> = const { OnceCell::new() };
    }
    STORE.with(|cell| {
        let (store, table) = cell.get_or_init(|| {
            let schema = BitcoinImport::schema(Bodies::Store, ChecksumSetting::None);
            let store = AnyStore::open("mem:", &must("the schema", schema));
            let store = must("a store in memory", store);
            let table = must("the table", store.catalogue().id("bitcoin.state"));
            (store, table)
        });
        let mut batch = WriteBatch::new();
        must("a row", batch.put(*table, b"summary", data));
        must("a commit", store.apply(&batch, Durability::Volatile));
        let set = must("the tables", UnspentSet::resolve(store.catalogue()));
        let view = must("a view", store.begin_read());
        let stat = StoreStat::gather(store);
        match set.summary(&view) {
            Ok(summary) => {
                let outputs = summary.map(|summary| summary.unspent_outputs);
                let stated = must("the figures", stat).bitcoin;
                assert_eq!(stated.map(|stat| stat.unspent_outputs), outputs);
            }
            Err(error) => assert!(error.is_corruption() && stat.is_err(), "{error}"),
        }
    });
}
