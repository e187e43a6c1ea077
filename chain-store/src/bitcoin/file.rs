//! Opening a block file: what it is compressed with, and the iterator of its blocks.
//!
//! The compression is told from the first bytes of the content, never from the name. Must always
//! hold: a file is read as a stream, once, from front to back; blocks come in file order, which
//! in the files of Bitcoin Core is the order of arrival and not that of heights; after the first
//! error nothing more comes out. Memory: one record, a 64 KiB buffer, and the decompressor (bzip2
//! 4 MB; zstd up to its window, at most 128 MiB; gzip 32 KiB). Cost: one pass over the file and
//! the checks of [`Block`](super::Block).

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::iter::FusedIterator;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;

use super::error::{Error, Result};
use super::network::Network;
use super::record::{DecodedBlock, Origin, RawRecord, RecordPosition, RecordReader, is_obfuscated};

/// Bytes that tell one compression from another: bzip2 needs ten.
const SNIFF_BYTES: u64 = 10;
const KEY_FILE: &str = "xor.dat";

/// A block file, opened for one pass.
///
/// As an iterator it gives checked blocks; [`next_record`](Self::next_record) gives their bytes
/// instead, to be decoded elsewhere or passed over. The two may be mixed.
#[derive(Debug)]
pub struct BlockFile {
    records: RecordReader,
    bytes_read: Arc<AtomicU64>,
}

/// Counts the bytes that are taken from the file itself, below the decompressor.
struct Counted {
    input: Box<dyn Read + Send>,
    bytes_read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.input.read(buffer)?;
        // A count for progress only, so no order with anything else is needed.
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// The contents of a file, whatever it is compressed with.
pub(crate) struct Decompressed {
    pub(crate) stream: Box<dyn Read + Send>,
    pub(crate) origin: Origin,
    /// Bytes taken from the file so far, before decompression.
    pub(crate) bytes_read: Arc<AtomicU64>,
}

/// Tells the compression from the first bytes; plain, bzip2, gzip or zstd.
pub(crate) fn decompressed(input: Box<dyn Read + Send>) -> io::Result<Decompressed> {
    let bytes_read = Arc::new(AtomicU64::new(0));
    let mut input = Counted {
        input,
        bytes_read: Arc::clone(&bytes_read),
    };
    let mut head = Vec::with_capacity(SNIFF_BYTES as usize);
    input.by_ref().take(SNIFF_BYTES).read_to_end(&mut head)?;
    let compression = Compression::detect(&head);
    let whole = BufReader::with_capacity(64 * 1024, Cursor::new(head).chain(input));
    let (stream, origin): (Box<dyn Read + Send>, _) = match compression {
        Compression::None => (Box::new(whole), Origin::Plain),
        Compression::Bzip2 => (Box::new(MultiBzDecoder::new(whole)), Origin::Decompressor),
        Compression::Gzip => (Box::new(MultiGzDecoder::new(whole)), Origin::Decompressor),
        Compression::Zstd => {
            let decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            (Box::new(decoder), Origin::Decompressor)
        }
    };
    Ok(Decompressed {
        stream,
        origin,
        bytes_read,
    })
}

impl BlockFile {
    /// Opens a framed block file or one bare block; plain, bzip2, gzip or zstd.
    ///
    /// # Errors
    ///
    /// [`Error::Open`]; [`Error::UnknownFormat`], [`Error::Obfuscated`] or [`Error::Truncated`]
    /// when the first bytes say so; [`Error::Read`] and [`Error::Damaged`].
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Open {
            file: path.into(),
            source,
        })?;
        let opened = decompressed(Box::new(file)).map_err(|source| Error::Read {
            at: beginning(path.into()),
            source,
        })?;
        Self::from_decompressed(path, opened)
    }

    /// Reads what was opened before, from its first byte, as [`open`](Self::open) does.
    pub(crate) fn from_decompressed(path: &Path, opened: Decompressed) -> Result<Self> {
        Self::start(path, opened).map_err(|error| match error {
            Error::UnknownFormat { found, .. } if is_masked(path, &found) => Error::Obfuscated {
                file: path.into(),
                key_file: path.with_file_name(KEY_FILE),
            },
            other => other,
        })
    }

    /// Reads from any stream, such as standard input, under the given name.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), less [`Error::Open`].
    pub fn from_reader(name: &Path, input: impl Read + Send + 'static) -> Result<Self> {
        let opened = decompressed(Box::new(input)).map_err(|source| Error::Read {
            at: beginning(name.into()),
            source,
        })?;
        Self::start(name, opened).map_err(|error| match error {
            Error::UnknownFormat { found, .. } if is_obfuscated(&found, None) => {
                Error::Obfuscated {
                    file: name.into(),
                    key_file: PathBuf::from(KEY_FILE),
                }
            }
            other => other,
        })
    }

    fn start(name: &Path, opened: Decompressed) -> Result<Self> {
        let Decompressed {
            stream,
            origin,
            bytes_read,
        } = opened;
        let records = RecordReader::new(name.into(), stream, origin)?;
        Ok(Self {
            records,
            bytes_read,
        })
    }

    /// Bytes taken from the file so far, before decompression; a buffer runs ahead of the records.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// The network of the file's magic; `None` for a bare block, or before the first record of a
    /// file that begins with zero padding.
    #[must_use]
    pub fn network(&self) -> Option<Network> {
        self.records.network()
    }

    /// The next record without decoding it; `None` at the end and after an error.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`], [`Error::Damaged`], [`Error::Read`], [`Error::Magic`],
    /// [`Error::UnknownFormat`], [`Error::RecordLength`] and [`Error::Padding`], each with the
    /// record's position.
    pub fn next_record(&mut self) -> Result<Option<RawRecord>> {
        self.records.next_record()
    }
}

impl Iterator for BlockFile {
    type Item = Result<DecodedBlock>;

    fn next(&mut self) -> Option<Self::Item> {
        let decoded = self.next_record().transpose()?.and_then(RawRecord::decode);
        if decoded.is_err() {
            self.records.stop();
        }
        Some(decoded)
    }
}

impl FusedIterator for BlockFile {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Bzip2,
    Gzip,
    Zstd,
}

impl Compression {
    /// Needs as many bytes as can be had, so that no network's magic is taken for one of these:
    /// bzip2's head and first block or end marker, gzip with deflate, a zstd frame or a skippable
    /// frame ahead of one.
    fn detect(head: &[u8]) -> Self {
        match head {
            [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x31,
                0x41,
                0x59,
                0x26,
                0x53,
                0x59,
                ..,
            ]
            | [
                b'B',
                b'Z',
                b'h',
                b'1'..=b'9',
                0x17,
                0x72,
                0x45,
                0x38,
                0x50,
                0x90,
                ..,
            ] => Self::Bzip2,
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

fn beginning(file: Arc<Path>) -> RecordPosition {
    RecordPosition {
        file,
        record: 0,
        offset: 0,
    }
}

/// Whether a block file at this path begins so when Bitcoin Core masks it.
pub(crate) fn is_masked(path: &Path, first_bytes: &[u8]) -> bool {
    is_obfuscated(first_bytes, read_key(&path.with_file_name(KEY_FILE)))
}

/// The key that lies beside the block files; `None` when it is absent or masks nothing.
fn read_key(path: &Path) -> Option<[u8; 8]> {
    let mut bytes = Vec::with_capacity(9);
    File::open(path)
        .ok()?
        .take(9)
        .read_to_end(&mut bytes)
        .ok()?;
    let key = <[u8; 8]>::try_from(bytes).ok()?;
    (key != [0; 8]).then_some(key)
}
