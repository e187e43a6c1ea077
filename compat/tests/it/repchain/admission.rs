//! R-A3 and R-A4: a chain takes only the block that follows its last one; a refusal changes no row
//! and no byte of a file; of a list, what came before the bad block is durable and counted.

use compat::repchain::{
    BlockCodec, BlockFacts, Blocks, Codec2018, CodecError, Error, GROUP_BLOCKS, Restored,
};
use prost::Message;
use storage_api::blocks::{BlockHash, BlockStore, Height, TxId};
use storage_api::{Durability, KvStore, WriteTxn};

use super::{
    Known, Place, SEED, bytes_of, compare, on_each_engine, options, random_chain, restore_singly,
};

/// A block with another previous hash.
fn behind(known: &Known, previous: &[u8]) -> Known {
    let mut block = known.block.clone();
    block.previous_block_hash = previous.to_vec();
    Known::new(block)
}

/// A block of another version, so with another hash.
fn with_version(known: &Known, version: u32) -> Known {
    let mut block = known.block.clone();
    block.version = version;
    Known::new(block)
}

/// Whether an error is what is expected.
type Judge = fn(&Error) -> bool;

fn is_wrong_previous(error: &Error) -> bool {
    matches!(error, Error::WrongPrevious { .. })
}

fn is_stored(error: &Error) -> bool {
    matches!(error, Error::AlreadyStored { .. })
}

fn is_codec(error: &Error) -> bool {
    matches!(error, Error::Codec(_))
}

/// What no chain of these blocks takes, and why.
fn refused(chain: &[Known]) -> Vec<(&'static str, Vec<u8>, Judge)> {
    let next = random_chain(SEED ^ 0x11, 1).remove(0);
    let tip = chain.last().map_or("", |tip| tip.hash.as_str());
    let mut long_id = next.block.clone();
    long_id.previous_block_hash = tip.as_bytes().to_vec();
    long_id.transactions = vec![super::proto::Transaction {
        txid: "x".repeat(65),
        ..Default::default()
    }];
    let mut no_id = long_id.clone();
    no_id.transactions[0].txid.clear();
    let mut wrong: Vec<(&'static str, Vec<u8>, Judge)> = vec![
        (
            "another previous hash",
            behind(&next, "0".repeat(64).as_bytes()).bytes,
            is_wrong_previous,
        ),
        (
            "a zero byte before it",
            behind(&next, &[0]).bytes,
            is_wrong_previous,
        ),
        (
            "a previous hash too long",
            behind(&next, &[b'0'; 65]).bytes,
            is_codec,
        ),
        ("an id too long", long_id.encode_to_vec(), is_codec),
        ("an empty id", no_id.encode_to_vec(), is_codec),
        ("no block", vec![0xff; 20], is_codec),
        (
            "a block that is cut",
            chain
                .first()
                .map_or(vec![0x1a, 9], |one| one.bytes[..40].to_vec()),
            is_codec,
        ),
    ];
    if let Some(tip) = chain.last() {
        let upper = tip.hash.to_uppercase();
        wrong.extend([
            (
                "an empty previous hash",
                behind(&next, b"").bytes,
                is_wrong_previous as Judge,
            ),
            (
                "its hash in upper case",
                behind(&next, upper.as_bytes()).bytes,
                is_wrong_previous,
            ),
        ]);
    }
    if let [first, .., before, _] = chain {
        wrong.push(("the first one again", first.bytes.clone(), is_stored));
        wrong.push(("the one before again", before.bytes.clone(), is_stored));
        let twin = behind(&next, before.hash.as_bytes());
        wrong.push(("another last one", twin.bytes, is_wrong_previous));
    }
    wrong
}

#[test]
fn r_a3_a_refusal_changes_no_row_and_no_byte() {
    let chain = random_chain(SEED ^ 0x10, 9);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        for blocks in [0, 1, 2, 3, 9] {
            let open = place.open(&options());
            let known = open.height() as usize;
            restore_singly(&open.blocks, known as u64 + 1, &chain[known..blocks]);
            let before = (open.digest(), bytes_of(&place.files()));
            for (what, bytes, judge) in refused(&chain[..blocks]) {
                let error = open.blocks.restore_block_bytes(&bytes).unwrap_err();
                assert!(
                    judge(&error),
                    "{engine}, {blocks} blocks, {what}: {error:?}"
                );
                let error = open.blocks.restore_blocks_bytes([&bytes]).unwrap_err();
                assert_eq!(error.restored, 0);
                assert!(
                    judge(&error.source),
                    "{engine}, {blocks} blocks, {what}: {error:?}"
                );
                let after = (open.digest(), bytes_of(&place.files()));
                assert!(before == after, "{engine}, {blocks} blocks, {what}");
            }
            compare(&open.blocks, &chain[..blocks], "after refusals");
            drop(open);
            // Nothing of them comes to light later either.
            let open = place.open(&options());
            assert!(
                before == (open.digest(), bytes_of(&place.files())),
                "{engine}"
            );
        }
    });
}

#[test]
fn r_a3_the_head_again_is_a_success_that_changes_nothing() {
    let chain = random_chain(SEED ^ 0x12, 5);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&options());
        for (height, block) in (1..).zip(&chain) {
            let height = Height::new(height);
            let written = open.blocks.restore_block(&block.block).unwrap();
            assert_eq!(written, Restored::Written(height));
            let before = (open.digest(), bytes_of(&place.files()));
            for _ in 0..2 {
                let again = open.blocks.restore_block(&block.block).unwrap();
                assert_eq!(again, Restored::WasHead(height));
                let again = open
                    .blocks
                    .restore_blocks_bytes([&block.bytes, &block.bytes]);
                assert_eq!(again.unwrap(), 2, "both are in the chain");
            }
            assert!(before == (open.digest(), bytes_of(&place.files())));
        }
        compare(&open.blocks, &chain, "each restored again and again");
    });
}

#[test]
fn a_refusal_says_what_was_expected_and_found() {
    let chain = random_chain(SEED ^ 0x13, 2);
    let mut place = Place::new(chain_store::EngineName::Mem);
    let open = place.open(&options());
    let text = |known: &Known| {
        open.blocks
            .restore_block(&known.block)
            .unwrap_err()
            .to_string()
    };
    let expected = format!(
        "the block to be number 1 follows {}, none is the last one",
        chain[0].hash
    );
    assert_eq!(text(&chain[1]), expected);
    restore_singly(&open.blocks, 1, &chain);
    let expected = format!(
        "the block to be number 3 follows none, {} is the last one",
        chain[1].hash
    );
    assert_eq!(text(&with_version(&chain[0], 7)), expected);
    assert_eq!(
        text(&chain[0]),
        "the block is in the chain already, at height 1"
    );
}

#[test]
fn r_a4_of_a_list_the_blocks_before_the_bad_one_are_durable_and_counted() {
    let length = 2 * GROUP_BLOCKS + 9;
    let chain = random_chain(SEED ^ 0x14, length + 3);
    let bad = [1, 2, GROUP_BLOCKS, GROUP_BLOCKS + 1, length];
    on_each_engine(|engine| {
        for k in bad {
            let mut place = Place::new(engine);
            let open = place.open(&options());
            restore_singly(&open.blocks, 1, &chain[..3]);
            let list = &chain[3..];
            for wrong in 0..3 {
                let mut list = list.to_vec();
                list[k - 1] = match wrong {
                    0 => behind(&list[k - 1], b"another one"),
                    1 => chain[0].clone(),
                    _ => behind(&list[k - 1], &[7; 65]),
                };
                let objects: Vec<_> = list.iter().map(|known| known.block.clone()).collect();
                let error = open.blocks.restore_blocks(&objects).unwrap_err();
                assert_eq!(error.restored, k as u64 - 1, "{engine}, {wrong}: {error:?}");
                let judge = [is_wrong_previous, is_stored, is_codec][wrong];
                assert!(judge(&error.source), "{engine}, {wrong}: {error:?}");
                assert_eq!(open.height(), 3 + k as u64 - 1, "{engine}");
                if wrong == 0 {
                    compare(&open.blocks, &chain[..3 + k - 1], "before the bad one");
                }
                open.blocks.rollback_to_height(Height::new(3)).unwrap();
            }
            let cut = list[..k].iter().map(|known| &known.bytes);
            assert_eq!(open.blocks.restore_blocks_bytes(cut).unwrap(), k as u64);
            drop(open);
            let open = place.open(&options());
            compare(&open.blocks, &chain[..3 + k], "opened again");
            let rest = list[k..].iter().map(|known| known.block.clone());
            let rest: Vec<_> = rest.collect();
            assert_eq!(
                open.blocks.restore_blocks(&rest).unwrap(),
                rest.len() as u64
            );
            compare(&open.blocks, &chain, "with the rest");
            assert_eq!(open.blocks.restore_blocks(&[]).unwrap(), 0);
        }
    });
}

#[test]
fn a_block_waits_in_the_callers_transaction_for_its_commit() {
    let chain = random_chain(SEED ^ 0x15, 4);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&options());
        restore_singly(&open.blocks, 1, &chain[..1]);
        let before = open.digest();
        let mut txn = open.store.begin_write().unwrap();
        let restored = open.blocks.restore_block_in(&mut txn, &chain[1].bytes);
        assert_eq!(restored.unwrap(), Restored::Written(Height::new(2)));
        let again = open.blocks.restore_block_in(&mut txn, &chain[1].bytes);
        assert_eq!(again.unwrap(), Restored::WasHead(Height::new(2)));
        let wrong = open.blocks.restore_block_in(&mut txn, &chain[3].bytes);
        assert!(is_wrong_previous(&wrong.unwrap_err()));
        assert_eq!(open.height(), 1, "nobody else sees it");
        drop(txn);
        assert!(before == open.digest());
        assert!(
            open.blocks
                .get_block_by_hash(&chain[1].hash)
                .unwrap()
                .is_none()
        );
        let mut txn = open.store.begin_write().unwrap();
        for block in &chain[1..3] {
            open.blocks
                .restore_block_in(&mut txn, &block.bytes)
                .unwrap();
        }
        txn.commit(Durability::Durable).unwrap();
        compare(&open.blocks, &chain[..3], "two in one commit");
        drop(open);
        compare(&place.open(&options()).blocks, &chain[..3], "opened again");
    });
}

/// Blocks of another generation: a hash of eight bytes, one id, the previous hash behind it.
#[derive(Debug)]
struct Other;

impl BlockCodec for Other {
    type Block = (u64, u64, Vec<u8>);

    fn decode(&self, bytes: &[u8]) -> Result<Self::Block, CodecError> {
        let short = || CodecError::Malformed("too short".into());
        let (previous, rest) = bytes.split_first_chunk().ok_or_else(short)?;
        let (own, rest) = rest.split_first_chunk().ok_or_else(short)?;
        Ok((
            u64::from_be_bytes(*previous),
            u64::from_be_bytes(*own),
            rest.to_vec(),
        ))
    }

    fn encode(&self, (previous, own, rest): &Self::Block) -> Vec<u8> {
        [&previous.to_be_bytes(), &own.to_be_bytes(), rest.as_slice()].concat()
    }

    fn facts(&self, _: &[u8], (previous, own, _): &Self::Block) -> Result<BlockFacts, CodecError> {
        let hash = |number: u64| BlockHash::new(&number.to_be_bytes()).unwrap();
        Ok(BlockFacts {
            hash: hash(*own),
            previous: (*previous != 0).then(|| hash(*previous)),
            tx_ids: vec![TxId::new(b"the same in every block").unwrap()],
            state_hash: Vec::new(),
        })
    }
}

#[test]
fn blocks_of_another_generation_are_another_codec() {
    let mut place = Place::new(chain_store::EngineName::Redb);
    let store = place.store();
    let disk = std::sync::Arc::new(seglog::disk::Folder::new(&place.files()));
    let (blocks, _) = Blocks::open_with(Other, store, disk, &options()).unwrap();
    let chain: Vec<_> = (0..10)
        .map(|number| (number, number + 1, vec![7; 500]))
        .collect();
    assert_eq!(blocks.restore_blocks(&chain).unwrap(), 10);
    assert!(
        blocks.restore_block(&(10, 3, Vec::new())).is_err(),
        "a hash that is there"
    );
    // Two blocks of one list that say that they are the same, which no hash of bytes allows.
    let twins = [(10, 11, vec![]), (11, 12, vec![]), (12, 11, vec![])];
    let error = blocks.restore_blocks(&twins).unwrap_err();
    assert_eq!(error.restored, 2);
    assert!(is_stored(&error.source), "{error:?}");
    let found = blocks.get_block4object_by_height(Height::new(4)).unwrap();
    assert_eq!(found.as_ref(), chain.get(3));
    let newest = blocks
        .get_block_by_tx_id("the same in every block")
        .unwrap();
    assert_eq!(newest, blocks.get_block_by_height(Height::new(12)).unwrap());
}

#[test]
fn a_reader_beside_answers_and_takes_no_block() {
    let chain = random_chain(SEED ^ 0x16, 12);
    on_each_engine(|engine| {
        let mut place = Place::new(engine);
        let open = place.open(&options());
        restore_singly(&open.blocks, 1, &chain[..11]);
        let files = bytes_of(&place.files());
        drop(open.blocks);
        let disk = std::sync::Arc::new(seglog::disk::Folder::new(&place.files()));
        let codec = Codec2018::default();
        let opened = Blocks::open_read_only(codec, open.store, disk, &options());
        let (reader, _) = opened.unwrap();
        compare(&reader, &chain[..11], "read only");
        assert!(reader.restore_block(&chain[11].block).is_err());
        assert_eq!(reader.blocks().syncs(), 0);
        compare(&reader, &chain[..11], "read only, after a refusal");
        assert!(files == bytes_of(&place.files()));
    });
}

#[test]
fn files_of_another_system_are_refused() {
    let chain = random_chain(SEED ^ 0x17, 2);
    let mut place = Place::new(chain_store::EngineName::Mem);
    let open = place.open(&options());
    assert_eq!(open.blocks.get_system_name(), "testSystem");
    restore_singly(&open.blocks, 1, &chain);
    drop(open);
    let mut other = options();
    other.system_name = "1".to_owned();
    let disk = std::sync::Arc::new(seglog::disk::Folder::new(&place.files()));
    let refused = Blocks::open(place.store(), disk, &other).map(drop);
    assert!(refused.unwrap_err().to_string().contains("chain"));
    let view = place.store().begin_read().unwrap();
    let open = place.open(&options());
    assert!(open.blocks.blocks().tip(&view).unwrap().is_some());
}
