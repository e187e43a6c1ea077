//! Write transactions: they read their own writes through every way of reading, commit as a whole,
//! and leave nothing behind when they are dropped. Savepoints are in [`super::savepoint`].

use storage_api::{Durability, Error, ErrorKind, KeyRange, TableId};

use crate::case::{CaseResult, ensure, ensure_eq, ensure_refused};
use crate::lab::{Lab, QUICK, reader_holds, table_holds};
use crate::ops::{
    Contents, Dice, TableRows, backward, forward, in_range, numbered_rows, rows_of, same_rows,
    scaled,
};
use crate::probe::ReadProbe;

pub(crate) fn get_reads_own_writes(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    for table in [s.a, s.checked] {
        s.fill(
            table,
            [
                (&b"kept"[..], &b"1"[..]),
                (b"changed", b"1"),
                (b"gone", b"1"),
            ],
        )?;
        let mut txn = s.begin_write()?;
        let get = |txn: &dyn ReadProbe, key: &[u8]| txn.get(table, key);
        ensure_eq!(get(&*txn, b"kept")?, Some(b"1".to_vec()), "a committed row");
        txn.put(table, b"changed", b"2")?;
        ensure_eq!(get(&*txn, b"changed")?, Some(b"2".to_vec()), "after a put");
        txn.put(table, b"changed", b"")?;
        ensure_eq!(
            get(&*txn, b"changed")?,
            Some(Vec::new()),
            "after a put of nothing"
        );
        txn.put(table, b"new", b"3")?;
        ensure_eq!(get(&*txn, b"new")?, Some(b"3".to_vec()), "a new row");
        txn.delete(table, b"gone")?;
        ensure_eq!(get(&*txn, b"gone")?, None, "after a delete");
        ensure!(!txn.contains(table, b"gone")?, "contains after a delete");
        txn.put(table, b"gone", b"back")?;
        ensure_eq!(
            get(&*txn, b"gone")?,
            Some(b"back".to_vec()),
            "put again after a delete"
        );
        txn.delete(table, b"new")?;
        ensure_eq!(
            get(&*txn, b"new")?,
            None,
            "after a delete of an uncommitted row"
        );
        txn.commit(QUICK)?;
        let expected = rows_of([(b"changed", b""), (b"gone", b"back"), (b"kept", b"1")]);
        s.table_holds(table, &expected, "after the commit")?;
    }
    Ok(())
}

pub(crate) fn range_deletes_are_read_at_once(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(50);
    let key = |at: u64| at.to_be_bytes();
    for table in [s.a, s.checked] {
        s.fill_rows(table, &rows)?;
        let mut expected = rows.clone();
        let mut txn = s.begin_write()?;
        txn.put(table, &key(60), b"uncommitted")?;
        expected.insert(key(60).to_vec(), b"uncommitted".to_vec());
        for range in [
            KeyRange::half_open(&key(10), &key(20)),
            KeyRange::half_open(&key(5), &key(12)),
            KeyRange::half_open(&key(58), &key(61)),
            KeyRange::from_key(&key(45)),
        ] {
            txn.delete_range(table, &range)?;
            expected.retain(|key, _| !range.contains(key));
            table_holds(
                &*txn,
                table,
                &expected,
                &format!("after deleting {range:?}"),
            )?;
        }
        txn.delete_range(table, &KeyRange::all())?;
        table_holds(&*txn, table, &TableRows::new(), "after deleting everything")?;
        txn.commit(QUICK)?;
        s.table_holds(table, &TableRows::new(), "after the commit")?;
    }
    Ok(())
}

pub(crate) fn put_inside_a_deleted_range_is_back(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(30);
    let key = |at: u64| at.to_be_bytes();
    s.fill_rows(s.a, &rows)?;
    let mut expected = rows.clone();
    let mut txn = s.begin_write()?;
    let range = KeyRange::half_open(&key(5), &key(25));
    txn.delete_range(s.a, &range)?;
    expected.retain(|key, _| !range.contains(key));
    for at in [5, 12, 24] {
        txn.put(s.a, &key(at), b"back")?;
        expected.insert(key(at).to_vec(), b"back".to_vec());
        table_holds(
            &*txn,
            s.a,
            &expected,
            "after a put inside the deleted range",
        )?;
    }
    let range = KeyRange::half_open(&key(10), &key(15));
    txn.delete_range(s.a, &range)?;
    expected.retain(|key, _| !range.contains(key));
    table_holds(&*txn, s.a, &expected, "after deleting part of it again")?;
    txn.put(s.a, &key(11), b"back again")?;
    txn.delete(s.a, &key(24))?;
    expected.insert(key(11).to_vec(), b"back again".to_vec());
    expected.remove(&key(24)[..]);
    table_holds(&*txn, s.a, &expected, "before the commit")?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &expected, "after the commit")
}

pub(crate) fn ranges_and_counts_see_own_writes(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("ranges_and_counts_see_own_writes");
    let mut contents = Contents::new();
    let mut txn = s.begin_write()?;
    for _ in 0..scaled(500) {
        let op = dice.op(&[s.a, s.b], &contents);
        op.write(&mut *txn)?;
        op.note(&mut contents);
    }
    txn.commit(QUICK)?;
    let mut txn = s.begin_write()?;
    for round in 0..scaled(1_000) {
        let op = dice.op(&[s.a, s.b], &contents);
        op.write(&mut *txn)?;
        op.note(&mut contents);
        let (table, range) = (*dice.pick(&[s.a, s.b]), dice.range());
        let expected = contents
            .get(&table)
            .map(|rows| in_range(rows, &range))
            .unwrap_or_default();
        let what = format!("round {round}, after {op:?}");
        same_rows(&txn.rows(table, range.clone())?, &expected, &what)?;
        let mut back = backward(&mut *txn.cursor(table, range)?)?;
        back.reverse();
        same_rows(&back, &expected, &format!("{what}, backward"))?;
        if round % 50 == 0 {
            reader_holds(&*txn, &contents, &what)?;
        }
    }
    txn.commit(QUICK)?;
    s.holds(&contents, "after the commit")
}

pub(crate) fn multi_get_reads_own_writes(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill(
        s.a,
        [
            (&b"a"[..], &b"1"[..]),
            (b"b", b"1"),
            (b"c", b"1"),
            (b"d", b"1"),
        ],
    )?;
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"b", b"2")?;
    txn.delete(s.a, b"c")?;
    txn.put(s.a, b"e", b"")?;
    txn.delete_range(s.a, &KeyRange::from_key(b"d\0"))?;
    let keys: [&[u8]; 7] = [b"e", b"d", b"c", b"b", b"a", b"b", b"x"];
    let mut found = vec![Some(b"never answered".to_vec()); keys.len()];
    txn.multi_get(s.a, &keys, &mut |at, value| {
        found[at] = value.map(<[u8]>::to_vec);
    })?;
    let value = |value: &[u8]| Some(value.to_vec());
    let expected = [
        None,
        value(b"1"),
        None,
        value(b"2"),
        value(b"1"),
        value(b"2"),
        None,
    ];
    ensure_eq!(found, expected, "multi_get in a transaction");
    Ok(txn.abort()?)
}

pub(crate) fn an_aborted_transaction_leaves_nothing(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = rows_of([(b"a", b"1"), (b"b", b"2")]);
    s.fill_rows(s.a, &rows)?;
    let before = s.stats()?.commit_seq;
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"a", b"changed")?;
    txn.put(s.b, b"c", b"new")?;
    txn.delete_range(s.a, &KeyRange::from_key(b"b"))?;
    txn.abort()?;
    s.holds(
        &[(s.a, rows), (s.b, TableRows::new())].into(),
        "after an abort",
    )?;
    ensure_eq!(
        s.stats()?.commit_seq,
        before,
        "the last commit after an abort"
    );
    s.put(s.a, b"c", b"3")?;
    let expected = rows_of([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")]);
    s.table_holds(s.a, &expected, "a commit after the abort")
}

pub(crate) fn trap_25_a_dropped_transaction_aborts(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = rows_of([(b"a", b"1"), (b"b", b"2")]);
    s.fill_rows(s.a, &rows)?;
    for _ in 0..3 {
        let mut txn = s.begin_write()?;
        txn.put(s.a, b"a", b"changed")?;
        txn.put(s.b, b"c", b"new")?;
        txn.delete(s.a, b"b")?;
        drop(txn);
        s.holds(
            &[(s.a, rows.clone()), (s.b, TableRows::new())].into(),
            "after a drop",
        )?;
    }
    // A writer that dropped must not keep the next one out.
    let mut txn = s.begin_write()?;
    txn.delete(s.a, b"b")?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &rows_of([(b"a", b"1")]), "the transaction after")
}

pub(crate) fn a_commit_is_all_or_nothing_over_tables(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut contents = Contents::new();
    for round in 0..10_u8 {
        let mut txn = s.begin_write()?;
        for table in s.tables() {
            txn.put(table, b"round", &[round])?;
            txn.put(table, &[round + 1], &[round; 5])?;
            if round % 2 == 0 {
                let rows = contents.entry(table).or_default();
                rows.insert(b"round".to_vec(), vec![round]);
                rows.insert(vec![round + 1], vec![round; 5]);
            }
        }
        if round % 2 == 0 {
            txn.commit(QUICK).map(|_| ())?;
        } else {
            txn.abort()?;
        }
        s.holds(&contents, &format!("after round {round}"))?;
    }
    Ok(())
}

pub(crate) fn commits_have_rising_places(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut last = s.stats()?.commit_seq;
    for number in 0..30_u8 {
        let mut txn = s.begin_write()?;
        txn.put(s.a, &[number + 1], b"v")?;
        let seq = txn.commit(QUICK)?.seq;
        ensure!(
            seq.is_some_and(|seq| seq > last),
            "commit {seq:?} does not come after {last}"
        );
        last = seq.unwrap_or_default();
        ensure_eq!(
            s.stats()?.commit_seq,
            last,
            "the last commit in the statistics"
        );
    }
    Ok(())
}

pub(crate) fn a_transaction_may_write_nothing(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = rows_of([(b"k", b"v")]);
    s.fill_rows(s.a, &rows)?;
    s.begin_write()?.commit(QUICK)?;
    let mut txn = s.begin_write()?;
    ensure_eq!(
        txn.get(s.a, b"k")?,
        Some(b"v".to_vec()),
        "a read in a transaction"
    );
    txn.delete_range(s.a, &KeyRange::empty())?;
    txn.delete(s.b, b"absent")?;
    txn.commit(Durability::Buffered)?;
    s.table_holds(s.a, &rows, "after transactions without effect")
}

pub(crate) fn a_transaction_begins_at_the_last_commit(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    for number in 0..20_u8 {
        let txn = s.begin_write()?;
        let seen = txn.get(s.a, b"k")?;
        let expected = number.checked_sub(1).map(|before| vec![before]);
        ensure_eq!(seen, expected, "what transaction {number} reads first");
        drop(txn);
        s.put(s.a, b"k", &[number])?;
    }
    Ok(())
}

pub(crate) fn trap_24_a_refused_operation_leaves_it_usable(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"old", b"old")?;
    let (unknown, long) = (TableId::new(u16::MAX), vec![b'k'; 512]);
    let mut txn = s.begin_write()?;
    txn.put(s.a, b"before", b"1")?;
    ensure_refused!(
        txn.put(s.a, b"", b"v"),
        ErrorKind::EmptyKey,
        "put of the empty key"
    );
    ensure_refused!(
        txn.delete(s.a, b""),
        ErrorKind::EmptyKey,
        "delete of the empty key"
    );
    let kind = txn.put(s.a, &long, b"v");
    ensure_refused!(
        kind,
        ErrorKind::KeyTooLong { len: 512, max: 511 },
        "put of a long key"
    );
    let kind = txn.delete(s.a, &long);
    ensure_refused!(
        kind,
        ErrorKind::KeyTooLong { len: 512, max: 511 },
        "delete of a long key"
    );
    let kind = txn.put(unknown, b"k", b"v");
    ensure_refused!(
        kind,
        ErrorKind::UnknownTable { .. },
        "put to an unknown table"
    );
    let kind = txn.delete_range(unknown, &KeyRange::all());
    ensure_refused!(
        kind,
        ErrorKind::UnknownTable { .. },
        "range delete in an unknown table"
    );
    let kind = txn.get(unknown, b"k");
    ensure_refused!(
        kind,
        ErrorKind::UnknownTable { .. },
        "get from an unknown table"
    );
    txn.put(s.a, b"after", b"2")?;
    let expected = rows_of([(b"after", b"2"), (b"before", b"1"), (b"old", b"old")]);
    table_holds(&*txn, s.a, &expected, "after refused operations")?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &expected, "after the commit")
}

pub(crate) fn the_update_closure_commits(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut runs = 0;
    let commit = s.update(QUICK, &mut |txn| {
        runs += 1;
        let old = txn.get(s.a, b"k")?.map_or(0, |value| value.len());
        txn.put(s.a, b"k", &vec![1; old + 1])
    })?;
    ensure_eq!(runs, 1, "runs of a closure that meets no conflict");
    ensure_eq!(
        s.begin_read()?.commit_seq()?,
        commit.seq.unwrap_or_default(),
        "its commit"
    );
    s.table_holds(s.a, &rows_of([(b"k", b"\x01")]), "after an update")
}

pub(crate) fn the_update_closure_aborts_on_error(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut runs = 0;
    let refused = s.update(QUICK, &mut |txn| {
        runs += 1;
        txn.put(s.a, b"k", b"v")?;
        Err(Error::invalid("told to fail"))
    });
    ensure_refused!(
        refused,
        ErrorKind::InvalidArgument { .. },
        "the closure's error"
    );
    ensure_eq!(
        runs,
        1,
        "runs of a closure with an error that is not retryable"
    );
    s.table_holds(s.a, &TableRows::new(), "after a failed update")?;
    let mut runs = 0;
    s.update(QUICK, &mut |txn| {
        runs += 1;
        txn.put(s.a, b"k", &[runs])?;
        if runs < 4 {
            Err(ErrorKind::Conflict.into())
        } else {
            Ok(())
        }
    })?;
    s.table_holds(s.a, &rows_of([(b"k", b"\x04")]), "after three conflicts")
}

pub(crate) fn a_large_transaction(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(scaled(50_000));
    let mut order: Vec<(&Vec<u8>, &Vec<u8>)> = rows.iter().collect();
    Dice::of("a_large_transaction").shuffle(&mut order);
    let mut txn = s.begin_write()?;
    for (at, (key, value)) in order.iter().enumerate() {
        txn.put(s.a, key, value)?;
        if at % 100 == 0 {
            ensure_eq!(
                txn.get(s.a, key)?.as_ref(),
                Some(*value),
                "a row just written"
            );
        }
    }
    let all = in_range(&rows, &KeyRange::all());
    same_rows(
        &forward(&mut *txn.cursor(s.a, KeyRange::all())?)?,
        &all,
        "before the commit",
    )?;
    txn.commit(QUICK)?;
    s.table_holds(s.a, &rows, "after the commit")
}

pub(crate) fn random_transactions_against_the_model(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("random_transactions_against_the_model");
    let (tables, mut contents) = (s.tables(), Contents::new());
    for round in 0..scaled(300) {
        let mut txn = s.begin_write()?;
        let mut changed = contents.clone();
        for _ in 0..1 + dice.below(40) {
            let op = dice.op(&tables, &changed);
            op.write(&mut *txn)?;
            op.note(&mut changed);
            if dice.once_in(8) {
                let table = *dice.pick(&tables);
                let rows = changed.get(&table).cloned().unwrap_or_default();
                table_holds(&*txn, table, &rows, &format!("round {round}, inside"))?;
            }
        }
        match dice.below(3) {
            0 => txn.abort()?,
            1 => drop(txn),
            _ => {
                txn.commit(QUICK)?;
                contents = changed;
            }
        }
        s.holds(&contents, &format!("after round {round}"))?;
    }
    Ok(())
}

pub(crate) fn trap_12_a_transaction_stays_in_its_thread(lab: &Lab) -> CaseResult {
    // Moving one to another thread does not compile (see `conformance::traps`); each thread has its
    // own.
    let s = lab.open()?;
    let (store, table) = (&*s.store, s.a);
    let mut expected = TableRows::new();
    for number in 0..4_u8 {
        let written = std::thread::scope(|scope| {
            let writer = scope.spawn(move || -> CaseResult {
                let mut txn = store.begin_write()?;
                txn.put(table, &[number + 1], &[number])?;
                txn.commit(QUICK)?;
                Ok(())
            });
            writer.join()
        });
        written.map_err(|_| crate::case::CaseError::failed("the writing thread panicked"))??;
        expected.insert(vec![number + 1], vec![number]);
        s.table_holds(table, &expected, "after a transaction of another thread")?;
    }
    s.put(table, b"own", b"1")?;
    expected.insert(b"own".to_vec(), b"1".to_vec());
    s.table_holds(table, &expected, "after a commit of this thread")
}
