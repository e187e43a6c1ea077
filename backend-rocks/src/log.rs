//! The write-ahead log and the list of files (MANIFEST), which is a log too, read as the bytes that
//! they are.
//!
//! When RocksDB opens a log it stops at the first record that does not check, keeps what comes
//! before and says nothing, because a power cut leaves such an end behind commits that were not
//! synced. Damage looks the same, so the check of the files reads the logs itself. Invariants:
//! read-only; a log that a killed process left in the middle of a record is no damage; a record
//! that is there whole and does not check is. Layout, from RocksDB's `log_format.h`: blocks of 32
//! KiB; in each, records of a masked CRC-32C over kind and payload (4 bytes), the payload's length
//! (2 bytes), the kind (1 byte), the payload; less than 7 bytes at a block's end are zero. Cost:
//! one read of the logs.

use std::fs;
use std::io;
use std::path::Path;

use backend_kit::RawCheck;
use storage_api::{Error, Finding, Result};

const BLOCK_BYTES: usize = 32 << 10;
const HEAD_BYTES: usize = 7;
const MASK_DELTA: u32 = 0xa282_ead8;

/// Which logs take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logs {
    /// All of them: a reader replays them all.
    All,
    /// The last one: a writer has replayed the ones before, and writes to this one.
    Last,
}

/// Reads the logs of a database and adds what is wrong with them.
pub(crate) fn check(database: &Path, which: Logs, check: &mut RawCheck) {
    let mut logs = match logs_of(database) {
        Ok(logs) => logs,
        Err(error) => {
            check.findings.push(Finding {
                place: database.display().to_string(),
                what: format!("cannot be listed: {error}"),
            });
            return;
        }
    };
    logs.sort_unstable();
    if which == Logs::Last {
        logs.drain(..logs.len().saturating_sub(1));
    }
    for number in logs {
        let path = database.join(format!("{number:06}.log"));
        let what = match fs::read(&path) {
            Ok(bytes) => damage(&bytes),
            Err(error) => Some(format!("cannot be read: {error}")),
        };
        check.findings.extend(what.map(|what| Finding {
            place: path.display().to_string(),
            what,
        }));
    }
}

/// Refuses a database whose list of files holds a record that does not check. RocksDB takes a
/// record that says to be longer than the file for the end of it, and opens without the files that
/// the record names.
///
/// # Errors
/// `Corruption`, `Io`.
pub(crate) fn check_manifests(database: &Path) -> Result<()> {
    let explain = |path: &Path, error| Error::from_io(error, path.display().to_string());
    for entry in fs::read_dir(database).map_err(|error| explain(database, error))? {
        let entry = entry.map_err(|error| explain(database, error))?;
        let name = entry.file_name();
        if !name.to_string_lossy().starts_with("MANIFEST-") {
            continue;
        }
        let path = entry.path();
        let bytes = fs::read(&path).map_err(|error| explain(&path, error))?;
        if let Some(what) = damage(&bytes) {
            return Err(Error::corruption(path.display().to_string(), what));
        }
    }
    Ok(())
}

/// Whether any log of a database holds a record that does not check.
pub(crate) fn is_damaged(database: &Path) -> bool {
    let mut found = RawCheck::default();
    check(database, Logs::All, &mut found);
    !found.findings.is_empty()
}

fn logs_of(database: &Path) -> io::Result<Vec<u64>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(database)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
        logs.extend(number.and_then(|number| number.parse::<u64>().ok()));
    }
    Ok(logs)
}

/// The first thing that is wrong with a log.
fn damage(log: &[u8]) -> Option<String> {
    let mut at = 0;
    while at < log.len() {
        let left_in_block = BLOCK_BYTES - at % BLOCK_BYTES;
        if left_in_block < HEAD_BYTES {
            at += left_in_block;
            continue;
        }
        let block = &log[at..log.len().min(at + left_in_block)];
        let Some((head, payload)) = block.split_first_chunk::<HEAD_BYTES>() else {
            // The end of a process in the middle of a head.
            return None;
        };
        if *head == [0; HEAD_BYTES] {
            // Space set aside for records; nothing may follow.
            let is_end = log[at..].iter().all(|byte| *byte == 0);
            return (!is_end).then(|| format!("something follows the end at byte {at}"));
        }
        let len = usize::from(u16::from_le_bytes([head[4], head[5]]));
        if len > payload.len() {
            return too_long(head, len, payload, at, log.len() - at <= left_in_block);
        }
        if !checks(head, &payload[..len]) {
            return Some(format!(
                "the record at byte {at} of {} does not check; what is in it and behind it is gone",
                log.len()
            ));
        }
        at += HEAD_BYTES + len;
    }
    None
}

/// What to say of a record that ends behind its block or behind the log. A process that was killed
/// leaves the beginning of a record; a record that checks with another length is damaged.
fn too_long(
    head: &[u8; HEAD_BYTES],
    len: usize,
    payload: &[u8],
    at: usize,
    is_last_block: bool,
) -> Option<String> {
    let shorter = (0..16)
        .map(|bit| len ^ (1 << bit))
        .filter_map(|len| payload.get(..len))
        .any(|payload| checks(head, payload));
    (shorter || !is_last_block)
        .then(|| format!("the record at byte {at} is {len} bytes long, more than there is"))
}

fn checks(head: &[u8; HEAD_BYTES], payload: &[u8]) -> bool {
    let sum = crc32c::crc32c_append(crc32c::crc32c(&head[6..]), payload);
    let masked = sum.rotate_right(15).wrapping_add(MASK_DELTA);
    head[..4] == masked.to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_BYTES, HEAD_BYTES, MASK_DELTA, damage};

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let sum = crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload);
        let masked = sum.rotate_right(15).wrapping_add(MASK_DELTA);
        let mut record = masked.to_le_bytes().to_vec();
        record.extend((payload.len() as u16).to_le_bytes());
        record.push(kind);
        record.extend(payload);
        record
    }

    fn log() -> Vec<u8> {
        // One record that fills its block up to less than a head, and two behind it.
        let mut log = record(1, &[7; BLOCK_BYTES - HEAD_BYTES - 3]);
        log.extend([0; 3]);
        log.extend(record(1, b"one"));
        log.extend(record(1, &[9; 300]));
        log
    }

    #[test]
    fn a_log_is_sound_wherever_a_process_was_killed() {
        let log = log();
        for len in 0..=log.len() {
            assert_eq!(damage(&log[..len]), None, "{len} bytes");
        }
        let mut with_room = log;
        with_room.extend([0; 5_000]);
        assert_eq!(damage(&with_room), None);
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_found() {
        let log = log();
        let padding = BLOCK_BYTES - 3..BLOCK_BYTES;
        for byte in (0..log.len()).filter(|byte| *byte < 100 || *byte > BLOCK_BYTES - 100) {
            for bit in 0..8 {
                let mut flipped = log.clone();
                flipped[byte] ^= 1 << bit;
                let found = damage(&flipped).is_some();
                assert_eq!(found, !padding.contains(&byte), "byte {byte} bit {bit}");
            }
        }
    }
}
