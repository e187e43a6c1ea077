//! One way to read and write the three formats.
//!
//! Must always hold: blocks come in file order, each checked by itself and against the one before;
//! after an error or the end nothing more comes out; a body handed to a [`FileWriter`] of its
//! format gives the block back. The format is told from the content, never from a name. Cost: that
//! of the reader or writer beneath.

use std::io::{Chain, Cursor, Read, Write};

use crate::antelope::{self, Layout, LogReader, LogWriter, Preamble};
use crate::era1::{Era1Body, Era1Reader, Era1Writer};
use crate::error::{Fault, Hash, Position, Result};
use crate::ethereum;
use crate::input::{BlockLink, ReadOptions, ResumePoint};
use crate::rlp_chain::{RlpChainReader, RlpChainWriter};

/// Bytes of a file that tell its format.
pub const DETECT_BYTES: usize = 16;

const ERA1_VERSION: [u8; 8] = [0x65, 0x32, 0, 0, 0, 0, 0, 0];

/// The formats of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileFormat {
    /// Concatenated RLP blocks (`geth export`).
    EthereumRlp,
    /// An era1 file.
    Era1,
    /// An Antelope `blocks.log`.
    AntelopeLog,
}

impl FileFormat {
    /// Checks a stored body of this format and leaves the hashes of its transactions in `tx_ids`.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the block.
    pub fn check_body(
        self,
        body: &[u8],
        tx_ids: &mut Vec<Hash>,
    ) -> std::result::Result<BodyFacts, Fault> {
        match self {
            Self::EthereumRlp => ethereum::decode_block(body, tx_ids).map(BodyFacts::from),
            Self::Era1 => Era1Body::parse(body)?.check(tx_ids).map(BodyFacts::from),
            Self::AntelopeLog => {
                let plain = antelope::decode_block(body, Layout::Plain, tx_ids);
                let block = match plain {
                    Ok(block) => block,
                    // A body does not say which log it comes from. The roots tell: one of the two
                    // readings fails.
                    Err(fault) => {
                        antelope::decode_block(body, Layout::Prunable, tx_ids).map_err(|_| fault)?
                    }
                };
                Ok(BodyFacts {
                    link: antelope_link(&block),
                    parent: block.previous,
                })
            }
        }
    }
}

/// What a stored body says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BodyFacts {
    /// Number and hash of the block.
    pub link: BlockLink,
    /// The hash of the block before.
    pub parent: Hash,
}

impl From<ethereum::Header> for BodyFacts {
    fn from(header: ethereum::Header) -> Self {
        Self {
            link: BlockLink {
                number: header.number,
                hash: header.hash,
            },
            parent: header.parent,
        }
    }
}

fn antelope_link(block: &antelope::AntelopeBlock) -> BlockLink {
    BlockLink {
        number: u64::from(block.number),
        hash: block.id,
    }
}

/// Tells the format from the first bytes of a file, best [`DETECT_BYTES`] of them.
#[must_use]
pub fn detect(first_bytes: &[u8]) -> Option<FileFormat> {
    if first_bytes.starts_with(&ERA1_VERSION) {
        return Some(FileFormat::Era1);
    }
    match first_bytes {
        // A log from genesis, or one that states its first block.
        [1, 0, 0, 0, _, ..] => Some(FileFormat::AntelopeLog),
        [2..=4, 0, 0, 0, n0, n1, n2, n3, ..] if [n0, n1, n2, n3] != [&0; 4] => {
            Some(FileFormat::AntelopeLog)
        }
        // A list of more than 55 bytes that begins with one: a block and its header.
        [first @ 0xf8..=0xff, rest @ ..] => {
            let length_bytes = usize::from(first - 0xf7);
            let canonical = rest.first().is_some_and(|byte| *byte != 0);
            let header = rest.get(length_bytes).is_some_and(|byte| *byte >= 0xf8);
            (canonical && header).then_some(FileFormat::EthereumRlp)
        }
        _ => None,
    }
}

/// One block of a file, borrowed from its reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileBlock<'a> {
    /// The block's number, its height.
    pub number: u64,
    /// The block's hash or id.
    pub hash: Hash,
    /// The hash of the block before, as the block states it.
    pub parent: Hash,
    /// The hashes or ids of the transactions, in their order.
    pub tx_ids: &'a [Hash],
    /// The bytes to keep: the RLP of the block; an [`Era1Body`]; the packed signed block.
    pub body: &'a [u8],
    /// The block's number in the file, and the offset of its first byte.
    pub at: Position,
    /// The same of what follows it.
    pub next: Position,
}

impl FileBlock<'_> {
    /// Where to go on when this block has been kept.
    #[must_use]
    pub fn resume_point(&self) -> ResumePoint {
        ResumePoint {
            at: self.next,
            last: BlockLink {
                number: self.number,
                hash: self.hash,
            },
        }
    }
}

type Sniffed<R> = Chain<Cursor<Vec<u8>>, R>;

/// Reads a file of any of the formats.
#[derive(Debug)]
pub struct FileReader<R> {
    reader: AnyReader<Sniffed<R>>,
}

#[derive(Debug)]
enum AnyReader<R> {
    Rlp(RlpChainReader<R>),
    Era1(Box<Era1Reader<R>>),
    Log(LogReader<R>),
}

impl<R: Read> FileReader<R> {
    /// Begins at the first byte of a file, whose format is told from its content.
    ///
    /// # Errors
    ///
    /// [`Fault::UnknownFormat`], and the errors of the reader of the format.
    pub fn open(input: R, options: ReadOptions) -> Result<Self> {
        Self::start(input, options, None)
    }

    /// Goes on in a file that was read in part before; `input` stands at its first byte.
    ///
    /// What was read before is read again but not decoded, and does not count for checks that need
    /// the whole file, see [`Era1Reader::resume`].
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Fault::Truncated`] when the file has become shorter.
    pub fn resume(input: R, options: ReadOptions, point: ResumePoint) -> Result<Self> {
        Self::start(input, options, Some(point))
    }

    fn start(mut input: R, options: ReadOptions, point: Option<ResumePoint>) -> Result<Self> {
        let mut found = Vec::with_capacity(DETECT_BYTES);
        input
            .by_ref()
            .take(DETECT_BYTES as u64)
            .read_to_end(&mut found)
            .map_err(|source| Fault::Read(source).at(Position::default()))?;
        let Some(format) = detect(&found) else {
            return Err(Fault::UnknownFormat { found }.at(Position::default()));
        };
        let input = Cursor::new(found).chain(input);
        let reader = match (format, point) {
            (FileFormat::EthereumRlp, None) => AnyReader::Rlp(RlpChainReader::new(input, options)),
            (FileFormat::EthereumRlp, Some(point)) => {
                AnyReader::Rlp(RlpChainReader::resume(input, options, point)?)
            }
            (FileFormat::Era1, None) => AnyReader::Era1(Box::new(Era1Reader::new(input, options)?)),
            (FileFormat::Era1, Some(point)) => {
                AnyReader::Era1(Box::new(Era1Reader::resume(input, options, point)?))
            }
            (FileFormat::AntelopeLog, None) => AnyReader::Log(LogReader::new(input, options)?),
            (FileFormat::AntelopeLog, Some(point)) => {
                AnyReader::Log(LogReader::resume(input, options, point)?)
            }
        };
        Ok(Self { reader })
    }

    /// The format of the file.
    #[must_use]
    pub fn format(&self) -> FileFormat {
        match self.reader {
            AnyReader::Rlp(_) => FileFormat::EthereumRlp,
            AnyReader::Era1(_) => FileFormat::Era1,
            AnyReader::Log(_) => FileFormat::AntelopeLog,
        }
    }

    /// What stands before the first block and is needed to write the file again; `None` when
    /// nothing is.
    #[must_use]
    pub fn preamble(&self) -> Option<&Preamble> {
        match &self.reader {
            AnyReader::Rlp(_) | AnyReader::Era1(_) => None,
            AnyReader::Log(reader) => Some(reader.preamble()),
        }
    }

    /// The next block; `None` at the end and after an error.
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the record, with its position. Blocks before it stay good.
    pub fn next_block(&mut self) -> Result<Option<FileBlock<'_>>> {
        match &mut self.reader {
            AnyReader::Rlp(reader) => reader.next_block(),
            AnyReader::Era1(reader) => reader.next_block(),
            AnyReader::Log(reader) => reader.next_block(),
        }
    }
}

/// Writes a file of any of the formats.
#[derive(Debug)]
pub struct FileWriter<W> {
    writer: AnyWriter<W>,
}

#[derive(Debug)]
enum AnyWriter<W> {
    Rlp(RlpChainWriter<W>),
    Era1(Box<Era1Writer<W>>),
    Log(LogWriter<W>),
}

impl<W: Write> FileWriter<W> {
    /// Begins a file of concatenated RLP blocks.
    pub fn rlp_chain(output: W) -> Self {
        Self {
            writer: AnyWriter::Rlp(RlpChainWriter::new(output)),
        }
    }

    /// Begins an era1 file.
    pub fn era1(output: W) -> Self {
        Self {
            writer: AnyWriter::Era1(Box::new(Era1Writer::new(output))),
        }
    }

    /// Begins a block log.
    ///
    /// # Errors
    ///
    /// [`Fault::Write`].
    pub fn antelope_log(output: W, preamble: Preamble) -> Result<Self> {
        Ok(Self {
            writer: AnyWriter::Log(LogWriter::new(output, preamble)?),
        })
    }

    /// Appends a block in the form of [`FileBlock::body`].
    ///
    /// # Errors
    ///
    /// Any [`Fault`] of the block, [`Fault::Write`], [`Fault::WriterFailed`].
    pub fn write_block(&mut self, body: &[u8]) -> Result<()> {
        match &mut self.writer {
            AnyWriter::Rlp(writer) => writer.write_block(body),
            AnyWriter::Era1(writer) => writer.write_block(body),
            AnyWriter::Log(writer) => writer.write_block(body).map(|_| ()),
        }
    }

    /// Writes what stands after the last block and gives the output back.
    ///
    /// # Errors
    ///
    /// [`Fault::Write`], [`Fault::WriterFailed`].
    pub fn finish(self) -> Result<W> {
        match self.writer {
            AnyWriter::Rlp(writer) => writer.finish(),
            AnyWriter::Era1(writer) => writer.finish().map(|(output, _)| output),
            AnyWriter::Log(writer) => writer.finish(),
        }
    }
}
