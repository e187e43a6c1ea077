//! Targets of what lies around rows: markers of directories, seals, envelopes, coded keys and
//! values.
//!
//! A checksum guards markers and seals, so each is tried as it is and with the checksum that it
//! should have.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use backend_kit::directory::{Directory, Marker, SEAL_FILE};
use storage_api::codec::{Codec, KeyCodec, Postcard, Tail, value_version};
use storage_api::{Catalogue, OpenOptions, TableId, envelope};

use crate::{must, take_short};

/// The text with its last line replaced by the checksum of what stands before it.
fn with_checksum(data: &[u8]) -> Vec<u8> {
    let mark = b"crc32c ";
    let at = data.windows(mark.len()).rposition(|part| part == mark);
    let body = data.get(..at.unwrap_or(data.len())).unwrap_or_default();
    let line = format!("crc32c {:08x}\n", crc32c::crc32c(body));
    [body, line.as_bytes()].concat()
}

/// A marker: there is one text of each.
pub(crate) fn marker(data: &[u8]) {
    for bytes in [data.to_vec(), with_checksum(data)] {
        if let Ok(marker) = Marker::parse(&bytes, "marker") {
            assert!(
                marker.to_text().as_bytes() == bytes,
                "two texts of a marker"
            );
            // What the marker lists is what a store opens.
            let _ = Catalogue::new(marker.tables);
        }
    }
}

/// A folder in memory where there is such a thing: nothing here needs to last.
fn folder() -> std::io::Result<tempfile::TempDir> {
    let in_memory = Path::new("/dev/shm");
    if in_memory.is_dir() {
        tempfile::tempdir_in(in_memory)
    } else {
        tempfile::tempdir()
    }
}

/// A seal, read from a directory: there is one text of each commit.
pub(crate) fn seal(data: &[u8]) {
    thread_local! {
        static PLACE: (tempfile::TempDir, Directory) = {
            let folder = must("a folder", folder());
            let path = folder.path().join("store");
            let opened = Directory::open(&path, ("mem", 1), &OpenOptions::default());
            (folder, must("a directory", opened).0)
        };
    }
    PLACE.with(|(_, directory)| {
        let path = directory.path().join(SEAL_FILE);
        for bytes in [data.to_vec(), with_checksum(data)] {
            must("a file", fs::write(&path, &bytes));
            if let Ok(commit) = directory.read_seal() {
                must("the seal again", directory.write_seal(commit));
                assert_eq!(must("its text", fs::read(&path)), bytes);
            }
        }
    });
}

/// A stored value, `table (2) length (1) key stored`: what opens is sealed to the same bytes.
pub(crate) fn envelope(data: &[u8]) {
    let Some((table, mut rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let table = TableId::new(u16::from_le_bytes(*table));
    let Some(key) = take_short(&mut rest) else {
        return;
    };
    let mut sealed = Vec::new();
    match envelope::open(table, key, rest) {
        Ok(value) => {
            envelope::seal(table, key, value, &mut sealed);
            assert_eq!(sealed, rest, "two envelopes of a value");
        }
        Err(error) => assert!(error.is_corruption(), "{error}"),
    }
    envelope::seal(table, key, rest, &mut sealed);
    assert_eq!(
        must("a sealed value", envelope::open(table, key, &sealed)),
        rest
    );
}

/// Keys and values of many types: what decodes encodes to the same bytes.
pub(crate) fn key_codec(data: &[u8]) {
    key::<u64>(data);
    key::<i32>(data);
    key::<Vec<u8>>(data);
    key::<String>(data);
    key::<Option<u16>>(data);
    key::<Reverse<Vec<u8>>>(data);
    key::<(String, Reverse<u64>)>(data);
    key::<(Option<Vec<u8>>, u8, Reverse<Option<String>>)>(data);
    key::<(u16, Tail<Vec<u8>>)>(data);
    value::<u64>(data);
    value::<String>(data);
    value::<Option<Box<(u8, Vec<u16>)>>>(data);
    value::<(BTreeMap<u8, String>, Vec<Vec<u8>>)>(data);
    assert_eq!(value_version(data), data.first().copied());
}

fn key<T: KeyCodec>(data: &[u8]) {
    if let Ok(key) = T::decode(data) {
        assert_eq!(key.to_key(), data, "two encodings of a key");
    }
}

fn value<T: serde::Serialize + serde::de::DeserializeOwned>(data: &[u8]) {
    if let Ok(value) = Postcard::<T, 1>::decode(data) {
        let mut again = Vec::new();
        must(
            "a decoded value",
            Postcard::<T, 1>::encode(&value, &mut again),
        );
        assert_eq!(again, data, "two encodings of a value");
    }
}
