//! The tally of an index that follows its log: how many rows it has, and a sum over all of them.
//! The bytes are told in `docs/format/log-blocks.md`.
//!
//! Invariants: the row of the tally changes in the commit in which the rows change, so an index as
//! it was committed has the tally that it says; a row that is missing, added or changed makes
//! another tally, but for one chance in 2^64 (it is no defence against somebody who chooses the
//! bytes). Cost: a hash of every row that is put, and of every row when all are counted.

use std::ops::ControlFlow;

use storage_api::blocks::BlockIndex;
use storage_api::{Catalogue, Cursor, Error, KeyRange, Reader, Result, TableDef, TableId};

use crate::layout::PLACES;

/// The one row of the tally.
pub(crate) const TALLY: TableDef = TableDef::new("blocks.tally").point_lookups();

/// Its key.
pub(crate) const TALLY_KEY: &[u8] = b"index";

const VERSION: u8 = 1;

/// Bytes of its value.
const TALLY_BYTES: usize = 25;

/// See the head of this file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Rows by height, hash and transaction, and of places.
    pub(crate) rows: u64,
    /// The sum of their hashes.
    pub(crate) sum: u64,
    /// The sum of the hashes of the rows of totals, of which there is one or none.
    pub(crate) state: u64,
}

/// Stands for a table in the hash of its rows, whatever number the store gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u8);

/// The hash of a row: FNV-1a of 64 bits over table, length of the key, key and value, and then
/// mixed, so that sums of it are as good as the hash.
pub(crate) fn row_hash(Tag(tag): Tag, key: &[u8], value: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut take = |byte: u8| {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    };
    take(tag);
    (key.len() as u64)
        .to_le_bytes()
        .into_iter()
        .for_each(&mut take);
    key.iter().chain(value).copied().for_each(&mut take);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl Tally {
    pub(crate) fn add(&mut self, tag: Tag, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.sum = self.sum.wrapping_add(row_hash(tag, key, value));
    }

    pub(crate) fn take(&mut self, tag: Tag, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(row_hash(tag, key, value));
    }
}

/// Value of the row.
pub(crate) fn encode_tally(tally: &Tally) -> [u8; TALLY_BYTES] {
    let mut out = [0; TALLY_BYTES];
    out[0] = VERSION;
    out[1..9].copy_from_slice(&tally.rows.to_le_bytes());
    out[9..17].copy_from_slice(&tally.sum.to_le_bytes());
    out[17..25].copy_from_slice(&tally.state.to_le_bytes());
    out
}

/// Tally of a value.
pub(crate) fn decode_tally(value: &[u8]) -> Result<Tally> {
    let damaged = |what: String| Error::corruption(format!("table {}", TALLY.name()), what);
    let value: &[u8; TALLY_BYTES] = value
        .try_into()
        .map_err(|_| damaged(format!("a value is not {TALLY_BYTES} bytes")))?;
    if value[0] != VERSION {
        let what = format!("value version {}, {VERSION} expected", value[0]);
        return Err(damaged(what));
    }
    let long = |at: usize| {
        let bytes = value.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
    };
    Ok(Tally {
        rows: long(1),
        sum: long(9),
        state: long(17),
    })
}

/// The tables of an index, by their numbers in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tables {
    counted: [(Tag, TableId); 5],
    state: (Tag, TableId),
    tally: TableId,
}

impl Tables {
    pub(crate) fn resolve(catalogue: &Catalogue) -> Result<Self> {
        let id =
            |tag: u8, table: &TableDef| Ok::<_, Error>((Tag(tag), catalogue.id(table.name())?));
        let [index, hashes, txs, tx_ids, state] = &BlockIndex::TABLES;
        Ok(Self {
            counted: [
                id(1, index)?,
                id(2, hashes)?,
                id(3, txs)?,
                id(4, tx_ids)?,
                id(5, &PLACES)?,
            ],
            state: id(6, state)?,
            tally: catalogue.id(TALLY.name())?,
        })
    }

    pub(crate) const fn tally(&self) -> TableId {
        self.tally
    }

    /// Every table that is made from the log, that of the tally among them.
    pub(crate) fn made(&self) -> impl Iterator<Item = TableId> {
        let counted = self.counted.into_iter().map(|(_, table)| table);
        counted.chain([self.state.1, self.tally])
    }

    /// The tables that have one row for each height.
    pub(crate) fn by_height(&self) -> [TableId; 2] {
        let [index, _, _, _, places] = self.counted;
        [index.1, places.1]
    }

    /// What stands for a table in hashes.
    pub(crate) fn tag(&self, table: TableId) -> Tag {
        let found = self.counted.iter().find(|(_, counted)| *counted == table);
        found.map_or(Tag(0), |(tag, _)| *tag)
    }

    /// What the row says; nothing when there is none.
    pub(crate) fn stored<R: Reader>(&self, reader: &R) -> Result<Option<Tally>> {
        let value = reader.get(self.tally, TALLY_KEY)?;
        value.map(|value| decode_tally(&value)).transpose()
    }

    /// Whether the tally's table has another row than the one that is known.
    pub(crate) fn has_others<R: Reader>(&self, reader: &R) -> Result<bool> {
        let mut rows = reader.cursor(self.tally, KeyRange::all())?;
        Ok(rows.next()?.is_some() && rows.next()?.is_some())
    }

    /// The sum over the rows of totals.
    pub(crate) fn state_sum<R: Reader>(&self, reader: &R) -> Result<u64> {
        let (tag, table) = self.state;
        let mut sum = 0_u64;
        reader
            .cursor(table, KeyRange::all())?
            .scan(&mut |key, value| {
                sum = sum.wrapping_add(row_hash(tag, key, value));
                ControlFlow::Continue(())
            })?;
        Ok(sum)
    }

    /// Counts every row. Cost: a read of all of them.
    pub(crate) fn survey<R: Reader>(&self, reader: &R) -> Result<Tally> {
        let mut tally = Tally {
            state: self.state_sum(reader)?,
            ..Tally::default()
        };
        for (tag, table) in self.counted {
            reader
                .cursor(table, KeyRange::all())?
                .scan(&mut |key, value| {
                    tally.add(tag, key, value);
                    ControlFlow::Continue(())
                })?;
        }
        Ok(tally)
    }

    /// How many rows there are, where the engine knows it without counting.
    pub(crate) fn rows_known<R: Reader>(&self, reader: &R) -> Result<Option<u64>> {
        let mut rows = 0_u64;
        for (_, table) in self.counted {
            let count = reader.count(table)?;
            if !count.is_exact() {
                return Ok(None);
            }
            rows = rows.wrapping_add(count.get());
        }
        Ok(Some(rows))
    }

    /// Whether no table has a row.
    pub(crate) fn are_empty<R: Reader>(&self, reader: &R) -> Result<bool> {
        for table in self.made() {
            if reader.cursor(table, KeyRange::all())?.first()?.is_some() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
