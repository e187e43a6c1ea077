//! Blocks in segments: imported, moved and copied; checked, repaired, cut, and what is removed
//! kept.

mod advice;
mod check;
mod cut;
mod moved;
mod named;
mod repair;

use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain_store::{AnyStore, Blocks, Bodies, EngineName, SegmentOptions};
use serde_json::Value;
use storage_api::blocks::{BlockHash, BlockStore, Height, NewBlock, TxId};
use storage_api::{
    ChecksumSetting, Durability, IfMissing, KeyRange, KvStore, OpenOptions, Schema, WriteTxn,
    Writer,
};

use crate::support::{Ran, alone, run, url};

/// Blocks of a store that is made here.
pub(crate) const BLOCKS: u64 = 60;
/// The lowest height of it.
pub(crate) const FIRST: u64 = 5;
/// The highest height of it.
pub(crate) const TIP: u64 = FIRST + BLOCKS - 1;

fn hash(height: u64) -> BlockHash {
    BlockHash::new(&[&[7; 24][..], &height.to_be_bytes()].concat()).unwrap()
}

/// Bodies of 100 to 400 bytes, so that a segment of 4,096 holds some fifteen.
fn body(height: u64) -> Vec<u8> {
    let line = format!("the body of block {height}; ");
    let mut body = line.repeat(20).into_bytes();
    body.truncate(100 + (height * 97 % 300) as usize);
    body
}

/// Opens a store of this process; nobody else may start one meanwhile.
pub(crate) fn open(store: &str) -> Arc<AnyStore> {
    let mut options = OpenOptions::new();
    options.if_missing = IfMissing::Fail;
    Arc::new(AnyStore::open_existing(store, &options).unwrap())
}

/// A store of blocks up to a height, in small segments, and its URL.
pub(crate) fn made(engine: EngineName, folder: &Path, bodies: Bodies, tip: u64) -> String {
    let store = url(engine, folder);
    let _alone = alone();
    let schema = bodies.schema(ChecksumSetting::None).unwrap();
    let opened = Arc::new(AnyStore::open(&store, &schema).unwrap());
    let options = SegmentOptions {
        segment_bytes_max: 4_096,
        advance_bytes: 1_024,
        ..SegmentOptions::default()
    };
    append_to(&opened, FIRST..=tip, &options);
    store
}

/// Appends more blocks to such a store, in segments of the usual size.
pub(crate) fn append(store: &str, heights: RangeInclusive<u64>) {
    let _alone = alone();
    append_to(&open(store), heights, &SegmentOptions::default());
}

fn append_to(opened: &Arc<AnyStore>, heights: RangeInclusive<u64>, options: &SegmentOptions) {
    let blocks = Blocks::open_with(opened, options).unwrap();
    let same = TxId::new(b"the same everywhere").unwrap();
    for height in heights {
        let own = TxId::new(&height.to_be_bytes()).unwrap();
        let (tx_ids, body) = ([same, own], body(height));
        let staged = blocks.stage(NewBlock {
            height: Height::new(height),
            hash: hash(height),
            parent: hash(height - 1),
            tx_ids: &tx_ids,
            body: &body,
        });
        let mut txn = opened.begin_write().unwrap();
        blocks.append(&mut txn, staged.unwrap()).unwrap();
        txn.commit(Durability::Durable).unwrap();
    }
}

/// A store without tables.
pub(crate) fn empty(engine: EngineName, folder: &Path) -> String {
    let store = url(engine, folder);
    let _alone = alone();
    drop(AnyStore::open(&store, &Schema::empty()).unwrap());
    store
}

/// Puts one row.
pub(crate) fn put(store: &str, table: &str, key: &[u8], value: &[u8]) {
    let _alone = alone();
    let opened = open(store);
    let id = opened.catalogue().id(table).unwrap();
    let mut txn = opened.begin_write().unwrap();
    txn.put(id, key, value).unwrap();
    txn.commit(Durability::Durable).unwrap();
}

/// Removes rows of a table: all, or one.
pub(crate) fn lose(store: &str, table: &str, key: Option<&[u8]>) {
    let _alone = alone();
    let opened = open(store);
    let id = opened.catalogue().id(table).unwrap();
    let mut txn = opened.begin_write().unwrap();
    match key {
        Some(key) => txn.delete(id, key).unwrap(),
        None => txn.delete_range(id, &KeyRange::all()).unwrap(),
    }
    txn.commit(Durability::Durable).unwrap();
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}

fn unhex(text: &Value) -> Vec<u8> {
    let digits = text.as_str().unwrap().trim_start_matches("0x");
    let pairs = (0..digits.len() / 2).map(|at| &digits[2 * at..2 * at + 2]);
    pairs
        .map(|pair| u8::from_str_radix(pair, 16).unwrap())
        .collect()
}

/// The places of all records by height: segment, offset of the header, length of the payload.
pub(crate) fn places(store: &str) -> BTreeMap<u64, (u64, u64, u64)> {
    let args = ["list", "--table", "blocks.places", "--output", "jsonl"];
    let ran = run(args.iter().chain(&["--store", store])).ok();
    let rows = ran.json_lines().into_iter().map(|row| {
        let (key, value) = (unhex(&row["key"]), unhex(&row["value"]));
        let long = |at: usize| u64::from_le_bytes(value[at..at + 8].try_into().unwrap());
        let payload = u32::from_le_bytes(value[25..29].try_into().unwrap());
        let height = u64::from_be_bytes(key.try_into().unwrap());
        (height, (long(9), long(17), payload.into()))
    });
    rows.collect()
}

pub(crate) fn place(store: &str, height: u64) -> (u64, u64, u64) {
    places(store)[&height]
}

/// The lowest and the highest height whose records are in a segment.
pub(crate) fn heights_in(store: &str, number: u64) -> (u64, u64) {
    let places = places(store).into_iter();
    let inside = places.filter(|(_, (segment, ..))| *segment == number);
    let heights: Vec<u64> = inside.map(|(height, _)| height).collect();
    (heights[0], heights[heights.len() - 1])
}

/// The folder of segments.
pub(crate) fn segments(store: &str) -> PathBuf {
    Path::new(store.split_once(':').unwrap().1).join("segments")
}

pub(crate) fn file(store: &str, number: u64) -> PathBuf {
    segments(store).join(format!("{number:010}.seg"))
}

/// Turns bits of a byte.
pub(crate) fn flip(path: &Path, at: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 0x41;
    fs::write(path, bytes).unwrap();
}

/// Adds bytes behind the last record, over zeros in advance.
pub(crate) fn scribble(store: &str) {
    let (number, offset, bytes) = place(store, TIP);
    let path = file(store, number);
    let mut content = fs::read(&path).unwrap();
    content.truncate(usize::try_from(offset + 40 + bytes).unwrap());
    content.extend(b"torn".repeat(30));
    fs::write(&path, content).unwrap();
}

pub(crate) fn check(store: &str) -> Ran {
    run(["blocks", "check", "--store", store, "--output", "json"])
}

/// Repairs, with more words.
pub(crate) fn repair(store: &str, more: &[&str]) -> Ran {
    let args = ["blocks", "repair", "--store", store, "--output", "json"];
    run(args.iter().chain(more))
}

/// Content digest and digest of blocks.
pub(crate) fn digests(store: &str) -> (String, String) {
    let json = run(["stat", "--store", store, "--digest", "--output", "json"]);
    let json: Value = json.ok().json();
    let text = |name: &str| json[name].as_str().unwrap().to_owned();
    (text("content_digest"), text("blocks_digest"))
}

/// Rows of every table, as a digest; also of a store whose blocks cannot be read.
pub(crate) fn snapshot_rows(store: &str) -> Vec<String> {
    let tables = Bodies::Segments.tables();
    let checksum = |table: &str| {
        let args = ["checksum", "--store", store, "--table", table];
        run(args).ok().text().to_owned()
    };
    tables.iter().map(|table| checksum(table.name())).collect()
}
