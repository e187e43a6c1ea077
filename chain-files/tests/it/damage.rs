//! Cut and changed files: every cut and every flipped byte of small files, cuts around every
//! record of a longer one. What came before the damage is given out, what is behind it is not, and
//! the error says where.

use std::io::Cursor;

use chain_files::antelope::{LogReader, LogWalker, check_index};
use chain_files::{DETECT_BYTES, Fault, ReadOptions, detect};

use crate::common::{
    ERA1, INDEX, LOG, Owned, RLP, read, read_all, real, record_starts, small_era1, small_rlp,
};

/// Cuts a file and checks what is read; `starts` are the places that an error may name.
fn assert_cut(bytes: &[u8], whole: &[Owned], cut: usize, starts: &[usize]) {
    let (blocks, error) = read(&bytes[..cut], ReadOptions::default());
    let expected = whole
        .iter()
        .take_while(|block| block.resume.at.offset <= cut as u64)
        .count();
    assert!(
        blocks == whole[..expected],
        "cut at {cut}: {} blocks",
        blocks.len()
    );
    let error = error.unwrap_or_else(|| panic!("cut at {cut}: no error"));
    if matches!(error.fault, Fault::UnknownFormat { .. }) && cut < DETECT_BYTES {
        return;
    }
    assert!(error.fault.is_truncation(), "cut at {cut}: {error}");
    assert_eq!(error.at.record, expected as u64, "cut at {cut}");
    let start = starts.iter().rev().find(|start| **start <= cut).unwrap();
    assert_eq!(error.at.offset, *start as u64, "cut at {cut}: {error}");
}

fn block_starts(whole: &[Owned]) -> Vec<usize> {
    let mut starts = vec![0];
    starts.extend(whole.iter().map(|block| block.at.offset as usize));
    starts.dedup();
    starts
}

/// In these two formats nothing stands behind the last block, so a cut between two blocks leaves a
/// good, shorter file.
fn assert_every_cut(bytes: &[u8]) {
    let whole = read_all(bytes);
    let starts = block_starts(&whole);
    for cut in 0..bytes.len() {
        if cut > 0 && starts.contains(&cut) {
            let expected = whole
                .iter()
                .filter(|block| block.at.offset < cut as u64)
                .count();
            assert_eq!(read_all(&bytes[..cut]).len(), expected, "cut at {cut}");
        } else {
            assert_cut(bytes, &whole, cut, &starts);
        }
    }
}

#[test]
fn rlp_cut_at_every_byte() {
    let Some(bytes) = small_rlp(4) else { return };
    assert_every_cut(&bytes);
}

#[test]
fn antelope_cut_at_every_byte() {
    let Some(bytes) = real(LOG) else { return };
    assert_every_cut(&bytes);
}

#[test]
fn antelope_backwards_refuses_a_cut_tail() {
    let Some(bytes) = real(LOG) else { return };
    let whole = read_all(&bytes);
    for cut in 0..bytes.len() {
        let walker = LogWalker::new(Cursor::new(&bytes[..cut]), ReadOptions::default());
        let Ok(mut walker) = walker else {
            assert!(cut < whole[0].at.offset as usize, "cut at {cut}");
            continue;
        };
        let mut count = 0;
        let ended = loop {
            match walker.next_block() {
                Ok(Some(_)) => count += 1,
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        let good = whole.iter().position(|block| block.at.offset == cut as u64);
        assert_eq!(ended.then_some(count), good, "cut at {cut}");
        assert!(
            ended || count == 0,
            "cut at {cut}: {count} blocks of a damaged log"
        );
    }
}

#[test]
fn era1_cut_at_every_byte() {
    let Some(bytes) = small_era1(8) else { return };
    let whole = read_all(&bytes);
    let starts = record_starts(&bytes);
    for cut in 0..bytes.len() {
        assert_cut(&bytes, &whole, cut, &starts);
    }
}

#[test]
fn era1_cut_around_every_record() {
    let Some(bytes) = small_era1(48) else { return };
    let whole = read_all(&bytes);
    let starts = record_starts(&bytes);
    assert_eq!(starts.len(), 1 + 4 * 48 + 2);
    for start in starts.iter().skip(1) {
        for cut in [start - 1, *start, start + 1] {
            assert_cut(&bytes, &whole, cut, &starts);
        }
    }
}

#[test]
fn real_era1_cut_near_its_end() {
    let Some(bytes) = real(ERA1) else { return };
    let whole = read_all(&bytes);
    let starts = record_starts(&bytes);
    let near = starts.len() - 3;
    for cut in [
        starts[near],
        starts[near + 1] + 1,
        starts[near + 2] - 1,
        bytes.len() - 1,
    ] {
        assert_cut(&bytes, &whole, cut, &starts);
    }
}

/// Changes every byte, its lowest bit, its highest or all in turn, and reads the file.
fn every_flip(bytes: &[u8], mut check: impl FnMut(usize, &[Owned], Option<&chain_files::Error>)) {
    let mut changed = bytes.to_vec();
    for at in 0..bytes.len() {
        let mask = [0x01, 0x80, 0xff][at % 3];
        changed[at] ^= mask;
        let (blocks, error) = read(&changed[..], ReadOptions::default());
        check(at, &blocks, error.as_ref());
        changed[at] ^= mask;
    }
}

/// What ended before the changed byte is as it was.
fn assert_before(whole: &[Owned], blocks: &[Owned], at: usize) {
    let before = whole
        .iter()
        .take_while(|block| block.resume.at.offset <= at as u64)
        .count();
    assert!(blocks.len() >= before, "byte {at}: {} blocks", blocks.len());
    assert!(blocks[..before] == whole[..before], "byte {at}");
}

#[test]
fn era1_with_any_byte_flipped_is_refused() {
    let Some(bytes) = small_era1(3) else { return };
    let whole = read_all(&bytes);
    let mut noticed = 0;
    every_flip(&bytes, |at, blocks, error| {
        assert_before(&whole, blocks, at);
        // Snappy has more than one form for some bytes, such as a copy from elsewhere in a run.
        let same = |(new, old): (&Owned, &Owned)| new.body == old.body && new.hash == old.hash;
        let harmless = blocks.len() == whole.len() && blocks.iter().zip(&whole).all(same);
        assert!(
            error.is_some() || harmless,
            "byte {at}: nothing was noticed"
        );
        noticed += usize::from(error.is_some());
    });
    assert!(
        noticed * 100 > bytes.len() * 95,
        "{noticed} of {} were noticed",
        bytes.len()
    );
}

#[test]
fn rlp_with_any_byte_flipped_is_refused_or_has_another_head() {
    let Some(bytes) = small_rlp(3) else { return };
    let whole = read_all(&bytes);
    every_flip(&bytes, |at, blocks, error| {
        assert_before(&whole, blocks, at);
        // Only the last header is not held by anything else; it then has another hash.
        let head = blocks.last().map(|block| block.hash);
        let same = error.is_none() && head == whole.last().map(|block| block.hash);
        assert!(!same, "byte {at}: nothing was noticed");
    });
}

#[test]
fn antelope_with_any_byte_flipped_is_refused_or_differs() {
    let Some(bytes) = real(LOG) else { return };
    let whole = read_all(&bytes);
    let first = whole[0].at.offset as usize;
    let preamble = |bytes: &[u8]| {
        LogReader::new(bytes, ReadOptions::default()).map(|log| log.preamble().chain_id())
    };
    let chain_id = preamble(&bytes).unwrap();
    let (mut changed, mut unnoticed) = (bytes.clone(), 0);
    every_flip(&bytes, |at, blocks, error| {
        assert_before(&whole, blocks, at);
        if error.is_some() {
            return;
        }
        if at < first {
            changed[at] ^= 0xff;
            let other = preamble(&changed);
            changed[at] ^= 0xff;
            assert!(
                other.is_err() || other.is_ok_and(|id| id != chain_id),
                "byte {at}"
            );
            return;
        }
        assert!(blocks != whole, "byte {at}: nothing differs");
        // Signatures are not part of an id and not checked, and the last header is held by
        // nothing: all else must be refused.
        let same_ids = blocks
            .iter()
            .zip(&whole)
            .all(|(new, old)| new.hash == old.hash);
        unnoticed += usize::from(same_ids);
    });
    // Five signatures of 65 bytes and their kinds, and nothing more.
    assert!(unnoticed <= 5 * 66, "{unnoticed} flips outside signatures");
}

#[test]
fn index_with_any_byte_flipped_or_cut_is_refused() {
    let (Some(log), Some(index)) = (real(LOG), real(INDEX)) else {
        return;
    };
    let check = |index: &[u8]| check_index(&log[..], index, ReadOptions::default());
    for at in 0..index.len() {
        let mut changed = index.clone();
        changed[at] ^= 0x10;
        let error = check(&changed).unwrap_err();
        assert!(
            matches!(error.fault, Fault::Index { .. }),
            "byte {at}: {error}"
        );
        assert_eq!(error.at.record, at as u64 / 8);
        assert!(
            check(&index[..at]).unwrap_err().fault.is_truncation(),
            "cut at {at}"
        );
    }
    let longer = [&index[..], &index[..8]].concat();
    assert!(matches!(
        check(&longer).unwrap_err().fault,
        Fault::Trailing { .. }
    ));
}

/// Blocks left out, repeated, in the wrong order, or of another chain.
#[test]
fn gaps_duplicates_and_mixed_chains() {
    let Some(rlp) = real(RLP) else { return };
    let blocks = read_all(&rlp);
    let file = |order: &[usize]| -> Vec<u8> {
        order
            .iter()
            .flat_map(|at| blocks[*at].body.clone())
            .collect()
    };
    for (order, good, expected) in [
        ([0, 2, 3], 1, 2),
        ([0, 0, 1], 1, 2),
        ([1, 2, 1], 2, 4),
        ([2, 1, 0], 1, 4),
    ] {
        let (read, error) = read(&file(&order)[..], ReadOptions::default());
        let error = error.unwrap();
        assert_eq!(read.len(), good, "{order:?}");
        assert_eq!(error.at.record, good as u64);
        assert_eq!(error.at.offset, read[good - 1].resume.at.offset);
        let Fault::Number {
            expected: number, ..
        } = error.fault
        else {
            panic!("{order:?}: {error}");
        };
        assert_eq!(number, expected, "{order:?}");
    }
    // The same number on another chain: the block before is asked for by its hash.
    let Some(era1) = real(ERA1) else { return };
    let mut other = chain_files::FileReader::open(&era1[..], ReadOptions::default()).unwrap();
    other.next_block().unwrap();
    let after = other.next_block().unwrap().unwrap().resume_point().last;
    let options = ReadOptions {
        after: Some(after),
        ..ReadOptions::default()
    };
    let (read, error) = read(&file(&[1, 2])[..], options);
    assert!(read.is_empty());
    assert!(matches!(error.unwrap().fault, Fault::Parent { .. }));
}

#[test]
fn formats_are_told_from_their_first_bytes() {
    for name in [ERA1, RLP, LOG] {
        let Some(bytes) = real(name) else { continue };
        assert!(detect(&bytes[..DETECT_BYTES]).is_some(), "{name}");
    }
    for bytes in [
        &b""[..],
        b"BZh91AY&SY",
        b"\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\xf9\xbe\xb4\xd9\x1d\x01\x00\x00",
        b"\xc0\xc0\xc0\xc0\xc0\xc0\xc0\xc0",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
        b"\x05\x00\x00\x00\x01\x00\x00\x00",
    ] {
        assert_eq!(detect(bytes), None, "{bytes:02x?}");
    }
}
