//! The budgets that are missed, each with its figure: instructions of a unit over the baseline, as
//! measured, and a tenth for the next compiler. Batches and transactions of RocksDB get half.
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
    known("mem", Op::GetHit, Static, (146.0, 0.0), CALL),
    known("mem", Op::GetHit, Any, (244.0, 0.0), ENUM),
    known("mem", Op::GetMiss, Static, (140.0, 0.0), CALL),
    known("mem", Op::GetMiss, Any, (193.0, 0.0), ENUM),
    known("mem", Op::GetWith, Static, (108.0, 0.0), CALL),
    known("mem", Op::GetWith, Any, (116.0, 0.0), CALL),
    known("mem", Op::MultiGet16, Static, (422.0, 0.0), CALL),
    known("mem", Op::MultiGet16, Any, (432.0, 0.0), CALL),
    known("mem", Op::MultiGet256, Static, (5115.0, 0.0), CALL),
    known("mem", Op::MultiGet256, Any, (5123.0, 0.0), CALL),
    known("mem", Op::Seek, Static, (127.0, 0.0), ROW),
    known("mem", Op::Seek, Any, (138.0, 0.0), ROW),
    known("mem", Op::Range10, Static, (1002.0, 0.0), RANGE),
    known("mem", Op::Range10, Any, (1257.0, 0.0), RANGE),
    known("mem", Op::Range1000, Static, (65246.0, 0.0), RANGE),
    known("mem", Op::Range1000, Any, (75300.0, 0.0), RANGE),
    known("mem", Op::ScanForward, Static, (78.0, 0.0), ROW),
    known("mem", Op::ScanForward, Any, (89.0, 0.0), ROW),
    known("mem", Op::ScanReverse, Static, (103.0, 0.0), ROW),
    known("mem", Op::ScanReverse, Any, (116.0, 0.0), ROW),
    known("mem", Op::BeginRead, Any, (62.0, 0.0), VIEW),
    known("mem", Op::Txn1000Reads100, Any, (73.0, 0.0), TXN),
    known("mem", Op::Txn10000Reads100, Any, (73.0, 0.0), TXN),
    known("redb", Op::GetHit, Static, (165.0, 0.0), REDB),
    known("redb", Op::GetHit, Any, (241.0, 0.0), ENUM),
    known("redb", Op::GetMiss, Static, (101.0, 0.0), REDB),
    known("redb", Op::GetMiss, Any, (143.0, 0.0), ENUM),
    known("redb", Op::GetWith, Static, (202.0, 0.0), REDB),
    known("redb", Op::GetWith, Any, (207.0, 0.0), REDB),
    known("redb", Op::MultiGet16, Static, (2276.0, 0.0), REDB),
    known("redb", Op::MultiGet16, Any, (2268.0, 0.0), REDB),
    known("redb", Op::MultiGet256, Static, (34367.0, 0.0), REDB),
    known("redb", Op::MultiGet256, Any, (32399.0, 0.0), REDB),
    known("redb", Op::Seek, Static, (214.0, 0.0), REDB),
    known("redb", Op::Seek, Any, (213.0, 0.0), REDB),
    known("redb", Op::Range10, Static, (2018.0, 0.0), REDB_ROW),
    known("redb", Op::Range10, Any, (2268.0, 0.0), REDB_ROW),
    known("redb", Op::Range1000, Static, (146900.0, 0.0), REDB_ROW),
    known("redb", Op::Range1000, Any, (159129.0, 0.0), REDB_ROW),
    known("redb", Op::ScanForward, Static, (164.0, 0.0), REDB_ROW),
    known("redb", Op::ScanForward, Any, (173.0, 0.0), REDB_ROW),
    known("redb", Op::ScanReverse, Static, (164.0, 0.0), REDB_ROW),
    known("redb", Op::ScanReverse, Any, (177.0, 0.0), REDB_ROW),
    known("redb", Op::BeginRead, Static, (1140.0, 2.0), VIEW),
    known("redb", Op::BeginRead, Any, (1194.0, 0.0), VIEW),
    known("redb", Op::Txn1000Reads100, Static, (314.0, 448.0), TXN),
    known("redb", Op::Txn1000Reads100, Any, (366.0, 0.0), TXN),
    known("redb", Op::Txn10000Reads100, Static, (222.0, 97.0), TXN),
    known("redb", Op::Txn10000Reads100, Any, (261.0, 0.0), TXN),
    known("redb", Op::Batch1, Static, (66615.0, 46.0), COMMIT),
    known("redb", Op::Batch1, Any, (67480.0, 0.0), COMMIT),
    known("redb", Op::Batch100, Static, (1445.0, 53.0), COMMIT),
    known("redb", Op::Batch100, Any, (1436.0, 0.0), COMMIT),
    known("redb", Op::Batch10000, Static, (388.0, 0.0), COMMIT),
    known("redb", Op::Batch10000, Any, (389.0, 0.0), COMMIT),
    known("redb", Op::Txn1000Reads0, Static, (269.0, 67.0), TXN),
    known("redb", Op::Txn1000Reads10, Static, (258.0, 7.0), TXN),
    moving(known("redb", Op::Txn1000Reads10, Any, (243.0, 0.0), TXN)),
    known("redb", Op::Txn10000Reads0, Static, (162.0, 26.0), TXN),
    known("redb", Op::Txn10000Reads0, Any, (173.0, 0.0), TXN),
    known("redb", Op::Txn10000Reads10, Static, (170.0, 23.0), TXN),
    known("redb", Op::Txn10000Reads10, Any, (186.0, 0.0), TXN),
    known("lmdb", Op::GetHit, Static, (43.0, 0.0), CALL),
    known("lmdb", Op::GetHit, Any, (140.0, 0.0), ENUM),
    moving(known("lmdb", Op::GetMiss, Static, (35.0, 0.0), CALL)),
    known("lmdb", Op::GetMiss, Any, (91.0, 0.0), ENUM),
    known("lmdb", Op::GetWith, Static, (100.0, 0.0), CALL),
    known("lmdb", Op::GetWith, Any, (109.0, 0.0), CALL),
    known("lmdb", Op::MultiGet16, Static, (741.0, 0.0), CALL),
    known("lmdb", Op::MultiGet16, Any, (752.0, 0.0), CALL),
    known("lmdb", Op::MultiGet256, Static, (9523.0, 0.0), CALL),
    known("lmdb", Op::Seek, Static, (186.0, 0.0), ROW),
    known("lmdb", Op::Seek, Any, (197.0, 0.0), ROW),
    known("lmdb", Op::Range10, Static, (1166.0, 0.0), RANGE),
    known("lmdb", Op::Range10, Any, (1441.0, 0.0), RANGE),
    known("lmdb", Op::Range1000, Static, (66557.0, 0.0), RANGE),
    known("lmdb", Op::Range1000, Any, (79899.0, 0.0), RANGE),
    known("lmdb", Op::ScanForward, Static, (60.0, 0.0), ROW),
    known("lmdb", Op::ScanForward, Any, (94.0, 0.0), ROW),
    known("lmdb", Op::ScanReverse, Static, (104.0, 0.0), ROW),
    known("lmdb", Op::ScanReverse, Any, (116.0, 0.0), ROW),
    known("lmdb", Op::BeginRead, Static, (707.0, 0.0), VIEW),
    known("lmdb", Op::BeginRead, Any, (763.0, 0.0), VIEW),
    known("lmdb", Op::Txn1000Reads100, Static, (98.0, 1.0), TXN),
    known("lmdb", Op::Txn1000Reads100, Any, (162.0, 0.0), TXN),
    known("lmdb", Op::Txn10000Reads100, Static, (91.0, 1.0), TXN),
    known("lmdb", Op::Txn10000Reads100, Any, (156.0, 0.0), TXN),
    known("lmdb", Op::Batch1, Static, (5117.0, 0.0), COMMIT),
    known("lmdb", Op::Batch1, Any, (5134.0, 0.0), COMMIT),
    known("lmdb", Op::Batch100, Static, (366.0, 0.0), COMMIT),
    known("lmdb", Op::Batch100, Any, (364.0, 0.0), COMMIT),
    known("lmdb", Op::Batch10000, Static, (269.0, 0.0), COMMIT),
    known("lmdb", Op::Batch10000, Any, (267.0, 0.0), COMMIT),
    known("lmdb", Op::Txn1000Reads0, Static, (143.0, 1.0), TXN),
    known("lmdb", Op::Txn1000Reads0, Any, (156.0, 0.0), TXN),
    known("lmdb", Op::Txn1000Reads10, Static, (138.0, 1.0), TXN),
    known("lmdb", Op::Txn1000Reads10, Any, (156.0, 0.0), TXN),
    known("lmdb", Op::Txn10000Reads0, Static, (137.0, 1.0), TXN),
    known("lmdb", Op::Txn10000Reads0, Any, (150.0, 0.0), TXN),
    known("lmdb", Op::Txn10000Reads10, Static, (132.0, 1.0), TXN),
    known("lmdb", Op::Txn10000Reads10, Any, (150.0, 0.0), TXN),
    moving(known("rocks", Op::GetMiss, Any, (160.0, 0.0), FILTER)),
    known("rocks", Op::Range10, Static, (1688.0, 0.0), RANGE),
    known("rocks", Op::Range10, Any, (1968.0, 0.0), RANGE),
    known("rocks", Op::Range1000, Static, (119802.0, 0.0), RANGE),
    known("rocks", Op::Range1000, Any, (133128.0, 0.0), RANGE),
    known("rocks", Op::ScanForward, Static, (93.0, 0.0), ROW),
    known("rocks", Op::ScanForward, Any, (129.0, 0.0), ROW),
    known("rocks", Op::ScanReverse, Static, (137.0, 0.0), ROW),
    known("rocks", Op::ScanReverse, Any, (149.0, 0.0), ROW),
    known("rocks", Op::BeginRead, Static, (886.0, 2.0), VIEW),
    known("rocks", Op::BeginRead, Any, (941.0, 0.0), VIEW),
    moving(known("rocks", Op::Txn1000Reads100, Static, (0.0, 5.0), TXN)),
    moving(known("rocks", Op::Txn10000Reads100, Static, (0.0, 5.0), TXN)),
    moving(known("rocks", Op::Batch1, Static, (6401.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch1, Any, (6449.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch100, Static, (1066.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch100, Any, (641.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Batch10000, Static, (500.0, 0.0), COMMIT)),
    moving(known("rocks", Op::Txn1000Reads0, Static, (0.0, 23.0), TXN)),
    moving(known("rocks", Op::Txn1000Reads10, Static, (0.0, 148.0), TXN)),
    moving(known("rocks", Op::Txn10000Reads0, Static, (0.0, 45.0), TXN)),
    moving(known("rocks", Op::Txn10000Reads10, Static, (0.0, 1236.0), TXN)),
];
