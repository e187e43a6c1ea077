//! Files in which nodes keep and exchange chains, decoded and written by our own code.
//!
//! Pure: knows no store. [`FileReader`] tells the format from the content and gives checked blocks
//! one after the other; [`FileWriter`] turns kept bodies back into a file.
//!
//! ```text
//! stream      the three formats as one: detect, FileReader, FileWriter
//! rlp_chain   Ethereum: concatenated RLP blocks            rlp, ethereum
//! era1        Ethereum: archives before the merge          e2store, rlp, ethereum
//! antelope    Antelope: blocks.log and blocks.index
//! input       the counted stream beneath; error
//! ```
//!
//! Must always hold: nothing read from a file panics, overflows, or makes this crate allocate more
//! than the limit of [`ReadOptions`] plus one record; every error names the record and its offset;
//! every block before an error was handed out and stays good, and reading can go on behind it from
//! [`FileBlock::resume_point`]. A block is checked as far as it proves itself: hashes, roots of
//! transactions and receipts, parent and number. Signatures and execution are not.
//!
//! ```no_run
//! use chain_files::{FileReader, ReadOptions};
//!
//! let file = std::fs::File::open("chain.rlp")?;
//! let mut reader = FileReader::open(file, ReadOptions::default())?;
//! while let Some(block) = reader.next_block()? {
//!     println!("{} has {} transactions", block.number, block.tx_ids.len());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod antelope;
pub mod e2store;
pub mod era1;
mod error;
pub mod ethereum;
mod input;
pub mod rlp;
pub mod rlp_chain;
mod stream;

pub use error::{Error, Fault, Hash, Position, Result};
pub use input::{BlockLink, ReadOptions, ResumePoint};
pub use stream::{BodyFacts, DETECT_BYTES, FileBlock, FileFormat, FileReader, FileWriter, detect};
