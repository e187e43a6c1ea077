//! Targets of the segmented log: files as they are, with checksums made right, and packed.
//!
//! Opened to be read, hostile files change nothing; opened to be written, they give the same
//! records or the same refusal; opened once more, nothing is different; what is appended behind
//! them is there afterwards. No payload is given whose checksum was not that of its place.

use std::collections::BTreeMap;
use std::sync::Arc;

use seglog::disk::Disk;
use seglog::sim::SimDisk;
use seglog::{
    ChainTag, HEADER_BYTES, Height, Log, LogError, LogOptions, LogResult, Place, Reader,
    SEGMENT_HEADER_BYTES, SegmentNumber, checksum,
};

use crate::{must, take_long};

fn options() -> LogOptions {
    LogOptions {
        chain: ChainTag::new(0),
        first: Height::new(0),
        segment_bytes_max: 4_000,
        advance_bytes: 0,
        ..LogOptions::default()
    }
}

const MAGIC: [u8; 8] = *b"\x89SEGL\r\n\x1a";
const MARKER: [u8; 4] = *b"\xb5rec";
const RECORD_HEADER: usize = HEADER_BYTES as usize;
const SEGMENT_HEADER: usize = SEGMENT_HEADER_BYTES as usize;

/// Files one behind the other, `length (2) bytes` each, named in this order.
pub(crate) fn raw(data: &[u8]) {
    let disk = SimDisk::new();
    let mut rest = data;
    for number in 0.. {
        let Some(bytes) = take_long(&mut rest) else {
            break;
        };
        disk.put(&SegmentNumber::new(number).file_name(), bytes);
    }
    check(&disk);
}

/// The same with right checksums, each file under the number in its header.
pub(crate) fn sealed(data: &[u8]) {
    check(&sealed_disk(data));
}

/// A packed segment 0, `length (2) bytes`, as it is and with the checksums of its header and its
/// table made right; plain files behind it, as in [`sealed`].
pub(crate) fn packed(data: &[u8]) {
    let mut rest = data;
    let Some(file) = take_long(&mut rest) else {
        return;
    };
    let mut right = file.to_vec();
    seal_packed(&mut right);
    for file in [file, &right] {
        let disk = sealed_disk(rest);
        disk.put("0000000000.segz", file);
        check(&disk);
    }
}

/// Makes the two checksums of a packed segment right.
fn seal_packed(bytes: &mut [u8]) {
    put(bytes, 0, b"\x89SEGZ\r\n\x1a");
    put(bytes, 8, &1_u16.to_le_bytes());
    let plain_bytes = u64::from(word(bytes, 16)) | u64::from(word(bytes, 20)) << 32;
    let frames = plain_bytes.div_ceil(u64::from(word(bytes, 24)).max(1));
    let table = usize::try_from(frames.saturating_mul(4)).unwrap_or(usize::MAX);
    let table = bytes.get(SEGMENT_HEADER..SEGMENT_HEADER.saturating_add(table));
    let sum = table.map(checksum);
    if let Some(sum) = sum {
        put(bytes, 28, &sum.to_le_bytes());
    }
    let sum = checksum(bytes.get(..SEGMENT_HEADER - 4).unwrap_or_default());
    put(bytes, SEGMENT_HEADER - 4, &sum.to_le_bytes());
}

fn sealed_disk(data: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    let mut rest = data;
    while let Some(bytes) = take_long(&mut rest) {
        let mut bytes = bytes.to_vec();
        let number = seal(&mut bytes);
        disk.put(&number.file_name(), &bytes);
    }
    disk
}

fn put(bytes: &mut [u8], at: usize, part: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + part.len()) {
        place.copy_from_slice(part);
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Makes magic, version, chain and checksums right; a link or a payload checksum that is not zero
/// stays as it is. Gives the number of the segment.
fn seal(bytes: &mut [u8]) -> SegmentNumber {
    put(bytes, 0, &MAGIC);
    put(bytes, 8, &1_u16.to_le_bytes());
    put(bytes, 16, &[0; 8]);
    let sum = checksum(bytes.get(..SEGMENT_HEADER - 4).unwrap_or_default());
    put(bytes, SEGMENT_HEADER - 4, &sum.to_le_bytes());
    let mut link = sum;
    let mut at = SEGMENT_HEADER;
    while let Some(rest) = bytes.get_mut(at..) {
        let Some(begin) = rest.windows(4).position(|part| part == MARKER) else {
            break;
        };
        let Some(record) = rest.get_mut(begin..).filter(|r| r.len() >= RECORD_HEADER) else {
            break;
        };
        let payload_bytes = word(record, 4) as usize;
        let payload = record.get(RECORD_HEADER..RECORD_HEADER.saturating_add(payload_bytes));
        let payload_sum = payload.map(checksum);
        if word(record, 16) == 0 {
            put(record, 16, &link.to_le_bytes());
        }
        if let Some(sum) = payload_sum.filter(|_| word(record, 28) == 0) {
            put(record, 28, &sum.to_le_bytes());
        }
        let header = record.get(..RECORD_HEADER - 4).unwrap_or_default();
        link = crc32c::crc32c_append(sum, header);
        put(record, RECORD_HEADER - 4, &link.to_le_bytes());
        at += begin + RECORD_HEADER + payload_sum.map_or(0, |_| payload_bytes);
    }
    let high = u64::from(word(bytes, 28)) << 32;
    SegmentNumber::new(high | u64::from(word(bytes, 24)))
}

type Files = BTreeMap<String, Option<Vec<u8>>>;

fn files(disk: &SimDisk) -> Files {
    let names = must("names", disk.names()).into_iter();
    names
        .map(|name| (name.clone(), disk.bytes(&name)))
        .collect()
}

type Records = Vec<(Height, Place, Vec<u8>)>;

/// Every record from the first segment on, up to the end or to what does not check.
fn records(reader: &Reader, next: Height) -> (Records, Option<LogError>) {
    let mut records = Records::new();
    let Some((first, _)) = reader.segments().first().copied() else {
        return (records, None);
    };
    let mut read = || -> LogResult<()> {
        let mut scan = reader.scan_segment(first, next)?;
        while let Some((height, place, payload)) = scan.read_next()? {
            assert_eq!(place.payload_bytes as usize, payload.len());
            assert_eq!(place.payload_checksum, checksum(payload));
            records.push((height, place, payload.to_vec()));
        }
        Ok(())
    };
    let error = read().err();
    (records, error)
}

/// What a reader gives is on the disk, and comes again one by one.
fn check_records(disk: &SimDisk, reader: &Reader, records: &Records) {
    let mut buffer = Vec::new();
    for (height, place, payload) in records {
        // The bytes of a packed segment are not on the disk as they are.
        if let Some(file) = disk.bytes(&place.segment.file_name()) {
            let at = usize::try_from(place.offset + HEADER_BYTES).unwrap_or(usize::MAX);
            assert_eq!(file.get(at..at + payload.len()), Some(&payload[..]));
        }
        let again = must("the record again", reader.read(*height, place, &mut buffer));
        assert_eq!(again, &payload[..]);
        let scan = must("a scan from it", reader.scan(*height, place, height.next()));
        assert!({ scan }.read_next().is_ok_and(|found| found.is_some()));
        // A place that is not that of a record is refused.
        let wrong = Place {
            payload_checksum: !place.payload_checksum,
            ..*place
        };
        assert!(reader.read(*height, &wrong, &mut buffer).is_err());
    }
}

fn is_refusal(error: &LogError) -> bool {
    matches!(
        error,
        LogError::Damaged { .. }
            | LogError::Foreign { .. }
            | LogError::TooNew { .. }
            | LogError::Absent { .. }
    )
}

fn check(disk: &SimDisk) {
    let before = files(disk);
    let opened = Reader::open(Arc::new(disk.clone()), options().chain);
    let read = opened.map(|(reader, next, recovered)| {
        let findings = must("a check", reader.check());
        let next = next.unwrap_or_default();
        let (records, error) = records(&reader, next);
        check_records(disk, &reader, &records);
        if findings.is_empty() {
            assert!(error.is_none(), "not found by a check: {error:?}");
        }
        assert!(error.as_ref().is_none_or(is_refusal), "{error:?}");
        // What a check told, or an absent segment, is met by whoever reads that far.
        let is_told = !findings.is_empty() || !recovered.absent.is_empty();
        (records, next, (recovered, is_told))
    });
    assert!(files(disk) == before, "reading wrote");

    let disk = disk.after_kill();
    let opened = Log::open(Arc::new(disk.clone()), options());
    let ((found, next, (recovered, is_told)), (log, written)) = match (read, opened) {
        (Ok(read), Ok(opened)) => (read, opened),
        (Err(read), Err(written)) => {
            assert!(
                is_refusal(&read) && is_refusal(&written),
                "{read}; {written}"
            );
            return assert!(files(&disk) == before, "a refusal wrote");
        }
        (read, written) => panic!("read: {read:?}, written: {written:?}"),
    };
    assert_eq!((log.next(), &written), (next, &recovered));
    let (again, _) = records(&log.reader(), next);
    assert!(again == found, "other records when it is opened to write");
    drop(log);
    check_append(&disk, (&found, next), is_told);
}

/// What is opened once more and appended to keeps what it had.
fn check_append(disk: &SimDisk, (found, next): (&Records, Height), is_told: bool) {
    let (mut log, recovered) = must(
        "opening again",
        Log::open(Arc::new(disk.clone()), options()),
    );
    assert_eq!(log.next(), next);
    let (again, error) = records(&log.reader(), next);
    assert!(&again == found, "other records when it is opened again");
    if next.get() == u64::MAX {
        // No height follows it.
        return;
    }
    let place = must("a record behind them", log.append(next, b"one more"));
    must("a sync", log.sync());
    drop(log);
    let (log, last) = must(
        "the last opening",
        Log::open(Arc::new(disk.clone()), options()),
    );
    assert_eq!(log.next(), next.next());
    assert_eq!(last.absent, recovered.absent);
    let reader = log.reader();
    let mut buffer = Vec::new();
    let one_more = must("the new record", reader.read(next, &place, &mut buffer));
    assert_eq!(one_more, b"one more");
    let (again, last) = records(&reader, log.next());
    assert!(last.is_none() || error.is_some() || is_told, "{last:?}");
    assert!(again.starts_with(found), "an append changed records");
}
