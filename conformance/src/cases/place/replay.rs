//! Whole lives of a store against the model: streams of operations with reopenings, and contents
//! that move to the model and back.

use storage_api::{CommitSeq, Durability, OpenOptions, TableDef, TableId};

use crate::case::{CaseResult, ensure, ensure_eq};
use crate::differential::agrees_with_the_model;
use crate::lab::{A, B, C, CHECKED, Lab, POINTS, QUICK, Subject};
use crate::model::ModelDiskHarness;
use crate::ops::{Contents, Dice, TableRows, batch_of, scaled, seed_of_run};

pub(crate) fn a_stream_means_what_it_means_on_the_model(lab: &Lab) -> CaseResult {
    agrees_with_the_model(lab, seed_of_run(), scaled(3_000))
}

/// Some life: commits of every kind over two tables.
fn lived(s: &Subject) -> Result<Contents, crate::case::CaseError> {
    let mut dice = Dice::of("lived");
    let mut contents = Contents::new();
    for _ in 0..scaled(60) {
        let ops: Vec<_> = (0..1 + dice.below(20))
            .map(|_| dice.op(&[s.a, s.checked], &contents))
            .collect();
        s.apply(
            &batch_of(|batch| ops.iter().try_for_each(|op| op.write(batch)))?,
            QUICK,
        )?;
        ops.iter().for_each(|op| op.note(&mut contents));
    }
    Ok(contents)
}

/// Copies the rows of both tables.
fn copy(from: &Subject, to: &Subject) -> CaseResult {
    let view = from.begin_read()?;
    for (table, other) in [(from.a, to.a), (from.checked, to.checked)] {
        let rows: TableRows = view
            .rows(table, storage_api::KeyRange::all())?
            .into_iter()
            .collect();
        to.fill_rows(other, &rows)?;
    }
    Ok(())
}

pub(crate) fn contents_move_to_the_model_and_back(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    let contents = lived(&s)?;
    let model_lab = Lab::new(ModelDiskHarness::default());
    let model = model_lab.open()?;
    copy(&s, &model)?;
    model.holds(&contents, "the model after the move")?;
    // Emptied and filled again from the model.
    let all = storage_api::KeyRange::all();
    s.apply(
        &batch_of(|batch| {
            use storage_api::Writer as _;
            batch.delete_range(s.a, &all)?;
            batch.delete_range(s.checked, &all)
        })?,
        QUICK,
    )?;
    copy(&model, &s)?;
    s.holds(&contents, "the store after the move back")
}

/// What a move of a whole store relies on, since change sets and undo records hold numbers.
pub(crate) fn numbers_of_tables_move_with_them(lab: &Lab) -> CaseResult {
    let options = OpenOptions::new();
    let model_lab = Lab::new(ModelDiskHarness::default());
    // Tables that came one after the other, in another order than that of the standard tables.
    drop(model_lab.open_with(&[C, CHECKED], &options)?);
    let model = model_lab.open_with(&[POINTS, A, CHECKED, B], &options)?;
    let mut tables: Vec<(TableId, TableDef)> = model
        .catalogue()
        .iter()
        .map(|table| (table.id, table.def.clone()))
        .collect();
    tables.sort_by_key(|(id, _)| *id);
    let defs: Vec<TableDef> = tables.iter().map(|(_, def)| def.clone()).collect();
    let s = lab.open_with(&defs, &options)?;
    for (id, def) in tables {
        let name = def.name();
        ensure_eq!(s.catalogue().id(name)?, id, "the number of table {name}");
    }
    Ok(())
}

/// After any schedule of commits, syncs and closings a store holds a prefix of its commits, and all
/// of those that had to outlive what happened.
pub(crate) fn what_is_left_is_a_prefix_of_the_commits(lab: &Lab) -> CaseResult {
    drop(lab.open_persistent()?);
    let mut dice = Dice::of("what_is_left_is_a_prefix_of_the_commits");
    let mut states = vec![Contents::new()];
    let mut safe = 0;
    for round in 0..scaled(40).max(4) {
        let s = lab.open()?;
        let found: u64 = s.begin_read()?.commit_seq()?.get();
        let place = usize::try_from(found).unwrap_or(usize::MAX);
        ensure!(
            (safe..states.len()).contains(&place),
            "round {round}: commit {found} is left of {}, {safe} were safe",
            states.len() - 1
        );
        states.truncate(place + 1);
        let mut contents = states[place].clone();
        s.holds(&contents, &format!("round {round} at commit {found}"))?;
        for _ in 0..1 + dice.below(5) {
            let ops: Vec<_> = (0..1 + dice.below(6))
                .map(|_| dice.op(&[s.a, s.checked], &contents))
                .collect();
            let level = *dice.pick(&[
                Durability::Volatile,
                Durability::Buffered,
                Durability::Durable,
            ]);
            let batch = batch_of(|batch| ops.iter().try_for_each(|op| op.write(batch)))?;
            let commit = s.apply(&batch, level)?;
            ops.iter().for_each(|op| op.note(&mut contents));
            states.push(contents.clone());
            ensure!(
                commit.seq.map(CommitSeq::get) == Some((states.len() - 1) as u64),
                "round {round}: commit {:?}, {} expected",
                commit.seq,
                states.len() - 1
            );
            if level != Durability::Volatile {
                safe = states.len() - 1;
            }
        }
        if dice.once_in(3) {
            s.sync()?;
            safe = states.len() - 1;
        }
    }
    Ok(())
}
