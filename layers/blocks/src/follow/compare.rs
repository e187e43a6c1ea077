//! Comparing the whole index with the whole log, on demand.
//!
//! Invariants: nothing is written; every byte of the log is compared with its checksum, every row
//! of the index with the record that it comes from, and no row without a record is passed over;
//! what does not agree is an answer and no error. Cost: two reads of the log and one of the rows;
//! one read more of the log, and gets for each block, where rows do not agree.

use seglog::Finding;
use storage_api::blocks::{BlockResult, Height};
use storage_api::{KvStore, Reader};

use super::tally::Tally;
use super::{LogBlocks, or_unsound};
use crate::error::of_log;
use crate::layout::{BodyPlace, Recorded};

/// Most findings about single blocks that are told.
const BLOCKS_TOLD_MAX: usize = 100;

/// What a comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Records that were read.
    pub records: u64,
    /// Rows that the index has.
    pub rows: u64,
    /// What is wrong in the files of the log; the rows are not compared with it then.
    pub segments: Vec<Finding>,
    /// What of the index is not as the log has it; of single blocks the first hundred.
    pub index: Vec<String>,
}

impl Compared {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.segments.is_empty() && self.index.is_empty()
    }
}

impl<S: KvStore> LogBlocks<S> {
    /// Compares log and index. Opening the log again makes an index anew that is not sound.
    ///
    /// # Errors
    /// `Store` with `Io`; what does not agree is an answer.
    pub fn compare<R: Reader>(&self, reader: &R) -> BlockResult<Compared> {
        let mut compared = Compared {
            segments: self.reader.check().map_err(of_log)?,
            ..Compared::default()
        };
        if let Err(what) = or_unsound(self.compare_rows(reader, &mut compared))? {
            compared.index.push(what);
        }
        Ok(compared)
    }

    fn compare_rows<R: Reader>(&self, reader: &R, compared: &mut Compared) -> BlockResult<()> {
        let found = self.tables.survey(reader)?;
        compared.rows = found.rows;
        let stored = self.tables.stored(reader)?.unwrap_or_default();
        if stored != found {
            let what = "the rows are not those that were committed";
            compared.index.push(what.to_owned());
        }
        if !compared.segments.is_empty() {
            return Ok(());
        }
        let until = match self.end(reader)? {
            Some((_, at)) => at.record.next(),
            None => self.first_record(),
        };
        let mut expected = Tally::default();
        self.for_each_record(until, &mut |at, recorded| {
            compared.records += 1;
            let (info, tx_ids) = (&recorded.info, &recorded.tx_ids);
            self.rows(info, tx_ids, at, &mut |table, key, value| {
                expected.add(self.tables.tag(table), key, value);
                Ok(())
            })
        })?;
        if (found.rows, found.sum) == (expected.rows, expected.sum) {
            return Ok(());
        }
        compared.index.push(format!(
            "{} rows are there, the log makes {} others",
            found.rows, expected.rows
        ));
        self.for_each_record(until, &mut |at, recorded| {
            let height = recorded.info.height;
            let same = or_unsound(self.is_as_recorded(reader, at, recorded))?;
            if same != Ok(true) && compared.index.len() < BLOCKS_TOLD_MAX {
                let what = format!("the rows of block {height} are not those of its record");
                compared.index.push(what);
            }
            Ok(())
        })
    }

    fn is_as_recorded<R: Reader>(
        &self,
        reader: &R,
        at: &BodyPlace,
        recorded: &Recorded<'_>,
    ) -> BlockResult<bool> {
        let height: Height = recorded.info.height;
        Ok(self.place_of(reader, height)? == Some(*at)
            && self.index.info(reader, height)? == Some(recorded.info)
            && self.index.height_of(reader, &recorded.info.hash)? == Some(height)
            && self.index.tx_ids(reader, height)? == recorded.tx_ids)
    }
}
