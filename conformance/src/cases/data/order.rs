//! Order of rows: unsigned, byte by byte, a prefix before what it begins, whatever the order of
//! insertion.

use storage_api::{KeyRange, TableId, Writer as _};

use crate::case::{CaseResult, ensure};
use crate::lab::{Lab, QUICK, Subject, table_holds};
use crate::ops::{Dice, TableRows, backward, batch_of, scaled};

/// Puts the keys in the given order and reads them in both directions, in a view and beside
/// uncommitted rows.
fn come_back_sorted(s: &Subject, table: TableId, keys: &[Vec<u8>], what: &str) -> CaseResult {
    let value = |key: &[u8]| [b"of ", key].concat();
    s.apply(
        &batch_of(|batch| batch.delete_range(table, &KeyRange::all()))?,
        QUICK,
    )?;
    for part in keys.chunks(100) {
        let rows: Vec<(&[u8], Vec<u8>)> = part.iter().map(|key| (&key[..], value(key))).collect();
        s.fill(table, rows.iter().map(|(key, value)| (*key, &value[..])))?;
    }
    let expected: TableRows = keys.iter().map(|key| (key.clone(), value(key))).collect();
    s.table_holds(table, &expected, what)?;
    let view = s.begin_read()?;
    let mut rows = backward(&mut *view.cursor(table, KeyRange::all())?)?;
    rows.reverse();
    ensure!(
        rows.into_iter().eq(expected.clone()),
        "{what}: backward is not forward reversed"
    );
    let mut txn = s.begin_write()?;
    for key in keys.iter().step_by(2) {
        txn.put(table, key, &value(key))?;
    }
    table_holds(
        &*txn,
        table,
        &expected,
        &format!("{what}, half of it written again"),
    )?;
    Ok(txn.abort()?)
}

fn in_three_tables(lab: &Lab, keys: &[Vec<u8>], what: &str) -> CaseResult {
    let s = lab.open()?;
    for table in [s.a, s.checked, s.prefixed] {
        come_back_sorted(&s, table, keys, what)?;
    }
    Ok(())
}

fn owned(keys: &[&[u8]]) -> Vec<Vec<u8>> {
    keys.iter().map(|key| key.to_vec()).collect()
}

pub(crate) fn bytes_are_unsigned(lab: &Lab) -> CaseResult {
    in_three_tables(
        lab,
        &owned(&[
            b"\xff",
            b"\x80",
            b"\x7f",
            b"\x00",
            b"\x01",
            b"\x80\x00",
            b"\x7f\xff",
            b"\xfe\xff",
        ]),
        "bytes from 00 to ff",
    )
}

pub(crate) fn a_prefix_comes_before_what_it_begins(lab: &Lab) -> CaseResult {
    let keys: Vec<Vec<u8>> = (1..60).rev().map(|len| vec![0; len]).collect();
    in_three_tables(lab, &keys, "keys of zero bytes only")?;
    let keys: Vec<Vec<u8>> = (1..60).rev().map(|len| vec![0xff; len]).collect();
    in_three_tables(lab, &keys, "keys of ff bytes only")
}

pub(crate) fn length_does_not_come_first(lab: &Lab) -> CaseResult {
    in_three_tables(
        lab,
        &owned(&[
            b"b",
            b"aa",
            b"a",
            b"ab",
            b"abc",
            b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
            b"c",
            b"bb",
        ]),
        "short and long keys",
    )
}

pub(crate) fn random_hard_keys(lab: &Lab) -> CaseResult {
    let mut dice = Dice::of("random_hard_keys");
    let keys: Vec<Vec<u8>> = (0..scaled(6_000)).map(|_| dice.key()).collect();
    in_three_tables(lab, &keys, "random keys with runs of 00 and ff")
}

pub(crate) fn shared_prefixes_of_every_length(lab: &Lab) -> CaseResult {
    let mut dice = Dice::of("shared_prefixes_of_every_length");
    let stem = dice.bytes(500);
    let mut keys = Vec::new();
    for len in (1..500).step_by(7) {
        for tail in [&b""[..], b"\0", b"\xff", b"\x80\x80"] {
            keys.push([&stem[..len], tail].concat());
        }
    }
    dice.shuffle(&mut keys);
    in_three_tables(lab, &keys, "keys that share 1 to 500 bytes")
}

pub(crate) fn insertion_order_is_forgotten(lab: &Lab) -> CaseResult {
    let mut keys: Vec<Vec<u8>> = (0..scaled(2_000) as u32)
        .map(|n| (n * 7).to_be_bytes().to_vec())
        .collect();
    in_three_tables(lab, &keys, "ascending")?;
    keys.reverse();
    let s = lab.open()?;
    come_back_sorted(
        &s,
        s.append,
        &keys,
        "descending, in a table for ascending keys",
    )?;
    Dice::of("insertion_order_is_forgotten").shuffle(&mut keys);
    come_back_sorted(&s, s.points, &keys, "shuffled")
}

pub(crate) fn long_keys_differ_in_their_last_byte(lab: &Lab) -> CaseResult {
    let mut keys: Vec<Vec<u8>> = (0..=255)
        .map(|last| {
            let mut key = vec![b'x'; 511];
            key[510] = last;
            key
        })
        .collect();
    keys.push(vec![b'x'; 510]);
    Dice::of("long_keys_differ_in_their_last_byte").shuffle(&mut keys);
    in_three_tables(lab, &keys, "keys of 511 bytes")
}
