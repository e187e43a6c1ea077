//! What is measured: operations, the forms of a store that do them, the values they are done on.
//!
//! Invariants: a case does the same thing in every form, in the same order of keys; its unit (one
//! call, one row, one operation of a batch or transaction) is the same for all forms.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The form through which a store is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The engine's own library, used as well as it can be: handles, options and iterators kept.
    Raw,
    /// The engine's own library, used as a loop does that keeps nothing between its calls.
    Naive,
    /// RocksDB's `OptimisticTransactionDB`.
    Optimistic,
    /// The store by its static type.
    Static,
    /// The enum of engines.
    Any,
    /// The object-safe form.
    Dyn,
}

impl Form {
    /// Every form.
    pub const ALL: [Self; 6] = [
        Self::Raw,
        Self::Naive,
        Self::Optimistic,
        Self::Static,
        Self::Any,
        Self::Dyn,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Naive => "raw, naive",
            Self::Optimistic => "optimistic",
            Self::Static => "static",
            Self::Any => "enum",
            Self::Dyn => "object-safe",
        }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// `get` of a key that is there, from a view that is kept.
    GetHit,
    /// `get` of a key that is not there.
    GetMiss,
    /// `get_with` of a key that is there.
    GetWith,
    /// `multi_get` of 16 keys, a call.
    MultiGet16,
    /// `multi_get` of 256 keys, a call.
    MultiGet256,
    /// `seek` of a cursor that is kept, with its row.
    Seek,
    /// A cursor at a key and ten rows, from a view that is kept.
    Range10,
    /// A cursor at a key and a thousand rows.
    Range1000,
    /// One row of a scan of everything, forward.
    ScanForward,
    /// One row of a scan of everything, backward.
    ScanReverse,
    /// A view begun and dropped.
    BeginRead,
    /// A transaction of 1,000 gets. Those of gets alone come before anything is written.
    Txn1000Reads100,
    /// A transaction of 10,000 gets.
    Txn10000Reads100,
    /// A batch of one put, buffered.
    Batch1,
    /// A batch of 100 puts, buffered.
    Batch100,
    /// A batch of 10,000 puts, buffered.
    Batch10000,
    /// A transaction of 1,000 puts.
    Txn1000Reads0,
    /// A transaction of 1,000 operations, every tenth a get.
    Txn1000Reads10,
    /// A transaction of 10,000 puts.
    Txn10000Reads0,
    /// A transaction of 10,000 operations, every tenth a get.
    Txn10000Reads10,
}

/// How many operations and how many gets in a hundred of them a transaction has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Operations.
    pub operations: usize,
    /// Gets among 100 of them.
    pub reads_percent: usize,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 20] = [
        Self::GetHit,
        Self::GetMiss,
        Self::GetWith,
        Self::MultiGet16,
        Self::MultiGet256,
        Self::Seek,
        Self::Range10,
        Self::Range1000,
        Self::ScanForward,
        Self::ScanReverse,
        Self::BeginRead,
        Self::Txn1000Reads100,
        Self::Txn10000Reads100,
        Self::Batch1,
        Self::Batch100,
        Self::Batch10000,
        Self::Txn1000Reads0,
        Self::Txn1000Reads10,
        Self::Txn10000Reads0,
        Self::Txn10000Reads10,
    ];

    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GetHit => "get hit",
            Self::GetMiss => "get miss",
            Self::GetWith => "get hit, lent",
            Self::MultiGet16 => "multi_get of 16",
            Self::MultiGet256 => "multi_get of 256",
            Self::Seek => "seek",
            Self::Range10 => "range of 10",
            Self::Range1000 => "range of 1,000",
            Self::ScanForward => "scan, a row",
            Self::ScanReverse => "scan back, a row",
            Self::BeginRead => "begin_read",
            Self::Batch1 => "batch of 1",
            Self::Batch100 => "batch of 100",
            Self::Batch10000 => "batch of 10,000",
            Self::Txn1000Reads0 => "txn of 1,000, no gets",
            Self::Txn1000Reads10 => "txn of 1,000, 10 % gets",
            Self::Txn1000Reads100 => "txn of 1,000, all gets",
            Self::Txn10000Reads0 => "txn of 10,000, no gets",
            Self::Txn10000Reads10 => "txn of 10,000, 10 % gets",
            Self::Txn10000Reads100 => "txn of 10,000, all gets",
        }
    }

    /// The puts of a batch.
    #[must_use]
    pub const fn batch(self) -> Option<usize> {
        match self {
            Self::Batch1 => Some(1),
            Self::Batch100 => Some(100),
            Self::Batch10000 => Some(10_000),
            _ => None,
        }
    }

    /// The shape of a transaction.
    #[must_use]
    pub const fn block(self) -> Option<Block> {
        let (operations, reads_percent) = match self {
            Self::Txn1000Reads0 => (1_000, 0),
            Self::Txn1000Reads10 => (1_000, 10),
            Self::Txn1000Reads100 => (1_000, 100),
            Self::Txn10000Reads0 => (10_000, 0),
            Self::Txn10000Reads10 => (10_000, 10),
            Self::Txn10000Reads100 => (10_000, 100),
            _ => return None,
        };
        Some(Block {
            operations,
            reads_percent,
        })
    }

    /// The keys of one `multi_get`.
    #[must_use]
    pub const fn keys_at_once(self) -> Option<usize> {
        match self {
            Self::MultiGet16 => Some(16),
            Self::MultiGet256 => Some(256),
            _ => None,
        }
    }

    /// The rows of one range from a key on.
    #[must_use]
    pub const fn range_rows(self) -> Option<usize> {
        match self {
            Self::Range10 => Some(10),
            Self::Range1000 => Some(1_000),
            _ => None,
        }
    }

    /// How many units one time of this operation is, on a table of so many rows.
    #[must_use]
    pub fn units(self, rows: usize) -> usize {
        match self {
            Self::ScanForward | Self::ScanReverse => rows,
            operation => operation
                .batch()
                .or(operation.block().map(|block| block.operations))
                .unwrap_or(1),
        }
    }

    /// Whether it changes the store.
    #[must_use]
    pub const fn writes(self) -> bool {
        self.batch().is_some() || self.block().is_some()
    }

    /// Whether chance in an engine may move its figure by more than is granted: a step more in a
    /// cache or in a list shows in a lookup, in a batch and in a row of a scan that is a block of
    /// its own.
    #[must_use]
    pub const fn is_moved_by_chance(self) -> bool {
        self.batch().is_some()
            || matches!(
                self,
                Self::GetHit
                    | Self::GetMiss
                    | Self::GetWith
                    | Self::Seek
                    | Self::ScanForward
                    | Self::ScanReverse
            )
    }

    /// Whether it takes a cursor anew each time.
    #[must_use]
    pub const fn takes_cursor(self) -> bool {
        matches!(
            self,
            Self::Range10 | Self::Range1000 | Self::ScanForward | Self::ScanReverse
        )
    }

    /// Times it is done to be counted: enough that what is done once vanishes.
    #[must_use]
    pub const fn times(self) -> usize {
        match self {
            Self::GetHit | Self::GetMiss | Self::GetWith => 400,
            Self::Seek | Self::Range10 => 200,
            Self::BeginRead => 100,
            Self::MultiGet16 => 20,
            Self::Batch1 => 10,
            Self::MultiGet256 | Self::Range1000 => 4,
            Self::Batch100 => 16,
            Self::ScanForward | Self::ScanReverse | Self::Batch10000 => 1,
            Self::Txn1000Reads0 | Self::Txn1000Reads10 | Self::Txn1000Reads100 => 2,
            Self::Txn10000Reads0 | Self::Txn10000Reads10 | Self::Txn10000Reads100 => 1,
        }
    }
}

/// The sizes of values that gets and scans are measured on, in bytes.
pub const VALUE_SIZES: [usize; 4] = [32, 128, 4 << 10, 64 << 10];

/// The size of values that everything else is measured on, in bytes.
pub const VALUE_BYTES: usize = 128;

/// An operation on values of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Case {
    /// What is done.
    pub operation: Operation,
    /// Bytes of a value.
    pub value_bytes: usize,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.operation.name();
        match self.value_bytes {
            bytes if bytes >= 1 << 10 => write!(f, "{name}, {} KiB", bytes >> 10),
            bytes => write!(f, "{name}, {bytes} B"),
        }
    }
}

/// How much of the matrix is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// One size of values, no transactions of 10,000: for every run of the tests.
    Small,
    /// Everything.
    Full,
}

/// The cases on values of a size: those that read first, so that they find what was loaded.
#[must_use]
pub fn cases(extent: Extent, value_bytes: usize) -> Vec<Case> {
    let is_main = value_bytes == VALUE_BYTES;
    let wanted = |operation: &Operation| match operation {
        Operation::GetHit | Operation::GetWith => true,
        Operation::ScanForward | Operation::ScanReverse | Operation::GetMiss => true,
        operation if !is_main => {
            matches!(operation, Operation::MultiGet16) && extent == Extent::Full
        }
        Operation::Batch10000
        | Operation::Txn10000Reads0
        | Operation::Txn10000Reads10
        | Operation::Txn10000Reads100 => extent == Extent::Full,
        _ => true,
    };
    let operations = Operation::ALL.into_iter().filter(wanted);
    let case = |operation| Case {
        operation,
        value_bytes,
    };
    operations.map(case).collect()
}

/// The sizes of values of an extent.
#[must_use]
pub fn value_sizes(extent: Extent) -> &'static [usize] {
    match extent {
        Extent::Small => &[VALUE_BYTES],
        Extent::Full => &VALUE_SIZES,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_come_before_writes_and_every_operation_is_measured() {
        let cases = cases(Extent::Full, VALUE_BYTES);
        assert_eq!(cases.len(), Operation::ALL.len());
        assert!(cases.is_sorted_by_key(|case| case.operation.writes()));
        let small = super::cases(Extent::Full, 32);
        assert!(small.iter().all(|case| !case.operation.writes()));
    }

    #[test]
    fn units_are_rows_and_operations() {
        assert_eq!(Operation::GetHit.units(7), 1);
        assert_eq!(Operation::ScanReverse.units(7), 7);
        assert_eq!(Operation::Batch100.units(7), 100);
        assert_eq!(Operation::Txn1000Reads10.units(7), 1_000);
        let case = Case {
            operation: Operation::GetMiss,
            value_bytes: 4096,
        };
        assert_eq!(case.to_string(), "get miss, 4 KiB");
    }
}
