//! Ranges and prefixes: every pair of bounds, both directions, empty and reversed ones, the edges
//! at `00` and `ff`.
//!
//! Invariant: what a range must give is computed here from the bounds themselves, not by
//! [`KeyRange`], so that a mistake in the shared normalisation shows as well.

use std::ops::{Bound, RangeBounds as _};

use storage_api::{KeyRange, TableId, prefix_end};

use crate::case::{CaseResult, ensure, ensure_eq};
use crate::lab::{Lab, Subject};
use crate::ops::{Dice, TableRows, backward, forward, in_range, same_rows, scaled};
use crate::probe::{ReadProbe, Row};

/// Keys with a neighbour on every side of every bound that the cases use.
const KEYS: [&[u8]; 14] = [
    b"\0",
    b"\0\0",
    b"a",
    b"a\0",
    b"a\0\0",
    b"a\xff",
    b"b",
    b"ba",
    b"bb",
    b"c",
    b"c\xff\xff",
    b"d",
    b"\xff",
    b"\xff\xff\xff",
];

/// Bounds on keys, between keys, before all and behind all.
const BOUNDS: [&[u8]; 10] = [
    b"\0",
    b"a",
    b"a\0",
    b"a\x01",
    b"b",
    b"bz",
    b"c\xff",
    b"d",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
];

fn key_rows() -> TableRows {
    KEYS.iter()
        .map(|key| (key.to_vec(), [b"v", *key].concat()))
        .collect()
}

/// The rows between two bounds, by the meaning of the bounds.
fn between(rows: &TableRows, start: Bound<&[u8]>, end: Bound<&[u8]>) -> Vec<Row> {
    let inside = rows
        .iter()
        .filter(|(key, _)| (start, end).contains(&key[..]));
    inside
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn reads_exactly(
    reader: &dyn ReadProbe,
    table: TableId,
    range: &KeyRange,
    expected: &[Row],
    what: &str,
) -> CaseResult {
    same_rows(
        &reader.rows(table, range.clone())?,
        expected,
        &format!("{what}, forward"),
    )?;
    let mut rows = backward(&mut *reader.cursor(table, range.clone())?)?;
    rows.reverse();
    same_rows(&rows, expected, &format!("{what}, backward"))
}

/// Both kinds of bound at a key, and none.
fn bounds_at(key: &[u8]) -> [Bound<&[u8]>; 3] {
    [Bound::Included(key), Bound::Excluded(key), Bound::Unbounded]
}

fn every_pair(s: &Subject, reader: &dyn ReadProbe, table: TableId, rows: &TableRows) -> CaseResult {
    for (low, high) in BOUNDS
        .iter()
        .flat_map(|low| BOUNDS.iter().map(move |high| (low, high)))
    {
        for start in bounds_at(low) {
            for end in bounds_at(high) {
                let expected = between(rows, start, end);
                let range = KeyRange::new(start, end);
                let what = format!("{} {start:?}..{end:?}", s.engine_name());
                reads_exactly(reader, table, &range, &expected, &what)?;
            }
        }
    }
    Ok(())
}

pub(crate) fn nine_pairs_of_bounds(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill_rows(s.a, &key_rows())?;
    every_pair(&s, &*s.begin_read()?, s.a, &key_rows())
}

pub(crate) fn nine_pairs_of_bounds_in_a_transaction(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill(s.a, KEYS.iter().step_by(2).map(|key| (*key, &b"old"[..])))?;
    s.fill(s.a, [(&b"bc"[..], &b"gone"[..]), (b"zz", b"gone")])?;
    let mut txn = s.begin_write()?;
    for (key, value) in &key_rows() {
        txn.put(s.a, key, value)?;
    }
    txn.delete(s.a, b"bc")?;
    txn.delete(s.a, b"zz")?;
    every_pair(&s, &*txn, s.a, &key_rows())?;
    Ok(txn.abort()?)
}

pub(crate) fn nine_pairs_of_bounds_on_one_row(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows: TableRows = [(b"b".to_vec(), b"v".to_vec())].into();
    s.fill_rows(s.checked, &rows)?;
    every_pair(&s, &*s.begin_read()?, s.checked, &rows)
}

pub(crate) fn an_empty_table_is_empty_in_every_range(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill_rows(s.b, &key_rows())?;
    every_pair(&s, &*s.begin_read()?, s.a, &TableRows::new())
}

pub(crate) fn trap_05_reversed_and_equal_ranges_are_empty(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill_rows(s.a, &key_rows())?;
    let view = s.begin_read()?;
    let ranges = [
        KeyRange::half_open(b"c", b"a"),
        KeyRange::half_open(b"a", b"a"),
        KeyRange::new(Bound::Excluded(b"a"), Bound::Excluded(b"a")),
        KeyRange::new(Bound::Excluded(b"a"), Bound::Included(b"a")),
        KeyRange::new(Bound::Included(b"d"), Bound::Included(b"b")),
        KeyRange::half_open(b"\xff", b"\0"),
        KeyRange::half_open(b"", b""),
        KeyRange::empty(),
    ];
    for range in ranges {
        reads_exactly(&*view, s.a, &range, &[], &format!("{range:?}"))?;
        let mut cursor = view.cursor(s.a, range)?;
        ensure!(
            cursor.seek(b"a")?.is_none(),
            "seek inside an empty range finds a row"
        );
        ensure!(
            cursor.seek_back(b"d")?.is_none(),
            "seek_back inside an empty range finds a row"
        );
        ensure!(
            cursor.first()?.is_none() && cursor.last()?.is_none(),
            "an empty range has ends"
        );
    }
    Ok(())
}

pub(crate) fn empty_bounds_mean_unbounded(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill_rows(s.a, &key_rows())?;
    let view = s.begin_read()?;
    let all = in_range(&key_rows(), &KeyRange::all());
    for start in [
        Bound::Included(&b""[..]),
        Bound::Excluded(b""),
        Bound::Unbounded,
    ] {
        let range = KeyRange::new(start, Bound::Unbounded);
        reads_exactly(&*view, s.a, &range, &all, &format!("from {start:?}"))?;
    }
    reads_exactly(
        &*view,
        s.a,
        &KeyRange::prefix(b""),
        &all,
        "the empty prefix",
    )?;
    reads_exactly(
        &*view,
        s.a,
        &KeyRange::from_key(b""),
        &all,
        "from the empty key",
    )
}

pub(crate) fn bounds_longer_than_any_key(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let longest = vec![b'k'; 511];
    let mut rows = key_rows();
    rows.insert(longest.clone(), b"longest".to_vec());
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    for len in [510, 511, 512, 1_000, 70_000] {
        let bound = vec![b'k'; len];
        for (start, end) in [
            (Bound::Included(&bound[..]), Bound::Unbounded),
            (Bound::Excluded(&bound[..]), Bound::Unbounded),
            (Bound::Unbounded, Bound::Included(&bound[..])),
            (Bound::Unbounded, Bound::Excluded(&bound[..])),
        ] {
            let expected = between(&rows, start, end);
            let what = format!("a bound of {len} bytes");
            reads_exactly(&*view, s.a, &KeyRange::new(start, end), &expected, &what)?;
        }
    }
    Ok(())
}

/// Prefixes at the edges: of one key, of several, of none, at the end of the key space.
const PREFIXES: [&[u8]; 12] = [
    b"\0",
    b"a",
    b"a\0",
    b"a\xff",
    b"b",
    b"bb",
    b"bbb",
    b"c\xff",
    b"c\xff\xff",
    b"\xff",
    b"\xff\xff",
    b"\xff\xff\xff\xff",
];

pub(crate) fn prefixes_give_what_they_begin(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = key_rows();
    for table in [s.a, s.prefixed, s.checked] {
        s.fill_rows(table, &rows)?;
        let view = s.begin_read()?;
        for prefix in PREFIXES {
            let expected: Vec<Row> = rows
                .clone()
                .into_iter()
                .filter(|(key, _)| key.starts_with(prefix))
                .collect();
            let what = format!("prefix {}", prefix.escape_ascii());
            reads_exactly(&*view, table, &KeyRange::prefix(prefix), &expected, &what)?;
        }
    }
    Ok(())
}

pub(crate) fn trap_06_a_prefix_of_ff_has_no_end(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut rows = TableRows::new();
    for len in [1, 2, 3, 16, 17, 32, 33, 510, 511] {
        rows.insert(vec![0xff; len], len.to_string().into_bytes());
    }
    rows.insert(b"\xfe\xff\xff".to_vec(), b"before".to_vec());
    rows.insert([&[0xff; 300][..], b"\0"].concat(), b"between".to_vec());
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    for len in [1, 2, 16, 17, 31, 32, 33, 300, 301, 511] {
        let prefix = vec![0xff; len];
        ensure_eq!(prefix_end(&prefix), None, "the end of a prefix of ff bytes");
        let expected: Vec<Row> = rows
            .clone()
            .into_iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .collect();
        let what = format!("a prefix of {len} bytes ff");
        reads_exactly(&*view, s.a, &KeyRange::prefix(&prefix), &expected, &what)?;
    }
    ensure_eq!(
        prefix_end(b"\xfe\xff"),
        Some(b"\xff".to_vec()),
        "the end of prefix fe ff"
    );
    Ok(())
}

pub(crate) fn random_ranges_against_the_model(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("random_ranges_against_the_model");
    let rows: TableRows = (0..scaled(3_000))
        .map(|_| (dice.key(), dice.value()))
        .collect();
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    for _ in 0..scaled(3_000) {
        let range = dice.range();
        reads_exactly(
            &*view,
            s.a,
            &range,
            &in_range(&rows, &range),
            &format!("{range:?}"),
        )?;
    }
    Ok(())
}

pub(crate) fn ranges_of_several_tables_at_once(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = key_rows();
    for table in s.tables() {
        let own = rows
            .keys()
            .map(|key| (key.clone(), table.to_string().into_bytes()))
            .collect();
        s.fill_rows(table, &own)?;
    }
    let view = s.begin_read()?;
    let mut cursors = Vec::new();
    for table in s.tables() {
        cursors.push((table, view.cursor(table, KeyRange::half_open(b"a", b"c"))?));
    }
    for (table, cursor) in cursors.iter_mut().rev() {
        let found = forward(&mut **cursor)?;
        let own = table.to_string().into_bytes();
        ensure!(
            found.iter().all(|(_, value)| *value == own),
            "a range gives another table's rows"
        );
        ensure_eq!(found.len(), 7, "rows of the range in table {table}");
    }
    Ok(())
}
