//! Cursors: every short sequence of moves against a model, turns, both ends, clamping to the range,
//! independence.

use storage_api::{KeyRange, TableId};

use crate::case::{CaseError, CaseResult, ensure, ensure_eq};
use crate::lab::{Lab, Subject};
use crate::ops::{
    Dice, Move, Scale, TableRows, forward, in_range, numbered_rows, owned, same_rows, scaled, walk,
};
use crate::probe::ReadProbe;

const KEYS: [&[u8]; 5] = [b"b", b"d", b"d\0", b"f", b"h\xff"];

/// Every move that can differ on [`KEYS`]: seeks on a key, between keys, before and behind all.
fn moves() -> Vec<Move> {
    let mut moves = vec![Move::First, Move::Last, Move::Next, Move::Prev];
    let keys: &[&[u8]] = match Scale::of_run() {
        Scale::Tenth => &[b"d", b"e"],
        Scale::Full | Scale::Soak => &[b"a", b"d", b"d\0", b"e", b"z"],
    };
    moves.extend(keys.iter().map(|key| Move::Seek(key.to_vec())));
    moves.extend(keys.iter().map(|key| Move::SeekBack(key.to_vec())));
    // Broken off among the rows, and at the end.
    moves.extend([2, 9].map(Move::Scan));
    moves
}

/// Makes every sequence of four moves; shorter ones are their beginnings.
fn every_sequence(
    reader: &dyn ReadProbe,
    table: TableId,
    rows: &TableRows,
    range: &KeyRange,
) -> CaseResult {
    let (moves, rows) = (moves(), in_range(rows, range));
    let step = |number: usize| moves[number % moves.len()].clone();
    for number in 0..moves.len().pow(4) {
        let n = moves.len();
        let sequence = [
            step(number),
            step(number / n),
            step(number / n / n),
            step(number / n / n / n),
        ];
        let mut cursor = reader.cursor(table, range.clone())?;
        walk(&mut *cursor, &rows, &sequence).map_err(|error| match error {
            CaseError::Failed { what, at } => CaseError::Failed {
                what: format!("in {range:?}, {sequence:?}: {what}"),
                at,
            },
            other => other,
        })?;
    }
    Ok(())
}

fn five_rows() -> TableRows {
    KEYS.iter()
        .map(|key| (key.to_vec(), [b"v", *key].concat()))
        .collect()
}

pub(crate) fn every_sequence_of_four_moves(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill_rows(s.a, &five_rows())?;
    every_sequence(&*s.begin_read()?, s.a, &five_rows(), &KeyRange::all())
}

pub(crate) fn every_sequence_in_a_range(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill_rows(s.checked, &five_rows())?;
    let range = KeyRange::half_open(b"d", b"h");
    every_sequence(&*s.begin_read()?, s.checked, &five_rows(), &range)
}

pub(crate) fn every_sequence_on_one_row_and_on_none(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.fill_rows(s.a, &five_rows())?;
    let view = s.begin_read()?;
    every_sequence(&*view, s.a, &five_rows(), &KeyRange::prefix(b"f"))?;
    every_sequence(&*view, s.a, &five_rows(), &KeyRange::half_open(b"e", b"ee"))
}

/// Commits some rows and leaves others to be written, replaced and deleted by the caller's
/// transaction.
fn commit_half(s: &Subject) -> CaseResult {
    s.fill(
        s.a,
        [
            (&b"a"[..], &b"gone"[..]),
            (b"b", b"vb"),
            (b"d\0", b"old"),
            (b"e", b"gone"),
        ],
    )?;
    s.fill(
        s.a,
        [
            (&b"f"[..], &b"vf"[..]),
            (b"g", b"gone"),
            (b"g\0", b"gone"),
            (b"i", b"gone"),
        ],
    )?;
    Ok(())
}

pub(crate) fn every_sequence_over_uncommitted_rows(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    commit_half(&s)?;
    let mut txn = s.begin_write()?;
    txn.delete(s.a, b"a")?;
    txn.put(s.a, b"d", b"vd")?;
    txn.put(s.a, b"d\0", b"vd\0")?;
    txn.delete(s.a, b"e")?;
    txn.delete_range(s.a, &KeyRange::prefix(b"g"))?;
    txn.put(s.a, b"h\xff", b"vh\xff")?;
    txn.delete(s.a, b"i")?;
    every_sequence(&*txn, s.a, &five_rows(), &KeyRange::all())?;
    every_sequence(&*txn, s.a, &five_rows(), &KeyRange::half_open(b"d", b"h"))?;
    Ok(txn.abort()?)
}

pub(crate) fn a_fresh_cursor_stands_before_the_first_row(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = five_rows();
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    for range in [
        KeyRange::all(),
        KeyRange::half_open(b"c", b"g"),
        KeyRange::from_key(b"d"),
    ] {
        let inside = in_range(&rows, &range);
        let mut cursor = view.cursor(s.a, range.clone())?;
        ensure_eq!(
            cursor.next()?.map(owned),
            inside.first().cloned(),
            "next on a fresh cursor"
        );
        let mut cursor = view.cursor(s.a, range)?;
        ensure_eq!(cursor.prev()?.map(owned), None, "prev on a fresh cursor");
        ensure_eq!(
            cursor.next()?.map(owned),
            inside.first().cloned(),
            "next after that"
        );
    }
    Ok(())
}

pub(crate) fn past_the_end_and_back(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = five_rows();
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    for range in [KeyRange::all(), KeyRange::half_open(b"c", b"g")] {
        let inside = in_range(&rows, &range);
        let mut cursor = view.cursor(s.a, range)?;
        same_rows(&forward(&mut *cursor)?, &inside, "forward to the end")?;
        for _ in 0..3 {
            ensure_eq!(cursor.next()?.map(owned), None, "next behind the last row");
        }
        ensure_eq!(
            cursor.prev()?.map(owned),
            inside.last().cloned(),
            "prev from behind"
        );
        ensure_eq!(cursor.next()?.map(owned), None, "next from the last row");
        let mut back = Vec::new();
        while let Some(row) = cursor.prev()? {
            back.push(owned(row));
        }
        back.reverse();
        same_rows(&back, &inside, "backward from behind the last row")?;
        for _ in 0..3 {
            ensure_eq!(cursor.prev()?.map(owned), None, "prev before the first row");
        }
        ensure_eq!(
            cursor.next()?.map(owned),
            inside.first().cloned(),
            "next from before"
        );
    }
    Ok(())
}

pub(crate) fn turning_round_on_every_row(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(60);
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    let all = in_range(&rows, &KeyRange::all());
    let mut moves = Vec::new();
    for (at, (key, _)) in all.iter().enumerate() {
        moves.push(Move::First);
        moves.extend(std::iter::repeat_n(Move::Next, at));
        moves.extend([Move::Prev, Move::Next, Move::Next, Move::Prev, Move::Prev]);
        moves.push(Move::Seek(key.clone()));
        moves.extend([Move::Prev, Move::Next, Move::Next, Move::Prev]);
        moves.push(Move::SeekBack(key.clone()));
        moves.extend([Move::Next, Move::Prev, Move::Prev, Move::Next]);
    }
    walk(&mut *view.cursor(s.a, KeyRange::all())?, &all, &moves)
}

pub(crate) fn seeks_are_clamped_to_the_range(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = five_rows();
    s.fill_rows(s.a, &rows)?;
    let view = s.begin_read()?;
    let range = KeyRange::half_open(b"d", b"h");
    let (d, f) = (
        Some((b"d".to_vec(), b"vd".to_vec())),
        Some((b"f".to_vec(), b"vf".to_vec())),
    );
    let mut cursor = view.cursor(s.a, range)?;
    ensure_eq!(cursor.seek(b"a")?.map(owned), d, "seek before the range");
    ensure_eq!(cursor.seek(b"z")?.map(owned), None, "seek behind the range");
    ensure_eq!(cursor.prev()?.map(owned), f, "prev after that");
    ensure_eq!(
        cursor.seek(b"g")?.map(owned),
        None,
        "seek behind the last row of the range"
    );
    ensure_eq!(
        cursor.seek_back(b"z")?.map(owned),
        f,
        "seek_back behind the range"
    );
    ensure_eq!(
        cursor.seek_back(b"h\xff")?.map(owned),
        f,
        "seek_back to a row behind the range"
    );
    ensure_eq!(
        cursor.seek_back(b"c")?.map(owned),
        None,
        "seek_back before the range"
    );
    ensure_eq!(cursor.next()?.map(owned), d, "next after that");
    ensure_eq!(
        cursor.seek_back(b"b")?.map(owned),
        None,
        "seek_back to a row before the range"
    );
    Ok(())
}

pub(crate) fn seeks_with_empty_and_long_keys(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = five_rows();
    s.fill_rows(s.a, &rows)?;
    let all = in_range(&rows, &KeyRange::all());
    let view = s.begin_read()?;
    let mut moves = Vec::new();
    for key in [
        vec![],
        vec![b'd'; 600],
        vec![0; 600],
        vec![0xff; 600],
        vec![b'd'; 70_000],
    ] {
        for there in [Move::Seek(key.clone()), Move::SeekBack(key.clone())] {
            moves.extend([
                there.clone(),
                Move::Next,
                there.clone(),
                Move::Prev,
                there,
                Move::Prev,
            ]);
        }
    }
    walk(&mut *view.cursor(s.a, KeyRange::all())?, &all, &moves)
}

pub(crate) fn cursors_do_not_disturb_each_other(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let (rows, mut dice) = (
        numbered_rows(40),
        Dice::of("cursors_do_not_disturb_each_other"),
    );
    s.fill_rows(s.a, &rows)?;
    s.fill_rows(s.b, &rows)?;
    let view = s.begin_read()?;
    let all = in_range(&rows, &KeyRange::all());
    let mut places = [0_usize; 6];
    let mut cursors = Vec::new();
    for at in 0..places.len() {
        cursors.push(view.cursor(if at % 2 == 0 { s.a } else { s.b }, KeyRange::all())?);
    }
    for _ in 0..scaled(2_000) {
        let at = dice.below(places.len());
        let (cursor, place) = (&mut cursors[at], &mut places[at]);
        let forward = dice.once_in(2);
        let found = if forward {
            cursor.next()?
        } else {
            cursor.prev()?
        }
        .map(owned);
        *place = if forward {
            (*place + 1).min(all.len() + 1)
        } else {
            place.saturating_sub(1)
        };
        let expected = place.checked_sub(1).and_then(|row| all.get(row)).cloned();
        ensure_eq!(found, expected, "one of several cursors");
    }
    // A cursor that is dropped half-way must leave nothing behind for the next one.
    drop(cursors);
    same_rows(
        &view.rows(s.a, KeyRange::all())?,
        &all,
        "a cursor made after others were dropped",
    )
}

pub(crate) fn a_random_walk_over_many_rows(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("a_random_walk_over_many_rows");
    let rows: TableRows = (0..scaled(20_000))
        .map(|_| (dice.key(), dice.value()))
        .collect();
    s.fill_rows(s.a, &rows)?;
    s.fill_rows(s.checked, &rows)?;
    let view = s.begin_read()?;
    for round in 0..20 {
        let range = if round == 0 {
            KeyRange::all()
        } else {
            dice.range()
        };
        let inside = in_range(&rows, &range);
        let moves: Vec<Move> = (0..scaled(3_000))
            .map(|_| match dice.below(20) {
                0 => Move::First,
                1 => Move::Last,
                2..=4 => Move::Seek(dice.key()),
                5..=7 => Move::SeekBack(dice.key()),
                8..=12 => Move::Next,
                13 | 14 => Move::Scan(1 + dice.below(40)),
                _ => Move::Prev,
            })
            .collect();
        let table = if round % 4 == 3 { s.checked } else { s.a };
        walk(&mut *view.cursor(table, range)?, &inside, &moves)?;
    }
    Ok(())
}

pub(crate) fn a_random_walk_in_a_transaction(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let mut dice = Dice::of("a_random_walk_in_a_transaction");
    let mut contents = crate::ops::Contents::new();
    let mut batch = storage_api::WriteBatch::new();
    for _ in 0..scaled(2_000) {
        let op = dice.op(&[s.a], &contents);
        op.write(&mut batch)?;
        op.note(&mut contents);
    }
    s.apply(&batch, crate::lab::QUICK)?;
    let mut txn = s.begin_write()?;
    for _ in 0..12 {
        for _ in 0..scaled(500) {
            let op = dice.op(&[s.a], &contents);
            op.write(&mut *txn)?;
            op.note(&mut contents);
        }
        let range = if dice.once_in(3) {
            KeyRange::all()
        } else {
            dice.range()
        };
        let inside = in_range(&contents[&s.a], &range);
        let moves: Vec<Move> = (0..scaled(2_000))
            .map(|_| match dice.below(10) {
                0 => Move::Seek(dice.key()),
                1 => Move::SeekBack(dice.key()),
                2..=5 => Move::Next,
                6 => Move::Scan(1 + dice.below(40)),
                _ => Move::Prev,
            })
            .collect();
        walk(&mut *txn.cursor(s.a, range)?, &inside, &moves)?;
    }
    Ok(txn.abort()?)
}

pub(crate) fn a_scan_stands_where_it_was_broken_off(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let rows = numbered_rows(100);
    for table in [s.a, s.checked] {
        s.fill_rows(table, &rows)?;
        let all = in_range(&rows, &KeyRange::all());
        let view = s.begin_read()?;
        for rows_max in [1, 2, 50, 99, 100, 101, usize::MAX] {
            for then in [
                Move::Next,
                Move::Prev,
                Move::Scan(3),
                Move::First,
                Move::Last,
            ] {
                for before in [
                    Move::First,
                    Move::Last,
                    Move::Prev,
                    Move::Seek(all[50].0.clone()),
                ] {
                    let moves = [
                        before,
                        Move::Scan(rows_max),
                        then.clone(),
                        Move::Next,
                        Move::Prev,
                    ];
                    walk(&mut *view.cursor(table, KeyRange::all())?, &all, &moves)?;
                    walk(
                        &mut *view.cursor(table, KeyRange::all())?,
                        &all,
                        &moves[1..],
                    )?;
                }
            }
        }
        let nothing = KeyRange::half_open(b"x", b"x");
        walk(
            &mut *view.cursor(table, nothing)?,
            &[],
            &[Move::Scan(1), Move::Prev, Move::Scan(1)],
        )?;
    }
    Ok(())
}

pub(crate) fn entries_carry_values_of_any_size(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let sizes = [0, 1, 4_000, 4_096, 70_000, 300_000, 0, 5];
    let rows: TableRows = sizes
        .iter()
        .enumerate()
        .map(|(at, size)| (vec![at as u8 + 1], vec![at as u8; *size]))
        .collect();
    for table in [s.a, s.checked, s.large] {
        s.fill_rows(table, &rows)?;
        let all = in_range(&rows, &KeyRange::all());
        let view = s.begin_read()?;
        let mut moves = vec![Move::Next; all.len() + 1];
        moves.extend(vec![Move::Prev; all.len() + 1]);
        moves.extend([
            Move::Seek(vec![6]),
            Move::Prev,
            Move::SeekBack(vec![5, 0]),
            Move::Next,
        ]);
        walk(&mut *view.cursor(table, KeyRange::all())?, &all, &moves)?;
    }
    Ok(())
}

pub(crate) fn trap_08_rows_found_by_a_cursor_can_be_deleted_after_it(lab: &Lab) -> CaseResult {
    // Writing while the cursor lives does not compile (see `conformance::traps`); this is the way
    // that does.
    let s = lab.open()?;
    let rows = numbered_rows(scaled(500));
    s.fill_rows(s.a, &rows)?;
    let mut txn = s.begin_write()?;
    let mut found = Vec::new();
    {
        let mut cursor = txn.cursor(s.a, KeyRange::all())?;
        while let Some(row) = cursor.next()? {
            if row.key.last().is_some_and(|last| last % 2 == 0) {
                found.push(row.key.to_vec());
            }
        }
    }
    for key in &found {
        txn.delete(s.a, key)?;
    }
    txn.commit(crate::lab::QUICK)?;
    ensure!(!found.is_empty(), "nothing was found to delete");
    let kept = rows
        .into_iter()
        .filter(|(key, _)| !found.contains(key))
        .collect();
    s.table_holds(s.a, &kept, "after deleting what a cursor found")
}
