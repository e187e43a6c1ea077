//! The checker is shown one anomaly of each kind and must give it its name; what is right must find
//! nothing; stores that are broken on purpose must be found out by recorded histories.

use std::sync::Arc;

use storage_api::{OpenOptions, Schema};

use super::{
    Anomaly, Element, Ending, HISTORY_TABLES, ListKey, ListOp, ListTxn, Recording, bank, check,
    record,
};
use crate::model::{Medium, ModelDisk, ModelStore};
use crate::mutants::{Mutation, open_mutant};

/// A committed transaction of a thread, between these two times.
fn txn(process: usize, (begin, end): (u64, u64), ops: &[ListOp]) -> ListTxn {
    ListTxn {
        process,
        begin,
        end,
        ending: Ending::Committed,
        ops: ops.to_vec(),
    }
}

fn read(key: ListKey, list: &[Element]) -> ListOp {
    ListOp::Read(key, list.to_vec())
}

fn append(key: ListKey, element: Element) -> ListOp {
    ListOp::Append(key, element)
}

/// A time that overlaps with every other.
const ALWAYS: (u64, u64) = (0, 1_000);

#[track_caller]
fn shows(anomaly: Anomaly, history: &[ListTxn]) {
    let found = check(history);
    assert!(
        found.iter().any(|found| found.anomaly == anomaly),
        "{anomaly:?} was not found, but {found:?}"
    );
}

#[test]
fn planted_anomalies_of_reads_have_their_names() {
    shows(Anomaly::Garbage, &[txn(0, ALWAYS, &[read(1, &[77])])]);
    shows(
        Anomaly::OwnWriteMissed,
        &[txn(0, ALWAYS, &[append(1, 1), read(1, &[])])],
    );
    shows(
        Anomaly::ForkedList,
        &[
            txn(0, ALWAYS, &[append(1, 1)]),
            txn(1, ALWAYS, &[append(1, 2)]),
            txn(2, ALWAYS, &[read(1, &[1, 2])]),
            txn(3, ALWAYS, &[read(1, &[2, 1])]),
        ],
    );
    let mut aborted = txn(0, ALWAYS, &[append(1, 1)]);
    aborted.ending = Ending::Aborted;
    shows(
        Anomaly::AbortedRead,
        &[aborted, txn(1, ALWAYS, &[read(1, &[1])])],
    );
    shows(
        Anomaly::IntermediateRead,
        &[
            txn(0, ALWAYS, &[append(1, 1), append(1, 2)]),
            txn(1, ALWAYS, &[read(1, &[1])]),
        ],
    );
}

#[test]
fn planted_circles_have_their_names() {
    shows(
        Anomaly::DirtyWrite,
        &[
            txn(0, ALWAYS, &[append(1, 1), append(2, 2)]),
            txn(1, ALWAYS, &[append(1, 3), append(2, 4)]),
            txn(2, ALWAYS, &[read(1, &[1, 3]), read(2, &[4, 2])]),
        ],
    );
    shows(
        Anomaly::CircularInformation,
        &[
            txn(0, ALWAYS, &[append(1, 1), read(2, &[2])]),
            txn(1, ALWAYS, &[append(2, 2), read(1, &[1])]),
        ],
    );
    shows(
        Anomaly::LostUpdate,
        &[
            txn(0, ALWAYS, &[read(1, &[]), append(1, 1)]),
            txn(1, ALWAYS, &[read(1, &[]), append(1, 2)]),
            txn(2, ALWAYS, &[read(1, &[2])]),
        ],
    );
    shows(
        Anomaly::FracturedRead,
        &[
            txn(0, ALWAYS, &[append(1, 1), append(2, 2)]),
            txn(1, ALWAYS, &[read(1, &[1]), read(2, &[])]),
            txn(2, ALWAYS, &[read(2, &[2])]),
        ],
    );
    shows(
        Anomaly::ReadSkew,
        &[
            txn(0, ALWAYS, &[append(1, 1)]),
            txn(1, ALWAYS, &[read(1, &[1]), append(2, 2)]),
            txn(2, ALWAYS, &[read(1, &[]), read(2, &[2])]),
        ],
    );
    shows(
        Anomaly::WriteSkew,
        &[
            txn(0, ALWAYS, &[read(1, &[]), append(2, 2)]),
            txn(1, ALWAYS, &[read(2, &[]), append(1, 1)]),
            txn(2, ALWAYS, &[read(1, &[1]), read(2, &[2])]),
        ],
    );
    shows(
        Anomaly::LongFork,
        &[
            txn(0, ALWAYS, &[append(1, 1)]),
            txn(1, ALWAYS, &[append(2, 2)]),
            txn(2, ALWAYS, &[read(1, &[1]), read(2, &[])]),
            txn(3, ALWAYS, &[read(1, &[]), read(2, &[2])]),
        ],
    );
}

#[test]
fn planted_anomalies_of_time_have_their_names() {
    shows(
        Anomaly::StaleRead,
        &[
            txn(0, (0, 1), &[append(1, 1)]),
            txn(1, (2, 3), &[read(1, &[])]),
            txn(2, (4, 5), &[read(1, &[1])]),
        ],
    );
    shows(
        Anomaly::NonMonotonicRead,
        &[
            txn(0, ALWAYS, &[append(1, 1)]),
            txn(1, (1, 2), &[read(1, &[1])]),
            txn(1, (3, 4), &[read(1, &[])]),
        ],
    );
    shows(
        Anomaly::LostWrite,
        &[
            txn(0, (0, 1), &[append(1, 1)]),
            txn(1, (2, 3), &[read(1, &[])]),
        ],
    );
    // Fekete, O'Neil, O'Neil (2004): a reader makes the order of two writers impossible.
    shows(
        Anomaly::WriteSkew,
        &[
            txn(0, ALWAYS, &[read(1, &[]), read(2, &[]), append(1, 1)]),
            txn(1, ALWAYS, &[read(2, &[]), append(2, 2)]),
            txn(2, ALWAYS, &[read(1, &[]), read(2, &[2])]),
            txn(3, ALWAYS, &[read(1, &[1])]),
        ],
    );
}

#[test]
fn what_is_right_finds_nothing() {
    let history = [
        txn(
            0,
            (0, 3),
            &[read(1, &[]), append(1, 1), read(1, &[1]), append(2, 2)],
        ),
        txn(1, (1, 5), &[read(1, &[1]), append(1, 3), append(1, 4)]),
        txn(2, (2, 4), &[read(1, &[]), read(2, &[])]),
        txn(2, (6, 7), &[read(1, &[1, 3, 4]), read(2, &[2])]),
    ];
    assert_eq!(check(&history), []);
}

const RECORDING: Recording = Recording {
    threads: 8,
    txns: 60,
    keys: 20,
    seed: 0x0068_6973_746f,
};

#[test]
fn the_model_is_strictly_serializable() {
    println!("seed {}", RECORDING.seed);
    let disk = Arc::new(ModelDisk::new(Medium::Memory));
    let schema = Schema::new(&HISTORY_TABLES).unwrap_or_else(|error| panic!("{error}"));
    let (store, _) = ModelStore::open(&disk, &schema, &OpenOptions::new())
        .unwrap_or_else(|error| panic!("{error}"));
    let history = record(&store, RECORDING).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(history.len(), RECORDING.threads * RECORDING.txns);
    assert_eq!(check(&history), []);
    let report = bank(&store, 8, 100, RECORDING.seed).unwrap_or_else(|error| panic!("{error}"));
    assert!(report.views > 0 && report.transfers == 400, "{report:?}");
}

/// Mistakes of isolation that recorded histories must find out, each within a few attempts, because
/// threads do not meet in every one.
#[test]
fn broken_stores_are_found_out() {
    for mutation in [
        Mutation::ViewIsStale,
        Mutation::ViewGetsLaterCommits,
        Mutation::ViewSeesUncommitted,
        Mutation::TxnGetMissesOwnWrites,
        Mutation::AbortCommits,
        Mutation::CommitLost,
    ] {
        let found = (0..20).any(|attempt| {
            let store = open_mutant(mutation, &HISTORY_TABLES);
            let recording = Recording {
                seed: RECORDING.seed + attempt,
                ..RECORDING
            };
            let history = record(&store, recording).unwrap_or_else(|error| panic!("{error}"));
            !check(&history).is_empty()
        });
        assert!(found, "{mutation:?} was not found out");
    }
}
