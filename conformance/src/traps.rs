//! The thirty semantic traps of storage engines: the rule for each, where it dies, the case that
//! shows it.
//!
//! Invariant: every trap has a case whose name holds its number, and names it
//! in the list; a unit test here holds the table and the list together.
//!
//! Four traps die when the program is compiled. These programs must not compile, and the case
//! beside each shows the way that does.
//!
//! Trap 8, writing under an open cursor:
//! ```compile_fail,E0502
//! use storage_api::{Cursor, KeyRange, Reader, Result, TableId, WriteTxn};
//! fn prune<T: WriteTxn>(txn: &mut T, table: TableId) -> Result<()> {
//!     let mut cursor = txn.cursor(table, KeyRange::all())?;
//!     while let Some(row) = cursor.next()? {
//!         txn.delete(table, row.key)?;
//!     }
//!     Ok(())
//! }
//! ```
//! Trap 12, a write transaction moved to another thread:
//! ```compile_fail,E0277
//! use storage_api::{Durability, KvStore, WriteTxn};
//! fn commit_elsewhere(store: &conformance::ModelStore) -> storage_api::Result<()> {
//!     let txn = store.begin_write()?;
//!     std::thread::scope(|scope| scope.spawn(move || txn.commit(Durability::Durable)));
//!     Ok(())
//! }
//! ```
//! Trap 26, using a store that is closed:
//! ```compile_fail,E0505
//! use storage_api::{Durability, KvStore, WriteTxn};
//! fn close_too_early(store: conformance::ModelStore) -> storage_api::Result<()> {
//!     let txn = store.begin_write()?;
//!     drop(store);
//!     txn.commit(Durability::Durable).map(|_| ())
//! }
//! ```
//! Trap 30, keeping a value across the next write:
//! ```compile_fail,E0502
//! use storage_api::{Reader, Result, TableId, WriteTxn};
//! fn double<T: WriteTxn>(txn: &mut T, table: TableId) -> Result<()> {
//!     if let Some(value) = txn.get(table, b"k")? {
//!         txn.put(table, b"copy", &value)?;
//!         txn.put(table, b"copy of the copy", &value)?;
//!     }
//!     Ok(())
//! }
//! ```
//! The same programs with the mistake taken out do compile:
//! ```
//! use storage_api::{Cursor, Durability, KeyRange, KvStore, Reader, Result, TableId, WriteTxn};
//! fn prune<T: WriteTxn>(txn: &mut T, table: TableId) -> Result<()> {
//!     let mut found = Vec::new();
//!     let mut cursor = txn.cursor(table, KeyRange::all())?;
//!     while let Some(row) = cursor.next()? {
//!         found.push(row.key.to_vec());
//!     }
//!     drop(cursor);
//!     found.iter().try_for_each(|key| txn.delete(table, key))
//! }
//! fn commit_elsewhere(store: &conformance::ModelStore) -> Result<()> {
//!     std::thread::scope(|scope| {
//!         let commit = || store.begin_write()?.commit(Durability::Durable).map(|_| ());
//!         scope.spawn(commit).join().unwrap_or_else(|_| Ok(()))
//!     })
//! }
//! fn close_in_time(store: conformance::ModelStore) -> Result<()> {
//!     store.begin_write()?.commit(Durability::Durable)?;
//!     drop(store);
//!     Ok(())
//! }
//! fn double<T: WriteTxn>(txn: &mut T, table: TableId) -> Result<()> {
//!     let value = txn.get(table, b"k")?.map(|value| value.to_vec());
//!     value.map_or(Ok(()), |value| txn.put(table, b"copy", &value))
//! }
//! ```

/// One way in which engines differ and callers fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Its number, from 1.
    pub number: u8,
    /// What it is about.
    pub title: &'static str,
    /// What holds on every store.
    pub rule: &'static str,
    /// The file and item where the difference ends.
    pub dies_in: &'static str,
    /// The case that is named after it: group and name.
    pub case: (&'static str, &'static str),
}

const fn trap(
    number: u8,
    title: &'static str,
    rule: &'static str,
    dies_in: &'static str,
    case: (&'static str, &'static str),
) -> Trap {
    Trap {
        number,
        title,
        rule,
        dies_in,
        case,
    }
}

/// All traps, in order of number.
pub const TRAPS: &[Trap] = &[
    trap(
        1,
        "empty key",
        "refused with EmptyKey on write, absent on read; an empty bound is unbounded",
        "backend-kit/src/tables.rs, storage-api/src/range.rs::KeyRange",
        ("crud_batch", "trap_01_empty_key_is_refused"),
    ),
    trap(
        2,
        "key length",
        "1..=511 bytes everywhere, the engine's own limit on request; longer ones are absent",
        "backend-kit/src/tables.rs, storage-api/src/table.rs::KeyLimit",
        ("limits", "trap_02_portable_keys_end_at_511"),
    ),
    trap(
        3,
        "empty value and absence",
        "distinct in every way of reading",
        "storage-api/src/contract/read.rs::Reader",
        ("crud_batch", "trap_03_empty_value_is_present"),
    ),
    trap(
        4,
        "value length",
        "declared, checked before the engine is called",
        "backend-kit/src/tables.rs, storage-api/src/capability.rs::Capabilities",
        ("limits", "trap_04_values_of_many_sizes"),
    ),
    trap(
        5,
        "reversed and equal ranges",
        "empty, for scans and deletes alike, never an error",
        "storage-api/src/range.rs::KeyRange::new",
        ("range", "trap_05_reversed_and_equal_ranges_are_empty"),
    ),
    trap(
        6,
        "upper bound of a prefix of ff bytes",
        "no bound; never a longest key made up",
        "storage-api/src/range.rs::prefix_end",
        ("range", "trap_06_a_prefix_of_ff_has_no_end"),
    ),
    trap(
        7,
        "scans beside commits",
        "every read goes through a view of one commit",
        "storage-api/src/contract/read.rs::ReadTxn",
        ("view", "trap_07_a_view_never_sees_later_commits"),
    ),
    trap(
        8,
        "writing while iterating",
        "does not compile",
        "storage-api/src/contract/write.rs::Writer (&mut self)",
        (
            "cursor",
            "trap_08_rows_found_by_a_cursor_can_be_deleted_after_it",
        ),
    ),
    trap(
        9,
        "deadlocks",
        "readers never block the writer; a thread that would wait for itself gets WouldDeadlock",
        "backend-kit/src/gate.rs",
        ("isolation", "trap_09_waiting_for_oneself_is_refused"),
    ),
    trap(
        10,
        "life and thread of a view",
        "owned, may move between threads, outlives the handle",
        "storage-api/src/contract/read.rs::ReadTxn",
        ("view", "trap_10_a_view_outlives_the_handle_and_moves"),
    ),
    trap(
        11,
        "views that live too long",
        "age and pinned bytes are measured, limits are optional and never silent",
        "backend-kit/src/registry.rs",
        ("reader", "trap_11_an_old_view_is_told"),
    ),
    trap(
        12,
        "thread of a write transaction",
        "it cannot leave its thread",
        "storage-api/src/contract/write.rs::WriteTxn (not Send)",
        ("txn", "trap_12_a_transaction_stays_in_its_thread"),
    ),
    trap(
        13,
        "size limit",
        "declared and in the statistics; reaching it is Full",
        "storage-api/src/capability.rs::Capabilities::size_limit",
        ("limits", "trap_13_the_size_limit_is_declared"),
    ),
    trap(
        14,
        "reader slots",
        "declared; one too many is TooManyReaders and a dropped view makes room",
        "storage-api/src/capability.rs::Capabilities::readers_max",
        ("limits", "trap_14_views_end_where_declared"),
    ),
    trap(
        15,
        "creation of tables",
        "declared before opening, there at once, empty until written",
        "backend-kit/src/store.rs::open",
        ("limits", "trap_15_declared_tables_exist_at_once"),
    ),
    trap(
        16,
        "reopening with fewer tables",
        "unnamed tables are kept and reported",
        "backend-kit/src/directory/mod.rs",
        ("open", "trap_16_unnamed_tables_are_kept"),
    ),
    trap(
        17,
        "opening twice",
        "many readers or one writer, by our own lock, on every engine",
        "backend-kit/src/directory/lock.rs",
        ("open", "trap_17_one_writer_holds_the_place"),
    ),
    trap(
        18,
        "default durability",
        "named at every commit, strengthened at most, reported in the receipt",
        "storage-api/src/commit.rs::Durability",
        ("durability", "trap_18_what_a_commit_survives_is_reported"),
    ),
    trap(
        19,
        "atomicity over tables without a log",
        "a commit covers all its tables or none",
        "backend-rocks/src/engine.rs::open (the log is never off)",
        ("durability", "trap_19_reopening_shows_whole_commits"),
    ),
    trap(
        20,
        "savepoints",
        "nest, and work after tables were used, native or not",
        "backend-kit/src/write.rs",
        ("savepoint", "trap_20_marks_work_after_tables_were_used"),
    ),
    trap(
        21,
        "counts",
        "say whether they are exact",
        "storage-api/src/contract/read.rs::Count",
        ("read", "trap_21_count_says_whether_it_is_exact"),
    ),
    trap(
        22,
        "range deletes",
        "one call and one meaning, whatever they cost",
        "storage-api/src/contract/write.rs::Writer::delete_range",
        ("batch", "trap_22_many_range_deletes_mean_what_they_say"),
    ),
    trap(
        23,
        "order inside a batch",
        "the last operation wins; a range delete affects earlier ones only",
        "storage-api/src/contract/batch.rs::WriteBatch",
        ("batch", "trap_23_the_last_operation_wins"),
    ),
    trap(
        24,
        "failure half-way",
        "what is refused before the engine changes nothing; after a failure only abort is left",
        "backend-kit/src/write.rs",
        ("txn", "trap_24_a_refused_operation_leaves_it_usable"),
    ),
    trap(
        25,
        "dropping without a commit",
        "aborts",
        "storage-api/src/contract/write.rs::WriteTxn",
        ("txn", "trap_25_a_dropped_transaction_aborts"),
    ),
    trap(
        26,
        "calls after closing",
        "do not compile; what is alive keeps the store open",
        "storage-api/src/contract/store.rs::KvStore (ownership)",
        ("view", "trap_26_dropping_the_handle_closes_nothing_in_use"),
    ),
    trap(
        27,
        "checksums",
        "who finds damage is declared; tables may carry our checksum",
        "storage-api/src/envelope.rs",
        ("extension", "trap_27_who_finds_damage_is_declared"),
    ),
    trap(
        28,
        "time to recover",
        "recovery is reported; a clean end needs none",
        "storage-api/src/contract/open.rs::OpenReport",
        ("open", "trap_28_a_clean_end_needs_no_recovery"),
    ),
    trap(
        29,
        "kinds of error",
        "one typed kind for each thing a caller can do",
        "storage-api/src/error.rs::ErrorKind",
        ("errors", "trap_29_each_kind_is_told_by_type"),
    ),
    trap(
        30,
        "values read inside the own transaction",
        "borrow it, so they cannot outlive the next write",
        "storage-api/src/contract/read.rs::Reader::Value",
        ("read", "trap_30_values_borrow_their_reader"),
    ),
];

/// The table as `docs/traps.md` holds it.
#[must_use]
pub fn as_markdown() -> String {
    let mut text = String::from(
        "# The thirty traps\n\n\
         In which engines differ without saying so. Made from `conformance/src/traps.rs`, which a \
         test compares with this page.\n\n\
         | no. | trap | rule on every store | where it dies | case |\n|---|---|---|---|---|\n",
    );
    for trap in TRAPS {
        let (group, case) = trap.case;
        let row = format!(
            "| {} | {} | {} | `{}` | `{group}::{case}` |\n",
            trap.number, trap.title, trap.rule, trap.dies_in
        );
        text.push_str(&row);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{TRAPS, as_markdown};
    use crate::suite::CASES;

    /// The page is made from the table; `UPDATE_PAGES=1` writes it anew.
    #[test]
    fn the_page_of_traps_is_the_table() {
        let page = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/traps.md"));
        if std::env::var_os("UPDATE_PAGES").is_some() {
            assert!(std::fs::write(page, as_markdown()).is_ok());
        }
        let written = std::fs::read_to_string(page).unwrap_or_default();
        assert!(
            written == as_markdown(),
            "run the tests of conformance with UPDATE_PAGES=1"
        );
    }

    #[test]
    fn every_place_where_a_trap_dies_is_a_file() {
        for trap in TRAPS {
            for place in trap.dies_in.split(", ") {
                let file = place.split("::").next().unwrap_or_default();
                let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
                assert!(root.join(file).exists(), "trap {}: {place}", trap.number);
            }
        }
    }

    #[test]
    fn every_trap_has_a_case_that_bears_its_number() {
        let numbers: Vec<u8> = TRAPS.iter().map(|trap| trap.number).collect();
        assert_eq!(numbers, (1..=30).collect::<Vec<u8>>());
        for trap in TRAPS {
            let named = CASES
                .iter()
                .find(|case| (case.group, case.name) == trap.case);
            let traps = named.map(|case| case.traps);
            assert!(
                traps.is_some_and(|traps| traps.contains(&trap.number)),
                "trap {}: case {:?} is not in the list with this number",
                trap.number,
                trap.case
            );
            assert!(
                trap.case
                    .1
                    .starts_with(&format!("trap_{:02}_", trap.number))
            );
        }
    }

    #[test]
    fn names_are_unique_and_numbers_in_them_are_listed() {
        for (at, case) in CASES.iter().enumerate() {
            let twice = CASES[..at]
                .iter()
                .any(|c| (c.group, c.name) == (case.group, case.name));
            assert!(!twice, "{}::{} is listed twice", case.group, case.name);
            let number = case
                .name
                .strip_prefix("trap_")
                .and_then(|rest| rest[..2].parse().ok());
            assert!(
                number.is_none_or(|number: u8| case.traps.contains(&number)),
                "{} does not list the trap that it is named after",
                case.name
            );
        }
        assert!(CASES.len() >= 130, "only {} cases", CASES.len());
    }

    #[test]
    fn every_capability_has_a_case() {
        // The names of the fields, as they print: `Capabilities { key_bytes_max: 65535, ... }`.
        let printed = format!("{:?}", storage_api::Capabilities::IN_MEMORY);
        let words = printed.split([' ', '{', '}', ',', '[', ']', '(', ')']);
        let fields: Vec<&str> = words.filter_map(|word| word.strip_suffix(':')).collect();
        assert!(fields.len() >= 20, "only {fields:?} found in {printed}");
        for field in &fields {
            let named = CASES.iter().any(|case| case.capability == *field);
            assert!(named, "no case is about capability {field}");
        }
        for case in CASES {
            let known = case.capability.is_empty() || fields.contains(&case.capability);
            assert!(known, "{}: no capability {}", case.name, case.capability);
        }
    }
}
