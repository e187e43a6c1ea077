//! The one list of cases, and what is made of it: [`CASES`] for programs, [`crate::suite!`] for tests.

use crate::case::Case;

/// Hands the list of all cases to a macro. The only place where cases are listed.
///
/// A group has the name of its module in [`crate::cases`]; a case is `name: "requirement", traps 1 2, needs "capability";` where the last two are
/// optional.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ($callback:path { $($args:tt)* }) => {
        $callback! { { $($args)* }
            crud_batch {
                put_then_get: "What is put is read, and only under its own key.";
                put_overwrites: "A put replaces the value, also by a shorter or an empty one.";
                delete_removes: "A deleted key is absent and its neighbours stay.";
                delete_of_an_absent_key_does_nothing: "Deleting an absent key succeeds and changes nothing.";
                put_delete_put_keeps_the_last: "Of several operations on one key the last wins.", traps 23;
                trap_03_empty_value_is_present: "An empty value is a value and not an absence.", traps 3;
                trap_01_empty_key_is_refused: "Empty keys are refused on write and absent on read.", traps 1;
                tables_do_not_mix: "The same key in two tables is two rows.";
                any_byte_in_keys_and_values: "Keys and values may hold any byte.";
                buffers_may_be_reused: "The caller may overwrite its buffers after a put.";
                delete_range_removes_its_range_only: "A range delete removes its range and nothing else.", traps 22;
                trap_05_reversed_delete_range_does_nothing: "A reversed, equal or empty range delete does nothing.", traps 5;
                many_rows: "Thousands of rows of mixed sizes are all there, and deletes of a third of them hold.";
                hints_never_change_a_meaning: "The same operations give the same rows whatever the table's hints.";
            }
            crud_txn {
                put_then_get: "What is put is read, and only under its own key.";
                put_overwrites: "A put replaces the value, also by a shorter or an empty one.";
                delete_removes: "A deleted key is absent and its neighbours stay.";
                delete_of_an_absent_key_does_nothing: "Deleting an absent key succeeds and changes nothing.";
                put_delete_put_keeps_the_last: "Of several operations on one key the last wins.", traps 23;
                trap_03_empty_value_is_present: "An empty value is a value and not an absence.", traps 3;
                trap_01_empty_key_is_refused: "Empty keys are refused on write and absent on read.", traps 1;
                tables_do_not_mix: "The same key in two tables is two rows.";
                any_byte_in_keys_and_values: "Keys and values may hold any byte.";
                buffers_may_be_reused: "The caller may overwrite its buffers after a put.";
                delete_range_removes_its_range_only: "A range delete removes its range and nothing else.", traps 22;
                trap_05_reversed_delete_range_does_nothing: "A reversed, equal or empty range delete does nothing.", traps 5;
                many_rows: "Thousands of rows of mixed sizes are all there, and deletes of a third of them hold.";
                hints_never_change_a_meaning: "The same operations give the same rows whatever the table's hints.";
            }
            read {
                contains_agrees_with_get: "contains says what get finds.";
                get_with_agrees_with_get: "get_with hands out what get returns, once.";
                multi_get_answers_every_place_once: "multi_get answers each place once, duplicates, empty and long keys included.";
                trap_30_values_borrow_their_reader: "Values stay what they are while their reader lives, and cannot outlive the next write.", traps 30;
                trap_21_count_says_whether_it_is_exact: "A count is exact where it says so; count_exact always is.", traps 21, needs "count";
                table_stats_agree_with_the_rows: "Statistics of a table agree with its rows.", needs "count";
                trap_02_a_long_key_is_absent_on_read: "A key past the limit is absent on read, not an error.", traps 2;
                scan_stops_when_told: "A scan ends where its visitor breaks.";
                a_view_and_a_transaction_read_alike: "A transaction that wrote nothing reads like a view.";
                the_view_closure_reads_the_last_commit: "The view closure reads the last commit and passes its error on.";
            }
            order {
                bytes_are_unsigned: "Keys are ordered as unsigned bytes.";
                a_prefix_comes_before_what_it_begins: "A key comes before every key that it begins.";
                length_does_not_come_first: "A longer key is not later for its length.";
                random_hard_keys: "Random keys with runs of 00 and ff come back in order.";
                shared_prefixes_of_every_length: "Keys that share 1 to 500 bytes come back in order.";
                insertion_order_is_forgotten: "Ascending, descending or shuffled insertion gives one order.";
                long_keys_differ_in_their_last_byte: "Keys of 511 bytes that differ in the last one are told apart.";
            }
            range {
                nine_pairs_of_bounds: "Every pair of included, excluded and absent bounds gives its rows, both ways.";
                nine_pairs_of_bounds_in_a_transaction: "The same over uncommitted puts and deletes.";
                nine_pairs_of_bounds_on_one_row: "The same on a table of one row.";
                an_empty_table_is_empty_in_every_range: "An empty table has no row in any range.";
                trap_05_reversed_and_equal_ranges_are_empty: "Reversed and equal ranges are empty and never an error.", traps 5;
                empty_bounds_mean_unbounded: "An empty bound or prefix means the end of the table.", traps 1;
                bounds_longer_than_any_key: "Bounds may be longer than any key.", traps 2;
                prefixes_give_what_they_begin: "A prefix gives exactly the keys that begin with it.";
                trap_06_a_prefix_of_ff_has_no_end: "A prefix of ff bytes only reaches to the end of the table.", traps 6;
                random_ranges_against_the_model: "Random ranges over random rows give what the model gives.";
                ranges_of_several_tables_at_once: "Ranges of several tables can be read side by side.";
            }
            cursor {
                every_sequence_of_four_moves: "Every sequence of up to four moves answers as the model does.";
                every_sequence_in_a_range: "The same inside a range, with checksums.";
                every_sequence_on_one_row_and_on_none: "The same in ranges of one row and of none.";
                every_sequence_over_uncommitted_rows: "The same in a transaction over puts, deletes and range deletes.";
                a_fresh_cursor_stands_before_the_first_row: "A fresh cursor stands before the first row.";
                past_the_end_and_back: "Past either end a cursor stays usable and steps back onto the last row.";
                turning_round_on_every_row: "A cursor may turn round on any row.";
                seeks_are_clamped_to_the_range: "A seek never leaves the range.";
                seeks_with_empty_and_long_keys: "Seeks take empty keys and keys of any length.", traps 1 2;
                cursors_do_not_disturb_each_other: "Several cursors of one view move on their own.";
                a_random_walk_over_many_rows: "A long random walk answers as the model does.";
                a_random_walk_in_a_transaction: "The same in a transaction between its writes.";
                entries_carry_values_of_any_size: "A cursor lends values of any size.";
                trap_08_rows_found_by_a_cursor_can_be_deleted_after_it: "Rows found by a cursor are deleted after it; during it does not compile.", traps 8;
            }
        }
    };
}

macro_rules! list_cases {
    ({} $($group:ident {
        $($case:ident: $requirement:literal $(, traps $($trap:literal)+)? $(, needs $needs:literal)?;)*
    })*) => {
        /// Every case, in order.
        pub const CASES: &[Case] = &[
            $($(Case {
                group: stringify!($group),
                name: stringify!($case),
                requirement: $requirement,
                traps: &[$($($trap),+)?],
                capability: concat!($($needs)?),
                run: crate::cases::$group::$case,
            },)*)*
        ];
    };
}

for_each_case!(list_cases {});

/// Makes a module with one `#[test]` for every case, over a [`crate::Harness`].
///
/// ```
/// // In a file under tests/ of the store's own crate; TempHarness serves every storage_api::Engine.
/// conformance::suite!(model, conformance::ModelHarness);
/// ```
/// The tests are `model::crud_batch::put_then_get` and so on. A case that does not apply to the store prints a line with
/// `SKIPPED by capability` and the reason.
#[macro_export]
macro_rules! suite {
    ($name:ident, $harness:ty) => {
        mod $name {
            use super::*;

            /// The harness under its one name for the tests below.
            type Harness = $harness;

            $crate::for_each_case!($crate::__tests_of_cases {});
        }
    };
}

/// The tests of [`suite!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __tests_of_cases {
    ({} $($group:ident {
        $($case:ident: $requirement:literal $(, traps $($trap:literal)+)? $(, needs $needs:literal)?;)*
    })*) => {
        $(mod $group {
            $(
                #[test]
                fn $case() {
                    $crate::check::<super::Harness>(stringify!($group), stringify!($case));
                }
            )*
        })*
    };
}
