//! One store playing a script: what it answers, as bytes.
//!
//! Invariant: an answer never depends on anything that stores may do differently: of an error only
//! the kind's name counts, of a commit only that it happened.

use storage_api::{Error, KeyRange, Result, TableId, Writer};

use super::script::{End, HELD_MAX, Part, Query, Step, tables};
use crate::lab::{Lab, Subject};
use crate::ops::batch_of;
use crate::probe::{ReadProbe, Txn, TxnProbe, View};

/// A store under way.
pub(super) struct Playing<'l> {
    name: String,
    held: Vec<View>,
    subject: Result<Subject>,
    lab: &'l Lab,
}

/// The name of an error's kind, without what it holds.
fn kind(error: &Error) -> String {
    let text = format!("{:?}", error.kind());
    let end = text.find(|letter: char| !letter.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

fn say(answer: &mut Vec<u8>, word: &str) {
    answer.extend_from_slice(word.as_bytes());
    answer.push(b' ');
}

/// Bytes with their length, so that no two lists of answers look alike.
fn say_bytes(answer: &mut Vec<u8>, bytes: &[u8]) {
    say(answer, &bytes.len().to_string());
    answer.extend_from_slice(bytes);
    answer.push(b' ');
}

fn say_value(answer: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => say_bytes(answer, value),
        None => say(answer, "none"),
    }
}

fn say_outcome<T>(answer: &mut Vec<u8>, outcome: &Result<T>) {
    match outcome {
        Ok(_) => say(answer, "ok"),
        Err(error) => say(answer, &kind(error)),
    }
}

impl<'l> Playing<'l> {
    /// A new store at this place.
    pub(super) fn begin(name: &str, lab: &'l Lab) -> Self {
        Self {
            name: name.to_owned(),
            held: Vec::new(),
            subject: lab.open(),
            lab,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Does one step and says what came of it.
    pub(super) fn play(&mut self, step: &Step, answer: &mut Vec<u8>) {
        if let Step::Reopen = step {
            self.reopen();
        }
        let subject = match &self.subject {
            Ok(subject) => subject,
            Err(error) => return say(answer, &kind(error)),
        };
        match step {
            Step::Apply(ops, durability) => {
                let batch = batch_of(|batch| ops.iter().try_for_each(|op| op.write(batch)));
                let applied = batch.and_then(|batch| subject.apply(&batch, *durability));
                say_outcome(answer, &applied);
            }
            Step::Txn(parts, end) => match subject.begin_write() {
                Ok(txn) => transact(txn, parts, *end, answer),
                Err(error) => say(answer, &kind(&error)),
            },
            Step::Read(query) => match subject.begin_read() {
                Ok(view) => ask(&view, query, answer),
                Err(error) => say(answer, &kind(&error)),
            },
            Step::Hold => {
                let view = subject.begin_read();
                say_outcome(answer, &view);
                if self.held.len() == HELD_MAX {
                    self.held.remove(0);
                }
                self.held.extend(view);
            }
            Step::ReadHeld(at, query) => {
                if let Some(view) = self.held.get(*at) {
                    ask(view, query, answer);
                }
            }
            Step::Let(at) => {
                if *at < self.held.len() {
                    drop(self.held.remove(*at));
                }
            }
            Step::Sync => say_outcome(answer, &subject.sync()),
            Step::Reopen => say(answer, "open"),
        }
    }

    /// Closes and opens again; what is only in memory stays open.
    fn reopen(&mut self) {
        self.held.clear();
        let Ok(subject) = &self.subject else { return };
        if !subject.capabilities().persistent {
            return;
        }
        if let Err(error) = subject.sync() {
            self.subject = Err(error);
            return;
        }
        // Closed before it is opened again.
        self.subject = Err(Error::invalid("closed"));
        self.subject = self.lab.open();
    }

    /// Says every row of every table of the script.
    pub(super) fn contents(&mut self, answer: &mut Vec<u8>) {
        let subject = match &self.subject {
            Ok(subject) => subject,
            Err(error) => return say(answer, &kind(error)),
        };
        let view = match subject.begin_read() {
            Ok(view) => view,
            Err(error) => return say(answer, &kind(&error)),
        };
        for table in tables() {
            ask(&view, &Query::Forward(table, KeyRange::all()), answer);
            ask(&view, &Query::Count(table), answer);
        }
    }
}

/// Plays a transaction.
fn transact(mut txn: Txn<'_>, parts: &[Part], end: End, answer: &mut Vec<u8>) {
    let mut marks = Vec::new();
    for part in parts {
        match part {
            Part::Write(op) => {
                let written = op.write(&mut AsWriter(&mut *txn));
                say_outcome(answer, &written);
            }
            Part::Read(query) => ask(&txn, query, answer),
            Part::Savepoint => {
                let mark = txn.savepoint();
                say_outcome(answer, &mark);
                marks.extend(mark);
            }
            Part::Rollback(at) => {
                if let Some(mark) = marks.get(*at).copied() {
                    say_outcome(answer, &txn.rollback_to(mark));
                    marks.truncate(*at + 1);
                }
            }
            Part::Release(at) => {
                if let Some(mark) = marks.get(*at).copied() {
                    say_outcome(answer, &txn.release(mark));
                    marks.truncate(*at);
                }
            }
        }
    }
    match end {
        End::Commit(durability) => say_outcome(answer, &txn.commit(durability)),
        End::Abort => say_outcome(answer, &txn.abort()),
        End::Drop => drop(txn),
    }
}

/// A transaction as what is written to.
struct AsWriter<'t>(&'t mut dyn TxnProbe);

impl Writer for AsWriter<'_> {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.0.put(table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.0.delete(table, key)
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        self.0.delete_range(table, range)
    }
}

/// Asks a reader and says what it answered.
fn ask(reader: &(impl AsRead + ?Sized), query: &Query, answer: &mut Vec<u8>) {
    let outcome = answered(reader.as_read(), query, answer);
    if let Err(error) = outcome {
        say(answer, &kind(&error));
    }
}

/// A view or a transaction as what can be asked.
trait AsRead {
    fn as_read(&self) -> &dyn ReadProbe;
}

impl AsRead for View {
    fn as_read(&self) -> &dyn ReadProbe {
        &**self
    }
}

impl AsRead for Txn<'_> {
    fn as_read(&self) -> &dyn ReadProbe {
        &**self
    }
}

fn answered(reader: &dyn ReadProbe, query: &Query, answer: &mut Vec<u8>) -> Result<()> {
    match query {
        Query::Get(table, key) => say_value(answer, reader.get(*table, key)?.as_deref()),
        Query::Contains(table, key) => {
            let word = if reader.contains(*table, key)? {
                "yes"
            } else {
                "no"
            };
            say(answer, word);
        }
        Query::MultiGet(table, keys) => {
            let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            // Answers may come in any order, so they are put in that of the keys.
            let mut values: Vec<Option<Option<Vec<u8>>>> = vec![None; keys.len()];
            reader.multi_get(*table, &keys, &mut |at, value| {
                let value = value.map(<[u8]>::to_vec);
                match values.get_mut(at) {
                    Some(place) if place.is_none() => *place = Some(value),
                    Some(_) => say(answer, "answered twice"),
                    None => say(answer, "answered where nothing was asked"),
                }
            })?;
            for value in values {
                match value {
                    Some(value) => say_value(answer, value.as_deref()),
                    None => say(answer, "unanswered"),
                }
            }
        }
        Query::Forward(table, range) => {
            let mut cursor = reader.cursor(*table, range.clone())?;
            while let Some(row) = cursor.next()? {
                say_bytes(answer, row.key);
                say_bytes(answer, row.value);
            }
        }
        Query::Backward(table, range) => {
            let mut cursor = reader.cursor(*table, range.clone())?;
            let mut row = cursor.last()?;
            while let Some(entry) = row {
                say_bytes(answer, entry.key);
                say_bytes(answer, entry.value);
                row = cursor.prev()?;
            }
        }
        Query::Walk(table, range, moves) => {
            let mut cursor = reader.cursor(*table, range.clone())?;
            for step in moves {
                let before = answer.len();
                step.make(&mut *cursor, &mut |row| {
                    say_bytes(answer, row.key);
                    say_bytes(answer, row.value);
                })?;
                if answer.len() == before {
                    say(answer, "none");
                }
            }
        }
        Query::Count(table) => say(answer, &reader.count_exact(*table)?.to_string()),
    }
    Ok(())
}
