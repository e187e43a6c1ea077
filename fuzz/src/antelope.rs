//! Targets of Antelope's formats: blocks, the beginning of a log, logs both ways, indexes.
//!
//! A log is read forward from a stream and backward by its trailers, by two decoders of blocks: a
//! log that one of them takes, the other takes too, with the same blocks.

use std::io::Cursor;

use chain_files::antelope::{
    AntelopeBlock, IndexReader, Layout, LogReader, LogWalker, LogWriter, Preamble, check_index,
    decode_block,
};
use chain_files::{Fault, FileFormat, Hash};

use crate::drain::{self, Drained, Owned, SMALL, drain};
use crate::{must, take_long};

/// Where the root of the transactions stands in a block: behind time, producer, count and parent.
const ROOT_AT: usize = 4 + 8 + 2 + 32;

/// A block in both layouts; with a root that does not fit, again with the one that does.
pub(crate) fn block(data: &[u8]) {
    for layout in [Layout::Plain, Layout::Prunable] {
        let mut bytes = data.to_vec();
        let mut tx_ids = Vec::new();
        let mut found = decode_block(&bytes, layout, &mut tx_ids);
        if let Err(Fault::Mismatch { computed, .. }) = found {
            if let Some(place) = bytes.get_mut(ROOT_AT..ROOT_AT + 32) {
                place.copy_from_slice(&computed);
            }
            found = decode_block(&bytes, layout, &mut tx_ids);
            let is_still_other = matches!(found, Err(Fault::Mismatch { .. }));
            assert!(!is_still_other, "a block with its own root: {found:?}");
        }
        if let Ok(block) = found {
            check_block(&bytes, layout, (block, &tx_ids));
        }
    }
}

/// What a slice gave, a stream gives too.
fn check_block(bytes: &[u8], layout: Layout, (block, tx_ids): (AntelopeBlock, &[Hash])) {
    assert!(block.length_bytes <= bytes.len() as u64);
    assert_eq!(block.id.first_chunk(), Some(&block.number.to_be_bytes()));
    if layout == Layout::Plain {
        assert_eq!(block.length_bytes, bytes.len() as u64);
    }
    let Ok(preamble) = Preamble::from_chain_id([7; 32], block.number) else {
        return;
    };
    let preamble = match layout {
        Layout::Plain => preamble,
        Layout::Prunable => {
            let mut text = preamble.bytes().to_vec();
            text.splice(..4, 4_u32.to_le_bytes());
            must("the beginning of a log", Preamble::parse(&text))
        }
    };
    let mut writer = must("a log", LogWriter::new(Vec::new(), preamble));
    must("writing a good block", writer.write_block(bytes));
    let log = must("the log", writer.finish());
    let mut reader = must("the log", LogReader::new(&log[..], SMALL));
    let read = must("the block", reader.next_block());
    let read = read.map(|read| (read.hash, read.number, read.tx_ids.to_vec()));
    let wanted = (block.id, u64::from(block.number), tx_ids.to_vec());
    assert_eq!(read, Some(wanted));
}

/// The beginning of a log: the same from a slice and from a stream.
pub(crate) fn preamble(data: &[u8]) {
    let streamed = LogReader::new(data, SMALL);
    match Preamble::parse(data) {
        Ok(preamble) => {
            assert_eq!(preamble.bytes(), data);
            let streamed = must("the same from a stream", streamed);
            assert_eq!(streamed.preamble(), &preamble);
        }
        Err(_) => {
            if let Ok(streamed) = streamed {
                let bytes = streamed.preamble().bytes();
                assert!(data.starts_with(bytes) && bytes.len() < data.len());
            }
        }
    }
}

fn walk(data: &[u8]) -> Drained {
    match LogWalker::new(Cursor::new(data), SMALL) {
        Ok(mut walker) => drain(|| Ok(walker.next_block()?.map(Owned::from))),
        Err(error) => Drained::refused(error),
    }
}

/// A log: forward, backward, from the middle, and written again.
pub(crate) fn log(data: &[u8]) {
    let mut back = walk(data);
    let Ok(mut reader) = LogReader::new(data, SMALL) else {
        return assert!(back.error.is_some() && back.blocks.is_empty());
    };
    let begin = reader.preamble().bytes().len() as u64;
    let drained = drain(|| Ok(reader.next_block()?.map(Owned::from)));
    drain::check_order(&drained, begin, data.len() as u64);
    drain::check_bodies(&drained, FileFormat::AntelopeLog);
    if drained.error.is_none() || back.error.is_none() {
        for (way, error) in [("forward", &drained.error), ("backward", &back.error)] {
            assert!(error.is_none(), "{way}, and not the other way: {error:?}");
        }
        back.blocks.reverse();
        assert!(back.blocks == drained.blocks, "other blocks backward");
    }
    let preamble = reader.preamble().clone();
    let mut writer = must("a log", LogWriter::new(Vec::new(), preamble));
    for block in &drained.blocks {
        let at = must("writing what was read", writer.write_block(&block.body));
        assert_eq!(at, block.at.offset);
    }
    let written = must("the log", writer.finish());
    let end = usize::try_from(drained.end(begin)).unwrap_or(usize::MAX);
    assert_eq!(Some(&written[..]), data.get(..end));
    drain::check_resume(&drained, |point| {
        let mut reader = LogReader::resume(data, SMALL, point)?;
        Ok(drain(|| Ok(reader.next_block()?.map(Owned::from))))
    });
}

/// An index beside its log: `length (2) log index`. It is right exactly when it has the offsets of
/// the log's entries.
pub(crate) fn index(data: &[u8]) {
    let mut rest = data;
    let Some(log) = take_long(&mut rest) else {
        return;
    };
    let mut offsets = Vec::new();
    let mut reader = IndexReader::new(rest);
    let whole = loop {
        match reader.next_offset() {
            Ok(Some(offset)) => offsets.push(offset),
            Ok(None) => break true,
            Err(error) => {
                assert_eq!(error.at.offset, 8 * offsets.len() as u64);
                break false;
            }
        }
    };
    assert_eq!(whole, rest.len().is_multiple_of(8));
    let wanted = match LogReader::new(log, SMALL) {
        Ok(mut reader) => drain(|| Ok(reader.next_block()?.map(Owned::from))),
        Err(error) => Drained::refused(error),
    };
    let places = wanted.blocks.iter().map(|block| block.at.offset);
    let is_right = wanted.error.is_none() && whole && places.eq(offsets.iter().copied());
    match check_index(log, rest, SMALL) {
        Ok(count) => assert!(is_right && count == offsets.len() as u64),
        Err(error) => assert!(!is_right, "{error}"),
    }
}
