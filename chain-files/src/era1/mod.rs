//! era1 files: up to 8,192 blocks of Ethereum before the merge, with receipts.
//!
//! Source: go-ethereum, `internal/era` (the layout is in the description of its builder), and
//! eth-clients/e2store-format-specs. A file is an e2store file:
//!
//! ```text
//! version  ( header body receipts total-difficulty )*  accumulator  index
//!
//! header, body, receipts   RLP in the framed format of snappy
//! total-difficulty         32 bytes, least significant first, of the block and all before it
//! accumulator              SSZ hash_tree_root of List[(block hash, total difficulty), 8192]
//! index                    first number, an offset for each block, count; each 8 bytes, least
//!                          significant first; offsets are signed and relative to the first byte
//!                          of the index record
//! ```
//!
//! A block is stored as one body, see [`Era1Body`]. Must always hold: lengths are checked before
//! their use, compressed and decompressed; other types of records than these are refused, so that
//! no stream can keep a reader busy without giving blocks; the file ends after the index. Export
//! keeps the contents; the compressed bytes may be others than those of go-ethereum.

mod accumulator;
mod body;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use accumulator::{Accumulator, TotalDifficulty};
pub use body::Era1Body;
pub use reader::Era1Reader;
pub use writer::Era1Writer;

/// Most blocks of a file, the limit of its accumulator.
pub const BLOCKS_MAX: u64 = 8192;
