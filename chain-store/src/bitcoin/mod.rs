//! Bitcoin block files, decoded by our own reader: from a path to checked blocks.
//!
//! Pure: knows no store. [`BlockFile`] opens a path and is an iterator of [`DecodedBlock`], so
//! that whoever keeps blocks can take them from there; [`Block`] also decodes a stored body.
//!
//! ```text
//! file      path -> bytes           compression by content; the iterator
//! record    bytes -> records        framing, zero padding, bare blocks, limits
//! block     record -> Block         header + tx + merkle + witness commitment
//! header    80 bytes, proof of work
//! tx        transactions, inputs and outputs, borrowed from the block
//! script    unspendable outputs, BIP 34 height; scripts are never run
//! unspent   the stored form of an unspent output
//! network   magic, genesis hash, easiest target
//! hash, merkle, wire, error
//! ```
//!
//! Must always hold: nothing read from a file panics, overflows, or makes this module allocate
//! more than the bytes that arrived plus a constant; every error names the file, the record and
//! the offset; every record before an error was handed out. What a block alone can prove is
//! checked here (listed at [`Block`]'s module); what needs the chain is the caller's: the parent
//! link, the height ([`Block::coinbase_height`] is a hint), that spent outputs exist once, that
//! the outputs of a genesis block ([`Block::is_genesis`]) stay out of the unspent set, and that a
//! transaction id may come twice (BIP 30: the coinbases of mainnet 91,722 and 91,812 came again at
//! 91,880 and 91,842 while unspent, and the later output replaced the earlier).
//!
//! ```no_run
//! use chain_store::bitcoin::BlockFile;
//! use std::path::Path;
//!
//! for block in BlockFile::open(Path::new("blk00000.dat"))? {
//!     let block = block?.block;
//!     for transaction in block.transactions() {
//!         let kept = transaction.outputs().filter(|output| !output.is_unspendable()).count();
//!         println!("{} {} keeps {kept}", block.hash(), transaction.tx_id());
//!     }
//! }
//! # Ok::<(), chain_store::bitcoin::Error>(())
//! ```

mod block;
mod error;
pub(crate) mod file;
mod hash;
mod header;
mod network;
mod record;
mod script;
mod tx;
mod unspent;
mod wire;

#[cfg(test)]
mod tests;

pub use block::{Block, Transactions};
pub use error::{DecodeError, DecodeFault, Error, ParseHashError, Result};
pub use file::BlockFile;
pub use hash::{BtcHash, TxId};
pub use header::{HEADER_BYTES, Header};
pub use network::Network;
pub use record::{DecodedBlock, PADDING_BYTES_MAX, RECORD_BYTES_MAX, RawRecord, RecordPosition};
pub use script::{SCRIPT_BYTES_MAX, coinbase_height, is_unspendable};
pub use tx::{Input, Inputs, OutPoint, Output, Outputs, SATOSHI_MAX, Satoshi, Transaction};
pub use unspent::UnspentOutput;
