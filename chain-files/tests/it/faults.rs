//! Files that are wrong in one way each, put together from good parts: the error calls it by name
//! and says where.

use std::io::{self, Read};

use chain_files::e2store::{kind, write_record};
use chain_files::era1::Era1Body;
use chain_files::{Error, Fault, FileReader, Position, ReadOptions, ResumePoint};

use crate::common::{
    ERA1, LOG, Owned, RLP, drain, read, read_all, real, record_starts, small_era1,
};

/// The only error of a file, after so many blocks.
fn error_after(bytes: &[u8], good: usize) -> Error {
    let (blocks, error) = read(bytes, ReadOptions::default());
    let error = error.unwrap_or_else(|| panic!("{} blocks and no error", blocks.len()));
    assert_eq!(blocks.len(), good, "{error}");
    assert_eq!(error.at.record, good as u64, "{error}");
    error
}

/// A small era1 file as its records.
fn records(count: usize) -> Option<Vec<Vec<u8>>> {
    let bytes = small_era1(count)?;
    let mut starts = record_starts(&bytes);
    starts.push(bytes.len());
    let pairs = starts.windows(2);
    Some(pairs.map(|pair| bytes[pair[0]..pair[1]].to_vec()).collect())
}

fn record(kind: u16, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_record(&mut out, kind, data).unwrap();
    out
}

#[test]
fn era1_records_in_another_order() {
    let Some(good) = records(3) else { return };
    // Version, four records for each block, accumulator, index.
    let mut swapped = good.clone();
    swapped.swap(5, 6);
    let error = error_after(&swapped.concat(), 1);
    let expected = (kind::HEADER, kind::BODY);
    let Fault::RecordType {
        expected: want,
        found,
    } = error.fault
    else {
        panic!("{error}");
    };
    assert_eq!((want, found), expected);
    assert_eq!(error.at.offset, good[..5].concat().len() as u64);

    let mut without = good.clone();
    without.remove(7);
    let error = error_after(&without.concat(), 1);
    assert!(
        matches!(
            error.fault,
            Fault::RecordType {
                expected: kind::RECEIPTS,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.at.offset, good[..7].concat().len() as u64);

    let empty = [&good[0][..], &good[13], &good[14]].concat();
    let error = error_after(&empty, 0);
    assert!(
        matches!(
            error.fault,
            Fault::RecordType {
                expected: kind::HEADER,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn era1_blocks_left_out_or_twice() {
    let Some(good) = records(3) else { return };
    for (order, found) in [([0, 2], 2), ([0, 0], 0)] {
        let mut file = good[0].clone();
        for block in order {
            file.extend(good[1 + 4 * block..5 + 4 * block].concat());
        }
        let error = error_after(&file, 1);
        let Fault::Number {
            expected: 1,
            found: number,
        } = error.fault
        else {
            panic!("{error}");
        };
        assert_eq!(number, found);
    }
}

#[test]
fn era1_parts_of_other_blocks() {
    let Some(good) = records(3) else { return };
    let total = |bytes: [u8; 32]| record(kind::TOTAL_DIFFICULTY, &bytes);
    let root = |bytes: [u8; 32]| record(kind::ACCUMULATOR, &bytes);
    let mut file = good.clone();
    file[8] = total([1; 32]);
    let error = error_after(&file.concat(), 1);
    assert!(matches!(error.fault, Fault::Mismatch { what, .. } if what.contains("difficulty")));

    let mut file = good.clone();
    file[13] = root([1; 32]);
    let error = error_after(&file.concat(), 3);
    assert!(
        matches!(
            error.fault,
            Fault::Mismatch {
                what: "accumulator",
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.at.offset, good[..13].concat().len() as u64);

    for (at, wanted) in [(8, "number"), (16, "index"), (24, "index"), (40, "count")] {
        let mut file = good.clone();
        file[14][at] ^= 1;
        let error = error_after(&file.concat(), 3);
        let found = match error.fault {
            Fault::Number {
                expected: 0,
                found: 1,
            } => "number",
            Fault::Index { number, .. } if number == (at as u64 - 16) / 8 => "index",
            Fault::Value {
                expected: 3,
                found: 2,
                ..
            } => "count",
            _ => panic!("{error}"),
        };
        assert_eq!(found, wanted, "byte {at}");
        assert_eq!(error.at.offset, good[..14].concat().len() as u64);
    }

    let longer = [good.concat(), record(kind::VERSION, &[])].concat();
    let error = error_after(&longer, 3);
    assert!(matches!(error.fault, Fault::Trailing { .. }), "{error}");
}

/// A stored body whose parts do not belong together is refused by itself.
#[test]
fn stored_parts_of_other_blocks() {
    let Some(bytes) = real(RLP) else { return };
    let blocks = read_all(&bytes);
    let full = blocks
        .iter()
        .find(|block| !block.tx_ids.is_empty())
        .unwrap();
    let parts = |block: &Owned| -> Vec<Vec<u8>> {
        let whole = chain_files::rlp::Item::whole(&block.body, "block").unwrap();
        let mut items = whole.list("block").unwrap();
        let mut parts = Vec::new();
        while let Some(item) = items.next_item("item").unwrap() {
            parts.push(item.encoded().to_vec());
        }
        parts
    };
    let mut mixed = parts(full);
    mixed[1] = vec![0xc0];
    let mut file = Vec::new();
    chain_files::rlp::put_list(&mut file, |out| out.extend(mixed.concat()));
    let error = error_after(&file, 0);
    assert!(
        matches!(
            error.fault,
            Fault::Mismatch {
                what: "transactions root",
                ..
            }
        ),
        "{error}"
    );

    let Some(era1) = real(ERA1) else { return };
    let first = FileReader::open(&era1[..], ReadOptions::default())
        .unwrap()
        .next_block()
        .unwrap()
        .unwrap()
        .body
        .to_vec();
    let stored = Era1Body::parse(&first).unwrap();
    let receipts = first.len() - 32 - stored.receipts.len();
    // One receipt that is not there: the list [[]] in the place of [].
    let mut other = first[..receipts - 4].to_vec();
    other.extend_from_slice(&[2, 0, 0, 0, 0xc1, 0xc0]);
    other.extend_from_slice(&stored.total_difficulty.0);
    let fault = Era1Body::parse(&other)
        .unwrap()
        .check(&mut Vec::new())
        .unwrap_err();
    assert!(
        matches!(
            fault,
            Fault::Mismatch {
                what: "receipts root",
                ..
            }
        ),
        "{fault}"
    );
}

#[test]
fn antelope_blocks_left_out_twice_or_misplaced() {
    let Some(log) = real(LOG) else { return };
    let blocks = read_all(&log);
    let first = blocks[0].at.offset as usize;
    let file = |order: &[usize]| {
        let mut file = log[..first].to_vec();
        for at in order {
            let start = file.len() as u64;
            file.extend_from_slice(&blocks[*at].body);
            file.extend_from_slice(&start.to_le_bytes());
        }
        file
    };
    assert_eq!(read_all(&file(&[0, 1, 2])).len(), 3);
    for (order, good, expected) in [
        (&[0, 2][..], 1, 2),
        (&[0, 1, 1], 2, 3),
        (&[0, 1, 0], 2, 3),
        (&[1, 2], 0, 1),
    ] {
        let error = error_after(&file(order), good);
        let Fault::Number {
            expected: number, ..
        } = error.fault
        else {
            panic!("{order:?}: {error}");
        };
        assert_eq!(number, expected, "{order:?}");
    }
    // Another block 1 than the one that block 2 names: only the time differs.
    let mut fork = file(&[0, 1, 2]);
    fork[first] ^= 1;
    let error = error_after(&fork, 1);
    assert!(matches!(error.fault, Fault::Parent { .. }), "{error}");
    let mut misplaced = file(&[0, 1]);
    let trailer = first + blocks[0].body.len();
    misplaced[trailer] ^= 1;
    let error = error_after(&misplaced, 0);
    assert!(
        matches!(
            error.fault,
            Fault::Index {
                what: "trailer",
                number: 1,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn a_block_of_exactly_the_limit_and_one_byte_more() {
    for bytes in [real(RLP), real(LOG)].into_iter().flatten() {
        let blocks = read_all(&bytes);
        let longest = blocks.iter().map(|block| block.body.len()).max().unwrap();
        let place = blocks
            .iter()
            .position(|block| block.body.len() == longest)
            .unwrap();
        // Transactions of a log decompress to more than their block takes.
        let unpacked = if bytes[0] < 0xc0 { 1 << 20 } else { 0 };
        let options = |limit: usize| ReadOptions {
            block_bytes_max: limit as u64,
            after: None,
        };
        let (read_blocks, error) = read(&bytes[..], options(longest.max(unpacked)));
        assert!(error.is_none() && read_blocks.len() == blocks.len());
        let (read_blocks, error) = read(&bytes[..], options(longest - 1));
        let error = error.unwrap();
        assert!(matches!(error.fault, Fault::OverLimit { .. }), "{error}");
        assert_eq!((read_blocks.len(), error.at), (place, blocks[place].at));
    }
}

#[test]
fn going_on_in_another_or_a_shorter_file() {
    let Some(bytes) = real(RLP) else { return };
    let blocks = read_all(&bytes);
    let point = blocks[9].resume;
    let resume = |bytes: &[u8], point: ResumePoint| match FileReader::resume(
        bytes,
        ReadOptions::default(),
        point,
    ) {
        Ok(reader) => drain(reader),
        Err(error) => (Vec::new(), Some(error)),
    };
    let shorter = &bytes[..point.at.offset as usize - 1];
    let error = resume(shorter, point).1.unwrap();
    assert!(
        error.fault.is_truncation() && error.at == point.at,
        "{error}"
    );
    // Exactly as long: nothing new, and no error.
    let (rest, error) = resume(&bytes[..point.at.offset as usize], point);
    assert!(rest.is_empty() && error.is_none(), "{error:?}");
    let mut other = point;
    other.last.hash[0] ^= 1;
    assert!(matches!(
        resume(&bytes, other).1.unwrap().fault,
        Fault::Parent { .. }
    ));
    // A point that no file can have.
    for offset in [0, u64::MAX] {
        for name in [ERA1, LOG, RLP] {
            let Some(bytes) = real(name) else { continue };
            let at = Position {
                record: u64::MAX,
                offset,
            };
            let (blocks, error) = resume(&bytes, ResumePoint { at, ..point });
            assert!(blocks.is_empty() && error.is_some(), "{name} at {offset}");
        }
    }
}

/// A stream that fails in the middle: the system's error is kept.
#[test]
fn a_failing_stream_is_a_read_error() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::from_raw_os_error(5))
        }
    }
    for bytes in [small_era1(2), real(RLP), real(LOG)].into_iter().flatten() {
        let whole = read_all(&bytes);
        for cut in [0, 12, 400, whole[1].at.offset as usize + 3] {
            let (blocks, error) = read((&bytes[..cut]).chain(Failing), ReadOptions::default());
            let error = error.unwrap();
            let Fault::Read(source) = &error.fault else {
                panic!("cut at {cut}: {error}");
            };
            assert_eq!(source.raw_os_error(), Some(5));
            assert!(std::error::Error::source(&error).is_some());
            assert_eq!(blocks.len(), usize::from(cut > whole[1].at.offset as usize));
        }
    }
}
