//! Tests of the overlay: a random model test, and the cases whose reason is worth a name.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod map;
mod model;

use std::cell::Cell;
use std::rc::Rc;

pub(crate) use map::{Counting, MapCursor, MapReader, Tables};

use super::hidden::{Around, Hidden, Span};
use super::{Overlay, OverlayWrites};
use crate::contract::{
    BatchOp, Count, Cursor, Entry, Reader, ReaderExt, Savepoint, WriteBatch, Writer,
};
use crate::error::{ErrorKind, Result};
use crate::range::KeyRange;
use crate::table::TableId;

const T: TableId = TableId::new(1);
const U: TableId = TableId::new(7);

fn tables(rows: &[(&[u8], &[u8])]) -> Tables {
    let mut tables = Tables::default();
    for (key, value) in rows {
        tables.put(T, key, value).unwrap();
    }
    tables
}

fn letters() -> MapReader {
    MapReader::new(tables(&[
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", b"3"),
        (b"d", b"4"),
        (b"e", b"5"),
    ]))
}

fn key<'e>(entry: Result<Option<Entry<'e>>>) -> Option<&'e [u8]> {
    entry.unwrap().map(|entry| entry.key)
}

fn all_keys(reader: &impl Reader) -> Vec<u8> {
    let rows = reader.rows(T, KeyRange::all()).unwrap();
    rows.map(|row| row.unwrap().0[0]).collect()
}

/// A reader whose cursors share one counter of moves.
struct Counted {
    map: MapReader,
    moves: Rc<Cell<usize>>,
}

impl Reader for Counted {
    type Value<'a> = &'a [u8];
    type Cursor<'a> = MapCursor<'a>;

    fn get(&self, table: TableId, key: &[u8]) -> Result<Option<&[u8]>> {
        self.map.get(table, key)
    }

    fn cursor(&self, table: TableId, range: KeyRange) -> Result<MapCursor<'_>> {
        let mut cursor = self.map.cursor(table, range)?;
        cursor.moves = Rc::clone(&self.moves);
        Ok(cursor)
    }

    fn count(&self, table: TableId) -> Result<Count> {
        self.map.count(table)
    }
}

#[test]
fn writing_only_never_builds_the_index() {
    let mut overlay = OverlayWrites::new();
    let mark = overlay.savepoint().unwrap();
    for at in 0..100_u8 {
        overlay.put(T, &[at], b"v").unwrap();
        overlay.delete(U, &[at]).unwrap();
        overlay.delete_range(T, &KeyRange::from_key(&[at])).unwrap();
    }
    assert_eq!(overlay.indexed_now().indexed(), 0);
    overlay.rollback_to(mark).unwrap();
    assert!(overlay.is_empty());
    overlay.put(T, b"k", b"v").unwrap();
    assert!(overlay.contains(&letters(), T, b"k").unwrap());
    assert_eq!(overlay.indexed_now().indexed(), 1);
}

#[test]
fn operations_are_kept_in_order() {
    let mut overlay = Overlay::new(letters());
    overlay.put(T, b"a", b"x").unwrap();
    assert_eq!(overlay.get(T, b"a").unwrap().as_deref(), Some(&b"x"[..]));
    overlay.delete_range(T, &KeyRange::from_key(b"c")).unwrap();
    overlay.delete(U, b"b").unwrap();
    overlay.delete_range(T, &KeyRange::empty()).unwrap();
    let ops: Vec<_> = overlay.batch().ops().collect();
    let (a, b) = (&b"a"[..], &b"b"[..]);
    assert_eq!(
        ops,
        [
            BatchOp::Put {
                table: T,
                key: a,
                value: b"x"
            },
            BatchOp::DeleteRange {
                table: T,
                start: b"c",
                end: None
            },
            BatchOp::Delete { table: U, key: b },
        ]
    );
    let expected: WriteBatch = overlay.batch().clone();
    let (base, writes) = overlay.into_parts();
    assert!(writes.into_batch().ops().eq(expected.ops()));
    assert_eq!(all_keys(&base), b"abcde");
}

#[test]
fn an_empty_value_is_a_value_and_an_empty_key_is_absent() {
    let mut overlay = Overlay::new(letters());
    overlay.put(T, b"b", b"").unwrap();
    assert_eq!(overlay.get(T, b"b").unwrap().as_deref(), Some(&b""[..]));
    assert!(overlay.contains(T, b"b").unwrap());
    for table in [T, U] {
        assert!(overlay.get(table, b"").unwrap().is_none());
        assert!(!overlay.contains(table, b"").unwrap());
        assert!(!overlay.get_with(table, b"", &mut |_| {}).unwrap());
    }
}

#[test]
fn a_key_put_after_a_range_delete_stays() {
    let mut overlay = Overlay::new(letters());
    overlay.put(T, b"bb", b"gone").unwrap();
    overlay
        .delete_range(T, &KeyRange::half_open(b"b", b"d"))
        .unwrap();
    overlay.put(T, b"c", b"new").unwrap();
    assert_eq!(all_keys(&overlay), b"acde");
    assert_eq!(overlay.count(T).unwrap(), Count::Exact(4));
    overlay.delete_range(T, &KeyRange::all()).unwrap();
    assert_eq!(overlay.count(T).unwrap(), Count::Exact(0));
    overlay.put(T, b"z", b"").unwrap();
    assert_eq!(overlay.count(T).unwrap(), Count::Exact(1));
    assert_eq!(all_keys(&overlay), b"z");
}

#[test]
fn an_estimate_stays_an_estimate() {
    let mut base = letters();
    base.counting = Counting::Estimate;
    let mut overlay = Overlay::new(base);
    assert_eq!(overlay.count(T).unwrap(), Count::Estimate(5));
    overlay.put(T, b"x", b"").unwrap();
    overlay.put(T, b"y", b"").unwrap();
    overlay.delete(T, b"a").unwrap();
    assert_eq!(overlay.count(T).unwrap(), Count::Estimate(6));
    for at in 0..9 {
        overlay.delete(U, &[at]).unwrap();
    }
    assert_eq!(overlay.count(U).unwrap(), Count::Estimate(0));
    overlay.delete_range(T, &KeyRange::all()).unwrap();
    overlay.put(T, b"x", b"").unwrap();
    assert_eq!(overlay.count(T).unwrap(), Count::Estimate(1));
}

#[test]
fn hidden_rows_are_skipped_by_one_seek() {
    let mut base = Tables::default();
    for at in 0..10_000_u16 {
        base.put(T, &at.to_be_bytes(), b"v").unwrap();
    }
    let moves = Rc::<Cell<usize>>::default();
    let mut overlay = Overlay::new(Counted {
        map: MapReader::new(base),
        moves: Rc::clone(&moves),
    });
    let hidden = KeyRange::half_open(&1_u16.to_be_bytes(), &9_999_u16.to_be_bytes());
    overlay.delete_range(T, &hidden).unwrap();
    let mut cursor = overlay.cursor(T, KeyRange::all()).unwrap();
    assert_eq!(key(cursor.next()), Some(&0_u16.to_be_bytes()[..]));
    assert_eq!(key(cursor.next()), Some(&9_999_u16.to_be_bytes()[..]));
    assert_eq!(key(cursor.next()), None);
    assert_eq!(key(cursor.prev()), Some(&9_999_u16.to_be_bytes()[..]));
    assert_eq!(key(cursor.prev()), Some(&0_u16.to_be_bytes()[..]));
    assert_eq!(key(cursor.prev()), None);
    // Each way: a move onto each visible row and off the end, one into the hidden range, one or two
    // out of it.
    assert!(moves.get() <= 11, "{} moves of the base", moves.get());
}

#[test]
fn a_long_value_waits_unread() {
    let long = vec![7; 100_000];
    let base = MapReader::new(tables(&[(b"b", &long), (b"d", &long)]));
    let mut overlay = Overlay::new(base);
    for own in [b"a", b"c", b"e"] {
        overlay.put(T, own, b"own").unwrap();
    }
    let mut cursor = overlay.cursor(T, KeyRange::all()).unwrap();
    let mut seen = Vec::new();
    while let Some(entry) = cursor.next().unwrap() {
        seen.push((entry.key[0], entry.value.len()));
    }
    let expected = [
        (b'a', 3),
        (b'b', 100_000),
        (b'c', 3),
        (b'd', 100_000),
        (b'e', 3),
    ];
    assert_eq!(seen, expected);
    while let Some(entry) = cursor.prev().unwrap() {
        assert_eq!(seen.pop(), Some((entry.key[0], entry.value.len())));
    }
    assert!(seen.is_empty());
}

#[test]
fn a_cursor_goes_on_behind_a_damaged_row_and_turns_before_it() {
    let mut base = letters();
    base.damaged.insert(b"c".to_vec());
    let mut overlay = Overlay::new(base);
    overlay.put(T, b"aa", b"own").unwrap();
    overlay.put(T, b"dd", b"own").unwrap();
    let mut cursor = overlay.cursor(T, KeyRange::all()).unwrap();
    for expected in [&b"a"[..], b"aa", b"b"] {
        assert_eq!(key(cursor.next()), Some(expected));
    }
    assert!(cursor.next().unwrap_err().is_corruption());
    assert_eq!(key(cursor.prev()), Some(&b"b"[..]));
    assert!(cursor.next().unwrap_err().is_corruption());
    for expected in [&b"d"[..], b"dd", b"e"] {
        assert_eq!(key(cursor.next()), Some(expected));
    }
    assert_eq!(key(cursor.next()), None);
    assert!(cursor.seek_back(b"cc").unwrap_err().is_corruption());
    assert_eq!(key(cursor.prev()), Some(&b"b"[..]));
    assert_eq!(key(cursor.prev()), Some(&b"aa"[..]));
    assert!(cursor.seek(b"c").unwrap_err().is_corruption());
    assert_eq!(key(cursor.next()), Some(&b"d"[..]));
}

#[test]
fn a_turn_behind_an_error_gives_the_last_own_row_again() {
    let mut base = letters();
    base.damaged.insert(b"c".to_vec());
    let mut overlay = Overlay::new(base);
    overlay.put(T, b"b", b"own").unwrap();
    overlay.put(T, b"d", b"own").unwrap();
    let own = |key: &'static [u8]| {
        let value = &b"own"[..];
        Some(Entry { key, value })
    };
    let mut cursor = overlay.cursor(T, KeyRange::all()).unwrap();
    assert_eq!(cursor.seek(b"b").unwrap(), own(b"b"));
    assert!(cursor.next().unwrap_err().is_corruption());
    assert_eq!(cursor.prev().unwrap(), own(b"b"));
    assert_eq!(cursor.last().unwrap().map(|e| e.key), Some(&b"e"[..]));
    assert_eq!(cursor.prev().unwrap(), own(b"d"));
    assert!(cursor.prev().unwrap_err().is_corruption());
    assert_eq!(cursor.next().unwrap(), own(b"d"));
}

#[test]
fn nothing_hidden_appears_behind_an_error() {
    let mut base = letters();
    base.damaged.insert(b"a".to_vec());
    let mut overlay = Overlay::new(base);
    overlay
        .delete_range(T, &KeyRange::half_open(b"c", b"d"))
        .unwrap();
    let mut cursor = overlay.cursor(T, KeyRange::all()).unwrap();
    assert_eq!(key(cursor.seek(b"e")), Some(&b"e"[..]));
    assert!(cursor.seek(b"a").unwrap_err().is_corruption());
    assert_eq!(key(cursor.next()), Some(&b"b"[..]));
    assert_eq!(key(cursor.next()), Some(&b"d"[..]));
}

#[test]
fn a_rollback_keeps_the_index_of_what_it_keeps() {
    let base = letters();
    let mut overlay = OverlayWrites::new();
    overlay.put(T, b"x", b"").unwrap();
    let outer = overlay.savepoint().unwrap();
    overlay.delete_range(T, &KeyRange::from_key(b"b")).unwrap();
    overlay.put(T, b"x", b"").unwrap();
    let inner = overlay.savepoint().unwrap();
    overlay.delete(T, b"x").unwrap();
    assert!(!overlay.contains(&base, T, b"x").unwrap());
    assert_eq!(overlay.indexed_now().undo_records(), 3);
    overlay.rollback_to(inner).unwrap();
    assert_eq!(overlay.indexed_now().indexed(), 3);
    overlay.rollback_to(outer).unwrap();
    assert_eq!(overlay.indexed_now().indexed(), 1);
    assert!(overlay.contains(&base, T, b"x").unwrap());
    assert!(overlay.contains(&base, T, b"c").unwrap());
}

#[test]
fn a_rollback_takes_back_what_it_must_and_no_more() {
    let mut overlay = Overlay::new(letters());
    overlay.delete(T, b"e").unwrap();
    let outer = overlay.savepoint().unwrap();
    overlay.put(T, b"f", b"").unwrap();
    let inner = overlay.savepoint().unwrap();
    assert_eq!(all_keys(&overlay), b"abcdf");
    overlay.delete_range(T, &KeyRange::from_key(b"b")).unwrap();
    overlay.put(T, b"c", b"").unwrap();
    assert_eq!(all_keys(&overlay), b"ac");
    overlay.rollback_to(inner).unwrap();
    assert_eq!(all_keys(&overlay), b"abcdf");
    overlay.put(T, b"g", b"").unwrap();
    overlay.rollback_to(inner).unwrap();
    overlay.release(inner).unwrap();
    let gone = overlay.rollback_to(inner).unwrap_err();
    assert!(matches!(gone.kind(), ErrorKind::InvalidArgument { .. }));
    assert_eq!(all_keys(&overlay), b"abcdf");
    overlay.rollback_to(outer).unwrap();
    assert_eq!(all_keys(&overlay), b"abcd");
    overlay.release(outer).unwrap();
    assert!(overlay.release(Savepoint::at_depth(0)).is_err());
    overlay.clear();
    assert_eq!(all_keys(&overlay), b"abcde");
}

#[test]
fn overlays_lie_over_overlays() {
    let mut below = Overlay::new(letters());
    below.put(T, b"f", b"below").unwrap();
    below.delete(T, b"a").unwrap();
    let mut above = Overlay::new(below);
    above.put(T, b"a", b"above").unwrap();
    above.delete(T, b"f").unwrap();
    above
        .delete_range(T, &KeyRange::half_open(b"b", b"d"))
        .unwrap();
    assert_eq!(all_keys(&above), b"ade");
    assert_eq!(above.count(T).unwrap(), Count::Exact(3));
    assert_eq!(all_keys(above.base()), b"bcdef");
}

#[test]
fn hidden_ranges_coalesce_and_come_apart_again() {
    let range = |start: &'static [u8], end: Option<&'static [u8]>| {
        end.map_or_else(
            || KeyRange::from_key(start),
            |end| KeyRange::half_open(start, end),
        )
    };
    let mut hidden = Hidden::default();
    hidden.add(b"c", Some(b"e"));
    hidden.add(b"g", Some(b"i"));
    let touching = hidden.add(b"e", Some(b"f"));
    let spanning = hidden.add(b"d", Some(b"h"));
    assert!(hidden.ranges().eq([range(b"c", Some(b"i"))]));
    let unbounded = hidden.add(b"h", None);
    assert!(hidden.ranges().eq([range(b"c", None)]));
    let everything = hidden.add(b"", None);
    assert!(hidden.is_all() && hidden.contains(b"a"));
    hidden.undo(everything);
    hidden.undo(unbounded);
    hidden.undo(spanning);
    assert!(
        hidden
            .ranges()
            .eq([range(b"c", Some(b"f")), range(b"g", Some(b"i"))])
    );
    hidden.undo(touching);
    let start = &b"e"[..];
    let end = Some(&b"g"[..]);
    assert_eq!(hidden.around(b"f"), Around::Clear(Span { start, end }));
    assert!(hidden.touches(&KeyRange::half_open(b"a", b"d")));
    assert!(!hidden.touches(&KeyRange::half_open(b"e", b"g")));
    assert!(!hidden.touches(&KeyRange::empty()));
}
