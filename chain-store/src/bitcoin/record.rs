//! The framing of block files: `magic (4) length (4, least significant first) block` repeated.
//!
//! Zero bytes before, between and after records are skipped, because Bitcoin Core enlarges its
//! `blk*.dat` files ahead of writing; more of them than [`PADDING_BYTES_MAX`], or anything else
//! between records, is an error, so that no stream goes on without end. A file that
//! begins with a block header that meets its own target instead of a magic is one bare block
//! without framing.
//!
//! Must always hold: records are numbered from 0 and a record's offset is that of its first byte
//! in the decompressed stream (its magic, or its header when bare); a stated length is held
//! against [`RECORD_BYTES_MAX`] before anything is allocated, and memory then grows only as bytes
//! arrive; after an error or the end the reader stays at the end. A file cut exactly between two
//! records cannot be told from a shorter file, since the framing holds no count. Cost: the bytes
//! of one record, read once.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use super::block::Block;
use super::error::{DecodeError, DecodeFault, Error, Result};
use super::header::{HEADER_BYTES, Header};
use super::network::Network;

/// Longest record that is read, in bytes: 32 MiB, the limit of Bitcoin Core on any serialised
/// object (`MAX_SIZE`). Blocks themselves are limited to 4,000,000 bytes by consensus.
pub const RECORD_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Longest run of zero bytes between records: 128 MiB, the size of a whole file of Bitcoin Core
/// (`MAX_BLOCKFILE_SIZE`), which never writes more in advance.
pub const PADDING_BYTES_MAX: u64 = 128 * 1024 * 1024;

/// What is set aside for a record before its first byte has arrived.
const FIRST_ALLOCATION_BYTES: u64 = 64 * 1024;
const MAGIC_BYTES: usize = 4;
const FRAME_BYTES: usize = 8;

/// Where a record begins.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RecordPosition {
    /// The file as it was named on opening.
    pub file: Arc<Path>,
    /// The record's number in the file, from 0.
    pub record: u64,
    /// Offset of the record's first byte in the decompressed stream.
    pub offset: u64,
}

impl fmt::Display for RecordPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, record {}, offset {}",
            self.file.display(),
            self.record,
            self.offset
        )
    }
}

/// The bytes of one block as they stand in a file, not yet looked at.
///
/// May be sent to another thread to be decoded there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RawRecord {
    /// Where the record begins.
    pub position: RecordPosition,
    /// The network of its magic; `None` for a bare block.
    pub network: Option<Network>,
    /// The block without framing.
    pub bytes: Vec<u8>,
}

impl RawRecord {
    /// Decodes only the header, so that a block that is known already can be passed over for one
    /// double hash. Neither the work nor the transactions are checked.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode), for a record shorter than a header.
    pub fn header(&self) -> Result<Header> {
        Header::decode(&self.bytes).map_err(|source| self.refusal(source))
    }

    /// Decodes and checks the block.
    ///
    /// # Errors
    ///
    /// [`Error::Decode`]; a bare block whose bytes end too early is [`Error::Truncated`].
    pub fn decode(self) -> Result<DecodedBlock> {
        let Self {
            position,
            network,
            bytes,
        } = self;
        let got_bytes = bytes.len() as u64;
        match Block::decode(bytes, network) {
            Ok(block) => Ok(DecodedBlock { position, block }),
            Err(source) => Err(refusal(position, network, got_bytes, source)),
        }
    }

    fn refusal(&self, source: DecodeError) -> Error {
        refusal(
            self.position.clone(),
            self.network,
            self.bytes.len() as u64,
            source,
        )
    }
}

fn refusal(
    at: RecordPosition,
    network: Option<Network>,
    got_bytes: u64,
    source: DecodeError,
) -> Error {
    match (network, &source.fault) {
        (None, DecodeFault::Truncated { .. }) => Error::Truncated {
            at,
            wanted_bytes: None,
            got_bytes,
            source: None,
        },
        _ => Error::Decode { at, source },
    }
}

/// A checked block and where it came from.
#[derive(Clone, Debug)]
pub struct DecodedBlock {
    /// Where its record begins.
    pub position: RecordPosition,
    /// The block.
    pub block: Block,
}

/// Whether the bytes come out of a decompressor, which decides what a failed read means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Plain,
    Decompressor,
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    Bare,
    Framed(Option<Network>),
}

/// Cuts a decompressed stream into records.
pub(super) struct RecordReader {
    input: BufReader<Box<dyn Read + Send>>,
    origin: Origin,
    file: Arc<Path>,
    framing: Framing,
    record: u64,
    record_offset: u64,
    offset: u64,
    ended: bool,
}

impl RecordReader {
    /// Reads the beginning of the stream and decides what it is.
    pub(super) fn new(
        file: Arc<Path>,
        mut input: Box<dyn Read + Send>,
        origin: Origin,
    ) -> Result<Self> {
        let mut prefix = Vec::with_capacity(HEADER_BYTES);
        let read = input
            .by_ref()
            .take(HEADER_BYTES as u64)
            .read_to_end(&mut prefix);
        let chained: Box<dyn Read + Send> = Box::new(io::Cursor::new(prefix.clone()).chain(input));
        let mut reader = Self {
            input: BufReader::with_capacity(64 * 1024, chained),
            origin,
            file,
            framing: Framing::Framed(None),
            record: 0,
            record_offset: 0,
            offset: 0,
            ended: false,
        };
        if let Err(source) = read {
            return Err(reader.failed_read(source, None, prefix.len() as u64));
        }
        let Some(framing) = detect(&prefix) else {
            return Err(reader.unknown_format(&prefix));
        };
        reader.framing = framing;
        Ok(reader)
    }

    /// The network of the file's magic; `None` for a bare block, or before the first record of a
    /// file that begins with zeros.
    pub(super) fn network(&self) -> Option<Network> {
        match self.framing {
            Framing::Bare => None,
            Framing::Framed(network) => network,
        }
    }

    /// The next record, `None` at the end and after an error.
    pub(super) fn next_record(&mut self) -> Result<Option<RawRecord>> {
        if self.ended {
            return Ok(None);
        }
        let found = match self.framing {
            Framing::Bare => self.read_bare().map(Some),
            Framing::Framed(network) => self.read_framed(network),
        };
        match &found {
            Ok(Some(_)) => self.record += 1,
            Ok(None) | Err(_) => self.ended = true,
        }
        found
    }

    /// Makes the reader stay at the end: a block it handed out was refused.
    pub(super) fn stop(&mut self) {
        self.ended = true;
    }

    fn read_bare(&mut self) -> Result<RawRecord> {
        let mut bytes = Vec::with_capacity(FIRST_ALLOCATION_BYTES as usize);
        self.fill(&mut bytes, RECORD_BYTES_MAX + 1, None)?;
        let length_bytes = bytes.len() as u64;
        if length_bytes > RECORD_BYTES_MAX {
            return Err(Error::RecordLength {
                at: self.position(),
                length_bytes,
            });
        }
        self.ended = true;
        Ok(RawRecord {
            position: self.position(),
            network: None,
            bytes,
        })
    }

    fn read_framed(&mut self, expected: Option<Network>) -> Result<Option<RawRecord>> {
        self.skip_zeros()?;
        self.record_offset = self.offset;
        let frame_bytes = FRAME_BYTES as u64;
        let mut frame = Vec::with_capacity(FRAME_BYTES);
        self.fill(&mut frame, frame_bytes, Some(frame_bytes))?;
        if frame.is_empty() {
            return Ok(None);
        }
        let Some((magic, length)) = frame.split_first_chunk::<MAGIC_BYTES>() else {
            return Err(self.truncated(Some(frame_bytes), frame.len() as u64, None));
        };
        let network = self.check_magic(expected, *magic, &frame)?;
        let Ok(length) = <[u8; 4]>::try_from(length) else {
            return Err(self.truncated(Some(frame_bytes), frame.len() as u64, None));
        };
        let length_bytes = u64::from(u32::from_le_bytes(length));
        if length_bytes > RECORD_BYTES_MAX {
            return Err(Error::RecordLength {
                at: self.position(),
                length_bytes,
            });
        }
        let wanted = Some(frame_bytes + length_bytes);
        let mut bytes = Vec::with_capacity(length_bytes.min(FIRST_ALLOCATION_BYTES) as usize);
        self.fill(&mut bytes, length_bytes, wanted)?;
        if (bytes.len() as u64) < length_bytes {
            return Err(self.truncated(wanted, frame_bytes + bytes.len() as u64, None));
        }
        self.framing = Framing::Framed(Some(network));
        Ok(Some(RawRecord {
            position: self.position(),
            network: Some(network),
            bytes,
        }))
    }

    fn check_magic(
        &self,
        expected: Option<Network>,
        found: [u8; MAGIC_BYTES],
        frame: &[u8],
    ) -> Result<Network> {
        match (expected, Network::from_magic(found)) {
            (None, Some(network)) => Ok(network),
            (Some(expected), Some(network)) if expected == network => Ok(network),
            (Some(expected), _) => Err(Error::Magic {
                at: self.position(),
                expected,
                found,
            }),
            (None, None) => Err(self.unknown_format(frame)),
        }
    }

    /// Passes over zero bytes up to the first other byte or the end.
    fn skip_zeros(&mut self) -> Result<()> {
        self.record_offset = self.offset;
        loop {
            let (zeros, more) = match self.input.fill_buf() {
                Ok(buffer) => {
                    let zeros = buffer.iter().take_while(|byte| **byte == 0).count();
                    (zeros, zeros > 0 && zeros == buffer.len())
                }
                Err(source) if source.kind() == io::ErrorKind::Interrupted => (0, true),
                Err(source) => {
                    self.record_offset = self.offset;
                    return Err(self.failed_read(source, Some(FRAME_BYTES as u64), 0));
                }
            };
            self.input.consume(zeros);
            self.offset += zeros as u64;
            if !more {
                return Ok(());
            }
            if self.offset - self.record_offset > PADDING_BYTES_MAX {
                return Err(Error::Padding {
                    at: self.position(),
                });
            }
        }
    }

    /// Appends up to `most` bytes, fewer only at the end of the stream.
    fn fill(&mut self, bytes: &mut Vec<u8>, most: u64, wanted: Option<u64>) -> Result<()> {
        let before = self.offset;
        let read = self.input.by_ref().take(most).read_to_end(bytes);
        self.offset = before + bytes.len() as u64;
        match read {
            Ok(_) => Ok(()),
            Err(source) => Err(self.failed_read(source, wanted, self.offset - self.record_offset)),
        }
    }

    /// An error that carries a code came from the operating system; any other was made by the
    /// decompressor.
    fn failed_read(&self, source: io::Error, wanted: Option<u64>, got_bytes: u64) -> Error {
        let at = self.position();
        if self.origin == Origin::Plain || source.raw_os_error().is_some() {
            Error::Read { at, source }
        } else if source.kind() == io::ErrorKind::UnexpectedEof {
            self.truncated(wanted, got_bytes, Some(source))
        } else {
            Error::Damaged { at, source }
        }
    }

    fn truncated(&self, wanted: Option<u64>, got_bytes: u64, source: Option<io::Error>) -> Error {
        Error::Truncated {
            at: self.position(),
            wanted_bytes: wanted,
            got_bytes,
            source,
        }
    }

    /// No bytes at all are a truncation.
    fn unknown_format(&self, found: &[u8]) -> Error {
        if found.is_empty() {
            return self.truncated(None, 0, None);
        }
        Error::UnknownFormat {
            at: self.position(),
            found: found.to_vec(),
        }
    }

    fn position(&self) -> RecordPosition {
        let (file, record, offset) = (Arc::clone(&self.file), self.record, self.record_offset);
        RecordPosition {
            file,
            record,
            offset,
        }
    }
}

impl fmt::Debug for RecordReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordReader")
            .field("file", &self.file)
            .field("framing", &self.framing)
            .field("record", &self.record)
            .field("offset", &self.offset)
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

/// A magic, or the part of one that is there; else a header that meets its own target; else zeros
/// ahead of the first record. The header comes before the zeros because the version of modern
/// blocks begins with zero bytes.
fn detect(prefix: &[u8]) -> Option<Framing> {
    let head = &prefix[..prefix.len().min(MAGIC_BYTES)];
    if let Some(&first) = head.first() {
        let known = Network::ALL
            .into_iter()
            .find(|network| network.magic().starts_with(head));
        if known.is_some() {
            return Some(Framing::Framed(known));
        }
        if Header::decode(prefix).is_ok_and(|header| header.check_work(None).is_ok()) {
            return Some(Framing::Bare);
        }
        if first == 0 {
            return Some(Framing::Framed(None));
        }
    }
    None
}

/// True when the beginning of a stream is that of a framed file masked with an 8-byte key: with
/// the key itself, or, when that is not known, with the key that shows through the record's parent
/// hash. The last four bytes of that hash (at 40 to 43, so under the first four bytes of the key)
/// are zero on every network but signet and regtest.
pub(super) fn is_obfuscated(prefix: &[u8], key: Option<[u8; 8]>) -> bool {
    let unmask = |key: &[u8]| {
        let mut magic = [0; MAGIC_BYTES];
        for (slot, (byte, mask)) in magic.iter_mut().zip(prefix.iter().zip(key)) {
            *slot = byte ^ mask;
        }
        prefix.len() >= MAGIC_BYTES && Network::from_magic(magic).is_some()
    };
    let shown = prefix.get(40..44);
    key.is_some_and(|key| unmask(&key)) || shown.is_some_and(unmask)
}
