//! Blocks that other people made. `CHAINSTORE_REALDATA` names the folder that holds them; without
//! it the folder beside the workspace is looked for, and a missing file is a visible skip.

use std::collections::HashMap;
use std::fs;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use super::builder::plain_root;
use crate::bitcoin::{
    Block, BlockFile, BtcHash, HEADER_BYTES, Header, Network, OutPoint, Satoshi, Transaction,
    UnspentOutput,
};

const TIP: &str = "00000000d0a75c861fabf9ff7b92022f60e4afeed9331fe5aa073d8e4706fe3c";

/// The file's path; `None` after saying so when it is absent and may be.
fn real_file(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CHAINSTORE_REALDATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/realdata"),
        PathBuf::from,
    );
    let path = folder.join(name);
    if path.is_file() {
        return Some(path);
    }
    let required = std::env::var("CHAINSTORE_REQUIRE_ALL").is_ok_and(|value| value == "1");
    assert!(!required, "{} is required and absent", path.display());
    eprintln!("SKIPPED: {} is absent", path.display());
    None
}

fn decompressed(name: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(real_file(name)?).unwrap();
    let mut out = Vec::new();
    if name.ends_with(".zst") {
        zstd::stream::read::Decoder::new(Cursor::new(bytes))
            .unwrap()
            .read_to_end(&mut out)
            .unwrap();
    } else {
        bzip2::read::MultiBzDecoder::new(Cursor::new(bytes))
            .read_to_end(&mut out)
            .unwrap();
    }
    Some(out)
}

/// Spends and adds as Bitcoin Core does; what was spent without having been seen is counted.
fn replay(
    unspent: &mut HashMap<[u8; 36], Vec<u8>>,
    height: u32,
    transaction: &Transaction<'_>,
) -> usize {
    let mut unseen = 0;
    for input in transaction.inputs().filter(|input| !input.is_coinbase()) {
        unseen += usize::from(unspent.remove(&input.previous.to_key()).is_none());
    }
    for output in transaction
        .outputs()
        .filter(|output| !output.is_unspendable())
    {
        let point = OutPoint {
            tx_id: transaction.tx_id(),
            vout: output.index,
        };
        let (is_coinbase, value) = (transaction.is_coinbase(), output.value);
        let stored = UnspentOutput {
            height,
            is_coinbase,
            value,
            script: output.script,
        };
        assert!(unspent.insert(point.to_key(), stored.encode()).is_none());
    }
    unseen
}

#[test]
fn the_first_255_blocks_of_mainnet_replay_to_the_known_set_of_outputs() {
    let Some(path) = real_file("btc-blocks1-256.bz2") else {
        return;
    };
    let mut parent = Network::Mainnet.genesis_hash();
    let (mut blocks, mut transactions, mut height, mut offset) = (0, 0, 0, 0);
    let mut unspent = HashMap::new();
    let file = BlockFile::open(&path).unwrap();
    assert_eq!(file.network(), Some(Network::Mainnet));
    for found in file {
        let found = found.unwrap();
        assert_eq!(
            (found.position.record, found.position.offset),
            (blocks, offset)
        );
        assert_eq!(&*found.position.file, path.as_path());
        let block = found.block;
        assert_eq!(block.parent(), parent);
        assert_eq!(block.network(), Some(Network::Mainnet));
        assert_eq!(block.coinbase_height(), None);
        blocks += 1;
        height += 1;
        offset += 8 + block.bytes().len() as u64;
        parent = block.hash();
        assert_eq!(
            block
                .transactions()
                .filter(Transaction::is_coinbase)
                .count(),
            1
        );
        for transaction in block.transactions() {
            transactions += 1;
            assert_eq!(replay(&mut unspent, height, &transaction), 0);
        }
    }
    assert_eq!(
        (blocks, transactions, parent.to_string().as_str()),
        (255, 262, TIP)
    );
    assert_eq!(offset, 58_731, "the decompressed length");
    assert_eq!(unspent.len(), 260);
    let total = unspent.values().try_fold(Satoshi(0), |sum, stored| {
        sum.checked_add(UnspentOutput::decode(stored).unwrap().value)
    });
    assert_eq!(total, Some(Satoshi(1_275_000_000_000)));
}

#[test]
fn records_can_be_passed_over_by_their_header() {
    let Some(path) = real_file("btc-blocks1-256.bz2") else {
        return;
    };
    let mut file = BlockFile::open(&path).unwrap();
    for _ in 0..254 {
        let record = file.next_record().unwrap().unwrap();
        assert_eq!(record.network, Some(Network::Mainnet));
        assert_ne!(record.header().unwrap().hash.to_string(), TIP);
    }
    let last = file.next().unwrap().unwrap();
    assert_eq!(last.block.hash().to_string(), TIP);
    assert_eq!(last.position.record, 254);
    assert!(file.next().is_none() && file.next_record().unwrap().is_none());
}

#[test]
fn a_bare_block_of_almost_a_megabyte_agrees_with_the_list_of_outputs_it_spends() {
    let Some(path) = real_file("btc-block-367891.raw.zst") else {
        return;
    };
    let mut file = BlockFile::open(&path).unwrap();
    assert_eq!(file.network(), None);
    let found = file.next().unwrap().unwrap();
    assert!(file.next().is_none());
    assert_eq!((found.position.record, found.position.offset), (0, 0));
    let block = found.block;
    let hash = block.hash().to_string();
    assert!(
        hash.starts_with("0000") && hash.ends_with("b29970"),
        "{hash}"
    );
    assert_eq!(block.bytes().len(), 999_994);
    assert_eq!(block.network(), None);
    assert_eq!(block.coinbase_height(), Some(367_891));
    let ids: Vec<_> = block
        .transactions()
        .map(|tx| tx.tx_id().to_bytes())
        .collect();
    assert_eq!(
        block.header().merkle_root,
        BtcHash::from_bytes(plain_root(&ids))
    );

    let Some(list) = decompressed("btc-block-367891.spent_utxos.zst") else {
        return;
    };
    let list: Vec<serde_json::Value> = serde_json::from_slice(&list).unwrap();
    let mut unspent = HashMap::new();
    let mut unseen = 0;
    for transaction in block.transactions() {
        unseen += replay(&mut unspent, 367_891, &transaction);
    }
    let inputs: usize = block
        .transactions()
        .skip(1)
        .map(|tx| tx.inputs().len())
        .sum();
    assert_eq!(inputs, list.len(), "one entry per input");
    let own = list
        .iter()
        .filter(|entry| entry["creation_height"] == 367_891)
        .count();
    assert_eq!(
        unseen,
        list.len() - own,
        "the others were made by earlier blocks"
    );
    let spent: u64 = list
        .iter()
        .map(|entry| entry["txout"]["value"].as_u64().unwrap())
        .sum();
    let made: u64 = block.transactions().map(|tx| tx.output_value().0).sum();
    assert_eq!(
        made,
        spent + 25_0000_0000,
        "the miner took the whole reward"
    );
}

#[test]
fn a_transaction_of_almost_a_megabyte_has_its_known_id() {
    let Some(bytes) = decompressed("btc-megatx.bin.bz2") else {
        return;
    };
    let transaction = Transaction::decode(&bytes).unwrap();
    let id = transaction.tx_id().to_string();
    assert_eq!(
        id,
        "bb41a757f405890fb0f5856228e23b715702d714d59bf2b1feb70d8b2b4e3e08"
    );
    assert_eq!(transaction.bytes(), bytes);
    assert!(!transaction.is_coinbase());
    assert_eq!(transaction.inputs().len(), transaction.inputs().count());
}

#[test]
fn signet_headers_meet_their_targets_and_link() {
    let Some(bytes) = decompressed("btc-signet-headers.zst") else {
        return;
    };
    let headers: Vec<_> = bytes
        .chunks(HEADER_BYTES)
        .map(|raw| Header::decode(raw).unwrap())
        .collect();
    assert_eq!(headers.len(), 2016);
    for header in &headers {
        header.check_work(Some(Network::Signet)).unwrap();
    }
    assert!(
        headers
            .windows(2)
            .all(|pair| pair[1].parent == pair[0].hash)
    );
    let easier = headers
        .iter()
        .filter(|h| h.check_work(Some(Network::Mainnet)).is_err())
        .count();
    assert_eq!(
        easier,
        headers.len(),
        "signet targets are easier than any of mainnet"
    );
}

#[test]
fn a_real_block_decodes_again_from_its_stored_body() {
    let Some(path) = real_file("btc-blocks1-256.bz2") else {
        return;
    };
    let block = BlockFile::open(&path)
        .unwrap()
        .last()
        .unwrap()
        .unwrap()
        .block;
    let hash = block.hash();
    let again = Block::decode(block.into_bytes(), Some(Network::Mainnet)).unwrap();
    assert_eq!(again.hash(), hash);
}
