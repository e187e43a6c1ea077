//! What a store does after its engine failed: poison, panics, damage, marks that are gone.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use backend_kit::Store;
use storage_api::{
    Clock, Cursor, Durability, Engine, Error, ErrorKind, KeyRange, KvStore, Location, ManualClock,
    OpenOptions, Reader, Schema, TableDef, TableId, Verify, WriteBatch, WriteTxn, Writer,
};

use crate::engine::{Failing, Plan, TestEngine};

const T: TableId = TableId::new(1);

fn open_with(plan: &Arc<Plan>, options: &OpenOptions) -> Store<TestEngine> {
    let tables = [TableDef::new("one"), TableDef::new("two")];
    let schema = Schema::new(&tables).unwrap();
    Store::open(Location::Memory, &schema, options, plan)
        .unwrap()
        .0
}

fn open(plan: &Arc<Plan>) -> Store<TestEngine> {
    open_with(plan, &OpenOptions::new())
}

fn put(store: &Store<TestEngine>, key: &[u8]) {
    let mut txn = store.begin_write().unwrap();
    txn.put(T, key, b"value").unwrap();
    txn.commit(Durability::Volatile).unwrap();
}

fn poisoned<T>(result: storage_api::Result<T>) -> bool {
    matches!(
        result.map(|_| ()).map_err(|error| error.kind().clone()),
        Err(ErrorKind::Poisoned { .. })
    )
}

#[test]
fn a_sync_that_waited_behind_a_commit_of_unknown_outcome_does_not_vouch_for_it() {
    let plan = Arc::new(Plan::default());
    let store = open(&plan);
    let mut txn = store.begin_write().unwrap();
    txn.put(T, b"k", b"v").unwrap();
    plan.commit_fails.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        let sync = scope.spawn(|| store.sync());
        // Whether it waits at the gate by now or comes later, it must be refused.
        thread::sleep(Duration::from_millis(50));
        let error = txn.commit(Durability::Durable).unwrap_err();
        assert_eq!(error.kind(), &ErrorKind::CommitUnknown);
        assert!(poisoned(sync.join().unwrap()));
    });
}

#[test]
fn a_failed_sync_poisons_the_store() {
    let plan = Arc::new(Plan::default());
    let store = open(&plan);
    plan.sync_fails.store(true, Ordering::SeqCst);
    let error = store.sync().unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::DiskFull);
    plan.sync_fails.store(false, Ordering::SeqCst);
    assert!(poisoned(store.sync()));
    assert!(poisoned(store.begin_write()));
}

#[test]
fn a_panic_of_the_library_in_a_write_poisons_the_store() {
    let plan = Arc::new(Plan::default());
    let store = open(&plan);
    put(&store, b"before");
    plan.put_panics.store(true, Ordering::SeqCst);
    let mut txn = store.begin_write().unwrap();
    let error = txn.put(T, b"k", b"v").unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::EnginePanic { .. }) && error.needs_reopen());
    drop(txn);
    plan.put_panics.store(false, Ordering::SeqCst);
    assert!(poisoned(store.begin_write()));
    assert!(poisoned(store.sync()));
    let view = store.begin_read().unwrap();
    assert_eq!(
        view.get(T, b"before").unwrap().as_deref(),
        Some(&b"value"[..])
    );
}

/// Writes once by a transaction or by a batch.
fn write_once(store: &Store<TestEngine>, by_batch: bool) -> storage_api::Result<()> {
    if by_batch {
        let mut batch = WriteBatch::new();
        batch.put(T, b"k", b"v")?;
        return store.apply(&batch, Durability::Durable).map(drop);
    }
    let mut txn = store.begin_write()?;
    txn.put(T, b"k", b"v")?;
    txn.commit(Durability::Durable).map(drop)
}

#[test]
fn what_the_system_fails_in_a_write_poisons_and_a_limit_or_a_beginning_does_not() {
    let place = String::new();
    let io = ErrorKind::Io { place };
    let full = ErrorKind::Full { limit_bytes: 1 };
    for by_batch in [false, true] {
        for (failing, kind, poisons) in [
            (Failing::Put, io.clone(), true),
            (Failing::Put, ErrorKind::DiskFull, true),
            (Failing::Commit, io.clone(), true),
            (Failing::Commit, ErrorKind::DiskFull, true),
            (Failing::Begin, io.clone(), false),
            (Failing::Begin, ErrorKind::DiskFull, false),
            (Failing::Put, full.clone(), false),
            (Failing::Commit, full.clone(), false),
        ] {
            let plan = Arc::new(Plan::default());
            let store = open(&plan);
            put(&store, b"before");
            let held = store.begin_read().unwrap();
            *plan.failure.lock().unwrap() = Some((failing, kind.clone()));
            let error = write_once(&store, by_batch).unwrap_err();
            assert_eq!(error.kind(), &kind, "{failing:?}");
            *plan.failure.lock().unwrap() = None;
            let seen = held.get(T, b"before").unwrap();
            assert_eq!(seen.as_deref(), Some(&b"value"[..]));
            assert!(store.begin_read().unwrap().get(T, b"k").unwrap().is_none());
            let again = write_once(&store, by_batch);
            assert_eq!(poisoned(again), poisons, "{failing:?} {kind:?}");
            assert_eq!(poisoned(store.sync()), poisons, "{failing:?} {kind:?}");
        }
    }
}

#[test]
fn a_panic_of_the_callers_sink_is_the_callers() {
    let store = open(&Arc::default());
    put(&store, b"k");
    let view = store.begin_read().unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        view.multi_get(T, &[b"k"], &mut |_, _| std::panic::panic_any("mine"))
    }))
    .unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"mine"));
}

#[test]
fn a_panic_of_the_visitor_is_the_callers_and_one_of_the_library_is_an_error() {
    let plan = Arc::new(Plan::default());
    let store = open(&plan);
    [b"1", b"2", b"3"].iter().for_each(|key| put(&store, *key));
    let view = store.begin_read().unwrap();
    let mut cursor = view.cursor(T, KeyRange::all()).unwrap();
    let panic = catch_unwind(AssertUnwindSafe(|| {
        cursor.scan(&mut |_, _| std::panic::panic_any("mine"))
    }))
    .unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"mine"));
    // After a row that the visitor took, and after one that it broke off at.
    plan.row_panics_at.store(3, Ordering::SeqCst);
    for flow in [ControlFlow::Continue(()), ControlFlow::Break(())] {
        let mut rows = 0;
        let scanned = cursor.first().unwrap().map(drop).and_then(|()| {
            let scanned = cursor.scan(&mut |_, _| {
                rows += 1;
                flow
            });
            scanned.err()
        });
        assert_eq!(rows, 1);
        let is_panic = |error: Error| matches!(error.kind(), ErrorKind::EnginePanic { .. });
        assert_eq!(scanned.map(is_panic), flow.is_continue().then_some(true));
    }
}

#[test]
fn marks_that_are_gone_are_not_taken_for_later_ones_of_their_depth() {
    let store = open(&Arc::default());
    let mut txn = store.begin_write().unwrap();
    let gone = txn.savepoint().unwrap();
    txn.put(T, b"a", b"1").unwrap();
    txn.release(gone).unwrap();
    let mark = txn.savepoint().unwrap();
    txn.put(T, b"b", b"2").unwrap();
    assert_eq!(gone.depth(), mark.depth());
    let refused = txn.rollback_to(gone).unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::InvalidArgument { .. }));
    txn.rollback_to(mark).unwrap();
    assert!(txn.get(T, b"a").unwrap().is_some() && txn.get(T, b"b").unwrap().is_none());
    drop(txn);
    let mut other = store.begin_write().unwrap();
    let _own = other.savepoint().unwrap();
    assert!(other.rollback_to(mark).is_err());
}

#[test]
fn verification_ends_though_a_damaged_page_throws_the_cursor_back() {
    let plan = Arc::new(Plan::default());
    let store = open(&plan);
    for key in 0..10u8 {
        put(&store, &[key]);
    }
    plan.thrown_back_at.store(5, Ordering::SeqCst);
    let report = store.verify(&mut |_| {}).unwrap();
    assert!(!report.is_sound());
}

#[test]
fn a_limit_on_the_age_of_views_is_no_damage() {
    let clock = Arc::new(ManualClock::default());
    let mut options = OpenOptions::new();
    options.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    options.reader_limits.age_max = Some(Duration::from_secs(10));
    let store = open_with(&Arc::default(), &options);
    put(&store, b"k");
    let error = store
        .verify(&mut |_| clock.advance(Duration::from_secs(60)))
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::ReaderTooOld { .. }),
        "{error}"
    );
}
