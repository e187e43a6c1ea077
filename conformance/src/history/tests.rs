//! The checker is shown one anomaly of each kind and must give it its name; what is right must find
//! nothing; stores that are broken on purpose must be found out by recorded histories.

use std::collections::BTreeSet;
use std::sync::Arc;

use storage_api::{KvStore, OpenOptions, Schema};

use super::loose::{LooseStore, Rule};
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

/// The names of what a history shows.
fn names(history: &[ListTxn]) -> BTreeSet<Anomaly> {
    check(history).iter().map(|found| found.anomaly).collect()
}

/// The history shows this and nothing else.
#[track_caller]
fn shows(anomaly: Anomaly, history: &[ListTxn]) {
    let found = check(history);
    assert_eq!(names(history), BTreeSet::from([anomaly]), "{found:#?}");
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
    // The lists say the opposite of the clock, and nobody read anything old.
    shows(
        Anomaly::DirtyWrite,
        &[
            txn(0, (0, 1), &[append(1, 1)]),
            txn(1, (2, 3), &[append(1, 2)]),
            txn(2, (4, 5), &[read(1, &[2, 1])]),
        ],
    );
    // Serial in another order than that of time: T0 before T1 before T2 before T0.
    shows(
        Anomaly::WriteSkew,
        &[
            txn(0, (0, 9), &[read(1, &[]), append(2, 2)]),
            txn(1, (1, 2), &[append(1, 1)]),
            txn(2, (3, 4), &[read(2, &[])]),
            txn(3, (10, 11), &[read(1, &[1]), read(2, &[2])]),
        ],
    );
    // Nobody knows how the writer ended; it was seen, so it cannot have come later.
    let mut unknown = txn(1, (4, 5), &[append(2, 2)]);
    unknown.ending = Ending::Unknown;
    shows(
        Anomaly::CircularInformation,
        &[txn(0, (0, 1), &[read(2, &[2])]), unknown],
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

/// A circle is told by what makes each of its steps.
#[test]
fn a_circle_is_explained() {
    let found = check(&[
        txn(0, ALWAYS, &[read(1, &[]), append(2, 2)]),
        txn(1, ALWAYS, &[read(2, &[]), append(1, 1)]),
        txn(2, ALWAYS, &[read(1, &[1]), read(2, &[2])]),
    ]);
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "WriteSkew: T1 is before T0: it read 2 without the append of T0; T0 is before T1: it \
             read 1 without the append of T1"
        ]
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
    assert_eq!(history.len(), RECORDING.threads * RECORDING.txns + 1);
    assert_eq!(check(&history), []);
    each_lost_append_is_missed_by_the_last_look(history);
    let report = bank(&store, 8, 100, RECORDING.seed).unwrap_or_else(|error| panic!("{error}"));
    assert!(report.views > 0 && report.transfers == 400, "{report:?}");
}

/// A history without a last look was in order although the append that was committed last was gone:
/// nobody had read the list after it.
fn each_lost_append_is_missed_by_the_last_look(mut history: Vec<ListTxn>) {
    let look = history.len() - 1;
    for at in 0..history[look].ops.len() {
        let ListOp::Read(_, list) = &mut history[look].ops[at] else {
            panic!("the last look wrote");
        };
        let Some(last) = list.pop() else { continue };
        assert!(
            !check(&history).is_empty(),
            "{last} is gone and nobody says so"
        );
        let ListOp::Read(_, list) = &mut history[look].ops[at] else {
            continue;
        };
        list.push(last);
    }
}

/// What recorded histories of a store show, over several of them because threads do not meet in
/// every one; recording stops when the name was seen.
fn recorded<S: KvStore>(wanted: &[Anomaly], open: impl Fn() -> S) -> BTreeSet<Anomaly> {
    let mut seen = BTreeSet::new();
    for attempt in 0..40 {
        let recording = Recording {
            seed: RECORDING.seed + attempt,
            ..RECORDING
        };
        let history = record(&open(), recording).unwrap_or_else(|error| panic!("{error}"));
        seen.extend(names(&history));
        if wanted.iter().all(|name| seen.contains(name)) {
            break;
        }
    }
    seen
}

/// Mistakes of isolation that recorded histories must find out and name.
#[test]
fn broken_stores_are_found_out() {
    use Anomaly::{AbortedRead, FracturedRead, LostUpdate, OwnWriteMissed, ReadSkew, StaleRead};
    for (mutation, wanted) in [
        (Mutation::ViewIsStale, &[StaleRead][..]),
        (Mutation::ViewGetsLaterCommits, &[FracturedRead, ReadSkew]),
        (Mutation::ViewSeesUncommitted, &[AbortedRead]),
        (Mutation::TxnGetMissesOwnWrites, &[OwnWriteMissed]),
        (Mutation::AbortCommits, &[AbortedRead]),
        (Mutation::CommitLost, &[LostUpdate]),
    ] {
        let seen = recorded(wanted, || open_mutant(mutation, &HISTORY_TABLES));
        println!("{mutation:?}: {seen:?}");
        let is_named = wanted.iter().all(|name| seen.contains(name));
        assert!(is_named, "{mutation:?} shows {seen:?} and not {wanted:?}");
    }
}

fn loose(rule: Rule) -> LooseStore {
    LooseStore::new(rule, &HISTORY_TABLES).unwrap_or_else(|error| panic!("{error}"))
}

/// Snapshot isolation, which many engines call serializable: what it allows is found, and nothing
/// is named that it does not allow.
#[test]
fn weaker_isolation_is_found_out_and_told_from_worse() {
    let seen = recorded(&[Anomaly::WriteSkew], || loose(Rule::FirstWins));
    assert_eq!(
        seen,
        BTreeSet::from([Anomaly::WriteSkew]),
        "snapshot isolation"
    );
    let seen = recorded(&[Anomaly::LostUpdate], || loose(Rule::LastWins));
    assert!(seen.contains(&Anomaly::LostUpdate), "last wins: {seen:?}");
}

/// Whether the bank of a store loses or makes money within a few attempts.
fn is_robbed<S: KvStore>(open: impl Fn() -> S) -> bool {
    (0..20).any(|attempt| {
        let robbed = bank(&open(), 8, 200, RECORDING.seed + attempt);
        robbed.is_err_and(|error| error.is_corruption())
    })
}

#[test]
fn the_bank_finds_out_what_lists_do_not_show() {
    for mutation in [
        Mutation::ViewScansLaterCommits,
        Mutation::ViewGetsLaterCommits,
        Mutation::ViewSeesUncommitted,
        Mutation::ReverseSkipsFirst,
    ] {
        let robbed = is_robbed(|| open_mutant(mutation, &HISTORY_TABLES));
        assert!(robbed, "{mutation:?} was not found out");
    }
    assert!(is_robbed(|| loose(Rule::LastWins)), "lost transfers");
}
