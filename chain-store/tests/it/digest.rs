//! The content digest: golden and corrupt contents, and equality over engines, numbers and
//! envelopes.

use std::collections::BTreeSet;
use std::sync::Arc;

use chain_store::{AnyStore, Blocks, BlocksDigest, Bodies, ContentDigest, EngineName};
use storage_api::blocks::{BlockHash, BlockStore, Height, NewBlock, TxId};
use storage_api::{
    ChecksumSetting, Durability, KvStore, Schema, TableDef, WriteBatch, WriteTxn, Writer,
};

/// The rows of a fixture and the digest it states.
struct Content {
    rows: Vec<(String, Vec<u8>, Vec<u8>)>,
    digest: String,
}

fn hex(text: &str) -> Vec<u8> {
    let text = text.trim_matches('-');
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

fn parse(text: &str) -> Content {
    let mut content = Content {
        rows: Vec::new(),
        digest: String::new(),
    };
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["row", table, key, value] => {
                content.rows.push((table.to_owned(), hex(key), hex(value)));
            }
            ["digest", digest] => content.digest = digest.to_owned(),
            _ => assert!(line.starts_with('#'), "{line}"),
        }
    }
    content
}

fn fill(url: &str, content: &Content, checksum: ChecksumSetting, reversed: bool) -> AnyStore {
    let mut names: Vec<String> = content.rows.iter().map(|row| row.0.clone()).collect();
    names.push("never.filled".to_owned());
    names.sort();
    names.dedup();
    if reversed {
        names.reverse();
    }
    let tables: Vec<TableDef> = names
        .into_iter()
        .map(|name| TableDef::from_name(name.into()).with_checksum(checksum))
        .collect();
    let store = AnyStore::open(url, &Schema::new(&tables).unwrap()).unwrap();
    let mut batch = WriteBatch::new();
    for (table, key, value) in &content.rows {
        batch
            .put(store.catalogue().id(table).unwrap(), key, value)
            .unwrap();
    }
    store.apply(&batch, Durability::Buffered).unwrap();
    store
}

fn digest_of(store: &AnyStore) -> String {
    let view = store.begin_read().unwrap();
    ContentDigest::compute(&view, store.catalogue(), &mut |_| {})
        .unwrap()
        .to_string()
}

#[test]
fn golden_content_has_the_documented_digest_on_every_engine() {
    let content = parse(include_str!("../fixtures/content-digest/golden-v1.txt"));
    let mut seen = BTreeSet::new();
    for engine in EngineName::compiled() {
        for checksum in [ChecksumSetting::None, ChecksumSetting::Envelope] {
            for reversed in [false, true] {
                let place = tempfile::tempdir().unwrap();
                let url = crate::url::of(engine, place.path());
                let store = fill(&url, &content, checksum, reversed);
                seen.insert(digest_of(&store));
            }
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [content.digest]);
}

#[test]
fn corrupt_content_has_another_digest() {
    let corrupt = [
        include_str!("../fixtures/content-digest/corrupt-value.txt"),
        include_str!("../fixtures/content-digest/corrupt-missing-row.txt"),
        include_str!("../fixtures/content-digest/corrupt-table-name.txt"),
        include_str!("../fixtures/content-digest/corrupt-moved-byte.txt"),
    ];
    for text in corrupt {
        let content = parse(text);
        let store = fill("mem:", &content, ChecksumSetting::None, false);
        assert_ne!(digest_of(&store), content.digest);
    }
}

/// Height, hash, parent, ids and body of a block.
type Block = (
    u64,
    &'static [u8],
    &'static [u8],
    Vec<&'static [u8]>,
    &'static [u8],
);

/// The bytes behind the digest of blocks, put together here from what the format's page says.
fn bytes_of_blocks(blocks: &[Block]) -> Vec<u8> {
    let mut bytes = b"chainstore blocks 1\n".to_vec();
    let long = |number: usize| (number as u64).to_le_bytes();
    for (height, hash, parent, ids, body) in blocks {
        bytes.push(2);
        bytes.extend(height.to_le_bytes());
        for part in [hash, parent] {
            bytes.extend(long(part.len()));
            bytes.extend(*part);
        }
        bytes.extend(long(ids.len()));
        for id in ids {
            bytes.extend(long(id.len()));
            bytes.extend(*id);
        }
        bytes.extend(long(body.len()));
        bytes.extend(*body);
    }
    bytes.push(3);
    bytes.extend(long(blocks.len()));
    bytes
}

#[test]
fn the_digest_of_blocks_is_as_documented_wherever_bodies_are() {
    use sha2::{Digest, Sha256};
    let golden = include_str!("../fixtures/content-digest/golden-blocks-v1.txt").trim();
    let first: Block = (7, b"one", b"zero", vec![b"a", b"bc"], b"");
    let second = (
        8,
        &b"two"[..],
        &b"one"[..],
        Vec::new(),
        &b"the second body"[..],
    );
    let both = [first, second];
    let by_hand: [u8; 32] = Sha256::digest(bytes_of_blocks(&both)).into();
    let printed: String = by_hand.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(printed, golden);
    for engine in EngineName::compiled() {
        for bodies in Bodies::ALL {
            if engine == EngineName::Mem && bodies == Bodies::Segments {
                continue;
            }
            let place = tempfile::tempdir().unwrap();
            let schema = bodies.schema(ChecksumSetting::None).unwrap();
            let url = crate::url::of(engine, place.path());
            let store = Arc::new(AnyStore::open(&url, &schema).unwrap());
            let blocks = Blocks::open(&store).unwrap();
            for (height, hash, parent, ids, body) in &both {
                let ids: Vec<TxId> = ids.iter().map(|id| TxId::new(id).unwrap()).collect();
                let staged = blocks.stage(NewBlock {
                    height: Height::new(*height),
                    hash: BlockHash::new(hash).unwrap(),
                    parent: BlockHash::new(parent).unwrap(),
                    tx_ids: &ids,
                    body,
                });
                let mut txn = store.begin_write().unwrap();
                blocks.append(&mut txn, staged.unwrap()).unwrap();
                txn.commit(Durability::Buffered).unwrap();
            }
            let view = store.begin_read().unwrap();
            let digest = BlocksDigest::compute(&blocks, &view, &mut |_| {}).unwrap();
            assert_eq!(digest.to_string(), golden, "{engine}, {bodies}");
        }
    }
}
