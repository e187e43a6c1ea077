//! Verification of a store: every byte read, every key found again, counts compared, the engine's
//! own check.
//!
//! Invariants: read-only; damage is a finding and never ends the walk of the other tables; what
//! cannot be read at all is a finding too. Cost: one scan and one get a row. An engine's library
//! may crash on damaged files, so tools run this in a child process (the facade does).

use std::time::Instant;

use storage_api::{
    Access, BitRot, ChecksumSetting, Count, Cursor, Error, ErrorKind, Finding, KeyRange, KvStore,
    Reader, Result, TableCheck, TableId, Verify, VerifyReport,
};

use crate::boundary;
use crate::gate::Wait;
use crate::metrics::Work;
use crate::raw::RawEngine;
use crate::read::View;
use crate::store::Store;

/// Rows between two reports of progress.
const PROGRESS_ROWS: u64 = 65_536;

/// Findings kept for one table; a wholly damaged one has as many as rows.
const FINDINGS_MAX: usize = 100;

impl<E: RawEngine> Verify for Store<E> {
    fn verify(&self, progress: &mut dyn FnMut(&TableCheck)) -> Result<VerifyReport> {
        let tables = self.catalogue().iter().count();
        let span = tracing::info_span!("verify", engine = E::NAME, tables);
        let _in_span = span.enter();
        let began = Instant::now();
        let done = (self.shared.meter).time(Work::Verify, || self.verify_untimed(progress));
        if let Ok(report) = &done {
            tracing::info!(
                rows = report.tables.iter().map(|table| table.rows).sum::<u64>(),
                bytes = report.tables.iter().map(|table| table.bytes).sum::<u64>(),
                findings = report.findings.len(),
                took_seconds = began.elapsed().as_secs_f64(),
                "verified"
            );
        }
        done
    }
}

impl<E: RawEngine> Store<E> {
    fn verify_untimed(&self, progress: &mut dyn FnMut(&TableCheck)) -> Result<VerifyReport> {
        let view = self.begin_read()?;
        let mut report = VerifyReport::default();
        for table in self.catalogue().iter() {
            let mut walk = Walk {
                view: &view,
                table: table.id,
                check: TableCheck {
                    table: table.def.name().to_owned(),
                    ..TableCheck::default()
                },
                findings: Vec::new(),
                unlisted: 0,
            };
            if let Err(error) = walk.run(progress) {
                if matches!(error.kind(), ErrorKind::ReaderTooOld { .. }) {
                    // The limit on views ended the walk; that says nothing about the store.
                    return Err(error);
                }
                walk.note(format!("reading stopped: {}", chain(&error)));
            }
            progress(&walk.check);
            report.tables.push(walk.check);
            report.findings.append(&mut walk.findings);
            if walk.unlisted > 0 {
                report.findings.push(Finding {
                    place: format!("table {}", table.def.name()),
                    what: format!("and {} more", walk.unlisted),
                });
            }
        }
        drop(view);
        // The engine's check may need the place of the writer, so no write may be under way.
        let gate = match self.shared.access {
            Access::ReadWrite => self.shared.gate.exclusive(Wait::Forever)?,
            Access::ReadOnly => None,
        };
        let checked = boundary::call::<E, _>(|| self.shared.engine.check());
        drop(gate);
        match checked {
            Ok(Some(mut check)) => {
                report.findings.append(&mut check.findings);
                report.engine_check = Some(check.summary);
            }
            Ok(None) => {}
            Err(error) => report.findings.push(Finding {
                place: "engine check".to_owned(),
                what: chain(&error),
            }),
        }
        let engine_checks = (report.engine_check.is_some() && E::CHECKS_VALUES)
            || self.shared.caps.bit_rot != BitRot::NotDetected;
        if !engine_checks {
            let unchecked = self.catalogue().iter().filter(|table| {
                table.def.checksum() == ChecksumSetting::None
                    && report
                        .tables
                        .iter()
                        .any(|t| t.table == table.def.name() && t.rows > 0)
            });
            report.unchecked_tables = unchecked.map(|t| t.def.name().to_owned()).collect();
        }
        Ok(report)
    }
}

/// An error with its sources, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        source = inner.source();
    }
    text
}

struct Walk<'v, E: RawEngine> {
    view: &'v View<E>,
    table: TableId,
    check: TableCheck,
    findings: Vec<Finding>,
    /// Findings past the limit, which are counted only.
    unlisted: u64,
}

impl<E: RawEngine> Walk<'_, E> {
    fn note(&mut self, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(Finding {
                place: format!("table {}", self.check.table),
                what,
            });
        } else {
            self.unlisted += 1;
        }
    }

    fn run(&mut self, progress: &mut dyn FnMut(&TableCheck)) -> Result<()> {
        let mut cursor = self.view.cursor(self.table, KeyRange::all())?;
        let mut last: Option<Vec<u8>> = None;
        // Rows whose envelope is damaged; the cursor goes on behind them, and they count as rows.
        let mut damaged = 0u64;
        loop {
            let row = match cursor.next() {
                Ok(None) => break,
                Ok(Some(row)) => row,
                Err(error) if error.is_corruption() && damaged < self.check.rows + 1_000 => {
                    damaged += 1;
                    self.note(format!(
                        "row {}: {}",
                        self.check.rows + damaged,
                        chain(&error)
                    ));
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.check.rows += 1;
            self.check.bytes += (row.key.len() + row.value.len()) as u64;
            let number = self.check.rows + damaged;
            let ordered = last.as_deref().is_none_or(|last| last < row.key);
            let again = match self.view.get(self.table, row.key) {
                Ok(Some(value)) if *value == *row.value => None,
                Ok(Some(_)) => Some("`get` returns another value than the scan".to_owned()),
                Ok(None) => Some("`get` does not find the key".to_owned()),
                Err(error) => Some(format!("`get` fails: {}", chain(&error))),
            };
            let kept = last.get_or_insert_with(Vec::new);
            kept.clear();
            kept.extend_from_slice(row.key);
            if !ordered {
                self.note(format!("row {number}: its key is not after the key before"));
                if damaged > 0 {
                    // A cursor that an engine's error threw back could go round for ever.
                    return Ok(());
                }
            }
            if let Some(what) = again {
                self.note(format!("row {number}: {what}"));
            }
            if self.check.rows.is_multiple_of(PROGRESS_ROWS) {
                progress(&self.check);
            }
        }
        let seen = self.check.rows + damaged;
        match self.view.count(self.table)? {
            Count::Exact(rows) if rows != seen => {
                self.note(format!("{seen} rows read, the count says {rows}"));
            }
            Count::Exact(_) | Count::Estimate(_) => {}
        }
        Ok(())
    }
}
