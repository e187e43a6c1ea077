//! One block after the other into a file of any format.
//!
//! Must always hold: a block is checked by its format before it is framed, and its hash, parent and
//! height are those of the index; the offsets of an index are those of the entries that were
//! written.

use std::cell::Cell;
use std::io::{self, BufWriter, Write};
use std::rc::Rc;

use chain_files::antelope::LogWriter;
use chain_files::era1::Era1Writer;
use chain_files::rlp_chain::RlpChainWriter;
use chain_files::{BlockLink, Fault};
use storage_api::blocks::{BlockHash, BlockInfo, Height};

use super::plan::Beginning;
use super::{BlockFault, ExportError};
use crate::bitcoin::{Block, Network};
use crate::format::ChainFormat;

const BUFFER_BYTES: usize = 64 * 1024;

/// Counts what is handed on.
struct Counted<'o> {
    output: BufWriter<&'o mut (dyn Write + 'o)>,
    written_bytes: Rc<Cell<u64>>,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        let before = self.written_bytes.get();
        self.written_bytes.set(before + written as u64);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// A file under way.
pub(super) struct ChainWriter<'o> {
    file: File<'o>,
    written_bytes: Rc<Cell<u64>>,
}

enum File<'o> {
    Bitcoin(Option<Network>, Counted<'o>),
    Rlp(RlpChainWriter<Counted<'o>>),
    Era1(Box<Era1Writer<Counted<'o>>>),
    Log(
        LogWriter<Counted<'o>>,
        Option<BufWriter<&'o mut (dyn Write + 'o)>>,
    ),
}

impl<'o> ChainWriter<'o> {
    /// Begins a file, and its index where one is asked for.
    pub(super) fn begin(
        beginning: &Beginning,
        output: &'o mut (dyn Write + 'o),
        index: Option<&'o mut (dyn Write + 'o)>,
    ) -> Result<Self, ExportError> {
        let format = beginning.format();
        if index.is_some() && format != ChainFormat::Antelope {
            return Err(ExportError::NoIndex { format });
        }
        let written_bytes = Rc::new(Cell::new(0));
        let output = Counted {
            output: BufWriter::with_capacity(BUFFER_BYTES, output),
            written_bytes: Rc::clone(&written_bytes),
        };
        let file = match beginning {
            Beginning::Bitcoin(network) => File::Bitcoin(*network, output),
            Beginning::EthereumRlp => File::Rlp(RlpChainWriter::new(output)),
            Beginning::Era1 => File::Era1(Box::new(Era1Writer::new(output))),
            Beginning::Antelope(preamble) => {
                let log = LogWriter::new(output, preamble.clone()).map_err(written)?;
                File::Log(log, index.map(BufWriter::new))
            }
        };
        Ok(Self {
            file,
            written_bytes,
        })
    }

    /// Bytes of the file so far.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes.get()
    }

    /// Appends a block.
    pub(super) fn block(&mut self, info: &BlockInfo, body: &[u8]) -> Result<(), ExportError> {
        let failed = |error: chain_files::Error| match error.fault {
            Fault::Write(source) => ExportError::Write(source),
            fault => ExportError::Block {
                height: info.height,
                source: fault.into(),
            },
        };
        let last = match &mut self.file {
            File::Bitcoin(network, output) => return bitcoin(*network, output, info, body),
            File::Rlp(writer) => {
                writer.write_block(body).map_err(failed)?;
                writer.last()
            }
            File::Era1(writer) => {
                writer.write_block(body).map_err(failed)?;
                writer.last()
            }
            File::Log(writer, index) => {
                let offset = writer.write_block(body).map_err(failed)?;
                if let Some(index) = index {
                    let entry = offset.to_le_bytes();
                    index.write_all(&entry).map_err(ExportError::Write)?;
                }
                writer.last()
            }
        };
        check_link(info, last)
    }

    /// Writes what stands behind the last block and hands everything on; gives the bytes of the
    /// file.
    pub(super) fn finish(self) -> Result<u64, ExportError> {
        let mut output = match self.file {
            File::Bitcoin(_, output) => output,
            File::Rlp(writer) => writer.finish().map_err(written)?,
            File::Era1(writer) => writer.finish().map_err(written)?.0,
            File::Log(writer, index) => {
                if let Some(mut index) = index {
                    index.flush().map_err(ExportError::Write)?;
                }
                writer.finish().map_err(written)?
            }
        };
        output.flush().map_err(ExportError::Write)?;
        Ok(self.written_bytes.get())
    }
}

/// A failure where no block is to blame.
fn written(error: chain_files::Error) -> ExportError {
    ExportError::Write(match error.fault {
        Fault::Write(source) => source,
        fault => io::Error::other(fault),
    })
}

/// Whether the body's height and hash are those of the index. Its parent is the block before, which
/// the writer has checked, but for the first.
fn check_link(info: &BlockInfo, found: Option<BlockLink>) -> Result<(), ExportError> {
    // A writer that has written a block has a last one.
    let found = found.unwrap_or(BlockLink {
        number: 0,
        hash: [0; 32],
    });
    let height = Height::new(found.number);
    if height != info.height {
        return Err(ExportError::Block {
            height: info.height,
            source: BlockFault::Height { found: height },
        });
    }
    check_hash(info, "hash", info.hash, &found.hash)
}

fn check_hash(
    info: &BlockInfo,
    what: &'static str,
    indexed: BlockHash,
    found: &[u8; 32],
) -> Result<(), ExportError> {
    if indexed.as_bytes() == found {
        return Ok(());
    }
    Err(ExportError::Block {
        height: info.height,
        source: BlockFault::Index {
            what,
            indexed: Box::new(indexed),
            found: Box::new(BlockHash::new(found)?),
        },
    })
}

/// Checks a block of Bitcoin, and writes it behind the magic and its length, or bare.
fn bitcoin(
    network: Option<Network>,
    output: &mut Counted<'_>,
    info: &BlockInfo,
    body: &[u8],
) -> Result<(), ExportError> {
    let damaged = |source| ExportError::Block {
        height: info.height,
        source,
    };
    let block = Block::decode(body.to_vec(), network).map_err(|error| damaged(error.into()))?;
    check_hash(info, "hash", info.hash, block.hash().as_bytes())?;
    check_hash(info, "parent", info.parent, block.parent().as_bytes())?;
    if let Some(network) = network {
        // The decoder takes no block of more than 32 MiB.
        let length = (body.len() as u32).to_le_bytes();
        let frame = [network.magic(), length].concat();
        output.write_all(&frame).map_err(ExportError::Write)?;
    }
    output.write_all(body).map_err(ExportError::Write)
}
