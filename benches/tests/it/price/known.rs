//! The budgets that are missed, each with its figure: instructions of a unit over the baseline, as
//! measured, and a tenth for the next compiler; a fifth for scans of RocksDB, whose blocks move a
//! little, and half for its batches and transactions.
//!
//! Invariant: a row is here only while it is needed, see the test.

use benches::price::case::Form::{self, Any, Static};
use benches::price::case::Operation as Op;

use super::{Known, Swing};

const CALL: &str = "\
    a call checks the key, the table and the age of the view and counts itself; its answer \
    is handed through two layers";
const ENUM: &str = "\
    as the static form, and the value is moved into a variant of the enum and dropped as \
    one";
const ROW: &str = "\
    a row is compared with the end of the range, noted as the place and counted, and \
    handed through two layers";
const RANGE: &str = "\
    each row as in a scan, and the cursor, which owns its range, is built in the engine \
    and moved into the layers";
const REDB: &str = "\
    redb panics on damaged pages: every call is guarded, and a value is looked at once \
    inside the guard";
const REDB_ROW: &str = "\
    redb panics on damaged pages: every step is guarded, and a row, two large guards of \
    pages, is moved into the cursor";
const FILTER: &str = "\
    as a hit through the enum; how many misses pass RocksDB's filters is a matter of chance, and \
    so is which side of the budget this is";
const VIEW: &str = "\
    a view enters and leaves the register of views under its lock, reads the clock, and \
    owns a share of the store";
const COMMIT: &str = "\
    a batch is a value, checked as a whole and copied into the engine's own, and its \
    commit puts one row more: its number";
const TXN: &str = "\
    every operation is checked and counted and may fail the transaction; the commit puts \
    one row more, its number";

const fn known(
    engine: &'static str,
    operation: Op,
    form: Form,
    (over, allocations): (f64, f64),
    reason: &'static str,
) -> Known {
    Known {
        engine,
        operation,
        form,
        over,
        allocations,
        swing: Swing::Still,
        reason,
    }
}

/// A row whose figure moves.
const fn moving(known: Known) -> Known {
    Known {
        swing: Swing::Moves,
        ..known
    }
}

/// Every miss that is known.
#[rustfmt::skip]
pub(super) const KNOWN: &[Known] = &[
    known("mem", Op::GetHit, Static, (60.0, 0.0), CALL),
    known("mem", Op::GetHit, Any, (158.0, 0.0), ENUM),
    known("mem", Op::GetMiss, Static, (48.0, 0.0), CALL),
    known("mem", Op::GetMiss, Any, (101.0, 0.0), ENUM),
    known("mem", Op::GetWith, Static, (82.0, 0.0), CALL),
    known("mem", Op::GetWith, Any, (91.0, 0.0), CALL),
    known("mem", Op::MultiGet16, Static, (318.0, 0.0), CALL),
    known("mem", Op::MultiGet16, Any, (328.0, 0.0), CALL),
    known("mem", Op::MultiGet256, Static, (3525.0, 0.0), CALL),
    known("mem", Op::Seek, Static, (118.0, 0.0), ROW),
    known("mem", Op::Seek, Any, (129.0, 0.0), ROW),
    known("mem", Op::Range10, Static, (698.0, 0.0), RANGE),
    known("mem", Op::Range10, Any, (843.0, 0.0), RANGE),
    known("mem", Op::Range1000, Static, (38769.0, 0.0), RANGE),
    known("mem", Op::Range1000, Any, (38913.0, 0.0), RANGE),
    known("mem", Op::ScanForward, Static, (42.0, 0.0), ROW),
    known("mem", Op::ScanForward, Any, (43.0, 0.0), ROW),
    known("mem", Op::ScanReverse, Static, (94.0, 0.0), ROW),
    known("mem", Op::ScanReverse, Any, (116.0, 0.0), ROW),
    known("mem", Op::BeginRead, Any, (54.0, 0.0), VIEW),
    known("mem", Op::Txn1000Reads100, Any, (65.0, 0.0), TXN),
    known("mem", Op::Txn10000Reads100, Any, (65.0, 0.0), TXN),
    known("redb", Op::GetHit, Static, (171.0, 0.0), REDB),
    known("redb", Op::GetHit, Any, (237.0, 0.0), ENUM),
    known("redb", Op::GetMiss, Static, (106.0, 0.0), REDB),
    known("redb", Op::GetMiss, Any, (138.0, 0.0), ENUM),
    known("redb", Op::GetWith, Static, (178.0, 0.0), REDB),
    known("redb", Op::GetWith, Any, (183.0, 0.0), REDB),
    known("redb", Op::MultiGet16, Static, (1467.0, 0.0), REDB),
    known("redb", Op::MultiGet16, Any, (1449.0, 0.0), REDB),
    known("redb", Op::MultiGet256, Static, (19455.0, 0.0), REDB),
    known("redb", Op::MultiGet256, Any, (20293.0, 0.0), REDB),
    known("redb", Op::Range10, Static, (199.0, 0.0), REDB_ROW),
    known("redb", Op::Range10, Any, (341.0, 0.0), REDB_ROW),
    known("redb", Op::BeginRead, Static, (1153.0, 2.0), VIEW),
    known("redb", Op::BeginRead, Any, (1207.0, 0.0), VIEW),
    known("redb", Op::Batch1, Static, (67025.0, 46.0), COMMIT),
    known("redb", Op::Batch1, Any, (66927.0, 0.0), COMMIT),
    known("redb", Op::Batch10000, Static, (385.0, 0.0), COMMIT),
    known("redb", Op::Batch10000, Any, (388.0, 0.0), COMMIT),
    known("redb", Op::Txn1000Reads100, Static, (278.0, 448.0), TXN),
    known("redb", Op::Txn1000Reads100, Any, (325.0, 0.0), TXN),
    known("redb", Op::Txn10000Reads100, Static, (173.0, 97.0), TXN),
    known("redb", Op::Txn10000Reads100, Any, (227.0, 0.0), TXN),
    known("lmdb", Op::GetHit, Static, (35.0, 0.0), CALL),
    known("lmdb", Op::GetHit, Any, (132.0, 0.0), ENUM),
    moving(known("lmdb", Op::GetMiss, Static, (27.0, 0.0), CALL)),
    known("lmdb", Op::GetMiss, Any, (83.0, 0.0), ENUM),
    known("lmdb", Op::GetWith, Static, (92.0, 0.0), CALL),
    known("lmdb", Op::GetWith, Any, (101.0, 0.0), CALL),
    known("lmdb", Op::MultiGet16, Static, (734.0, 0.0), CALL),
    known("lmdb", Op::MultiGet16, Any, (744.0, 0.0), CALL),
    known("lmdb", Op::MultiGet256, Static, (9514.0, 0.0), CALL),
    known("lmdb", Op::Seek, Static, (178.0, 0.0), ROW),
    known("lmdb", Op::Seek, Any, (188.0, 0.0), ROW),
    known("lmdb", Op::Range10, Static, (1039.0, 0.0), RANGE),
    known("lmdb", Op::Range10, Any, (1186.0, 0.0), RANGE),
    known("lmdb", Op::Range1000, Static, (31613.0, 0.0), RANGE),
    known("lmdb", Op::Range1000, Any, (31760.0, 0.0), RANGE),
    known("lmdb", Op::ScanForward, Static, (22.0, 0.0), ROW),
    known("lmdb", Op::ScanForward, Any, (25.0, 0.0), ROW),
    known("lmdb", Op::ScanReverse, Static, (96.0, 0.0), ROW),
    known("lmdb", Op::ScanReverse, Any, (118.0, 0.0), ROW),
    known("lmdb", Op::BeginRead, Static, (680.0, 0.0), VIEW),
    known("lmdb", Op::BeginRead, Any, (709.0, 0.0), VIEW),
    known("lmdb", Op::Batch1, Static, (5131.0, 0.0), COMMIT),
    known("lmdb", Op::Batch1, Any, (5146.0, 0.0), COMMIT),
    known("lmdb", Op::Batch100, Static, (358.0, 0.0), COMMIT),
    known("lmdb", Op::Batch100, Any, (356.0, 0.0), COMMIT),
    known("lmdb", Op::Batch10000, Static, (263.0, 0.0), COMMIT),
    known("lmdb", Op::Batch10000, Any, (261.0, 0.0), COMMIT),
    known("lmdb", Op::Txn1000Reads0, Static, (135.0, 1.0), TXN),
    known("lmdb", Op::Txn1000Reads0, Any, (148.0, 0.0), TXN),
    known("lmdb", Op::Txn1000Reads10, Static, (130.0, 1.0), TXN),
    known("lmdb", Op::Txn1000Reads10, Any, (149.0, 0.0), TXN),
    known("lmdb", Op::Txn1000Reads100, Static, (91.0, 1.0), TXN),
    known("lmdb", Op::Txn1000Reads100, Any, (156.0, 0.0), TXN),
    known("lmdb", Op::Txn10000Reads0, Static, (129.0, 1.0), TXN),
    known("lmdb", Op::Txn10000Reads0, Any, (142.0, 0.0), TXN),
    known("lmdb", Op::Txn10000Reads10, Static, (124.0, 1.0), TXN),
    known("lmdb", Op::Txn10000Reads10, Any, (142.0, 0.0), TXN),
    known("lmdb", Op::Txn10000Reads100, Static, (84.0, 1.0), TXN),
    known("lmdb", Op::Txn10000Reads100, Any, (149.0, 0.0), TXN),
    moving(known("rocks", Op::GetMiss, Any, (160.0, 0.0), FILTER)),
    known("rocks", Op::Range10, Static, (1425.0, 0.0), RANGE),
    known("rocks", Op::Range10, Any, (1593.0, 0.0), RANGE),
    known("rocks", Op::Range1000, Static, (82128.0, 0.0), RANGE),
    known("rocks", Op::Range1000, Any, (82293.0, 0.0), RANGE),
    known("rocks", Op::ScanForward, Static, (65.0, 0.0), ROW),
    known("rocks", Op::ScanForward, Any, (65.0, 0.0), ROW),
    known("rocks", Op::ScanReverse, Static, (140.0, 0.0), ROW),
    known("rocks", Op::ScanReverse, Any, (165.0, 0.0), ROW),
    known("rocks", Op::BeginRead, Static, (878.0, 2.0), VIEW),
    known("rocks", Op::BeginRead, Any, (933.0, 0.0), VIEW),
    moving(known("rocks", Op::Batch1, Static, (6354.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch1, Any, (6404.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch100, Static, (576.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch100, Any, (500.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch10000, Static, (450.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Txn1000Reads0, Static, (0.0, 23.0), TXN)),
    moving(known("rocks", Op::Txn1000Reads10, Static, (0.0, 148.0), TXN)),
    moving(known("rocks", Op::Txn1000Reads100, Static, (0.0, 5.0), TXN)),
    moving(known("rocks", Op::Txn10000Reads0, Static, (0.0, 45.0), TXN)),
    moving(known("rocks", Op::Txn10000Reads10, Static, (0.0, 1236.0), TXN)),
    moving(known("rocks", Op::Txn10000Reads100, Static, (0.0, 5.0), TXN)),
];
