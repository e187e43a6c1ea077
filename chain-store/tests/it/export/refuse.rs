//! What cannot be exported: other formats, heights that are not there, damage, a log without its
//! beginning.

use std::fs;
use std::ops::ControlFlow;
use std::sync::Arc;

use chain_store::bitcoin::Network;
use chain_store::chain_files::era1::Era1Body;
use chain_store::chain_files::rlp;
use chain_store::export::{BlockFault, Export, ExportError, ExportOptions, Origin};
use chain_store::{AnyStore, ChainFormat, EngineName};
use storage_api::blocks::{BlockError, BlockHash, BlockStore, Height, KvBlocks, NewBlock};
use storage_api::{ChecksumSetting, Durability, KvStore, WriteTxn, Writer};

use super::import;
use super::{
    BARE, ERA1, FRAMED, LOG, REAL, RLP, blocks_of, digest, empty, export, filled, filled_anew,
    heights,
};

fn of(format: ChainFormat) -> ExportOptions {
    let mut options = ExportOptions::default();
    options.format = Some(format);
    options
}

#[test]
fn blocks_of_one_format_are_no_file_of_another() {
    for (real, own) in REAL {
        let Some(store) = filled(real) else { return };
        for format in ChainFormat::ALL {
            if format == own {
                continue;
            }
            let Err(ExportError::OtherFormat {
                height,
                asked,
                found,
            }) = export(&store, of(format))
            else {
                panic!("{format} of {own} was not refused");
            };
            assert_eq!((height.get(), asked, found), (real.first, format, own));
        }
    }
}

#[test]
fn heights_that_are_not_there_are_refused() {
    let Some(store) = filled(RLP) else { return };
    for (first, last) in [(0, 5), (1, 55), (60, 70)] {
        let refused = export(&store, heights(first, last)).unwrap_err();
        let is = matches!(
            refused,
            ExportError::Blocks(BlockError::OutOfRange { asked, .. })
                if [first, last].contains(&asked.get())
        );
        assert!(is, "{refused}");
    }
    let refused = export(&store, heights(7, 6)).unwrap_err();
    assert!(matches!(refused, ExportError::Reversed { .. }), "{refused}");
    let none = empty(EngineName::Mem, "unused".as_ref(), RLP.chain);
    let refused = export(&none, ExportOptions::default()).unwrap_err();
    let is = matches!(refused, ExportError::Blocks(BlockError::Empty));
    assert!(is, "{refused}");
}

#[test]
fn an_index_stands_beside_a_block_log_alone() {
    let Some(store) = filled(RLP) else { return };
    let view = store.begin_read().unwrap();
    let blocks = blocks_of(&store);
    let export = Export::plan(&blocks, &view, &Origin::default(), ExportOptions::default());
    let (mut file, mut index) = (Vec::new(), Vec::new());
    let refused = export
        .unwrap()
        .write(&mut file, Some(&mut index), &mut |_| {
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert!(matches!(refused, ExportError::NoIndex { .. }), "{refused}");
    assert!(file.is_empty() && index.is_empty());
}

/// Puts a block on the tip whose body is not looked at.
fn append(store: &AnyStore, hash: &[u8], body: &[u8]) {
    let blocks = blocks_of(store);
    let tip = blocks.tip(&store.begin_read().unwrap()).unwrap();
    let (height, parent) = match tip {
        Some(tip) => (tip.height.next(), tip.hash),
        None => (Height::ZERO, BlockHash::new(&[0; 32]).unwrap()),
    };
    let staged = blocks.stage(NewBlock {
        height,
        hash: BlockHash::new(hash).unwrap(),
        parent,
        tx_ids: &[],
        body,
    });
    let mut txn = store.begin_write().unwrap();
    blocks.append(&mut txn, staged.unwrap()).unwrap();
    txn.commit(Durability::Volatile).unwrap();
}

#[test]
fn blocks_of_no_format_are_refused_first_or_where_they_stand() {
    let schema = KvBlocks::schema(ChecksumSetting::None).unwrap();
    let own = Arc::new(AnyStore::open("mem:", &schema).unwrap());
    append(&own, &[1; 32], b"a block of our own kind");
    let refused = export(&own, ExportOptions::default()).unwrap_err();
    let is = matches!(refused, ExportError::UnknownFormat { height } if height == Height::ZERO);
    assert!(is, "{refused}");

    let Some(store) = filled(RLP) else { return };
    append(&store, &[1; 32], b"a block of our own kind");
    let refused = export(&store, ExportOptions::default()).unwrap_err();
    let is = matches!(refused, ExportError::Block { height, .. } if height.get() == 55);
    assert!(is, "{refused}");
    assert!(export(&store, heights(1, 54)).unwrap().file == RLP.bytes().unwrap());
}

#[test]
fn an_era1_file_takes_no_more_blocks_than_it_holds() {
    let Some(store) = filled_anew(ERA1) else {
        return;
    };
    append(&store, &[1; 32], b"one too many");
    let refused = export(&store, ExportOptions::default()).unwrap_err();
    let is = matches!(
        refused,
        ExportError::TooManyBlocks {
            blocks: 8_193,
            limit: 8_192,
            ..
        }
    );
    assert!(is, "{refused}");
    export(&store, heights(0, 8_191)).unwrap();
}

/// An Ethereum node's archive ends and its export goes on: one chain in two formats.
#[test]
fn a_chain_in_two_formats_is_exported_in_two_files() {
    let Some(whole) = filled(ERA1) else { return };
    let front = export(&whole, heights(0, 9)).unwrap().file;
    let view = whole.begin_read().unwrap();
    let body = blocks_of(&whole).body(&view, Height::new(10)).unwrap();
    let body = body.unwrap();
    let parts = Era1Body::parse(&body).unwrap();
    assert_eq!(
        parts.body,
        [0xc2, 0xc0, 0xc0],
        "a block without transactions"
    );
    let mut next = Vec::new();
    rlp::put_list(&mut next, |out| {
        out.extend_from_slice(parts.header);
        out.extend_from_slice(&[0xc0, 0xc0]);
    });
    let place = tempfile::tempdir().unwrap();
    let store = empty(EngineName::Mem, place.path(), ERA1.chain);
    for (name, bytes) in [("front.era1", &front), ("next.rlp", &next)] {
        let path = place.path().join(name);
        fs::write(&path, bytes).unwrap();
        import(&store, ERA1.chain, &path).unwrap();
    }
    let Err(ExportError::OtherFormat {
        height,
        asked,
        found,
    }) = export(&store, ExportOptions::default())
    else {
        panic!("two formats in one file");
    };
    assert_eq!(height.get(), 10);
    assert_eq!(
        (asked, found),
        (ChainFormat::Era1, ChainFormat::EthereumRlp)
    );
    assert!(export(&store, heights(0, 9)).unwrap().file == front);
    assert!(export(&store, heights(10, 10)).unwrap().file == next);
}

/// Every flip is noticed but for those in the signature of an Antelope producer, 66 bytes that no
/// hash covers: without the schedule of producers nothing can tell that it is theirs.
#[test]
fn damage_ends_an_export_with_its_height() {
    for real in [RLP, LOG, FRAMED] {
        let Some(store) = filled(real) else { return };
        let blocks = blocks_of(&store);
        let height = real.first + 3;
        let body = blocks.body(&store.begin_read().unwrap(), Height::new(height));
        let body = body.unwrap().unwrap();
        let table = store.catalogue().id("blocks.bodies").unwrap();
        let mut passed = Vec::new();
        for at in (0..body.len()).step_by(1 + body.len() / 60) {
            let mut damaged = body.clone();
            damaged[at] ^= 0x10;
            let mut txn = store.begin_write().unwrap();
            txn.put(table, &height.to_be_bytes(), &damaged).unwrap();
            txn.commit(Durability::Volatile).unwrap();
            match export(&store, ExportOptions::default()) {
                Err(ExportError::Block { height: at, .. }) => assert_eq!(at.get(), height),
                Err(other) => panic!("{} byte {at}: {other}", real.name),
                Ok(_) => passed.push(at),
            }
        }
        let window = passed.iter().max().zip(passed.iter().min());
        let window = window.map_or(0, |(last, first)| last + 1 - first);
        let covered_by_nothing = if real.name == LOG.name { 66 } else { 0 };
        assert!(window <= covered_by_nothing, "{}: {passed:?}", real.name);
    }
}

/// A block that is sound in itself, and not the one that the index means.
#[test]
fn a_body_at_the_wrong_height_is_noticed() {
    for real in [FRAMED, RLP] {
        let Some(store) = filled(real) else { return };
        let blocks = blocks_of(&store);
        let view = store.begin_read().unwrap();
        let info = |height| blocks.info(&view, Height::new(height)).unwrap().unwrap();
        // Two bodies of one length, so that nothing but their content tells them apart.
        let pairs = (20..50).flat_map(|a| (a + 1..51).map(move |b| (a, b)));
        let same = |(a, b): &(u64, u64)| info(*a).body_bytes == info(*b).body_bytes;
        let (first, second) = pairs.into_iter().find(same).unwrap();
        let other = blocks.body(&view, Height::new(second)).unwrap().unwrap();
        drop(view);
        let table = store.catalogue().id("blocks.bodies").unwrap();
        let mut txn = store.begin_write().unwrap();
        txn.put(table, &first.to_be_bytes(), &other).unwrap();
        txn.commit(Durability::Volatile).unwrap();
        let refused = export(&store, heights(10, first)).unwrap_err();
        let ExportError::Block { height, source } = &refused else {
            panic!("{refused}");
        };
        assert_eq!(height.get(), first);
        let is = matches!(source, BlockFault::Index { .. } | BlockFault::File(_));
        assert!(is, "{source}");
    }
}

#[test]
fn blocks_of_no_known_network_are_framed_when_it_is_said() {
    let Some(store) = filled(BARE) else { return };
    let bare = export(&store, ExportOptions::default()).unwrap().file;
    assert!(bare == BARE.bytes().unwrap());
    let mut framed = ExportOptions::default();
    framed.network = Some(Network::Mainnet);
    let framed = export(&store, framed).unwrap().file;
    let length = (bare.len() as u32).to_le_bytes();
    assert!(framed == [&Network::Mainnet.magic(), &length, &bare[..]].concat());

    let Some(store) = filled(FRAMED) else { return };
    let mut other = ExportOptions::default();
    other.network = Some(Network::Signet);
    let refused = export(&store, other).unwrap_err();
    let is = matches!(refused, ExportError::OtherNetwork { .. });
    assert!(is, "{refused}");
    // Blocks of mid-chain whose import did not name the network.
    let plan = |options| {
        let view = store.begin_read().unwrap();
        let blocks = blocks_of(&store);
        Export::plan(&blocks, &view, &Origin::default(), options).map(|export| export.network())
    };
    let refused = plan(heights(100, 110)).unwrap_err();
    assert!(matches!(refused, ExportError::UnknownNetwork), "{refused}");
    // The block above the genesis block names it.
    assert_eq!(plan(heights(1, 110)).unwrap(), Some(Network::Mainnet));
}

#[test]
fn a_log_without_its_beginning_is_refused() {
    let Some(store) = filled(LOG) else { return };
    let plan = |first| {
        let view = store.begin_read().unwrap();
        let blocks = blocks_of(&store);
        Export::plan(&blocks, &view, &Origin::default(), heights(first, 5)).map(|_| ())
    };
    for (first, words) in [(1, "genesis state"), (2, "chain id")] {
        let refused = plan(first).unwrap_err();
        let is = matches!(refused, ExportError::NoPreamble { what, .. } if what == words);
        assert!(is, "{refused}");
    }
    // From a log that begins later, the genesis state cannot be had either.
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("late.log");
    fs::write(&path, export(&store, heights(2, 5)).unwrap().file).unwrap();
    let late = empty(EngineName::Mem, place.path(), LOG.chain);
    import(&late, LOG.chain, &path).unwrap();
    export(&late, heights(3, 5)).unwrap();
    let refused = export(&late, heights(1, 5)).unwrap_err();
    assert!(matches!(refused, ExportError::Blocks(_)), "{refused}");
}

fn preambles(text: &str) -> impl Iterator<Item = Vec<u8>> + '_ {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("preamble "));
    lines.map(|hex| {
        let hex = hex.trim_matches('-');
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    })
}

#[test]
fn the_beginning_of_a_log_is_kept_as_documented() {
    let golden = include_str!("../../fixtures/antelope-state/golden-v1.txt");
    let corrupt = include_str!("../../fixtures/antelope-state/corrupt-v1.txt");
    let store = empty(EngineName::Mem, "unused".as_ref(), LOG.chain);
    let table = store.catalogue().id("antelope.state").unwrap();
    let read = |bytes: &[u8]| {
        let mut txn = store.begin_write().unwrap();
        txn.put(table, b"preamble", bytes).unwrap();
        txn.commit(Durability::Volatile).unwrap();
        let view = store.begin_read().unwrap();
        Origin::of(&view, store.catalogue()).map(|origin| origin.preamble.unwrap())
    };
    assert_eq!(preambles(golden).count(), 3);
    for bytes in preambles(golden) {
        let preamble = read(&bytes).unwrap();
        assert_eq!(preamble.bytes(), &bytes[1..]);
        assert!([1, 5].contains(&preamble.first_block()));
    }
    assert_eq!(preambles(corrupt).count(), 7);
    for bytes in preambles(corrupt) {
        let refused = read(&bytes).unwrap_err();
        assert!(refused.is_corruption(), "{refused}");
    }
}

/// A store from before the beginning of a log was kept, or filled by a node: the same import again
/// adds it.
#[test]
fn the_beginning_of_a_log_is_kept_by_the_next_import() {
    let (Some(path), Some(whole)) = (LOG.path(), filled(LOG)) else {
        return;
    };
    let place = tempfile::tempdir().unwrap();
    let store = empty(EngineName::Mem, place.path(), LOG.chain);
    import(&store, LOG.chain, &path).unwrap();
    let table = store.catalogue().id("antelope.state").unwrap();
    let mut txn = store.begin_write().unwrap();
    txn.delete(table, b"preamble").unwrap();
    txn.commit(Durability::Volatile).unwrap();
    assert!(export(&store, ExportOptions::default()).is_err());
    assert_eq!(import(&store, LOG.chain, &path).unwrap(), 0);
    assert_eq!(digest(&store), digest(&whole));
    let out = export(&store, ExportOptions::default()).unwrap();
    assert!(out.file == LOG.bytes().unwrap());
}
