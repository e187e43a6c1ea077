//! Single rows: put, overwrite, delete, the empty key and the empty value, each through a batch and
//! through a transaction.
//!
//! Invariant: both lanes run the very same body, so neither can mean something else.

use storage_api::{ErrorKind, KeyRange, TableId};

use crate::case::{CaseResult, ensure, ensure_eq, ensure_refused, shown, shown_value};
use crate::lab::{Lab, Lane, Subject};
use crate::ops::{Contents, Dice, TableRows, rows_of, scaled};

/// Every case of this file, once for each lane.
macro_rules! in_both_lanes {
    ($($name:ident),* $(,)?) => {
        /// The cases through a batch.
        pub(crate) mod batch {
            $(pub(crate) fn $name(lab: &crate::lab::Lab) -> crate::case::CaseResult {
                super::$name(lab, crate::lab::Lane::Batch)
            })*
        }

        /// The cases through a write transaction.
        pub(crate) mod txn {
            $(pub(crate) fn $name(lab: &crate::lab::Lab) -> crate::case::CaseResult {
                super::$name(lab, crate::lab::Lane::Txn)
            })*
        }
    };
}

in_both_lanes!(
    put_then_get,
    put_overwrites,
    delete_removes,
    delete_of_an_absent_key_does_nothing,
    put_delete_put_keeps_the_last,
    trap_03_empty_value_is_present,
    trap_01_empty_key_is_refused,
    tables_do_not_mix,
    any_byte_in_keys_and_values,
    buffers_may_be_reused,
    delete_range_removes_its_range_only,
    trap_05_reversed_delete_range_does_nothing,
    many_rows,
    hints_never_change_a_meaning,
);

fn value_is(s: &Subject, table: TableId, key: &[u8], expected: Option<&[u8]>) -> CaseResult {
    let found = s.get(table, key)?;
    ensure!(
        found.as_deref() == expected,
        "key {} of table {table}: expected {}, found {}",
        shown(key),
        shown_value(expected),
        shown_value(found.as_deref())
    );
    Ok(())
}

fn put_then_get(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    value_is(&s, s.a, b"k", None)?;
    lane.write(&s, &mut |w| w.put(s.a, b"k", b"v"))?;
    value_is(&s, s.a, b"k", Some(b"v"))?;
    value_is(&s, s.a, b"k\0", None)?;
    value_is(&s, s.a, b"j", None)
}

fn put_overwrites(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    for value in [&b"first"[..], b"second, longer", b"", b"3"] {
        lane.write(&s, &mut |w| w.put(s.a, b"k", value))?;
        value_is(&s, s.a, b"k", Some(value))?;
    }
    s.table_holds(s.a, &rows_of([(b"k", b"3")]), "after four puts of one key")
}

fn delete_removes(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    s.fill(s.a, [(&b"a"[..], &b"1"[..]), (b"b", b"2"), (b"c", b"3")])?;
    lane.write(&s, &mut |w| w.delete(s.a, b"b"))?;
    value_is(&s, s.a, b"b", None)?;
    s.table_holds(
        s.a,
        &rows_of([(b"a", b"1"), (b"c", b"3")]),
        "after a delete",
    )
}

fn delete_of_an_absent_key_does_nothing(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"b", b"2")?;
    lane.write(&s, &mut |w| {
        w.delete(s.a, b"a")?;
        w.delete(s.a, b"b\0")?;
        w.delete(s.b, b"b")
    })?;
    s.table_holds(
        s.a,
        &rows_of([(b"b", b"2")]),
        "after deletes of absent keys",
    )
}

fn put_delete_put_keeps_the_last(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    lane.write(&s, &mut |w| {
        w.put(s.a, b"kept", b"1")?;
        w.delete(s.a, b"kept")?;
        w.put(s.a, b"kept", b"2")?;
        w.put(s.a, b"gone", b"1")?;
        w.delete(s.a, b"gone")
    })?;
    s.table_holds(s.a, &rows_of([(b"kept", b"2")]), "in one change")?;
    lane.write(&s, &mut |w| w.delete(s.a, b"kept"))?;
    lane.write(&s, &mut |w| w.put(s.a, b"kept", b"3"))?;
    s.table_holds(s.a, &rows_of([(b"kept", b"3")]), "in one change each")
}

fn trap_03_empty_value_is_present(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    for table in s.tables() {
        lane.write(&s, &mut |w| {
            w.put(table, b"empty", b"")?;
            w.put(table, b"full", b"1")
        })?;
        value_is(&s, table, b"empty", Some(b""))?;
        value_is(&s, table, b"absent", None)?;
        let view = s.begin_read()?;
        ensure!(
            view.contains(table, b"empty")?,
            "contains says that an empty value is absent"
        );
        let mut calls = Vec::new();
        let found = view.get_with(table, b"empty", &mut |value| calls.push(value.len()))?;
        ensure_eq!(
            (found, calls),
            (true, vec![0]),
            "get_with of an empty value"
        );
        drop(view);
        s.table_holds(
            table,
            &rows_of([(b"empty", b""), (b"full", b"1")]),
            "an empty value",
        )?;
        lane.write(&s, &mut |w| w.delete(table, b"empty"))?;
        value_is(&s, table, b"empty", None)?;
    }
    Ok(())
}

fn trap_01_empty_key_is_refused(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"\0", b"first key")?;
    let put = lane.write(&s, &mut |w| w.put(s.a, b"", b"v"));
    ensure_refused!(put, ErrorKind::EmptyKey, "put of the empty key");
    let delete = lane.write(&s, &mut |w| w.delete(s.a, b""));
    ensure_refused!(delete, ErrorKind::EmptyKey, "delete of the empty key");
    value_is(&s, s.a, b"", None)?;
    let view = s.begin_read()?;
    ensure!(
        !view.contains(s.a, b"")?,
        "contains says that the empty key is present"
    );
    ensure!(
        !view.get_with(s.a, b"", &mut |_| ())?,
        "get_with finds the empty key"
    );
    drop(view);
    lane.write(&s, &mut |w| {
        w.delete_range(s.b, &KeyRange::half_open(b"", b"a"))
    })?;
    s.table_holds(
        s.a,
        &rows_of([(b"\0", b"first key")]),
        "after refused empty keys",
    )
}

fn tables_do_not_mix(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    let mut expected = Contents::new();
    for table in s.tables() {
        let value = table.to_string();
        lane.write(&s, &mut |w| {
            w.put(table, b"same key", value.as_bytes())?;
            w.put(table, value.as_bytes(), b"own key")
        })?;
        let rows = rows_of([
            (b"same key", value.as_bytes()),
            (value.as_bytes(), b"own key"),
        ]);
        expected.insert(table, rows);
    }
    s.holds(&expected, "one key in every table")?;
    lane.write(&s, &mut |w| {
        w.delete(s.b, b"same key")?;
        w.delete_range(s.c, &KeyRange::all())
    })?;
    expected.entry(s.b).or_default().remove(&b"same key"[..]);
    expected.entry(s.c).or_default().clear();
    s.holds(&expected, "after deletes in two tables")
}

fn any_byte_in_keys_and_values(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    let mut rows = TableRows::new();
    for byte in 0..=255u8 {
        rows.insert(vec![byte], vec![byte; 3]);
        rows.insert(vec![byte, byte], vec![byte.wrapping_add(1)]);
        rows.insert(vec![b'k', byte, 0], vec![0, byte, 0]);
    }
    for table in [s.a, s.checked, s.prefixed] {
        lane.write(&s, &mut |w| {
            rows.iter()
                .try_for_each(|(key, value)| w.put(table, key, value))
        })?;
        s.table_holds(table, &rows, "every byte")?;
    }
    Ok(())
}

fn buffers_may_be_reused(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    let mut expected = TableRows::new();
    lane.write(&s, &mut |w| {
        let (mut key, mut value) = (*b"key 0", *b"value 0");
        for digit in b'1'..=b'9' {
            key[4] = digit;
            value[6] = digit;
            w.put(s.a, &key, &value)?;
            expected.insert(key.to_vec(), value.to_vec());
            key.fill(b'#');
            value.fill(b'#');
            key[..4].copy_from_slice(b"key ");
            value[..6].copy_from_slice(b"value ");
        }
        Ok(())
    })?;
    s.table_holds(
        s.a,
        &expected,
        "buffers that the caller overwrites after each put",
    )
}

fn delete_range_removes_its_range_only(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    let keys: [&[u8]; 7] = [b"a", b"b", b"b\0", b"b\xff", b"c", b"c\0", b"d"];
    let ranges = [
        KeyRange::half_open(b"b", b"c"),
        KeyRange::half_open(b"b\0", b"c\0"),
        KeyRange::prefix(b"b"),
        KeyRange::from_key(b"c"),
        KeyRange::half_open(b"", b"b"),
        KeyRange::half_open(b"bb", b"bc"),
        KeyRange::half_open(b"x", b"y"),
        KeyRange::all(),
    ];
    for range in ranges {
        for table in [s.a, s.checked] {
            s.fill(table, keys.map(|key| (key, key)))?;
            lane.write(&s, &mut |w| w.delete_range(table, &range))?;
            let kept = keys.iter().filter(|key| !range.contains(key));
            let kept: TableRows = kept.map(|key| (key.to_vec(), key.to_vec())).collect();
            s.table_holds(table, &kept, &format!("after delete_range of {range:?}"))?;
        }
    }
    Ok(())
}

fn trap_05_reversed_delete_range_does_nothing(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    s.fill(s.a, [(&b"a"[..], &b"1"[..]), (b"b", b"2"), (b"c", b"3")])?;
    lane.write(&s, &mut |w| {
        w.put(s.a, b"d", b"4")?;
        w.delete_range(s.a, &KeyRange::half_open(b"c", b"a"))?;
        w.delete_range(s.a, &KeyRange::half_open(b"b", b"b"))?;
        w.delete_range(s.a, &KeyRange::empty())?;
        w.put(s.a, b"e", b"5")
    })?;
    let expected = rows_of([
        (b"a", b"1"),
        (b"b", b"2"),
        (b"c", b"3"),
        (b"d", b"4"),
        (b"e", b"5"),
    ]);
    s.table_holds(
        s.a,
        &expected,
        "after reversed, equal and empty range deletes",
    )
}

fn many_rows(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("many_rows");
    let mut rows = TableRows::new();
    for _ in 0..scaled(5_000) {
        let len = 1 + dice.below(40);
        rows.insert(dice.bytes(len), dice.value());
    }
    for part in rows.iter().collect::<Vec<_>>().chunks(200) {
        lane.write(&s, &mut |w| {
            part.iter()
                .try_for_each(|(key, value)| w.put(s.a, key, value))
        })?;
    }
    s.table_holds(s.a, &rows, "many rows")?;
    let gone: Vec<Vec<u8>> = rows.keys().step_by(3).cloned().collect();
    lane.write(&s, &mut |w| {
        gone.iter().try_for_each(|key| w.delete(s.a, key))
    })?;
    gone.iter().for_each(|key| {
        rows.remove(key);
    });
    s.table_holds(s.a, &rows, "many rows, a third deleted")
}

fn hints_never_change_a_meaning(lab: &Lab, lane: Lane) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("hints_never_change_a_meaning");
    for _ in 0..scaled(100) {
        let mut present = Contents::new();
        present.insert(s.a, s.rows(s.a)?.into_iter().collect());
        let ops: Vec<_> = (0..8).map(|_| dice.op(&[s.a], &present)).collect();
        for table in s.tables() {
            lane.write(&s, &mut |w| {
                ops.iter().try_for_each(|op| op.clone().on(table).write(w))
            })?;
        }
    }
    let expected: TableRows = s.rows(s.a)?.into_iter().collect();
    ensure!(
        !expected.is_empty(),
        "the random operations left nothing to compare"
    );
    let contents = s
        .tables()
        .map(|table| (table, expected.clone()))
        .into_iter()
        .collect();
    s.holds(&contents, "the same operations in every table")
}
