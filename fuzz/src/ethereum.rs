//! Targets of Ethereum's formats: RLP, blocks, chain files, e2store and era1.
//!
//! Roots in a header guard what stands behind them, so a block that fails at one is tried again
//! with the root that its data gives: a fuzzer would not find it.

use chain_files::e2store::{HEAD_BYTES, RecordHead, write_record};
use chain_files::era1::{Era1Body, Era1Reader, Era1Writer};
use chain_files::ethereum::{decode_block, keccak};
use chain_files::rlp::{self, Head, Item, Items, Kind};
use chain_files::rlp_chain::{RlpChainReader, RlpChainWriter};
use chain_files::{Fault, FileFormat, Hash};

use crate::drain::{self, Drained, Owned, SMALL, drain};
use crate::must;

/// Roots in a block: transactions, ommers, withdrawals, receipts.
const ROOTS: usize = 4;

/// One item: told the same from its head, its slice and its encoding.
pub(crate) fn rlp(data: &[u8]) {
    let head = Head::decode(data, "item");
    let split = Item::split(data, "item");
    let Ok((item, rest)) = split else {
        return;
    };
    let head = must("the head of a good item", head);
    assert_eq!(head.kind, item.kind());
    assert_eq!(head.payload_bytes, item.payload().len() as u64);
    assert_eq!(item.encoded().len() + rest.len(), data.len());
    assert_eq!(Item::whole(data, "item").is_ok(), rest.is_empty());
    let mut again = Vec::new();
    match item.kind() {
        Kind::Bytes => rlp::put_bytes(&mut again, item.payload()),
        Kind::List => rlp::put_list(&mut again, |out| out.extend_from_slice(item.payload())),
    }
    assert_eq!(again, item.encoded(), "one value has two forms");
    if let Ok(number) = item.uint("number") {
        again.clear();
        rlp::put_uint(&mut again, number);
        assert_eq!(again, item.encoded(), "one number has two forms");
    }
    if rlp::check_nested(item).is_ok() {
        again.clear();
        put_again(&mut again, item);
        assert_eq!(again, item.encoded(), "one tree has two forms");
    }
}

/// Writes a checked item anew; its depth is bounded by the check.
fn put_again(out: &mut Vec<u8>, item: Item<'_>) {
    match item.list("list") {
        Ok(items) => rlp::put_list(out, |out| each(items, |item| put_again(out, item))),
        Err(_) => rlp::put_bytes(out, item.payload()),
    }
}

fn each<'a>(mut items: Items<'a>, mut take: impl FnMut(Item<'a>)) {
    while let Some(item) = must("an item of a checked list", items.next_item("item")) {
        take(item);
    }
}

/// Puts what the data gives in the place of what it states; false when it is not there.
fn put_right(data: &mut [u8], stated: Hash, computed: Hash) -> bool {
    let at = data.windows(stated.len()).position(|part| part == stated);
    let place = at.and_then(|at| data.get_mut(at..at + stated.len()));
    place.is_some_and(|place| {
        place.copy_from_slice(&computed);
        true
    })
}

/// A block: decoded, and decoded again with its roots made right.
pub(crate) fn block(data: &[u8]) {
    let mut bytes = data.to_vec();
    let mut tx_ids = Vec::new();
    for _ in 0..=ROOTS {
        match decode_block(&bytes, &mut tx_ids) {
            Ok(header) => {
                let item = must("a good block", Item::whole(&bytes, "block"));
                let mut items = must("its items", item.list("block"));
                let first = must("its header", items.expect("header"));
                assert_eq!(header.hash, keccak(first.encoded()));
                let facts = FileFormat::EthereumRlp.check_body(&bytes, &mut tx_ids);
                assert_eq!(must("a good body", facts).link.hash, header.hash);
                let mut writer = RlpChainWriter::new(Vec::new());
                must("writing a good block", writer.write_block(&bytes));
                assert_eq!(must("the file", writer.finish()), bytes);
                return;
            }
            Err(Fault::Mismatch {
                stated, computed, ..
            }) if put_right(&mut bytes, stated, computed) => {}
            Err(_) => return,
        }
    }
}

/// A chain file: written again it is the same, byte for byte.
pub(crate) fn rlp_chain(data: &[u8]) {
    let mut reader = RlpChainReader::new(data, SMALL);
    let drained = drain(|| Ok(reader.next_block()?.map(Owned::from)));
    drain::check_order(&drained, 0, data.len() as u64);
    drain::check_bodies(&drained, FileFormat::EthereumRlp);
    let mut writer = RlpChainWriter::new(Vec::new());
    for block in &drained.blocks {
        must("writing what was read", writer.write_block(&block.body));
    }
    let written = must("the file", writer.finish());
    let end = usize::try_from(drained.end(0)).unwrap_or(usize::MAX);
    assert_eq!(Some(&written[..]), data.get(..end));
    drain::check_resume(&drained, |point| {
        let mut reader = RlpChainReader::resume(data, SMALL, point)?;
        Ok(drain(|| Ok(reader.next_block()?.map(Owned::from))))
    });
}

/// Records one behind the other: each head and each record written again is the same.
pub(crate) fn e2store(data: &[u8]) {
    let mut rest = data;
    while let Some((bytes, behind)) = rest.split_first_chunk::<{ HEAD_BYTES as usize }>() {
        let Ok(head) = RecordHead::decode(*bytes) else {
            return;
        };
        assert_eq!(&head.encode(), bytes);
        assert!(head.expect(head.kind).is_ok());
        assert!(head.expect(head.kind.wrapping_add(1)).is_err());
        let Some((record, behind)) = behind.split_at_checked(head.length_bytes as usize) else {
            return;
        };
        let mut again = Vec::new();
        let written = must("a record", write_record(&mut again, head.kind, record));
        assert_eq!(written, again.len() as u64);
        assert_eq!(Some(&again[..]), rest.get(..again.len()));
        rest = behind;
    }
}

fn read_era1(data: &[u8]) -> Drained {
    match Era1Reader::new(data, SMALL) {
        Ok(mut reader) => drain(|| Ok(reader.next_block()?.map(Owned::from))),
        Err(error) => Drained::refused(error),
    }
}

/// An era1 file: its blocks, written as a file again, are the same blocks.
pub(crate) fn era1(data: &[u8]) {
    let drained = read_era1(data);
    if drained.blocks.is_empty() {
        let error = drained.error.as_ref();
        assert!(error.is_none_or(|error| error.at.offset <= data.len() as u64));
        return;
    }
    drain::check_order(&drained, HEAD_BYTES, data.len() as u64);
    drain::check_bodies(&drained, FileFormat::Era1);
    drain::check_resume(&drained, |point| {
        let mut reader = Era1Reader::resume(data, SMALL, point)?;
        Ok(drain(|| Ok(reader.next_block()?.map(Owned::from))))
    });
    let mut writer = Era1Writer::new(Vec::new());
    for block in &drained.blocks {
        must("writing what was read", writer.write_block(&block.body));
    }
    let (file, _) = must("the file", writer.finish());
    let again = read_era1(&file);
    assert!(again.error.is_none(), "{:?}", again.error);
    let bodies = |drained: &Drained| {
        let bodies = drained.blocks.iter();
        bodies.map(|block| block.body.clone()).collect::<Vec<_>>()
    };
    assert!(bodies(&again) == bodies(&drained), "other blocks came back");
}

/// A stored body: its parts put together are the body again.
pub(crate) fn era1_body(data: &[u8]) {
    let mut bytes = data.to_vec();
    let mut tx_ids = Vec::new();
    for _ in 0..=ROOTS {
        let Ok(body) = Era1Body::parse(&bytes) else {
            return;
        };
        let mut again = Vec::with_capacity(bytes.len());
        for part in [body.header, body.body, body.receipts] {
            again.extend_from_slice(&(part.len() as u32).to_le_bytes());
            again.extend_from_slice(part);
        }
        again.extend_from_slice(&body.total_difficulty.0);
        assert_eq!(again, bytes, "the parts are not the whole");
        match body.check(&mut tx_ids) {
            Ok(header) => {
                assert_eq!(header.hash, keccak(body.header));
                return;
            }
            Err(Fault::Mismatch {
                stated, computed, ..
            }) => {
                if !put_right(&mut bytes, stated, computed) {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
