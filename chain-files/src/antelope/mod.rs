//! Block logs of Antelope (EOSIO, Leap) nodes: `blocks.log` and `blocks.index`.
//!
//! Source: Leap and EOSIO, `libraries/chain/block_log.cpp`, `block.hpp`, `transaction.hpp`. All
//! numbers have their least significant byte first.
//!
//! ```text
//! log        version (4)  [first block number (4), version > 1]
//!            genesis state (version < 3, or first block 1) | chain id (32)
//!            [ff x 8, version > 1]  entry*
//! entry      packed signed block  offset of this entry (8)                 version 1 to 3
//!            length of the entry (4)  compression (1, 0)
//!            packed signed block  padding  offset of this entry (8)        version 4
//! index      offset of the entry (8), for each block
//! ```
//!
//! Versions 1 to 3 state no length of an entry: its end is found by reading the block. The id of a
//! block is the SHA-256 of its packed header without the signature, its first four bytes replaced
//! by the block's number, most significant first; the number is that in the parent's id plus one.
//!
//! Must always hold: nothing is set aside for a stated count or length before it was held against
//! the limit; the log is whole up to the entry that an error names, so a cut tail is told by
//! [`Fault::is_truncation`](crate::Fault::is_truncation) and the offset at which to cut. Logs of
//! nodes that prune old blocks (high bit of the version) are refused.

mod block;
mod index;
mod pack;
mod preamble;
mod reader;
#[cfg(test)]
mod tests;
mod walk;
mod writer;

pub use block::{AntelopeBlock, Layout, decode_block};
pub use index::{IndexReader, check_index};
pub use preamble::Preamble;
pub use reader::LogReader;
pub use walk::LogWalker;
pub use writer::LogWriter;
