//! What a store holds, without a scan: the numbers behind `chainstore stat`.
//!
//! Invariants: no table is scanned; a number that is an estimate says so; a consumer's numbers
//! appear when its tables are in the store, whatever schema it was opened with.

use std::fmt;

use serde::Serialize;
use storage_api::blocks::{BlockError, BlockHash, BlockIndex, Height};
use storage_api::{Count, KvStore, Result};

use crate::bodies::Bodies;
use crate::import::UnspentSet;

/// In which order a chain's tools print the bytes of a hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashOrder {
    /// As stored.
    #[default]
    Stored,
    /// Last byte first, as Bitcoin's tools do.
    Reversed,
}

impl HashOrder {
    /// The order of the chain in this store: reversed after a Bitcoin import.
    ///
    /// # Errors
    /// Of the store.
    pub fn of<S: KvStore>(store: &S) -> Result<Self> {
        let Ok(unspent) = UnspentSet::resolve(store.catalogue()) else {
            return Ok(Self::Stored);
        };
        let known = unspent.summary(&store.begin_read()?)?;
        Ok(if known.is_some() {
            Self::Reversed
        } else {
            Self::Stored
        })
    }

    /// The bytes as the chain's tools print them.
    #[must_use]
    pub fn print(self, bytes: &[u8]) -> String {
        struct Hex<I>(I);
        impl<'b, I: Iterator<Item = &'b u8> + Clone> fmt::Display for Hex<I> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.clone().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
        match self {
            Self::Stored => Hex(bytes.iter()).to_string(),
            Self::Reversed => Hex(bytes.iter().rev()).to_string(),
        }
    }

    /// The stored bytes of a hash that was printed by the chain's tools.
    ///
    /// # Errors
    /// `InvalidArgument` when it is not hexadecimal.
    pub fn parse(self, text: &str) -> Result<Vec<u8>> {
        let digits = text.strip_prefix("0x").unwrap_or(text).as_bytes();
        let bad = || storage_api::Error::invalid(format!("{text:?} is not a hexadecimal hash"));
        if !digits.len().is_multiple_of(2) || digits.is_empty() {
            return Err(bad());
        }
        let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8).ok_or_else(bad);
        let mut bytes = digits
            .chunks_exact(2)
            .map(|pair| Ok(digit(pair[0])? << 4 | digit(pair[1])?))
            .collect::<Result<Vec<u8>>>()?;
        if self == Self::Reversed {
            bytes.reverse();
        }
        Ok(bytes)
    }
}

/// The blocks of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BlocksStat {
    /// Blocks.
    pub count: u64,
    /// Lowest height, absent when there is no block.
    pub first_height: Option<u64>,
    /// Highest height.
    pub tip_height: Option<u64>,
    /// The tip's hash as the chain's tools print it.
    pub tip_hash: Option<String>,
    /// Transactions.
    pub transactions: u64,
    /// Bytes of all bodies.
    pub body_bytes: u64,
    /// Where bodies are, `store` or `segments`; absent without a table of bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bodies: Option<&'static str>,
}

/// One table of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableStat {
    /// Its name.
    pub name: String,
    /// Its number.
    pub id: u16,
    /// Rows.
    pub rows: u64,
    /// Bytes, as the engine knows or as a sample of rows suggests.
    pub bytes: u64,
    /// Whether both numbers are exact.
    pub exact: bool,
    /// Whether the number of rows is exact.
    pub rows_exact: bool,
    /// Whether the number of bytes is exact.
    pub bytes_exact: bool,
}

/// The world state after a Bitcoin import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BitcoinStat {
    /// The network, when a framed file has named it.
    pub network: Option<String>,
    /// Whether the store begins in mid-chain.
    pub partial: bool,
    /// Unspent outputs.
    pub unspent_outputs: u64,
    /// What they are worth, in satoshi.
    pub unspent_satoshi: u64,
    /// Spent outputs that were never seen.
    pub unknown_spends: u64,
}

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoreStat {
    /// The engine.
    pub engine: String,
    /// Bytes on disk.
    pub disk_bytes: u64,
    /// Bytes inside the files that can be used again, where the engine knows.
    pub free_bytes: Option<u64>,
    /// The last ordered commit.
    pub commit_seq: u64,
    /// Views open in this process, this one included.
    pub readers: usize,
    /// Age of the oldest of them in seconds.
    pub oldest_reader_age_seconds: Option<u64>,
    /// Bytes that the oldest of them may pin.
    pub pinned_bytes: Option<u64>,
    /// The blocks.
    pub blocks: BlocksStat,
    /// The tables, in order of name.
    pub tables: Vec<TableStat>,
    /// The world state, after a Bitcoin import.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bitcoin: Option<BitcoinStat>,
}

fn store_error(error: BlockError) -> storage_api::Error {
    match error {
        BlockError::Store(error) => error,
        other => storage_api::Error::corruption("blocks", other.to_string()),
    }
}

impl StoreStat {
    /// Gathers the numbers. Cost: a few gets for each table, no scan.
    ///
    /// # Errors
    /// Of the store.
    pub fn gather<S: KvStore>(store: &S) -> Result<Self> {
        let stats = store.stats()?;
        let order = HashOrder::of(store)?;
        let mut tables = Vec::with_capacity(store.catalogue().len());
        for table in store.catalogue().iter() {
            let stats = store.table_stats(table.id)?;
            let (rows_exact, bytes_exact) = (
                stats.rows.is_exact(),
                stats.bytes.is_some_and(Count::is_exact),
            );
            tables.push(TableStat {
                name: table.def.name().to_owned(),
                id: table.id.get(),
                rows: stats.rows.get(),
                bytes: stats.bytes.map_or(0, Count::get),
                exact: rows_exact && bytes_exact,
                rows_exact,
                bytes_exact,
            });
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self {
            engine: store.engine_name().to_owned(),
            disk_bytes: stats.disk_bytes,
            free_bytes: stats.free_bytes,
            commit_seq: stats.commit_seq.get(),
            readers: stats.readers,
            oldest_reader_age_seconds: stats.oldest_reader.map(|oldest| oldest.age.as_secs()),
            pinned_bytes: stats.oldest_reader.map(|oldest| oldest.pinned_bytes),
            blocks: BlocksStat::gather(store, order)?,
            tables,
            bitcoin: BitcoinStat::gather(store)?,
        })
    }
}

impl BlocksStat {
    fn gather<S: KvStore>(store: &S, order: HashOrder) -> Result<Self> {
        let Ok(blocks) = BlockIndex::resolve(store.catalogue()) else {
            return Ok(Self::default());
        };
        let view = store.begin_read()?;
        let totals = blocks.totals(&view).map_err(store_error)?;
        let tip = blocks.tip(&view).map_err(store_error)?;
        let tail = blocks.tail(&view).map_err(store_error)?;
        let print = |hash: &BlockHash| order.print(hash.as_bytes());
        Ok(Self {
            count: totals.blocks,
            first_height: tail.map(|tail| Height::get(tail.height)),
            tip_height: tip.map(|tip| tip.height.get()),
            tip_hash: tip.map(|tip| print(&tip.hash)),
            transactions: totals.transactions,
            body_bytes: totals.body_bytes,
            // Two tables of bodies are told by whoever reads bodies.
            bodies: Bodies::of(store.catalogue())
                .ok()
                .flatten()
                .map(Bodies::as_str),
        })
    }
}

impl BitcoinStat {
    fn gather<S: KvStore>(store: &S) -> Result<Option<Self>> {
        let Ok(unspent) = UnspentSet::resolve(store.catalogue()) else {
            return Ok(None);
        };
        let summary = unspent.summary(&store.begin_read()?)?;
        Ok(summary.map(|summary| Self {
            network: summary.network.map(|network| network.to_string()),
            partial: summary.coverage == crate::import::Coverage::Partial,
            unspent_outputs: summary.unspent_outputs,
            unspent_satoshi: summary.unspent_satoshi,
            unknown_spends: summary.unknown_spends,
        }))
    }
}
