//! The facade: one store of any engine, chosen by URL, and what is built on it.
//!
//! # Starting points
//! [`AnyStore`] opens `redb:PATH`, `lmdb:PATH`, `rocks:PATH`, `mem:` or an existing path;
//! [`Opener`] with options; [`Blocks`] are its blocks, wherever their bodies are, with an example
//! of what a node does with them; [`BitcoinImport`] and [`FileImport`] import a chain, [`export`]
//! writes its file again; [`ContentDigest`], [`BlocksDigest`] and [`diff`] compare stores;
//! [`migrate`] moves one to another engine; [`verify`] checks one in a child process; [`metrics`]
//! and [`Timed`] tell what it does. The contract itself, with every trait, is in [`storage_api`],
//! which is re-exported here.
//!
//! # Features
//! | feature | adds | needs |
//! |---|---|---|
//! | (none) | engine `mem` | nothing |
//! | `redb` (default) | engine `redb` | nothing |
//! | `lmdb` (default) | engine `lmdb` | a C compiler |
//! | `rocks` | engine `rocks` | a C++ compiler and libclang |
#![forbid(unsafe_code)]

mod any;
pub mod bitcoin;
mod bodies;
pub mod diff;
mod digest;
pub mod export;
mod format;
mod import;
pub mod migrate;
pub mod repair;
mod stat;
mod timed;
pub mod verify;

pub use any::{
    AnyCursor, AnyReadTxn, AnyStore, AnyValue, AnyWriteCursor, AnyWriteTxn, AnyWriteValue,
    EngineName, EngineOptions, Opener, StoreUrl,
};
pub use backend_kit::directory::{
    MARKER_VERSION, Marker as StoreMarker, State as MarkerState, read_marker,
};
pub use backend_kit::metrics;
pub use blocks::{Block, BlockIter, ReadAhead, SegmentBlocks, SegmentOptions};
pub use bodies::{Blocks, BlocksDigest, Bodies, Cleanup, Segments, Staged};
pub use chain_files;
pub use digest::{ContentDigest, RangeDigest};
pub use format::{BlockFacts, BodyFault, ChainFormat, ChainKind, DetectError, SNIFF_BYTES};
pub use import::{
    AntelopeState, BitcoinImport, BitcoinSummary, BlockPlace, Coverage, FileImport, ImportError,
    ImportReport, SourceFile, UnspentSet,
};
pub use stat::{BitcoinStat, BlocksStat, HashOrder, StoreStat, TableStat};
pub use storage_api;
pub use timed::{Timed, TimedCursor, TimedTxn};

#[doc = include_str!("../../README.md")]
#[cfg(doctest)]
struct ReadmeExamples;
