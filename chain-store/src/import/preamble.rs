//! What an Antelope log begins with, kept beside its blocks: genesis state or chain id. The bytes
//! are told in `docs/format/antelope-state.md`.
//!
//! Invariants: it is written in the commit of the first block that comes from a log, and never
//! changed, so an export from that block on begins with the same bytes; a log of another chain id
//! is refused.

use chain_files::antelope::Preamble;
use storage_api::{Catalogue, ChecksumSetting, Error, Reader, Result, TableDef, TableId, WriteTxn};

/// One row: the beginning of the first log.
const STATE: TableDef = TableDef::new("antelope.state").point_lookups();
const PREAMBLE_KEY: &[u8] = b"preamble";
const VERSION: u8 = 1;

/// The beginning of the log that a store's blocks come from.
#[derive(Clone, Copy, Debug)]
pub struct AntelopeState {
    state: TableId,
}

fn damaged(what: impl Into<String>) -> Error {
    Error::corruption("table antelope.state", what.into())
}

impl AntelopeState {
    /// The table.
    pub(crate) fn table(checksum: ChecksumSetting) -> TableDef {
        STATE.with_checksum(checksum)
    }

    /// Resolves the table; `None` in a store that was not opened with it.
    #[must_use]
    pub fn resolve(catalogue: &Catalogue) -> Option<Self> {
        let state = catalogue.id(STATE.name()).ok()?;
        Some(Self { state })
    }

    /// The beginning of the first log; `None` when no log was imported. Cost: one get.
    ///
    /// # Errors
    /// Of the store; `Corruption`.
    pub fn preamble<R: Reader>(&self, reader: &R) -> Result<Option<Preamble>> {
        let Some(value) = reader.get(self.state, PREAMBLE_KEY)? else {
            return Ok(None);
        };
        match value.split_first() {
            Some((&VERSION, bytes)) => Preamble::parse(bytes).map(Some).map_err(|fault| {
                damaged("the beginning of the log cannot be decoded").with_source(fault)
            }),
            Some((version, _)) => Err(damaged(format!(
                "beginning of the log of version {version}, {VERSION} expected"
            ))),
            None => Err(damaged("the beginning of the log is empty")),
        }
    }

    pub(super) fn set_preamble<W: WriteTxn>(&self, txn: &mut W, preamble: &Preamble) -> Result<()> {
        let value = [&[VERSION], preamble.bytes()].concat();
        txn.put(self.state, PREAMBLE_KEY, &value)
    }
}
