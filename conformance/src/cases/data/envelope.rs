//! The checksum envelope: values of every size go round, and every way of reading takes it off.

use storage_api::{KeyRange, Writer as _};

use crate::case::{CaseResult, ensure, ensure_eq};
use crate::lab::{Lab, Lane, QUICK, table_holds};
use crate::ops::{
    Contents, Dice, TableRows, backward, batch_of, forward, in_range, numbered_rows, same_rows,
    scaled,
};

pub(crate) fn every_size_goes_round(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    for lane in [Lane::Batch, Lane::Txn] {
        let rows: TableRows = (0..=300_u16)
            .map(|size| (size.to_be_bytes().to_vec(), vec![size as u8; size.into()]))
            .collect();
        lane.write(&s, &mut |w| {
            rows.iter().try_for_each(|(k, v)| w.put(s.checked, k, v))
        })?;
        s.table_holds(s.checked, &rows, "values of 0 to 300 bytes")?;
        lane.write(&s, &mut |w| w.delete_range(s.checked, &KeyRange::all()))?;
    }
    Ok(())
}

pub(crate) fn every_way_of_reading_takes_it_off(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(scaled(500));
    s.fill_rows(s.checked, &rows)?;
    let view = s.begin_read()?;
    let all = in_range(&rows, &KeyRange::all());
    table_holds(&*view, s.checked, &rows, "get, scan and count")?;
    let keys: Vec<&[u8]> = rows.keys().map(Vec::as_slice).collect();
    let mut many = vec![None; keys.len()];
    view.multi_get(s.checked, &keys, &mut |at, value| {
        many[at] = value.map(<[u8]>::to_vec);
    })?;
    ensure!(
        many.into_iter().flatten().eq(rows.values().cloned()),
        "multi_get differs"
    );
    let mut held = false;
    view.hold(s.checked, &keys, &mut |values| {
        held = values
            .iter()
            .zip(rows.values())
            .all(|(found, value)| *found == Some(&value[..]));
    })?;
    ensure!(held, "values held together differ");
    let mut cursor = view.cursor(s.checked, KeyRange::all())?;
    same_rows(&forward(&mut *cursor)?, &all, "a cursor forward")?;
    let mut back = backward(&mut *cursor)?;
    back.reverse();
    same_rows(&back, &all, "a cursor backward")?;
    for (key, value) in &rows {
        let found = cursor.seek(key)?.map(|row| row.value.to_vec());
        ensure_eq!(found.as_ref(), Some(value), "the value at a seek");
        let found = cursor.seek_back(key)?.map(|row| row.value.to_vec());
        ensure_eq!(found.as_ref(), Some(value), "the value at a seek back");
    }
    Ok(())
}

pub(crate) fn a_transaction_reads_its_own_sealed_values(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("a_transaction_reads_its_own_sealed_values");
    let mut contents = Contents::new();
    let mut txn = s.begin_write()?;
    for round in 0..scaled(1_000) {
        let op = dice.op(&[s.checked], &contents);
        op.write(&mut *txn)?;
        op.note(&mut contents);
        if round % 20 == 0 {
            let rows = contents.get(&s.checked).cloned().unwrap_or_default();
            let mark = txn.savepoint()?;
            txn.put(s.checked, b"to be rolled back", &[7; 40])?;
            txn.delete_range(s.checked, &KeyRange::prefix(b"a"))?;
            txn.rollback_to(mark)?;
            txn.release(mark)?;
            table_holds(&*txn, s.checked, &rows, &format!("round {round}"))?;
        }
    }
    txn.commit(QUICK)?;
    s.holds(&contents, "after the commit")
}

pub(crate) fn one_row_in_two_tables_is_sealed_for_each(lab: &Lab) -> CaseResult {
    let other = storage_api::TableDef::new("checked-too").with_envelope();
    let tables = [crate::lab::CHECKED, other, crate::lab::A];
    let s = lab.open_with(&tables, &storage_api::OpenOptions::new())?;
    let second = s.catalogue().id("checked-too")?;
    let rows = numbered_rows(50);
    s.fill_rows(s.checked, &rows)?;
    s.fill_rows(second, &rows)?;
    s.apply(
        &batch_of(|batch| batch.delete(s.checked, &7_u64.to_be_bytes()))?,
        QUICK,
    )?;
    let mut left = rows.clone();
    left.remove(&7_u64.to_be_bytes()[..]);
    s.table_holds(s.checked, &left, "one table with checksums")?;
    s.table_holds(second, &rows, "the other table with checksums")
}
