//! Lengths and counts that lie, streams that never end: an error comes before memory is spent.

use std::io::{self, Cursor, Read};
use std::process::Command;

use chain_files::antelope::LogReader;
use chain_files::e2store::{kind, write_record};
use chain_files::era1::Era1Reader;
use chain_files::rlp::{self, Item, Kind};
use chain_files::rlp_chain::RlpChainReader;
use chain_files::{Error, Fault, ReadOptions};
use snap::write::FrameEncoder;
use stats_alloc::Region;

use crate::ALLOCATOR;
use crate::common::{LOG, read, read_all, real, small_era1, small_rlp};

const SMALL: ReadOptions = ReadOptions {
    block_bytes_max: 1 << 20,
    after: None,
};

/// A list head with this length in all its bytes.
fn rlp_head(length: u64) -> Vec<u8> {
    let mut out = Vec::new();
    rlp::put_head(&mut out, Kind::List, length as usize);
    out.extend_from_slice(&[0xf9, 0x01, 0xf7, 0xa0, 0, 0, 0, 0]);
    out
}

fn era1_with(kind: u16, length: u32, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_record(&mut out, kind::VERSION, &[]).unwrap();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(data);
    out
}

fn snappy(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = FrameEncoder::new(Vec::new());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.into_inner().unwrap()
}

/// A log whose first block ends in the given bytes, which stand where its transactions begin.
fn log_with(transactions: &[u8]) -> Option<Vec<u8>> {
    let log = real(LOG)?;
    let blocks = read_all(&log);
    let first = blocks[0].at.offset as usize;
    // The genesis block has no transactions and no extensions: two counts of zero at its end.
    let body = &blocks[0].body;
    let mut out = log[..first].to_vec();
    out.extend_from_slice(&body[..body.len() - 2]);
    out.extend_from_slice(transactions);
    Some(out)
}

/// Every bomb with the fault it must end with.
fn bombs() -> Vec<(&'static str, Vec<u8>)> {
    let mut bombs = vec![
        ("rlp 2^32 - 1", rlp_head(u64::from(u32::MAX))),
        ("rlp 2^64 - 1", rlp_head(u64::MAX)),
        ("rlp 2^63", rlp_head(1 << 63)),
        ("rlp within the limit", rlp_head(60 << 20)),
        (
            "era1 within the limit",
            era1_with(kind::HEADER, 60 << 20, &[0; 64]),
        ),
        ("era1 header", era1_with(kind::HEADER, u32::MAX, &[0; 64])),
        ("era1 frames without end", {
            let packed = snappy(&vec![0; 4 << 20]);
            era1_with(kind::HEADER, packed.len() as u32, &packed)
        }),
    ];
    let varint = [0xff, 0xff, 0xff, 0xff, 0x0f];
    // Number of transactions; the same with one that has so many signatures, or so long a body.
    let executed = [1, 0, 0, 0, 0, 0, 0, 1];
    for transactions in [
        varint.to_vec(),
        [&executed[..], &varint].concat(),
        [&executed[..], &[0, 0, 0], &varint].concat(),
        [&[0], &varint[..]].concat(),
        // A body of 60 MiB, which is within the limit, but does not come.
        [&executed[..], &[0, 0, 0], &[0x80, 0x80, 0x80, 0x1e]].concat(),
    ] {
        if let Some(log) = log_with(&transactions) {
            bombs.push(("antelope", log));
        }
    }
    bombs
}

/// Runs alone in a process of its own, so that the counts are its own.
#[test]
#[ignore = "started by bombs_do_not_allocate, alone in its process"]
fn bombs_alone() {
    // The first use of the reader and of the errors is not counted.
    for _ in 0..2 {
        for (name, bytes) in bombs() {
            // The default limit: it is the bytes that arrive, not the limit, that bound memory.
            let options = if name.contains("frames") {
                SMALL
            } else {
                ReadOptions::default()
            };
            let region = Region::new(ALLOCATOR);
            let (blocks, error) = read(&bytes[..], options);
            let spent = region.change();
            let spent_bytes = spent.bytes_allocated as i64 + spent.bytes_reallocated as i64;
            assert!(blocks.is_empty() && error.is_some(), "{name}");
            assert!(
                spent_bytes < 3 << 20,
                "{name}: {spent_bytes} bytes were allocated"
            );
        }
    }
}

#[test]
fn bombs_do_not_allocate() {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program)
        .args([
            "--exact",
            "bombs::bombs_alone",
            "--ignored",
            "--test-threads=1",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "the test was not found: {text}");
}

#[test]
fn bombs_are_called_what_they_are() {
    for (name, bytes) in bombs() {
        let (blocks, error) = read(&bytes[..], SMALL);
        assert!(blocks.is_empty(), "{name}");
        let fault = error.unwrap().fault;
        let expected = matches!(fault, Fault::OverLimit { .. } | Fault::Truncated { .. });
        assert!(expected, "{name}: {fault}");
    }
}

/// A transaction that says it is zlib and grows a thousand times.
#[test]
fn zlib_bombs_are_bounded() {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    io::copy(&mut io::repeat(0).take(32 << 20), &mut encoder).unwrap();
    let packed = encoder.finish().unwrap();
    let mut transactions = vec![1, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0];
    let mut length = packed.len();
    while length >= 0x80 {
        transactions.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    transactions.push(length as u8);
    transactions.extend_from_slice(&packed);
    let Some(log) = log_with(&transactions) else {
        return;
    };
    let (_, error) = read(&log[..], SMALL);
    let fault = error.unwrap().fault;
    assert!(
        matches!(fault, Fault::OverLimit { limit, .. } if limit == 1 << 20),
        "{fault}"
    );
}

/// Lists in lists, the innermost empty.
fn nested(depth: usize) -> Vec<u8> {
    let mut heads = Vec::new();
    let mut length = 0;
    for _ in 0..depth {
        let mut head = Vec::new();
        rlp::put_head(&mut head, Kind::List, length);
        length += head.len();
        heads.push(head);
    }
    heads.into_iter().rev().flatten().collect()
}

#[test]
fn nesting_a_hundred_thousand_deep() {
    let deep = nested(100_000);
    let item = Item::whole(&deep, "list").unwrap();
    assert!(matches!(
        rlp::check_nested(item),
        Err(Fault::TooDeep { .. })
    ));
    rlp::check_nested(Item::whole(&nested(rlp::DEPTH_MAX), "list").unwrap()).unwrap();
    let over = nested(rlp::DEPTH_MAX + 1);
    assert!(rlp::check_nested(Item::whole(&over, "list").unwrap()).is_err());

    // In the place of a block's transactions.
    let Some(rlp_file) = small_rlp(1) else { return };
    let block = Item::whole(&rlp_file, "block").unwrap();
    let header = block.list("block").unwrap().expect("header").unwrap();
    let mut bytes = Vec::new();
    rlp::put_list(&mut bytes, |out| {
        out.extend_from_slice(header.encoded());
        out.extend_from_slice(&deep);
        out.push(0xc0);
    });
    let (blocks, error) = read(&bytes[..], ReadOptions::default());
    assert!(blocks.is_empty());
    assert!(matches!(error.unwrap().fault, Fault::TooDeep { .. }));
}

/// Gives bytes without end and counts what is taken.
struct Endless<R> {
    beginning: R,
    byte: u8,
    taken: u64,
}

impl<R: Read> Read for Endless<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match self.beginning.read(buffer)? {
            0 => {
                buffer.fill(self.byte);
                buffer.len()
            }
            count => count,
        };
        self.taken += count as u64;
        Ok(count)
    }
}

fn end_of(mut next: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    while next()? {}
    Ok(())
}

#[test]
fn endless_streams_end_with_an_error() {
    for byte in 0..=255 {
        let endless = || Endless {
            beginning: io::empty(),
            byte,
            taken: 0,
        };
        let (blocks, error) = read(endless(), SMALL);
        assert!(blocks.is_empty() && error.is_some(), "byte {byte:#04x}");
        let mut rlp = RlpChainReader::new(endless(), SMALL);
        assert!(end_of(|| rlp.next_block().map(|block| block.is_some())).is_err());
        assert!(Era1Reader::new(endless(), SMALL).is_err());
        assert!(LogReader::new(endless(), SMALL).is_err());
    }
}

#[test]
fn endless_streams_behind_good_blocks_end_with_an_error() {
    let files = [small_era1(2), small_rlp(2), real(LOG)];
    for bytes in files.into_iter().flatten() {
        let whole = read_all(&bytes);
        let second = whole[1].at.offset as usize;
        for byte in 0..=255 {
            for cut in [second, second + 1, second + 9, second + 40, bytes.len()] {
                let mut endless = Endless {
                    beginning: Cursor::new(&bytes[..cut]),
                    byte,
                    taken: 0,
                };
                let (blocks, error) = read(&mut endless, SMALL);
                let good = if cut == bytes.len() { whole.len() } else { 1 };
                let error = error.unwrap_or_else(|| panic!("cut {cut}, byte {byte:#04x}"));
                assert!(blocks.len() >= good, "cut {cut}, byte {byte:#04x}: {error}");
                assert!(
                    blocks[..good] == whole[..good],
                    "cut {cut}, byte {byte:#04x}"
                );
                let most = bytes.len() as u64 + SMALL.block_bytes_max + (1 << 17);
                assert!(endless.taken <= most, "{} bytes taken", endless.taken);
            }
        }
    }
}
