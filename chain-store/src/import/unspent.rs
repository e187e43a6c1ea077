//! The set of unspent outputs and its summary, as tables. The bytes are told in
//! `docs/format/bitcoin-state.md`.
//!
//! Invariants: the summary changes in the same commit as the set, so counts need no scan; provably
//! unspendable outputs and those of the genesis block are never in the set, as in Bitcoin Core; a
//! transaction id that comes a second time replaces the first one's unspent outputs (BIP 30's two
//! cases), and the summary follows.

use storage_api::{Catalogue, Error, Reader, Result, TableDef, TableId, WriteTxn};

use crate::bitcoin::{Network, OutPoint, Satoshi, UnspentOutput};
use crate::import::Coverage;

/// Outpoint to unspent output.
const UNSPENT: TableDef = TableDef::new("bitcoin.unspent").point_lookups();
/// The one row of the summary.
const STATE: TableDef = TableDef::new("bitcoin.state").point_lookups();
const SUMMARY_KEY: &[u8] = b"summary";
const VERSION: u8 = 1;
const SUMMARY_BYTES: usize = 30;

/// What is known of the set without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BitcoinSummary {
    /// The network, once a framed file has named it.
    pub network: Option<Network>,
    /// Whether the store begins in mid-chain.
    pub coverage: Coverage,
    /// Unspent outputs.
    pub unspent_outputs: u64,
    /// What they are worth together, in satoshi.
    pub unspent_satoshi: u64,
    /// Spent outputs that were never seen; always 0 for a whole chain.
    pub unknown_spends: u64,
}

fn damaged(what: &str) -> Error {
    Error::corruption("table bitcoin.state", what)
}

impl BitcoinSummary {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SUMMARY_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.network.map_or([0; 4], Network::magic));
        out.push(match self.coverage {
            Coverage::Whole => 0,
            Coverage::Partial => 1,
        });
        for number in [
            self.unspent_outputs,
            self.unspent_satoshi,
            self.unknown_spends,
        ] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out
    }

    fn decode(value: &[u8]) -> Result<Self> {
        let value: &[u8; SUMMARY_BYTES] = value
            .try_into()
            .map_err(|_| damaged("the summary has another length"))?;
        let [version, m0, m1, m2, m3, coverage, numbers @ ..] = value;
        if *version != VERSION {
            return Err(damaged(&format!(
                "summary version {version}, {VERSION} expected"
            )));
        }
        let network = match [*m0, *m1, *m2, *m3] {
            [0, 0, 0, 0] => None,
            magic => Some(Network::from_magic(magic).ok_or_else(|| damaged("an unknown network"))?),
        };
        let coverage = match coverage {
            0 => Coverage::Whole,
            1 => Coverage::Partial,
            _ => return Err(damaged("an unknown coverage")),
        };
        let mut numbers = numbers.chunks_exact(8).map(|chunk| {
            chunk
                .iter()
                .rev()
                .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
        });
        let mut next = || {
            numbers
                .next()
                .ok_or_else(|| damaged("the summary is too short"))
        };
        Ok(Self {
            network,
            coverage,
            unspent_outputs: next()?,
            unspent_satoshi: next()?,
            unknown_spends: next()?,
        })
    }
}

/// What spending an output found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spent {
    Known,
    Unknown,
}

/// The set of unspent outputs, by the numbers of its tables.
#[derive(Clone, Copy, Debug)]
pub struct UnspentSet {
    unspent: TableId,
    state: TableId,
}

impl UnspentSet {
    /// The tables.
    pub const TABLES: [TableDef; 2] = [UNSPENT, STATE];

    /// Resolves the tables.
    ///
    /// # Errors
    /// `UnknownTable`.
    pub fn resolve(catalogue: &Catalogue) -> Result<Self> {
        Ok(Self {
            unspent: catalogue.id(UNSPENT.name())?,
            state: catalogue.id(STATE.name())?,
        })
    }

    /// The summary; `None` when nothing was imported. Cost: one get.
    ///
    /// # Errors
    /// Of the store; `Corruption`.
    pub fn summary<R: Reader>(&self, reader: &R) -> Result<Option<BitcoinSummary>> {
        let value = reader.get(self.state, SUMMARY_KEY)?;
        value
            .map(|value| BitcoinSummary::decode(&value))
            .transpose()
    }

    pub(super) fn set_summary<W: WriteTxn>(
        &self,
        txn: &mut W,
        summary: &BitcoinSummary,
    ) -> Result<()> {
        txn.put(self.state, SUMMARY_KEY, &summary.encode())
    }

    fn worth<R: Reader>(&self, reader: &R, key: &[u8]) -> Result<Option<Satoshi>> {
        let Some(value) = reader.get(self.unspent, key)? else {
            return Ok(None);
        };
        let output = UnspentOutput::decode(&value).map_err(|error| {
            Error::corruption("table bitcoin.unspent", "an output cannot be decoded")
                .with_source(error)
        })?;
        Ok(Some(output.value))
    }

    fn take_out(summary: &mut BitcoinSummary, value: Satoshi) -> Result<()> {
        let too_small = || damaged("the summary is smaller than one output");
        summary.unspent_outputs = summary
            .unspent_outputs
            .checked_sub(1)
            .ok_or_else(too_small)?;
        summary.unspent_satoshi = summary
            .unspent_satoshi
            .checked_sub(value.0)
            .ok_or_else(too_small)?;
        Ok(())
    }

    /// Removes a spent output. Cost: one get and one delete.
    pub(super) fn spend<W: WriteTxn>(
        &self,
        txn: &mut W,
        summary: &mut BitcoinSummary,
        output: &OutPoint,
    ) -> Result<Spent> {
        let key = output.to_key();
        let Some(value) = self.worth(txn, &key)? else {
            return Ok(Spent::Unknown);
        };
        Self::take_out(summary, value)?;
        txn.delete(self.unspent, &key)?;
        Ok(Spent::Known)
    }

    /// Adds a new output. Cost: one get and one put.
    pub(super) fn add<W: WriteTxn>(
        &self,
        txn: &mut W,
        summary: &mut BitcoinSummary,
        at: &OutPoint,
        output: &UnspentOutput<'_>,
    ) -> Result<()> {
        let key = at.to_key();
        if let Some(replaced) = self.worth(txn, &key)? {
            Self::take_out(summary, replaced)?;
        }
        let too_large =
            || Error::invalid("unspent outputs are worth more than 2^64 satoshi together");
        summary.unspent_outputs += 1;
        summary.unspent_satoshi = summary
            .unspent_satoshi
            .checked_add(output.value.0)
            .ok_or_else(too_large)?;
        txn.put(self.unspent, &key, &output.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summaries_come_back_and_damage_is_refused() {
        let summary = BitcoinSummary {
            network: Some(Network::Signet),
            coverage: Coverage::Partial,
            unspent_outputs: 3,
            unspent_satoshi: u64::MAX,
            unknown_spends: 0x0102_0304_0506_0708,
        };
        let bytes = summary.encode();
        assert_eq!(bytes.len(), SUMMARY_BYTES);
        assert_eq!(BitcoinSummary::decode(&bytes).ok(), Some(summary));
        assert!(BitcoinSummary::decode(&bytes[1..]).is_err());
        for at in [0, 1, 5] {
            let mut bad = bytes.clone();
            bad[at] ^= 0x40;
            assert!(
                BitcoinSummary::decode(&bad).is_err_and(|error| error.is_corruption()),
                "byte {at}"
            );
        }
    }
}
