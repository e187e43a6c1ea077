//! Bitcoin import on every compiled engine: the fixtures of its rows and the real first blocks.

mod files;
mod ground;
mod groups;
mod hostile;
mod pruned;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use chain_store::bitcoin::{OutPoint, UnspentOutput};
use chain_store::{AnyStore, BitcoinImport, Bodies, ContentDigest, EngineName, StoreStat};
use storage_api::{ChecksumSetting, Durability, KvStore};

const FIRST_BLOCKS: &str = "btc-blocks1-256.bz2";

/// The path of a file of real chain data; `None`, visibly, where there is none.
pub(crate) fn real_file(name: &str) -> Option<PathBuf> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/realdata");
    let root = std::env::var_os("CHAINSTORE_REALDATA").map_or_else(|| root.into(), PathBuf::from);
    let path = root.join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CHAINSTORE_REQUIRE_ALL").is_none(),
        "{} is absent",
        path.display()
    );
    eprintln!(
        "SKIPPED: {} is absent (CHAINSTORE_REALDATA names its folder)",
        path.display()
    );
    None
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim_matches('-');
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn lines<'t>(text: &'t str, name: &'t str) -> impl Iterator<Item = Vec<u8>> + 't {
    text.lines()
        .filter_map(move |line| line.strip_prefix(name)?.strip_prefix(' ').map(hex))
}

#[test]
fn golden_and_corrupt_rows_are_as_documented() {
    let golden = include_str!("../../fixtures/bitcoin-state/golden-v1.txt");
    let key = lines(golden, "key").next().unwrap();
    let point = OutPoint::from_key(&key).unwrap();
    assert_eq!((point.vout, point.to_key().to_vec()), (0x0102_0304, key));
    let bytes = lines(golden, "unspent").next().unwrap();
    let output = UnspentOutput::decode(&bytes).unwrap();
    assert_eq!(
        (output.height, output.is_coinbase, output.value.0),
        (170, true, 5_000_000_000)
    );
    assert_eq!(
        (output.script, output.encode()),
        (&hex("76a914")[..], bytes.clone())
    );
    let corrupt = include_str!("../../fixtures/bitcoin-state/corrupt-v1.txt");
    assert_eq!(lines(corrupt, "unspent").count(), 5);
    for bytes in lines(corrupt, "unspent") {
        assert!(
            UnspentOutput::decode(&bytes).is_err(),
            "{bytes:02x?} was taken"
        );
    }
    // The summary's own bytes are read back through a store that holds them.
    for (bytes, sound) in lines(golden, "summary")
        .map(|bytes| (bytes, true))
        .chain(lines(corrupt, "summary").map(|bytes| (bytes, false)))
    {
        let schema = BitcoinImport::schema(Bodies::Store, ChecksumSetting::None).unwrap();
        let store = AnyStore::open("mem:", &schema).unwrap();
        let table = store.catalogue().id("bitcoin.state").unwrap();
        let mut batch = storage_api::WriteBatch::new();
        storage_api::Writer::put(&mut batch, table, b"summary", &bytes).unwrap();
        store.apply(&batch, Durability::Volatile).unwrap();
        match StoreStat::gather(&store) {
            Ok(stat) => {
                let bitcoin = stat.bitcoin.unwrap();
                assert!(sound && bitcoin.partial, "{bytes:02x?} was taken");
                assert_eq!((bitcoin.unspent_outputs, bitcoin.unknown_spends), (260, 7));
            }
            Err(error) => assert!(!sound && error.is_corruption(), "{error}"),
        }
    }
}

#[test]
fn the_first_blocks_of_bitcoin_are_the_same_on_every_engine() {
    let Some(file) = real_file(FIRST_BLOCKS) else {
        return;
    };
    let mut digests = BTreeSet::new();
    for engine in EngineName::compiled() {
        for checksum in [ChecksumSetting::None, ChecksumSetting::Envelope] {
            let place = tempfile::tempdir().unwrap();
            let schema = BitcoinImport::schema(Bodies::Store, checksum).unwrap();
            let store = AnyStore::open(&crate::url::of(engine, place.path()), &schema).unwrap();
            let store = Arc::new(store);
            let mut import = BitcoinImport::into(&store)
                .unwrap()
                .with_durability(Durability::Buffered);
            // Stopped after 100 records and resumed: what is stored is passed over.
            let mut left = 100;
            import
                .file(&file, &mut |_| {
                    left -= 1;
                    if left == 0 {
                        ControlFlow::Break(())
                    } else {
                        ControlFlow::Continue(())
                    }
                })
                .unwrap();
            assert!(import.report().stopped);
            import
                .file(&file, &mut |_| ControlFlow::Continue(()))
                .unwrap();
            assert!(!import.report().stopped);
            assert_eq!(
                (import.report().blocks, import.report().known_blocks),
                (255, 100)
            );

            let stat = StoreStat::gather(&*store).unwrap();
            let tip = "00000000d0a75c861fabf9ff7b92022f60e4afeed9331fe5aa073d8e4706fe3c";
            assert_eq!(stat.blocks.tip_hash.as_deref(), Some(tip));
            assert_eq!((stat.blocks.count, stat.blocks.transactions), (255, 262));
            assert_eq!(
                (stat.blocks.first_height, stat.blocks.tip_height),
                (Some(1), Some(255))
            );
            let bitcoin = stat.bitcoin.unwrap();
            assert_eq!((bitcoin.unspent_outputs, bitcoin.unknown_spends), (260, 0));
            assert_eq!(bitcoin.unspent_satoshi, 1_275_000_000_000);
            let view = store.begin_read().unwrap();
            digests.insert(
                ContentDigest::compute(&view, store.catalogue(), &mut |_| {})
                    .unwrap()
                    .to_string(),
            );
        }
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
}
