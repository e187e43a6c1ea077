//! Opening and closing a place: what is kept, what is refused, who may hold it. The directory
//! itself is in [`super::directory`].

use storage_api::{
    Access, ChainId, CommitOrder, ErrorKind, IfMissing, KeyLimit, OpenOptions, Schema, Sharing,
    TableDef, TableId, Writer as _,
};

use crate::case::{
    CaseError, CaseResult, ensure, ensure_eq, ensure_refused, refused_as_unsupported,
};
use crate::lab::{A, B, C, CHECKED, Lab, QUICK, STANDARD, Subject, WIDE};
use crate::ops::{Contents, batch_of, numbered_rows, rows_of};

fn of_chain(name: &str) -> Result<OpenOptions, CaseError> {
    let mut options = OpenOptions::new();
    options.chain_id = Some(ChainId::new(name)?);
    Ok(options)
}

pub(crate) fn the_report_says_what_was_made(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    ensure!(s.report.created, "a new store is reported as found");
    let all: Vec<TableId> = s.catalogue().iter().map(|table| table.id).collect();
    ensure_eq!(s.report.tables_added, all, "tables that the schema added");
    ensure_eq!(
        s.report.tables_unnamed,
        Vec::new(),
        "tables that the schema does not name"
    );
    ensure_eq!(s.report.recovered, None, "recovery of a new store");
    drop(s);
    let s = lab.open_persistent()?;
    ensure!(!s.report.created, "an existing store is reported as made");
    ensure_eq!(
        s.report.tables_added,
        Vec::new(),
        "tables added by the same schema"
    );
    Ok(())
}

pub(crate) fn trap_28_a_clean_end_needs_no_recovery(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    s.fill_rows(s.a, &numbered_rows(500))?;
    s.sync()?;
    drop(s);
    for _ in 0..2 {
        let s = lab.open()?;
        ensure_eq!(s.report.recovered, None, "recovery after a clean end");
        s.table_holds(s.a, &numbered_rows(500), "after a clean end")?;
    }
    Ok(())
}

pub(crate) fn catalogue_survives_added_and_reordered_tables(lab: &Lab) -> CaseResult {
    let s = lab.open_with(&[A, B, C], &OpenOptions::new())?;
    if !s.capabilities().persistent {
        return Err(CaseError::skipped("persistent is not declared"));
    }
    let ids = [s.a, s.b, s.c];
    ensure!(
        ids[0] < ids[1] && ids[1] < ids[2],
        "numbers do not follow the declaration: {ids:?}"
    );
    for (table, value) in [(s.a, b"a"), (s.b, b"b"), (s.c, b"c")] {
        s.put(table, b"name", value)?;
    }
    s.sync()?;
    drop(s);
    let first = TableDef::new("first");
    let tables = [first.clone(), C, CHECKED, A, WIDE, B];
    let s = lab.open_with(&tables, &OpenOptions::new())?;
    ensure_eq!([s.a, s.b, s.c], ids, "numbers after reordering the schema");
    let added: Vec<TableId> = ["first", "checked", "wide"]
        .iter()
        .map(|name| s.catalogue().id(name))
        .collect::<Result<_, _>>()?;
    ensure_eq!(
        s.report.tables_added,
        added,
        "added tables, in order of declaration"
    );
    ensure!(
        added.iter().all(|id| *id > ids[2]),
        "an added table took an old number: {added:?}"
    );
    for (table, value) in [(s.a, b"a"), (s.b, b"b"), (s.c, b"c")] {
        s.table_holds(table, &rows_of([(b"name", value)]), "after adding tables")?;
    }
    s.put(added[0], b"name", b"first")?;
    s.sync()?;
    drop(s);
    let s = lab.open_with(&[B, first], &OpenOptions::new())?;
    ensure_eq!(
        [s.a, s.b, s.c],
        ids,
        "numbers when the schema names fewer tables"
    );
    s.table_holds(added[0], &rows_of([(b"name", b"first")]), "the added table")
}

pub(crate) fn trap_16_unnamed_tables_are_kept(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    let (a, b, checked) = (s.a, s.b, s.checked);
    for table in [a, b, checked] {
        s.put(table, b"k", b"v")?;
    }
    s.sync()?;
    drop(s);
    let s = lab.open_with(&[B], &OpenOptions::new())?;
    ensure_eq!(
        s.report.tables_unnamed.len(),
        STANDARD.len() - 1,
        "unnamed tables reported"
    );
    ensure!(
        !s.report.tables_unnamed.contains(&b),
        "a named table is reported as unnamed"
    );
    ensure_eq!(
        s.catalogue().len(),
        STANDARD.len(),
        "tables in the catalogue"
    );
    for table in [a, b, checked] {
        s.table_holds(
            table,
            &rows_of([(b"k", b"v")]),
            "under a schema of one table",
        )?;
        s.put(table, b"k2", b"v")?;
    }
    s.sync()?;
    drop(s);
    let s = lab.open()?;
    ensure_eq!(
        s.report.tables_unnamed,
        Vec::new(),
        "unnamed tables under the whole schema"
    );
    for table in [a, b, checked] {
        s.table_holds(
            table,
            &rows_of([(b"k", b"v"), (b"k2", b"v")]),
            "under the whole schema",
        )?;
    }
    Ok(())
}

pub(crate) fn changed_hints_are_applied(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    let rows = numbered_rows(200);
    let a = s.a;
    s.fill_rows(a, &rows)?;
    s.sync()?;
    drop(s);
    let mut tables = STANDARD.to_vec();
    let changes = [
        A.large_values().prefix_bytes(2),
        A.append_only(),
        A.point_lookups().prefix_bytes(7),
        A,
    ];
    for hinted in changes {
        tables[0] = hinted.clone();
        let s = lab.open_with(&tables, &OpenOptions::new())?;
        ensure_eq!(s.a, a, "the number of a table with other hints");
        let in_force = s.catalogue().get(a).map(|table| table.def.clone());
        ensure_eq!(in_force, Some(hinted.clone()), "the definition in force");
        s.table_holds(a, &rows, "under other hints")?;
        s.put(a, b"written under other hints", b"v")?;
        s.apply(
            &batch_of(|batch| batch.delete(a, b"written under other hints"))?,
            QUICK,
        )?;
        s.table_holds(a, &rows, "after writes under other hints")?;
        s.sync()?;
        drop(s);
        let s = lab.open_existing(&OpenOptions::new())?;
        let kept = s.catalogue().get(a).map(|table| table.def.clone());
        ensure_eq!(kept, Some(hinted), "the definition without a schema");
    }
    Ok(())
}

pub(crate) fn changed_settings_are_refused(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    s.put(s.a, b"k", b"v")?;
    s.put(s.checked, b"k", b"v")?;
    s.sync()?;
    drop(s);
    let changed = [
        A.with_envelope(),
        A.with_key_limit(KeyLimit::Engine),
        TableDef::new("checked"),
        TableDef::new("wide"),
    ];
    for table in changed {
        let refused = lab.open_with(&[table, TableDef::new("unrelated")], &OpenOptions::new());
        ensure_refused!(
            refused,
            ErrorKind::SchemaRefused { .. },
            "a changed setting"
        );
    }
    let s = lab.open()?;
    ensure_eq!(
        s.catalogue().len(),
        STANDARD.len(),
        "tables after refused openings"
    );
    for table in [s.a, s.checked] {
        s.table_holds(table, &rows_of([(b"k", b"v")]), "after refused openings")?;
    }
    Ok(())
}

pub(crate) fn bad_schemas_are_refused(_: &Lab) -> CaseResult {
    let long: &'static str = "a2345678901234567890123456789012345678901234567890123456789012345";
    for name in [
        "", "A", "1a", "a b", "a_b", "-a", ".", "a/b", "\u{e4}", long,
    ] {
        let refused = Schema::new(&[TableDef::new(name)]);
        ensure_refused!(
            refused,
            ErrorKind::SchemaRefused { .. },
            "table name {name:?}"
        );
    }
    Schema::new(&[
        TableDef::new("a"),
        TableDef::new("a0.b-c"),
        TableDef::new(&long[..64]),
    ])?;
    let twice = Schema::new(&[A, A.with_envelope()]);
    ensure_refused!(
        twice,
        ErrorKind::SchemaRefused { .. },
        "a name declared in two ways"
    );
    ensure_eq!(
        Schema::new(&[A, A])?.tables().len(),
        1,
        "tables of the same declaration twice"
    );
    Ok(())
}

pub(crate) fn tools_need_no_schema(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    let (a, checked) = (s.a, s.checked);
    s.fill_rows(a, &numbered_rows(50))?;
    s.fill_rows(checked, &numbered_rows(50))?;
    s.sync()?;
    drop(s);
    let s = lab.open_existing(&OpenOptions::new())?;
    let names: Vec<&str> = s.catalogue().iter().map(|table| table.def.name()).collect();
    ensure_eq!(
        names,
        STANDARD.each_ref().map(TableDef::name).to_vec(),
        "tables without a schema"
    );
    ensure_eq!(
        s.catalogue().by_name("checked").map(|t| t.def.clone()),
        Some(CHECKED),
        "settings"
    );
    for table in [a, checked] {
        s.table_holds(table, &numbered_rows(50), "without a schema")?;
        s.put(table, b"k", b"v")?;
    }
    Ok(())
}

pub(crate) fn chains_do_not_mix(lab: &Lab) -> CaseResult {
    let s = lab.open_with(&STANDARD, &of_chain("bitcoin:main")?)?;
    if !s.capabilities().persistent {
        return Err(CaseError::skipped("persistent is not declared"));
    }
    s.put(s.a, b"k", b"v")?;
    s.sync()?;
    drop(s);
    for _ in 0..2 {
        let refused = lab.open_with(&STANDARD, &of_chain("bitcoin:test")?);
        ensure_refused!(refused, ErrorKind::WrongChain { .. }, "another chain");
        let refused = lab.open_existing(&of_chain("bitcoin:main2")?);
        ensure_refused!(
            refused,
            ErrorKind::WrongChain { .. },
            "another chain, without a schema"
        );
        for options in [of_chain("bitcoin:main")?, OpenOptions::new()] {
            let s = lab.open_with(&STANDARD, &options)?;
            s.table_holds(
                s.a,
                &rows_of([(b"k", b"v")]),
                "the right chain, or none named",
            )?;
        }
    }
    Ok(())
}

pub(crate) fn a_store_without_a_chain_takes_the_first(lab: &Lab) -> CaseResult {
    drop(lab.open_persistent()?);
    drop(lab.open_with(&STANDARD, &of_chain("ethereum:1")?)?);
    let refused = lab.open_with(&STANDARD, &of_chain("ethereum:2")?);
    ensure_refused!(refused, ErrorKind::WrongChain { .. }, "a second chain");
    drop(lab.open_with(&STANDARD, &of_chain("ethereum:1")?)?);
    Ok(())
}

/// Adds a row and shows that the store under test still works.
fn still_works(s: &Subject, key: &[u8]) -> CaseResult {
    s.put(s.a, key, b"v")?;
    ensure_eq!(
        s.get(s.a, key)?,
        Some(b"v".to_vec()),
        "the holder after a refused opening"
    );
    Ok(())
}

pub(crate) fn trap_17_one_writer_holds_the_place(lab: &Lab) -> CaseResult {
    let s = lab.open()?;
    s.put(s.a, b"k", b"v")?;
    if s.capabilities().sharing == Sharing::None {
        let other = lab.open()?;
        ensure_eq!(
            other.rows(other.a)?.len(),
            0,
            "rows of a second store in memory"
        );
        return still_works(&s, b"k2");
    }
    for _ in 0..2 {
        ensure_refused!(lab.open(), ErrorKind::AlreadyOpen { .. }, "a second writer");
        let refused = lab.open_existing(&OpenOptions::new());
        ensure_refused!(
            refused,
            ErrorKind::AlreadyOpen { .. },
            "a second writer, no schema"
        );
        let refused = lab.open_with(&STANDARD, &OpenOptions::read_only());
        ensure_refused!(
            refused,
            ErrorKind::AlreadyOpen { .. },
            "a reader beside the writer"
        );
        still_works(&s, b"k2")?;
    }
    s.sync()?;
    drop(s);
    let s = lab.open()?;
    s.table_holds(
        s.a,
        &rows_of([(b"k", b"v"), (b"k2", b"v")]),
        "after the holder is gone",
    )
}

pub(crate) fn a_view_keeps_the_place_held(lab: &Lab) -> CaseResult {
    let s = lab.open_persistent()?;
    s.put(s.a, b"k", b"v")?;
    let (view, table) = (s.begin_read()?, s.a);
    drop(s);
    ensure_refused!(
        lab.open(),
        ErrorKind::AlreadyOpen { .. },
        "opening while a view lives"
    );
    ensure_eq!(
        view.get(table, b"k")?,
        Some(b"v".to_vec()),
        "the view that holds the place"
    );
    drop(view);
    drop(lab.open()?);
    Ok(())
}

/// What read-only opening gives: a reader where it is declared, a refusal where it is not.
fn open_read_only(lab: &Lab) -> Result<Subject, CaseError> {
    let s = lab.open()?;
    let declared = s.capabilities().read_only_open;
    s.fill_rows(s.a, &numbered_rows(20))?;
    s.sync()?;
    drop(s);
    let opened = lab.open_with(&STANDARD, &OpenOptions::read_only());
    if declared {
        return Ok(opened?);
    }
    refused_as_unsupported(opened.map(|_| ()), "read-only opening")?;
    Err(CaseError::unsupported("opening read-only is refused"))
}

pub(crate) fn a_reader_refuses_every_write(lab: &Lab) -> CaseResult {
    let s = open_read_only(lab)?;
    let batch = batch_of(|batch| batch.put(s.a, b"k", b"v"))?;
    ensure_refused!(s.begin_write(), ErrorKind::ReadOnly, "begin_write");
    let refused = s.try_begin_write(std::time::Duration::ZERO);
    ensure_refused!(refused, ErrorKind::ReadOnly, "try_begin_write");
    ensure_refused!(s.apply(&batch, QUICK), ErrorKind::ReadOnly, "apply");
    let refused = s.update(QUICK, &mut |txn| txn.put(s.a, b"k", b"v"));
    ensure_refused!(refused, ErrorKind::ReadOnly, "update");
    s.table_holds(s.a, &numbered_rows(20), "a store opened read-only")
}

pub(crate) fn readers_share_and_keep_writers_out(lab: &Lab) -> CaseResult {
    let first = open_read_only(lab)?;
    let second = lab.open_with(&STANDARD, &OpenOptions::read_only())?;
    let third = lab.open_existing(&OpenOptions::read_only())?;
    for s in [&first, &second, &third] {
        s.table_holds(s.a, &numbered_rows(20), "one of three readers")?;
    }
    ensure_refused!(
        lab.open(),
        ErrorKind::AlreadyOpen { .. },
        "a writer beside readers"
    );
    drop(second);
    first.table_holds(first.a, &numbered_rows(20), "after another reader is gone")?;
    drop(first);
    ensure_refused!(
        lab.open(),
        ErrorKind::AlreadyOpen { .. },
        "a writer beside the last reader"
    );
    drop(third);
    let s = lab.open()?;
    still_works(&s, b"k")
}

pub(crate) fn a_missing_store_is_not_found(lab: &Lab) -> CaseResult {
    let mut options = OpenOptions::new();
    options.if_missing = IfMissing::Fail;
    for _ in 0..2 {
        let missing = lab.open_with(&STANDARD, &options).map(|_| ());
        let kind = missing.map_err(|error| error.kind().clone());
        let refused = matches!(
            kind,
            Err(ErrorKind::NotFound { .. } | ErrorKind::Unsupported { .. })
        );
        ensure!(
            refused,
            "opening what is not there: expected NotFound, found {kind:?}"
        );
        options.access = Access::ReadOnly;
    }
    drop(lab.open_persistent()?);
    options.access = Access::ReadWrite;
    drop(lab.open_with(&STANDARD, &options)?);
    Ok(())
}

pub(crate) fn commit_order_decides_who_has_a_place(lab: &Lab) -> CaseResult {
    for order in [CommitOrder::Ordered, CommitOrder::Relaxed] {
        let mut options = OpenOptions::new();
        options.commit_order = order;
        let s = lab.open_with(&STANDARD, &options)?;
        let must_have = order == CommitOrder::Ordered || !s.capabilities().concurrent_batches;
        let mut last = s.stats()?.commit_seq;
        for number in 0..10_u8 {
            let batch = s.put(s.a, &[number + 1], b"v")?;
            ensure!(
                batch.seq.is_some() || !must_have,
                "a batch has no place in {order:?} order"
            );
            ensure!(
                batch.seq.is_none_or(|seq| seq > last),
                "{:?} after {last}",
                batch.seq
            );
            last = batch.seq.unwrap_or(last);
            let txn = s.update(QUICK, &mut |txn| txn.put(s.b, &[number + 1], b"v"))?;
            let seq = txn
                .seq
                .ok_or_else(|| CaseError::failed("a transaction has no place"))?;
            ensure!(seq > last, "transaction {seq} does not come after {last}");
            last = seq;
        }
        let rows = (1..=10_u8).map(|key| (vec![key], b"v".to_vec())).collect();
        let expected: Contents = [(s.a, rows)].into();
        s.holds(&expected, &format!("{order:?} commits"))?;
    }
    Ok(())
}
