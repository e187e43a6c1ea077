//! Tests of the erased form over a small store: every call arrives and comes back unchanged.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod store;

use std::num::NonZeroUsize;
use std::time::Duration;

use super::txn::{DynReadTxn, DynWriteTxn};
use super::{DynStore, ErasedStore};
use crate::commit::{CommitSeq, Durability, Effective};
use crate::contract::{
    Count, Cursor, KvStore, KvStoreExt, ReadTxn, Reader, ReaderExt, WriteBatch, WriteTxn, Writer,
};
use crate::error::ErrorKind;
use crate::range::KeyRange;
use crate::table::TableId;
use store::{MapStore, T, keys};

fn erased() -> DynStore {
    let boxed: Box<dyn ErasedStore> = Box::new(MapStore::new());
    DynStore::from(boxed)
}

fn filled() -> DynStore {
    let store = DynStore::new(MapStore::new());
    let mut batch = WriteBatch::new();
    for key in [b"a", b"b", b"c"] {
        batch.put(T, key, key).unwrap();
    }
    batch.put(T, b"long", &[9; 1_000]).unwrap();
    store.apply(&batch, Durability::Durable).unwrap();
    store
}

/// Compiles as long as the type is not `Send`: with it, both implementations would fit.
trait NotSend<Which> {
    const YES: bool = true;
}

impl<T: ?Sized> NotSend<()> for T {}

struct Also;

impl<T: ?Sized + Send> NotSend<Also> for T {}

#[test]
fn the_write_transaction_stays_on_its_thread() {
    const { assert!(<DynWriteTxn<'static> as NotSend<_>>::YES) };
    fn is_send<T: Send + 'static>() {}
    is_send::<DynReadTxn>();
    is_send::<DynStore>();
}

#[test]
fn what_the_store_says_of_itself_is_passed_on() {
    let store = filled();
    assert_eq!(store.engine_name(), "map");
    assert_eq!(store.capabilities().readers_max, Some(17));
    assert_eq!(store.catalogue().id("rows").unwrap(), T);
    assert_eq!(store.stats().unwrap().commit_seq, CommitSeq::new(1));
    assert_eq!(store.table_stats(T).unwrap().rows, Count::Exact(4));
    let sync = store.sync().unwrap_err();
    assert!(matches!(sync.kind(), ErrorKind::Unsupported { .. }));
    let compacted = store.as_compact().unwrap().compact().unwrap();
    assert_eq!((compacted.before_bytes, compacted.after_bytes), (11, 7));
    assert!(store.as_backup().is_none() && store.as_verify().is_none());
    assert!(format!("{store:?}").contains("map"));
}

#[test]
fn a_view_reads_what_the_store_holds() {
    let store = filled();
    let view = store.begin_read().unwrap();
    assert_eq!(view.commit_seq().unwrap(), CommitSeq::new(1));
    assert_eq!(view.get(T, b"a").unwrap().as_deref(), Some(&b"a"[..]));
    let long = view.get(T, b"long").unwrap();
    assert_eq!(long.as_deref(), Some(&[9; 1_000][..]));
    assert!(view.get(T, b"x").unwrap().is_none());
    assert!(view.contains(T, b"b").unwrap() && !view.contains(T, b"x").unwrap());
    assert_eq!(view.count(T).unwrap(), Count::Exact(4));
    let mut lent = Vec::new();
    let mut sink = |value: &[u8]| lent.push(value.len());
    assert!(view.get_with(T, b"long", &mut sink).unwrap());
    assert!(!view.get_with(T, b"x", &mut sink).unwrap());
    assert_eq!(lent, [1_000]);
    let mut many = [None; 3];
    let mut sink = |at: usize, value: Option<&[u8]>| many[at] = Some(value.map(|value| value[0]));
    view.multi_get(T, &[b"c", b"x", b"a"], &mut sink).unwrap();
    assert_eq!(many, [Some(Some(b'c')), Some(None), Some(Some(b'a'))]);
    let unknown = view.get(TableId::new(9), b"a").unwrap_err();
    assert!(matches!(unknown.kind(), ErrorKind::UnknownTable { .. }));
}

#[test]
fn a_cursor_moves_every_way() {
    let view = filled().begin_read().unwrap();
    let mut cursor = view.cursor(T, KeyRange::half_open(b"a", b"d")).unwrap();
    assert_eq!(keys(&mut cursor), b"abc");
    let key = |entry: crate::Result<Option<crate::Entry<'_>>>| entry.unwrap().map(|e| e.key[0]);
    assert_eq!(key(cursor.prev()), Some(b'c'));
    assert_eq!(key(cursor.first()), Some(b'a'));
    assert_eq!(key(cursor.last()), Some(b'c'));
    assert_eq!(key(cursor.seek(b"aa")), Some(b'b'));
    assert_eq!(key(cursor.seek_back(b"bb")), Some(b'b'));
    assert_eq!(key(cursor.next()), Some(b'c'));
    assert_eq!(key(cursor.next()), None);
}

#[test]
fn a_write_transaction_reads_its_writes_and_commits_them() {
    let store = filled();
    let before = store.begin_read().unwrap();
    let mut txn = store.begin_write().unwrap();
    assert!(store.try_begin_write(Duration::ZERO).unwrap().is_none());
    txn.put(T, b"d", b"new").unwrap();
    let mark = txn.savepoint().unwrap();
    txn.delete(T, b"a").unwrap();
    txn.delete_range(T, &KeyRange::from_key(b"b")).unwrap();
    assert_eq!(txn.count(T).unwrap(), Count::Exact(0));
    txn.rollback_to(mark).unwrap();
    txn.release(mark).unwrap();
    assert!(txn.release(mark).is_err());
    txn.delete(T, b"long").unwrap();
    let empty = txn.put(T, b"", b"").unwrap_err();
    assert_eq!(*empty.kind(), ErrorKind::EmptyKey);
    assert_eq!(txn.get(T, b"d").unwrap().as_deref(), Some(&b"new"[..]));
    assert!(txn.contains(T, b"d").unwrap() && !txn.contains(T, b"long").unwrap());
    assert_eq!(keys(&mut txn.cursor(T, KeyRange::all()).unwrap()), b"abcd");
    let commit = txn.commit(Durability::Durable).unwrap();
    assert_eq!(commit.seq, Some(CommitSeq::new(2)));
    assert_eq!(commit.effective, Effective::Process);
    assert_eq!(before.count(T).unwrap(), Count::Exact(4));
    assert!(before.contains(T, b"long").unwrap());
    let after = store.begin_read().unwrap();
    assert_eq!(
        keys(&mut after.cursor(T, KeyRange::all()).unwrap()),
        b"abcd"
    );
}

#[test]
fn abort_and_drop_leave_nothing_and_free_the_writer() {
    let store = erased();
    let mut txn = store.begin_write().unwrap();
    txn.put(T, b"k", b"v").unwrap();
    txn.abort().unwrap();
    let mut txn = store.try_begin_write(Duration::ZERO).unwrap().unwrap();
    txn.put(T, b"k", b"v").unwrap();
    drop(txn);
    assert_eq!(
        store.begin_read().unwrap().count(T).unwrap(),
        Count::Exact(0)
    );
    let ((), commit) = store
        .update(Durability::Volatile, |txn| txn.put(T, b"k", b"v"))
        .unwrap();
    assert_eq!(commit.seq, Some(CommitSeq::new(1)));
}

#[test]
fn views_begun_together_see_one_commit_and_move_between_threads() {
    let store = filled();
    let views = store
        .begin_read_many(NonZeroUsize::new(3).unwrap())
        .unwrap();
    assert_eq!(views.len(), 3);
    let readers = views.into_iter().map(|view| {
        std::thread::spawn(move || (view.commit_seq().unwrap(), view.count_exact(T).unwrap()))
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.join().unwrap(), (CommitSeq::new(1), 4));
    }
}

#[test]
fn an_erased_store_can_be_erased_again() {
    let store = DynStore::new(filled());
    assert_eq!(store.engine_name(), "map");
    let view = store.begin_read().unwrap();
    assert_eq!(
        view.get_copied(T, b"b").unwrap().as_deref(),
        Some(&b"b"[..])
    );
}
