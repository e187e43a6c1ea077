//! Scripts: what a differential run does, as data, and how one is made from a seed.
//!
//! Invariants: a step never refers to the outcome of another; what it refers to by number (a held
//! view, a savepoint) and is not there makes it do nothing, on every store alike, so that any part
//! of a script can be played.

use std::fmt;

use storage_api::{Durability, KEY_BYTES_MAX_PORTABLE, KeyRange, TableId};

use crate::case::shown;
use crate::ops::{Contents, Dice, Move, Op};

/// The most views held at once.
pub(super) const HELD_MAX: usize = 4;

/// One byte more than portable keys may have.
const KEY_BYTES_TOO_MANY: usize = KEY_BYTES_MAX_PORTABLE + 1;

/// A table that no store has.
const NO_TABLE: TableId = TableId::new(4_000);

/// One step of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// A batch as one commit.
    Apply(Vec<Op>, Durability),
    /// A write transaction: what is done in it, and how it ends.
    Txn(Vec<Part>, End),
    /// A query of a new view.
    Read(Query),
    /// Begins a view and keeps it.
    Hold,
    /// A query of a kept view.
    ReadHeld(usize, Query),
    /// Drops a kept view.
    Let(usize),
    /// Makes everything durable.
    Sync,
    /// Drops all views, closes and opens again.
    Reopen,
}

/// How a transaction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Commit(Durability),
    Abort,
    Drop,
}

/// Something inside a transaction.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Write(Op),
    Read(Query),
    Savepoint,
    /// To the mark of this number among those that live, counted from the oldest.
    Rollback(usize),
    Release(usize),
}

/// A question to a reader.
#[derive(Clone, Debug)]
pub(super) enum Query {
    Get(TableId, Vec<u8>),
    Contains(TableId, Vec<u8>),
    MultiGet(TableId, Vec<Vec<u8>>),
    Forward(TableId, KeyRange),
    Backward(TableId, KeyRange),
    Walk(TableId, KeyRange, Vec<Move>),
    Count(TableId),
}

impl Step {
    /// Operations that it counts as.
    pub(super) fn ops(&self) -> u64 {
        let count = match self {
            Self::Apply(ops, _) => ops.len() + 1,
            Self::Txn(parts, _) => parts.len() + 1,
            Self::Read(_) | Self::ReadHeld(..) => 1,
            Self::Hold | Self::Let(_) | Self::Sync | Self::Reopen => 1,
        };
        count as u64
    }
}

/// The tables of scripts: plain, with the envelope, and with every hint.
pub(super) fn tables() -> [TableId; 5] {
    // The standard tables are declared in one order, so a new store gives them the same numbers.
    [1, 2, 4, 6, 7].map(TableId::new)
}

/// A script of about so many operations.
pub(super) fn script(seed: u64, ops: usize) -> Vec<Step> {
    let mut maker = Maker {
        dice: Dice::seeded(seed),
        known: Contents::new(),
    };
    let mut script = Vec::new();
    let mut done = 0;
    while done < ops as u64 {
        let step = maker.step();
        done += step.ops();
        script.push(step);
    }
    script
}

struct Maker {
    dice: Dice,
    /// Keys that were written, so that reads and deletes often hit.
    known: Contents,
}

impl Maker {
    fn step(&mut self) -> Step {
        match self.dice.below(100) {
            0..=29 => {
                let most = if self.dice.once_in(20) { 200 } else { 24 };
                let count = 1 + self.dice.below(most);
                let mut ops: Vec<Op> = (0..count).map(|_| self.op()).collect();
                if self.dice.once_in(30) {
                    let at = self.dice.below(count);
                    ops[at] = self.bad_op();
                }
                Step::Apply(ops, self.durability())
            }
            30..=59 => self.txn(),
            60..=80 => Step::Read(self.query()),
            81..=84 => Step::Hold,
            85..=92 => Step::ReadHeld(self.dice.below(HELD_MAX), self.query()),
            93..=96 => Step::Let(self.dice.below(HELD_MAX)),
            97 => Step::Sync,
            _ if self.dice.once_in(3) => Step::Reopen,
            _ => Step::Read(self.query()),
        }
    }

    fn durability(&mut self) -> Durability {
        *self.dice.pick(&[
            Durability::Volatile,
            Durability::Volatile,
            Durability::Buffered,
            Durability::Durable,
        ])
    }

    fn txn(&mut self) -> Step {
        let count = self.dice.below(30);
        let parts = (0..count).map(|_| match self.dice.below(20) {
            0 if self.dice.once_in(6) => Part::Write(self.bad_op()),
            0..=10 => Part::Write(self.op()),
            11..=15 => Part::Read(self.query()),
            16 | 17 => Part::Savepoint,
            18 => Part::Rollback(self.dice.below(4)),
            _ => Part::Release(self.dice.below(4)),
        });
        let parts = parts.collect();
        let end = match self.dice.below(10) {
            0 => End::Abort,
            1 => End::Drop,
            _ => End::Commit(self.durability()),
        };
        Step::Txn(parts, end)
    }

    fn op(&mut self) -> Op {
        let op = self.dice.op(&tables(), &self.known);
        // Whether it is committed is not known here; a guess serves the dice well enough.
        op.note(&mut self.known);
        op
    }

    /// An operation that every store must refuse.
    fn bad_op(&mut self) -> Op {
        let table = *self.dice.pick(&tables());
        match self.dice.below(3) {
            0 => self.put(NO_TABLE, b"k".to_vec()),
            1 => self.put(table, vec![b'k'; KEY_BYTES_TOO_MANY]),
            _ => Op::Delete {
                table,
                key: Vec::new(),
            },
        }
    }

    fn put(&mut self, table: TableId, key: Vec<u8>) -> Op {
        let value = self.dice.value();
        Op::Put { table, key, value }
    }

    /// A key that was often written, and rarely one that no table can have.
    fn key(&mut self, table: TableId) -> Vec<u8> {
        if self.dice.once_in(60) {
            let len = *self.dice.pick(&[0, KEY_BYTES_TOO_MANY]);
            return vec![b'k'; len];
        }
        let key = self.dice.key();
        if self.dice.once_in(3) {
            return key;
        }
        let near = self.known.get(&table);
        let near = near.and_then(|rows| rows.range(key.clone()..).next());
        near.map_or(key, |(near, _)| near.clone())
    }

    fn query(&mut self) -> Query {
        let table = if self.dice.once_in(80) {
            NO_TABLE
        } else {
            *self.dice.pick(&tables())
        };
        match self.dice.below(12) {
            0..=2 => Query::Get(table, self.key(table)),
            3 => Query::Contains(table, self.key(table)),
            4 => {
                let count = self.dice.below(12);
                Query::MultiGet(table, (0..count).map(|_| self.key(table)).collect())
            }
            5 | 6 => Query::Forward(table, self.dice.range()),
            7 | 8 => Query::Backward(table, self.dice.range()),
            9 | 10 => {
                let count = 1 + self.dice.below(16);
                let moves = (0..count).map(|_| self.step_of_cursor(table)).collect();
                Query::Walk(table, self.dice.range(), moves)
            }
            _ => Query::Count(table),
        }
    }

    fn step_of_cursor(&mut self, table: TableId) -> Move {
        match self.dice.below(11) {
            0 => Move::First,
            1 => Move::Last,
            2..=4 => Move::Next,
            5..=7 => Move::Prev,
            8 => Move::Seek(self.key(table)),
            9 => Move::SeekBack(self.key(table)),
            _ => Move::Scan(1 + self.dice.below(5)),
        }
    }
}

fn keys(keys: &[Vec<u8>]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| shown(key)).collect();
    keys.join(" ")
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Get(table, key) => write!(f, "get {table} {}", shown(key)),
            Self::Contains(table, key) => write!(f, "contains {table} {}", shown(key)),
            Self::MultiGet(table, many) => write!(f, "multi_get {table} {}", keys(many)),
            Self::Forward(table, range) => write!(f, "forward {table} {range:?}"),
            Self::Backward(table, range) => write!(f, "backward {table} {range:?}"),
            Self::Walk(table, range, moves) => write!(f, "walk {table} {range:?} {moves:?}"),
            Self::Count(table) => write!(f, "count {table}"),
        }
    }
}

/// An operation as text, with keys and values that a person can read.
struct Told<'o>(&'o Op);

impl fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Op::Put { table, key, value } => {
                write!(f, "put {table} {} = {}", shown(key), shown(value))
            }
            Op::Delete { table, key } => write!(f, "delete {table} {}", shown(key)),
            Op::DeleteRange { table, range } => write!(f, "delete_range {table} {range:?}"),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(op) => Told(op).fmt(f),
            Self::Read(query) => query.fmt(f),
            Self::Savepoint => f.write_str("savepoint"),
            Self::Rollback(at) => write!(f, "rollback to mark {at}"),
            Self::Release(at) => write!(f, "release mark {at}"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Apply(ops, durability) => {
                write!(f, "batch, {durability:?}:")?;
                ops.iter().try_for_each(|op| write!(f, " {};", Told(op)))
            }
            Self::Txn(parts, end) => {
                f.write_str("transaction:")?;
                parts.iter().try_for_each(|part| write!(f, " {part};"))?;
                write!(f, " {end:?}")
            }
            Self::Read(query) => query.fmt(f),
            Self::Hold => f.write_str("begin a view and keep it"),
            Self::ReadHeld(at, query) => write!(f, "in view {at}: {query}"),
            Self::Let(at) => write!(f, "drop view {at}"),
            Self::Sync => f.write_str("sync"),
            Self::Reopen => f.write_str("reopen"),
        }
    }
}
