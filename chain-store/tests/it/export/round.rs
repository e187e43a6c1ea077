//! Real files out and in again: the bytes, the content, on every engine, whole and in part.

use std::collections::BTreeSet;
use std::fs;
use std::ops::ControlFlow;

use chain_store::chain_files::antelope::{LogReader, check_index};
use chain_store::chain_files::e2store::kind;
use chain_store::chain_files::{FileReader, Hash, ReadOptions};
use chain_store::export::{ExportError, ExportOptions, ExportReport};
use chain_store::{
    Bodies, ChainFormat, ChainKind, EngineName, ImportError, SNIFF_BYTES, SourceFile,
};
use conformance::scaled;
use storage_api::blocks::Height;

use super::{
    BARE, ERA1, FRAMED, LOG, RLP, Real, blocks_digest, digest, empty, empty_with, export,
    export_with, filled, heights, import,
};
use crate::import::real_file;

const INDEX: &str = "antelope-blocks.index";

/// What a file of another compression must have alike.
type Entry = (u64, Hash, Hash, Vec<Hash>, Vec<u8>);

fn entries(file: &[u8]) -> Vec<Entry> {
    let mut reader = FileReader::open(file, ReadOptions::default()).unwrap();
    let mut entries = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        entries.push((
            block.number,
            block.hash,
            block.parent,
            block.tx_ids.to_vec(),
            block.body.to_vec(),
        ));
    }
    entries
}

/// The accumulator of an era1 file: what the last but one of its records holds.
fn accumulator(era1: &[u8]) -> Vec<u8> {
    let mut at = 0;
    while at < era1.len() {
        let found = u16::from_le_bytes(era1[at..at + 2].try_into().unwrap());
        let length = u32::from_le_bytes(era1[at + 2..at + 6].try_into().unwrap()) as usize;
        if found == kind::ACCUMULATOR {
            return era1[at + 8..at + 8 + length].to_vec();
        }
        at += 8 + length;
    }
    Vec::new()
}

#[test]
fn real_files_come_out_as_they_went_in() {
    for real in [RLP, LOG, FRAMED, BARE] {
        let (Some(store), Some(bytes)) = (filled(real), real.bytes()) else {
            return;
        };
        let out = export(&store, ExportOptions::default()).unwrap();
        assert!(out.file == bytes, "{}: other bytes", real.name);
        if real.name == LOG.name {
            let index = real_file(INDEX).map(|path| fs::read(path).unwrap());
            assert_eq!(Some(out.index), index);
        }
    }
}

#[test]
fn an_era1_file_comes_out_with_its_entries_and_its_accumulator() {
    let (Some(store), Some(bytes)) = (filled(ERA1), ERA1.bytes()) else {
        return;
    };
    let out = export(&store, ExportOptions::default()).unwrap().file;
    assert!(entries(&out) == entries(&bytes), "other entries");
    assert_eq!(accumulator(&out).len(), 32);
    assert_eq!(accumulator(&out), accumulator(&bytes));
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("again.era1");
    fs::write(&path, out).unwrap();
    let again = empty(EngineName::Mem, place.path(), ERA1.chain);
    assert_eq!(import(&again, ERA1.chain, &path).unwrap(), ERA1.blocks);
    assert_eq!(digest(&again), digest(&store));
}

/// The first blocks of the era1 file as a file of their own, few enough for every engine.
fn short_era1() -> Option<(Real, Vec<u8>)> {
    let blocks = scaled(500) as u64;
    let file = export(&filled(ERA1)?, heights(0, blocks - 1)).unwrap().file;
    Some((Real { blocks, ..ERA1 }, file))
}

#[test]
fn an_export_means_the_same_on_every_engine() {
    let Some(short) = short_era1() else { return };
    let whole = [RLP, LOG, FRAMED, BARE].map(|real| real.bytes().map(|bytes| (real, bytes)));
    for (real, bytes) in whole.into_iter().flatten().chain([short]) {
        let mut digests = BTreeSet::new();
        for engine in EngineName::compiled() {
            let place = tempfile::tempdir().unwrap();
            let (before, after) = (place.path().join("1"), place.path().join("2"));
            // The name keeps what the file is called, its content says what it is.
            let path = place.path().join(real.name);
            fs::write(&path, &bytes).unwrap();
            let store = empty(engine, &before, real.chain);
            assert_eq!(import(&store, real.chain, &path).unwrap(), real.blocks);
            let out = export(&store, ExportOptions::default()).unwrap();
            assert!(out.file == bytes, "{engine}, {}: other bytes", real.name);
            fs::write(&path, &out.file).unwrap();
            let again = empty(engine, &after, real.chain);
            assert_eq!(import(&again, real.chain, &path).unwrap(), real.blocks);
            digests.insert(digest(&store).to_string());
            digests.insert(digest(&again).to_string());
        }
        assert_eq!(digests.len(), 1, "{}", real.name);
    }
}

/// Where bodies stand is the store's own matter: files, blocks and refusals are the same.
#[test]
fn bodies_in_segments_come_out_as_bodies_in_rows_do() {
    let Some(short) = short_era1() else { return };
    let whole = [RLP, LOG, FRAMED, BARE].map(|real| real.bytes().map(|bytes| (real, bytes)));
    for (real, bytes) in whole.into_iter().flatten().chain([short]) {
        for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join(real.name);
            fs::write(&path, &bytes).unwrap();
            let mut digests = BTreeSet::new();
            for (name, bodies) in [("1", Bodies::Segments), ("2", Bodies::Store)] {
                let store = empty_with(bodies, engine, &place.path().join(name), real.chain);
                assert_eq!(import(&store, real.chain, &path).unwrap(), real.blocks);
                let out = export(&store, ExportOptions::default()).unwrap();
                assert!(out.file == bytes, "{engine}, {}, {bodies}", real.name);
                let mut other = ExportOptions::default();
                other.format = ChainFormat::ALL
                    .into_iter()
                    .find(|format| format.chain() != real.chain);
                let refused = export(&store, other).unwrap_err();
                assert!(
                    matches!(refused, ExportError::OtherFormat { .. }),
                    "{refused}"
                );
                digests.insert(blocks_digest(&store).to_string());
                // The other chain's file is refused by the body of the tip, wherever it stands.
                let other = if real.chain == LOG.chain { RLP } else { LOG };
                if let (Some(path), ChainKind::Ethereum | ChainKind::Antelope) =
                    (other.path(), real.chain)
                {
                    let refused = import(&store, other.chain, &path).unwrap_err();
                    let is = matches!(refused, ImportError::OtherChain { .. });
                    assert!(is, "{refused}");
                }
            }
            assert_eq!(digests.len(), 1, "{engine}, {}", real.name);
        }
    }
}

#[test]
fn heights_are_exported_as_the_part_of_the_file_that_holds_them() {
    let (Some(rlp), Some(framed)) = (filled(RLP), filled(FRAMED)) else {
        return;
    };
    for (store, real) in [(rlp, RLP), (framed, FRAMED)] {
        let bytes = real.bytes().unwrap();
        let last = real.first + real.blocks - 1;
        let mut whole = Vec::new();
        for height in real.first..=last {
            whole.extend(export(&store, heights(height, height)).unwrap().file);
        }
        assert!(whole == bytes, "{}: block by block", real.name);
        let front = export(&store, heights(real.first, 20)).unwrap().file;
        let back = export(&store, heights(21, last)).unwrap().file;
        assert!([front, back].concat() == bytes, "{}: two parts", real.name);
    }
}

#[test]
fn every_part_of_a_block_log_is_a_log_with_its_index() {
    let Some(store) = filled(LOG) else { return };
    let whole = entries(&LOG.bytes().unwrap());
    let options = ReadOptions::default();
    let chain_id = |file: &[u8]| LogReader::new(file, options).unwrap().preamble().chain_id();
    for first in 1..=5 {
        for last in first..=5 {
            let out = export(&store, heights(first, last)).unwrap();
            let blocks = (first - 1) as usize..last as usize;
            assert!(entries(&out.file) == whole[blocks.clone()], "{blocks:?}");
            let count = check_index(&out.file[..], &out.index[..], options).unwrap();
            assert_eq!(count, last + 1 - first);
            assert_eq!(chain_id(&out.file), chain_id(&LOG.bytes().unwrap()));
            // It is imported alone, and gives the same part back.
            let place = tempfile::tempdir().unwrap();
            let path = place.path().join("part.log");
            fs::write(&path, &out.file).unwrap();
            let part = empty(EngineName::Mem, place.path(), LOG.chain);
            assert_eq!(import(&part, LOG.chain, &path).unwrap(), last + 1 - first);
            let again = export(&part, ExportOptions::default()).unwrap();
            assert!(again.file == out.file && again.index == out.index);
        }
    }
}

#[test]
fn a_log_in_two_files_comes_out_as_one() {
    let Some(store) = filled(LOG) else { return };
    let place = tempfile::tempdir().unwrap();
    let joined = empty(EngineName::Mem, place.path(), LOG.chain);
    for (first, last) in [(1, 2), (3, 5)] {
        let path = place.path().join("part.log");
        fs::write(&path, export(&store, heights(first, last)).unwrap().file).unwrap();
        import(&joined, LOG.chain, &path).unwrap();
    }
    assert_eq!(digest(&joined), digest(&store));
    let out = export(&joined, ExportOptions::default()).unwrap();
    assert!(out.file == LOG.bytes().unwrap());
}

#[test]
fn an_export_stops_between_two_blocks_when_it_is_asked_to() {
    let Some(store) = filled(RLP) else { return };
    let stop = &mut |report: &ExportReport| match report.blocks {
        7 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let (out, report) = export_with(&store, ExportOptions::default(), stop).unwrap();
    assert!(report.stopped);
    assert_eq!(
        (report.blocks, report.last_height),
        (7, Some(Height::new(7)))
    );
    assert!(RLP.bytes().unwrap().starts_with(&out.file));
    assert_eq!(entries(&out.file).len(), 7);
}

#[test]
fn first_bytes_tell_every_real_file() {
    for real in [ERA1, RLP, LOG, FRAMED, BARE] {
        let Some(path) = real.path() else { return };
        let format = SourceFile::open(&path).unwrap().format().unwrap();
        assert_eq!(format.chain(), real.chain, "{}", real.name);
    }
}

/// However little of a file is there, it is never taken for one of another format.
#[test]
fn no_beginning_of_a_file_is_taken_for_another_format() {
    for real in [ERA1, RLP, LOG, FRAMED, BARE] {
        let Some(bytes) = real.bytes() else { return };
        let own = ChainFormat::detect(&bytes).unwrap();
        assert_eq!(own.chain(), real.chain);
        for cut in 0..=SNIFF_BYTES {
            let found = ChainFormat::detect(&bytes[..cut]);
            assert!(found.is_err() || found == Ok(own), "{}: {cut}", real.name);
            // Enough to tell is what the longest of them needs: a header behind a frame.
            assert!(cut < 200 || found == Ok(own), "{}: {cut}", real.name);
        }
    }
}

/// Version 4 packs blocks in another way, of which no real file is at hand: the first block of the
/// real one, packed so.
#[test]
fn a_log_of_version_4_comes_out_as_it_went_in() {
    let Some(store) = filled(LOG) else { return };
    let one = export(&store, heights(1, 1)).unwrap().file;
    let blocks = entries(&one);
    let body = &blocks[0].4;
    let beginning = one.len() - 8 - body.len();
    let mut log = one[..beginning].to_vec();
    log[0] = 4;
    // No transactions and no extensions, behind what says how much was pruned; then padding.
    let (front, none) = body.split_at(body.len() - 2);
    assert_eq!(none, [0, 0]);
    let packed = [front, &[0], none, &[0; 11]].concat();
    log.extend((4 + 1 + packed.len() as u32 + 8).to_le_bytes());
    log.push(0);
    log.extend(packed);
    log.extend((beginning as u64).to_le_bytes());
    assert_eq!(entries(&log)[0].1, blocks[0].1);
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("blocks.log");
    fs::write(&path, &log).unwrap();
    let store = empty(EngineName::Mem, place.path(), LOG.chain);
    assert_eq!(import(&store, LOG.chain, &path).unwrap(), 1);
    let out = export(&store, ExportOptions::default()).unwrap();
    assert!(out.file == log);
    assert_eq!(out.index, (beginning as u64).to_le_bytes());
}
