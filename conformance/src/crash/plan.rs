//! What the child writes, commit by commit, and the state that each commit leads to.
//!
//! Invariants: a plan is a seed and nothing else, so that parent and child make the same one on
//! their own; commit `n` of a plan is the `n`-th ordered commit of the store, no more and no fewer;
//! every commit writes its number into every table, so that one that is torn over tables cannot
//! look whole; what an aborted transaction writes is never a part of any state. Cost: a state is
//! found by walking to it from the beginning.

use storage_api::{Catalogue, Durability, Result, Schema, TableDef, TableId};

use crate::ops::{Contents, Dice, Op};

/// The tables of every plan.
const TABLES: [&str; 3] = ["alpha", "beta", "gamma"];

/// The row of each table that holds the number of its last commit.
const STAMP: &[u8] = b"!stamp";

/// Rows of the ballast and bytes of each, so that a store with ballast does not fit small caches.
const BALLAST_ROWS: u8 = 48;
const BALLAST_BYTES: usize = 48 << 10;

/// The schema of every plan.
///
/// # Errors
/// None that can happen with the tables above.
pub(crate) fn schema() -> Result<Schema> {
    Schema::new(&TABLES.map(TableDef::new))
}

/// Whether the first commit of a plan is a large one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ballast {
    /// All commits are small or middling.
    None,
    /// The first commit holds 2.25 MiB, which small caches do not keep.
    First,
}

/// How a commit reaches the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Batch,
    Txn,
}

/// One commit.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its number, from 1.
    pub(crate) number: u64,
    pub(crate) lane: Lane,
    pub(crate) durability: Durability,
    /// What a transaction writes and takes back before this commit; often nothing.
    pub(crate) aborted: Vec<Op>,
    pub(crate) ops: Vec<Op>,
}

/// A walk through a plan: the state after the commits so far.
pub(crate) struct Walk {
    dice: Dice,
    ballast: Ballast,
    tables: [TableId; TABLES.len()],
    contents: Contents,
    number: u64,
}

impl Walk {
    /// The walk of this seed, before its first commit.
    ///
    /// # Errors
    /// `UnknownTable` when the store has not the tables of a plan.
    pub(crate) fn new(seed: u64, ballast: Ballast, catalogue: &Catalogue) -> Result<Self> {
        let mut tables = [TableId::INTERNAL; TABLES.len()];
        for (id, name) in tables.iter_mut().zip(TABLES) {
            *id = catalogue.id(name)?;
        }
        Ok(Self {
            dice: Dice::of(&format!("crash plan {seed}")),
            ballast,
            tables,
            contents: Contents::new(),
            number: 0,
        })
    }

    /// The walk of this seed, after this many commits.
    ///
    /// # Errors
    /// As [`Walk::new`].
    pub(crate) fn to(seed: u64, ballast: Ballast, at: u64, catalogue: &Catalogue) -> Result<Self> {
        let mut walk = Self::new(seed, ballast, catalogue)?;
        while walk.number < at {
            walk.advance();
        }
        Ok(walk)
    }

    /// Commits so far.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// The tables.
    pub(crate) fn tables(&self) -> &[TableId] {
        &self.tables
    }

    /// The rows of all tables after the commits so far.
    pub(crate) fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The next commit, which counts as done from here on.
    pub(crate) fn advance(&mut self) -> Step {
        self.number += 1;
        let lane = if self.dice.once_in(2) {
            Lane::Batch
        } else {
            Lane::Txn
        };
        let durability = if self.dice.once_in(3) {
            Durability::Buffered
        } else {
            Durability::Durable
        };
        let mut aborted = Vec::new();
        if self.dice.once_in(6) {
            for _ in 0..=self.dice.below(4) {
                aborted.push(self.dice.op(&self.tables, &self.contents));
            }
        }
        let mut ops = Vec::new();
        for _ in 0..=self.dice.below(10) {
            ops.push(self.dice.op(&self.tables, &self.contents));
        }
        if self.dice.once_in(8) {
            ops.push(self.large());
        }
        if self.number == 1 && self.ballast == Ballast::First {
            ops.extend((0..BALLAST_ROWS).map(|row| self.ballast(row)));
        }
        // The stamps come last, behind every range delete of the commit.
        ops.extend(self.tables.map(|table| Op::Put {
            table,
            key: STAMP.to_vec(),
            value: self.number.to_le_bytes().to_vec(),
        }));
        for op in &ops {
            op.note(&mut self.contents);
        }
        Step {
            number: self.number,
            lane,
            durability,
            aborted,
            ops,
        }
    }

    /// A value of 20 to 120 KB under one of few keys.
    fn large(&mut self) -> Op {
        let key = vec![b'L', self.dice.byte() % 4];
        let len = 20_000 + self.dice.below(100_000);
        let mut value = self.dice.bytes(16);
        value.resize(len, self.dice.byte());
        Op::Put {
            table: *self.dice.pick(&self.tables),
            key,
            value,
        }
    }

    /// A row that no other key of a plan comes near.
    fn ballast(&self, row: u8) -> Op {
        Op::Put {
            table: self.tables[usize::from(row) % self.tables.len()],
            key: vec![b'~', row],
            value: vec![row; BALLAST_BYTES],
        }
    }
}
