//! R20 and R24 for `BlockHelp`: lengths, rollover, reads of any range, writes at the end only, and
//! nothing that was written is lost or made up.

use std::io::ErrorKind;
use std::sync::Arc;

use compat::repchain::{BlockHelp, Error, FileNo, FilePos, Options};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::LogError;
use seglog::disk::{Disk, Folder};
use seglog::sim::{SimDisk, Trouble};

use super::{SEED, bytes_of};

fn options(file_bytes_max: u64) -> Options {
    Options {
        file_bytes_max,
        ..super::options()
    }
}

fn open(disk: Arc<dyn Disk>, file_bytes_max: u64) -> BlockHelp {
    BlockHelp::open(disk, &options(file_bytes_max)).unwrap().0
}

/// What the original's store does with the four calls: writes a block where it belongs.
fn store(help: &BlockHelp, bytes: &[u8]) -> Result<(FileNo, FilePos), Error> {
    let mut file_no = help.get_max_file_no();
    if help.is_add_file(file_no, bytes.len() as u64)? {
        file_no = FileNo::new(file_no.get() + 1);
    }
    let start = FilePos::new(help.get_file_length(file_no)?);
    help.write_block(file_no, start, bytes)?;
    Ok((file_no, start))
}

fn filled(number: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (number * 31 + at * 7) as u8).collect()
}

fn is_short(result: &Result<Vec<u8>, Error>, bytes: u64) -> bool {
    matches!(result, Err(Error::ShortRead { file_bytes, .. }) if *file_bytes == bytes)
}

#[test]
fn two_strings_are_written_and_read_at_their_offsets() {
    let dir = tempfile::tempdir().unwrap();
    let help = open(Arc::new(Folder::new(dir.path())), 1_000);
    let (zero, start) = (FileNo::new(0), FilePos::new(0));
    assert_eq!(help.get_file_length(zero).unwrap(), 0);
    assert_eq!(
        help.get_file_length(FileNo::new(7)).unwrap(),
        0,
        "0 where there is none"
    );
    help.write_block(zero, start, b"one string").unwrap();
    help.write_block(zero, FilePos::new(10), b"and another")
        .unwrap();
    assert_eq!(help.read_block(zero, start, 10).unwrap(), b"one string");
    assert_eq!(
        help.read_block(zero, FilePos::new(10), 11).unwrap(),
        b"and another"
    );
    assert_eq!(
        help.read_block(zero, FilePos::new(4), 9).unwrap(),
        b"stringand"
    );
    assert_eq!(help.read_block(zero, FilePos::new(21), 0).unwrap(), b"");
    assert_eq!(help.get_file_length(zero).unwrap(), 21);
    // Neither zeros in place of what is missing, nor nothing.
    assert!(is_short(&help.read_block(zero, FilePos::new(10), 12), 21));
    assert!(is_short(&help.read_block(zero, FilePos::new(22), 0), 21));
    assert!(is_short(
        &help.read_block(zero, FilePos::new(u64::MAX), u32::MAX),
        21
    ));
    assert!(is_short(&help.read_block(FileNo::new(1), start, 1), 0));
}

#[test]
fn writes_are_at_the_end_and_nowhere_else() {
    let dir = tempfile::tempdir().unwrap();
    let help = open(Arc::new(Folder::new(dir.path())), 1_000);
    help.write_block(FileNo::new(0), FilePos::new(0), &[1; 600])
        .unwrap();
    let before = bytes_of(dir.path());
    let end = |bytes: usize| if bytes > 400 { (1, 0) } else { (0, 600) };
    for (file_no, start, bytes) in [
        (0, 0, 5),
        (0, 599, 5),
        (0, 601, 5),
        (1, 0, 5),
        (0, 600, 401),
        (1, 1, 401),
        (2, 0, 401),
        (0, 0, 0),
        (1, 0, 400),
    ] {
        let refused = help.write_block(FileNo::new(file_no), FilePos::new(start), &vec![2; bytes]);
        let Err(Error::NotTheEnd {
            end_no, end: at, ..
        }) = refused
        else {
            panic!("{file_no} at {start}: {refused:?}");
        };
        assert_eq!((end_no.get(), at.get()), end(bytes), "{file_no} at {start}");
    }
    assert!(before == bytes_of(dir.path()), "a refusal writes nothing");
    help.write_block(FileNo::new(0), FilePos::new(600), &[])
        .unwrap();
    assert!(
        before == bytes_of(dir.path()),
        "no bytes are nothing to write"
    );
    help.write_block(FileNo::new(0), FilePos::new(600), &[3; 400])
        .unwrap();
    help.write_block(FileNo::new(1), FilePos::new(0), &[4; 1])
        .unwrap();
    assert!(
        help.is_add_file(FileNo::new(0), 0).unwrap(),
        "a file that is full for good"
    );
}

/// Lengths of blocks, and the file of each, for a limit of 1000.
const ROWS: [(&[usize], &[u64]); 4] = [
    (&[400, 400, 400, 400, 400], &[0, 0, 1, 1, 2]),
    (&[400, 600, 400, 601, 399, 1], &[0, 0, 1, 2, 2, 3]),
    (&[1_001, 200, 5_000, 200, 200], &[0, 1, 2, 3, 3]),
    (
        &[1, 1_000, 999, 1, 1, 1_000, 5, 996],
        &[0, 1, 2, 2, 3, 4, 5, 6],
    ),
];

#[test]
fn files_roll_over_exactly_at_the_limit_and_are_there_after_opening() {
    for (sizes, expected) in ROWS {
        for reopens in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let disk = || Arc::new(Folder::new(dir.path()));
            let mut help = open(disk(), 1_000);
            let mut written = Vec::new();
            for (number, bytes) in sizes.iter().enumerate() {
                let block = filled(number, *bytes);
                let (file_no, start) = store(&help, &block).unwrap();
                assert_eq!(file_no.get(), expected[number], "{sizes:?}, block {number}");
                written.push((file_no, start, block));
                if reopens {
                    drop(help);
                    help = open(disk(), 1_000);
                    assert_eq!(help.get_max_file_no(), file_no);
                }
            }
            for (file_no, start, block) in &written {
                let len = block.len() as u32;
                assert_eq!(help.read_block(*file_no, *start, len).unwrap(), *block);
            }
            let last = *expected.last().unwrap();
            for file_no in 0..=last {
                let there = written.iter().filter(|(of, ..)| of.get() == file_no);
                let bytes: usize = there.map(|(.., block)| block.len()).sum();
                let length = help.get_file_length(FileNo::new(file_no)).unwrap();
                assert_eq!(length, bytes as u64, "{sizes:?}, file {file_no}");
                assert!(length > 0, "no file is skipped");
            }
            assert_eq!(bytes_of(dir.path()).len() as u64, last + 1);
        }
    }
}

#[test]
fn any_range_of_many_files_is_what_was_written() {
    println!("seed {SEED:#x}");
    let mut dice = ChaCha8Rng::seed_from_u64(SEED ^ 0x80);
    let dir = tempfile::tempdir().unwrap();
    let mut help = open(Arc::new(Folder::new(dir.path())), 2_000);
    // More files than are known by position at a time.
    let mut files: Vec<Vec<u8>> = Vec::new();
    for number in 0..150 {
        let block = filled(number, dice.random_range(1..700));
        let (file_no, start) = store(&help, &block).unwrap();
        let at = file_no.get() as usize;
        files.resize(files.len().max(at + 1), Vec::new());
        assert_eq!(files[at].len() as u64, start.get());
        files[at].extend(block);
    }
    assert!(files.len() > 20, "{}", files.len());
    for round in 0..600 {
        if round == 300 {
            drop(help);
            help = open(Arc::new(Folder::new(dir.path())), 2_000);
        }
        let at = dice.random_range(0..files.len());
        let file = &files[at];
        let begin = dice.random_range(0..=file.len());
        let end = dice.random_range(begin..=file.len());
        let file_no = FileNo::new(at as u64);
        let start = FilePos::new(begin as u64);
        let read = help
            .read_block(file_no, start, (end - begin) as u32)
            .unwrap();
        assert!(read == file[begin..end], "{begin}..{end} of file {at}");
        let beyond = (file.len() - begin + 1) as u32;
        assert!(is_short(
            &help.read_block(file_no, start, beyond),
            file.len() as u64
        ));
    }
}

#[test]
fn damage_and_absence_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let disk = || Arc::new(Folder::new(dir.path()));
    let help = open(disk(), 1_000);
    for number in 0..6 {
        store(&help, &filled(number, 400)).unwrap();
    }
    drop(help);
    let first = dir.path().join(FileNo::new(0).segment().file_name());
    let mut bytes = std::fs::read(&first).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&first, bytes).unwrap();
    let second = dir.path().join(FileNo::new(1).segment().file_name());
    std::fs::remove_file(second).unwrap();
    let help = open(disk(), 1_000);
    let read = |file_no| help.read_block(FileNo::new(file_no), FilePos::new(0), 400);
    let damaged = read(0).unwrap_err();
    assert!(
        matches!(&damaged, Error::Log(error) if error.is_damage()),
        "{damaged:?}"
    );
    assert!(
        is_short(&read(1), 0),
        "a file that is not there has no bytes"
    );
    assert_eq!(read(2).unwrap(), filled(4, 400));
    store(&help, &filled(7, 400)).unwrap();
}

/// Blocks that are written until something fails.
fn write_all(disk: &SimDisk, sizes: &[usize]) -> usize {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let Ok((help, _)) = BlockHelp::open(disk, &options(1_000)) else {
        return 0;
    };
    let blocks = sizes.iter().enumerate();
    let blocks = blocks.map(|(number, bytes)| filled(number, *bytes));
    blocks
        .take_while(|block| store(&help, block).is_ok())
        .count()
}

#[test]
fn what_was_written_outlives_a_power_cut_at_every_step() {
    let sizes: Vec<usize> = (0..24).map(|number| 100 + number * 97 % 900).collect();
    let whole = SimDisk::new();
    assert_eq!(write_all(&whole, &sizes), sizes.len());
    for step in 0..whole.steps() {
        let disk = SimDisk::new();
        disk.plan(step, Trouble::PowerCut);
        let written = write_all(&disk, &sizes);
        for image in 0..4 {
            let disk = disk.after_power_cut(SEED ^ step << 8 ^ image);
            let help = open(Arc::new(disk), 1_000);
            let mut found = Vec::new();
            for file_no in 0..=help.get_max_file_no().get() {
                let file_no = FileNo::new(file_no);
                let length = help.get_file_length(file_no).unwrap() as u32;
                found.extend(help.read_block(file_no, FilePos::new(0), length).unwrap());
            }
            let mut expected = Vec::new();
            for (number, bytes) in sizes.iter().enumerate() {
                if number < written || expected.len() < found.len() {
                    expected.extend(filled(number, *bytes));
                }
            }
            assert!(found == expected, "step {step}: {written} were written");
            let more = filled(99, 300);
            let (file_no, start) = store(&help, &more).unwrap();
            assert_eq!(help.read_block(file_no, start, 300).unwrap(), more);
        }
    }
}

/// A block that was taken by the log and found no space when it was made durable counted as
/// written: the file was longer after an error that says that nothing was added, and the same block
/// could not be written again.
#[test]
fn a_block_that_found_no_space_is_not_there_and_is_written_again() {
    let sizes: Vec<usize> = (0..24).map(|number| 100 + number * 97 % 900).collect();
    let whole = SimDisk::new();
    assert_eq!(write_all(&whole, &sizes), sizes.len());
    let mut refusals = 0;
    for step in 0..whole.steps() {
        let disk = SimDisk::new();
        disk.plan(step, Trouble::Fail(ErrorKind::StorageFull));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let Ok((help, _)) = BlockHelp::open(shared, &options(1_000)) else {
            continue;
        };
        let mut at = Vec::new();
        for (number, bytes) in sizes.iter().enumerate() {
            let block = filled(number, *bytes);
            let newest = help.get_max_file_no();
            let before = help.get_file_length(newest).unwrap();
            let stored = store(&help, &block).or_else(|refused| {
                let length = help.get_file_length(newest).unwrap();
                let stored = store(&help, &block)?;
                let context = format!("step {step}, block {number}: {refused}");
                assert!(
                    matches!(refused, Error::Log(LogError::Full { .. })),
                    "{context}"
                );
                assert_eq!(length, before, "{context}");
                refusals += 1;
                Ok::<_, Error>(stored)
            });
            match stored {
                Ok(stored) => at.push(stored),
                // Another failure than a lack of space ends writing.
                Err(Error::Log(LogError::Poisoned { .. })) => break,
                Err(error) => panic!("step {step}, block {number}: {error}"),
            }
        }
        drop(help);
        let help = open(Arc::new(disk), 1_000);
        for ((number, bytes), (file_no, start)) in sizes.iter().enumerate().zip(at) {
            let read = help.read_block(file_no, start, *bytes as u32).unwrap();
            assert!(
                read == filled(number, *bytes),
                "step {step}, block {number}"
            );
        }
    }
    assert!(refusals >= sizes.len(), "{refusals} blocks found no space");
}
