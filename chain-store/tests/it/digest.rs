//! The content digest: golden and corrupt contents, and equality over engines, numbers and
//! envelopes.

use std::collections::BTreeSet;

use chain_store::{AnyStore, ContentDigest, EngineName};
use storage_api::{ChecksumSetting, Durability, KvStore, Schema, TableDef, WriteBatch, Writer};

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
