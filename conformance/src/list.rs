//! The one list of cases. Nothing else names them all; what is made of it is in [`crate::suite!`]
//! and [`crate::CASES`].
//!
//! Invariants: a group has the name of its module in [`crate::cases`], a case that of its function;
//! a case whose name holds `trap_NN` guards against that trap of [`crate::traps`].

/// Hands the list of all cases to a macro. The only place where cases are listed.
///
/// A group has the name of its module in [`crate::cases`]; a case is `name: "requirement", traps 1
/// 2, needs "capability";` where the last two are optional.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_case {
    ($callback:path { $($args:tt)* }) => {
        $callback! { { $($args)* }
            crud_batch {
                put_then_get: "What is put is read, and only under its own key.";
                put_overwrites: "A put replaces the value, also by a shorter or an empty one.";
                delete_removes: "A deleted key is absent and its neighbours stay.";
                delete_of_an_absent_key_does_nothing:
                    "Deleting an absent key succeeds and changes nothing.";
                put_delete_put_keeps_the_last:
                    "Of several operations on one key the last wins.", traps 23;
                trap_03_empty_value_is_present:
                    "An empty value is a value and not an absence.", traps 3;
                trap_01_empty_key_is_refused:
                    "Empty keys are refused on write and absent on read.", traps 1;
                tables_do_not_mix: "The same key in two tables is two rows.";
                any_byte_in_keys_and_values: "Keys and values may hold any byte.";
                buffers_may_be_reused: "The caller may overwrite its buffers after a put.";
                delete_range_removes_its_range_only:
                    "A range delete removes its range and nothing else.", traps 22;
                trap_05_reversed_delete_range_does_nothing:
                    "A reversed, equal or empty range delete does nothing.", traps 5;
                many_rows:
                    "Thousands of rows are all there, and deletes of a third of them hold.";
                hints_never_change_a_meaning:
                    "The same operations give the same rows whatever the table's hints.";
            }
            crud_txn {
                put_then_get: "What is put is read, and only under its own key.";
                put_overwrites: "A put replaces the value, also by a shorter or an empty one.";
                delete_removes: "A deleted key is absent and its neighbours stay.";
                delete_of_an_absent_key_does_nothing:
                    "Deleting an absent key succeeds and changes nothing.";
                put_delete_put_keeps_the_last:
                    "Of several operations on one key the last wins.", traps 23;
                trap_03_empty_value_is_present:
                    "An empty value is a value and not an absence.", traps 3;
                trap_01_empty_key_is_refused:
                    "Empty keys are refused on write and absent on read.", traps 1;
                tables_do_not_mix: "The same key in two tables is two rows.";
                any_byte_in_keys_and_values: "Keys and values may hold any byte.";
                buffers_may_be_reused: "The caller may overwrite its buffers after a put.";
                delete_range_removes_its_range_only:
                    "A range delete removes its range and nothing else.", traps 22;
                trap_05_reversed_delete_range_does_nothing:
                    "A reversed, equal or empty range delete does nothing.", traps 5;
                many_rows:
                    "Thousands of rows are all there, and deletes of a third of them hold.";
                hints_never_change_a_meaning:
                    "The same operations give the same rows whatever the table's hints.";
            }
            read {
                contains_agrees_with_get: "contains says what get finds.";
                get_with_agrees_with_get: "get_with hands out what get returns, once.";
                multi_get_answers_every_place_once:
                    "multi_get answers each place once, duplicates, empty and long keys included.",
                    needs "batched_reads";
                trap_30_values_borrow_their_reader:
                    "Values keep while their reader lives and cannot outlive its next write.",
                    traps 30, needs "value_lane";
                trap_21_count_says_whether_it_is_exact:
                    "A count is exact where it says so; count_exact always is.",
                    traps 21, needs "count";
                table_stats_agree_with_the_rows:
                    "Statistics of a table agree with its rows.", needs "count";
                trap_02_a_long_key_is_absent_on_read:
                    "A key past the limit is absent on read, not an error.", traps 2;
                scan_stops_when_told: "A scan ends where its visitor breaks.";
                a_view_and_a_transaction_read_alike:
                    "A transaction that wrote nothing reads like a view.";
                the_view_closure_reads_the_last_commit:
                    "The view closure reads the last commit and passes its error on.";
            }
            order {
                bytes_are_unsigned: "Keys are ordered as unsigned bytes.";
                a_prefix_comes_before_what_it_begins:
                    "A key comes before every key that it begins.";
                length_does_not_come_first: "A longer key is not later for its length.";
                random_hard_keys: "Random keys with runs of 00 and ff come back in order.";
                shared_prefixes_of_every_length:
                    "Keys that share 1 to 500 bytes come back in order.";
                insertion_order_is_forgotten:
                    "Ascending, descending or shuffled insertion gives one order.";
                long_keys_differ_in_their_last_byte:
                    "Keys of 511 bytes that differ in the last one are told apart.";
            }
            range {
                nine_pairs_of_bounds:
                    "Every pair of included, excluded and absent bounds gives its rows, both ways.";
                nine_pairs_of_bounds_in_a_transaction:
                    "The same over uncommitted puts and deletes.";
                nine_pairs_of_bounds_on_one_row: "The same on a table of one row.";
                an_empty_table_is_empty_in_every_range: "An empty table has no row in any range.";
                trap_05_reversed_and_equal_ranges_are_empty:
                    "Reversed and equal ranges are empty and never an error.", traps 5;
                empty_bounds_mean_unbounded:
                    "An empty bound or prefix means the end of the table.", traps 1;
                bounds_longer_than_any_key: "Bounds may be longer than any key.", traps 2;
                prefixes_give_what_they_begin:
                    "A prefix gives exactly the keys that begin with it.";
                trap_06_a_prefix_of_ff_has_no_end:
                    "A prefix of ff bytes only reaches to the end of the table.", traps 6;
                random_ranges_against_the_model:
                    "Random ranges over random rows give what the model gives.";
                ranges_of_several_tables_at_once:
                    "Ranges of several tables can be read side by side.";
            }
            cursor {
                every_sequence_of_four_moves:
                    "Every sequence of up to four moves answers as the model does.";
                every_sequence_in_a_range: "The same inside a range, with checksums.";
                every_sequence_on_one_row_and_on_none: "The same in ranges of one row and of none.";
                every_sequence_over_uncommitted_rows:
                    "The same in a transaction over puts, deletes and range deletes.";
                a_fresh_cursor_stands_before_the_first_row:
                    "A fresh cursor stands before the first row.";
                past_the_end_and_back:
                    "Past either end a cursor stays usable and steps back onto the last row.";
                turning_round_on_every_row: "A cursor may turn round on any row.";
                a_scan_stands_where_it_was_broken_off:
                    "A scan hands on row by row and stands where it was broken off.";
                seeks_are_clamped_to_the_range: "A seek never leaves the range.";
                seeks_with_empty_and_long_keys:
                    "Seeks take empty keys and keys of any length.", traps 1 2;
                cursors_do_not_disturb_each_other: "Several cursors of one view move on their own.";
                a_random_walk_over_many_rows: "A long random walk answers as the model does.";
                a_random_walk_in_a_transaction: "The same in a transaction between its writes.";
                entries_carry_values_of_any_size: "A cursor lends values of any size.";
                trap_08_rows_found_by_a_cursor_can_be_deleted_after_it:
                    "Rows found by a cursor are deleted after it; during it does not compile.",
                    traps 8;
            }
            batch {
                trap_23_the_last_operation_wins:
                    "Operations of a batch apply in order and the last one wins.", traps 23;
                a_range_delete_affects_earlier_operations_only:
                    "A range delete removes what came before it and not what comes after.",
                    traps 22 23;
                range_delete_unbounded_tail:
                    "A range delete without end reaches every key, of the same batch too.",
                    traps 6 22 23;
                overlapping_range_deletes:
                    "Overlapping range deletes and puts between them apply in order.", traps 22;
                trap_22_many_range_deletes_mean_what_they_say:
                    "Many range deletes, one upon another, leave the right rows.",
                    traps 22, needs "constant_range_delete";
                a_batch_can_be_applied_again:
                    "A batch can be applied twice, cut, cleared and refilled.";
                an_empty_batch_changes_nothing: "An empty batch succeeds and changes nothing.";
                one_batch_over_all_tables: "One batch over all tables is one commit.";
                a_bad_operation_refuses_the_whole_batch:
                    "A batch with one bad operation is refused as a whole.", traps 5 24;
                random_batches_against_the_model:
                    "Random batches leave what they leave in the model.";
                a_hundred_thousand_operations:
                    "A batch may hold a hundred thousand operations in any order.";
                a_batch_of_large_values: "A batch may hold values of megabytes.";
                replayed_into_a_transaction_it_means_the_same:
                    "A batch and the same operations in a transaction mean the same.";
                appears_as_a_whole_beside_views: "Views see all of a batch or none of it.";
                batch_delete_range_races_put:
                    "Batches of two threads, one with a range delete, apply one after the other.",
                    traps 22, needs "concurrent_batches";
            }
            view {
                reads_are_repeatable:
                    "A view reads the same however much is committed after it.", traps 7;
                trap_07_a_view_never_sees_later_commits:
                    "A scan sees nothing of commits made beside it.", traps 7;
                all_tables_are_of_one_commit: "A view sees all tables as of one commit.", traps 19;
                trap_10_a_view_outlives_the_handle_and_moves:
                    "A view outlives the handle and may move to another thread.", traps 10;
                trap_26_dropping_the_handle_closes_nothing_in_use:
                    "Dropping the handle closes nothing that is in use.",
                    traps 26;
                a_view_of_a_new_store_is_empty: "A view of a new store stays empty.";
                many_views_of_many_commits:
                    "Forty views of forty commits each see their own.", traps 10;
                views_may_drop_in_any_order: "Views may be dropped in any order.";
                views_of_one_commit_agree:
                    "Views begun together are of one commit, whatever is committed meanwhile.";
                one_view_of_many_is_a_view: "Views begun together live and end each on its own.";
                a_view_knows_its_commit:
                    "Commits have rising places and each view knows the last one it sees.";
                statistics_count_live_views: "The statistics count live views.";
                a_view_begun_beside_a_transaction_sees_none_of_it:
                    "A view sees nothing of a transaction that is not committed.";
                long_scans_beside_a_busy_writer:
                    "Long scans stay right beside a busy writer.", traps 7 11;
            }
            reader {
                trap_11_an_old_view_is_told:
                    "Past the age limit every call of a view fails and names its age.", traps 11;
                a_young_view_is_left_alone: "A view younger than the limit is left alone.";
                without_a_limit_views_live_for_ever: "Without a limit no view is ever refused.";
                the_oldest_view_is_in_the_statistics:
                    "The statistics know the age of the oldest view.", traps 11;
                views_that_pin_too_much_stop_the_writer:
                    "Views that pin more than allowed stop the writer until they are gone.",
                    traps 11;
            }
            txn {
                get_reads_own_writes: "get in a transaction sees its puts and deletes.";
                range_deletes_are_read_at_once:
                    "A range delete is seen at once by every way of reading.";
                put_inside_a_deleted_range_is_back:
                    "A put inside a range deleted before is there.", traps 23;
                ranges_and_counts_see_own_writes:
                    "Ranges both ways and counts see random own writes.";
                multi_get_reads_own_writes: "multi_get sees own writes.";
                an_aborted_transaction_leaves_nothing: "An aborted transaction leaves nothing.";
                trap_25_a_dropped_transaction_aborts:
                    "Dropping a transaction aborts it and lets the next writer in.", traps 25;
                a_commit_is_all_or_nothing_over_tables: "A commit covers all tables or none.";
                commits_have_rising_places: "Commits of transactions have rising places.";
                a_transaction_may_write_nothing: "A transaction without effect may commit.";
                a_transaction_begins_at_the_last_commit:
                    "A transaction begins with the last commit.";
                trap_24_a_refused_operation_leaves_it_usable:
                    "An operation refused before the engine leaves the transaction usable.",
                    traps 24;
                the_update_closure_commits: "The update closure runs once and commits.";
                the_update_closure_aborts_on_error:
                    "An error of the update closure aborts; a conflict runs it again.";
                a_large_transaction:
                    "A transaction may hold tens of thousands of rows in any order.";
                random_transactions_against_the_model:
                    "Random transactions read and leave what they do in the model.";
                trap_12_a_transaction_stays_in_its_thread:
                    "Each thread has transactions of its own; moving one does not compile.",
                    traps 12;
            }
            savepoint {
                rollback_takes_everything_back:
                    "A rollback takes back every put and delete since the mark.",
                    needs "native_savepoints";
                rollback_over_range_deletes:
                    "A rollback takes back range deletes and puts inside them.",
                    needs "native_savepoints";
                a_mark_survives_its_rollback:
                    "A mark can be rolled back to again.", needs "native_savepoints";
                three_marks_nest:
                    "Marks nest; rolling one back takes those inside it.",
                    traps 20, needs "native_savepoints";
                release_keeps_what_was_written:
                    "Releasing a mark keeps what was written.", needs "native_savepoints";
                misuse_is_refused_and_harmless:
                    "A mark that is gone is refused and nothing changes.",
                    needs "native_savepoints";
                trap_20_marks_work_after_tables_were_used:
                    "Marks may be set after tables were read and written.",
                    traps 20, needs "native_savepoints";
                marks_end_with_their_transaction:
                    "Marks end with their transaction.", needs "native_savepoints";
                random_marks_against_a_stack_of_models:
                    "Random marks, rollbacks and releases leave what they do in a stack of models.",
                    needs "native_savepoints";
            }
            isolation {
                write_skew: "Two writers that each read what the other writes cannot both go on.";
                lost_update: "No update is lost.";
                phantom: "A range read by a writer cannot change under it.";
                read_only_anomaly: "A report between two writers fits one order of them.";
                read_skew: "A view cannot see half of a transfer.";
                aborted_and_intermediate_reads:
                    "Nobody sees what was aborted or overwritten before the commit.";
                try_begin_write_times_out:
                    "try_begin_write gives up while another writes, and succeeds when none does.",
                    traps 9;
                trap_09_waiting_for_oneself_is_refused:
                    "A thread that writes and asks to write again is refused at once.", traps 9;
                a_batch_waits_for_the_transaction:
                    "A batch comes before or after a transaction, never inside.";
                a_batch_cannot_slip_into_a_transaction:
                    "A batch on its way is not seen by the transaction it waits for.";
            }
            limits {
                trap_02_portable_keys_end_at_511:
                    "Portable keys end at 511 bytes on every engine.", traps 2;
                trap_02_engine_keys_end_where_declared:
                    "A table may opt for the engine's keys, which end where declared.",
                    traps 2, needs "key_bytes_max";
                trap_04_values_of_many_sizes:
                    "Values of many sizes are there and can take each other's place.", traps 4;
                trap_04_a_value_of_sixteen_mebibytes:
                    "A value may have 16 MiB.", traps 4, needs "value_bytes_max";
                values_end_where_declared:
                    "Values end where declared.", traps 4, needs "value_bytes_max";
                unknown_tables_are_refused: "Every call refuses an unknown table.", traps 15;
                the_internal_table_is_refused: "Every call refuses the internal table.";
                trap_15_declared_tables_exist_at_once:
                    "Declared tables exist at once and read as empty.", traps 15;
                tables_end_where_declared:
                    "Tables end where declared, and a refused opening makes none.",
                    traps 15, needs "tables_max";
                trap_14_views_end_where_declared:
                    "Views end where declared, and a dropped one makes room.",
                    traps 14, needs "readers_max";
                trap_13_the_size_limit_is_declared:
                    "The statistics name a size limit exactly where one is declared.",
                    traps 13, needs "size_limit";
                transactions_end_where_declared:
                    "Transactions end where declared, or not at all.", needs "txn_bytes_max";
                transactions_live_as_long_as_declared:
                    "A slow transaction commits where no age is declared.",
                    needs "txn_age_seconds_max";
                counts_of_every_table_begin_at_zero:
                    "Counts begin at zero.", traps 21, needs "count";
            }
            durability {
                trap_18_what_a_commit_survives_is_reported:
                    "A commit reports what it survives, never less than asked for.",
                    traps 18, needs "effective";
                persistence_can_be_required:
                    "A store that forgets is refused where persistence is required.",
                    needs "persistent";
                sync_is_always_allowed: "sync is allowed at any time and changes nothing to read.";
                durable_commits_are_there_after_reopening:
                    "Durable commits are there after reopening.", needs "persistent";
                buffered_commits_are_there_after_reopening:
                    "Buffered commits are there after reopening.", needs "persistent";
                volatile_commits_are_there_after_a_sync:
                    "Volatile commits are there after a sync and reopening.", needs "persistent";
                volatile_commits_keep_a_prefix:
                    "Of volatile commits a prefix is left, never a hole.", needs "persistent";
                trap_19_reopening_shows_whole_commits:
                    "Reopening shows whole commits over all tables.", traps 19, needs "persistent";
                a_store_in_memory_forgets:
                    "A store that is not persistent comes back empty.", needs "persistent";
                many_openings: "Each opening sees what the one before left.", needs "persistent";
            }
            open {
                the_report_says_what_was_made: "The report of opening says what was made.";
                trap_28_a_clean_end_needs_no_recovery:
                    "A clean end needs no recovery, and the report says so.",
                    traps 28, needs "persistent";
                catalogue_survives_added_and_reordered_tables:
                    "Numbers of tables survive added and reordered tables.", needs "persistent";
                trap_16_unnamed_tables_are_kept:
                    "Tables that the schema does not name are kept and reported.",
                    traps 16, needs "persistent";
                changed_hints_are_applied:
                    "Changed hints are applied and change no meaning.", needs "persistent";
                changed_settings_are_refused:
                    "Changed settings that bear meaning are refused.", needs "persistent";
                bad_schemas_are_refused: "Bad table names and contrary declarations are refused.";
                tools_need_no_schema:
                    "A store opens without a schema, settings included.", needs "persistent";
                chains_do_not_mix: "A store of another chain is refused.", needs "persistent";
                a_store_without_a_chain_takes_the_first:
                    "A store without a chain takes the first one named.", needs "persistent";
                trap_17_one_writer_holds_the_place:
                    "One writer holds the place; a refused opening does not disturb it.",
                    traps 17, needs "sharing";
                a_view_keeps_the_place_held:
                    "A live view keeps the place held.", traps 10 17, needs "persistent";
                a_reader_refuses_every_write:
                    "A store opened read-only refuses every write.", needs "read_only_open";
                readers_share_and_keep_writers_out:
                    "Many readers share the place and keep writers out.",
                    traps 17, needs "read_only_open";
                a_missing_store_is_not_found: "A missing store is not found where it must exist.";
                commit_order_decides_who_has_a_place:
                    "In ordered commits every commit has a place.", needs "concurrent_batches";
            }
            directory {
                a_missing_directory_is_not_made:
                    "A refused opening makes no directory.", needs "persistent";
                an_empty_directory_is_taken:
                    "A store can be made in an empty directory.", needs "persistent";
                a_foreign_directory_is_not_touched:
                    "Somebody else's directory is refused and not touched.", needs "persistent";
                a_file_in_its_place_is_not_touched:
                    "A file in the store's place is refused and not touched.", needs "persistent";
                another_engines_directory_is_refused:
                    "Another engine's directory is refused and not touched.", needs "persistent";
                a_newer_format_is_refused:
                    "A newer format is refused and not touched.", needs "persistent";
                a_damaged_marker_is_refused:
                    "A damaged or missing marker is refused and nothing is touched.",
                    needs "persistent";
                read_only_changes_no_byte: "Reading only changes no byte.", needs "read_only_open";
                trap_17_the_lock_goes_with_the_holder:
                    "The lock goes with its holder.", traps 17, needs "persistent";
            }
            concurrency {
                readers_do_not_wait_for_an_open_transaction:
                    "Readers never wait for an open transaction.", traps 9;
                the_writer_does_not_wait_for_readers:
                    "The writer never waits for views and cursors.", traps 9;
                writers_are_serial: "One writer is inside at a time.";
                updates_of_several_threads_add_up: "Updates of several threads add up.";
                transfers_keep_their_sum_in_every_view:
                    "Transfers by two threads keep their sum in every view of three others.";
                many_small_batches_of_many_threads:
                    "Small batches of many threads all arrive, each at its own place.";
                batches_and_transactions_take_turns:
                    "Batches and transactions of two threads take turns.";
                views_begin_and_drop_in_many_threads:
                    "Views begin and drop in many threads at once.", traps 10;
                a_queue_of_writers_all_get_their_turn:
                    "Writers that wait all get their turn, also after an abort.";
            }
            errors {
                trap_29_each_kind_is_told_by_type:
                    "Each refusal has its kind with both values in it.", traps 29;
                an_error_names_its_place: "An error names engine, operation and table.", traps 29;
                an_error_keeps_keys_and_values_to_itself: "No error prints keys or values.";
                what_to_do_follows_from_the_kind:
                    "The kind says whether to retry, reopen or repair.", traps 29;
                absence_is_no_error: "Absence is never an error.";
                an_error_is_one_pointer_wide: "An error is one pointer wide.";
                a_refused_opening_names_the_engine:
                    "A refused opening names the engine.", traps 29, needs "persistent";
            }
            extension {
                compaction_changes_no_row:
                    "Compaction changes no row, or is refused as declared.", needs "compact";
                compaction_beside_views_is_as_declared:
                    "Compaction beside views works or is refused with Busy, as declared.",
                    needs "compact";
                a_backup_is_a_store_of_the_same_rows:
                    "A backup opens as a store of the same rows.", needs "backup";
                a_backup_overwrites_nothing:
                    "A backup into a directory with files is refused.", needs "backup";
                a_healthy_store_verifies:
                    "Verification of a healthy store reads every row and finds nothing.";
                trap_27_who_finds_damage_is_declared:
                    "Who finds damaged bytes is declared, and the envelope changes no meaning.",
                    traps 27, needs "bit_rot";
                declarations_fit_together:
                    "The declared capabilities fit together.", needs "effective";
            }
            replay {
                a_stream_means_what_it_means_on_the_model:
                    "A random stream of operations with reopenings answers as the model does.";
                contents_move_to_the_model_and_back:
                    "Contents that move to another store and back are the same.";
                numbers_of_tables_move_with_them:
                    "Tables declared in the order of another store's numbers get these numbers.";
                what_is_left_is_a_prefix_of_the_commits:
                    "After any commits, syncs and closings a prefix is left, with what must be.",
                    traps 18 19, needs "persistent";
            }
            bulk {
                rows_in_order: "Rows that come in order are loaded.", needs "bulk";
                rows_in_any_order:
                    "Rows that come in any order are loaded, past the memory they may take.",
                    needs "bulk";
                the_last_of_equal_keys_wins:
                    "Of equal keys of a load the last one wins.", traps 23, needs "bulk";
                rows_that_were_there_stay:
                    "Rows that were there stay unless a loaded key replaces them.", needs "bulk";
                nothing_shows_before_the_end:
                    "Nothing of a load shows before its end, which is one commit.", needs "bulk";
                a_dropped_load_leaves_nothing:
                    "A dropped load leaves no row, no commit and no file.", needs "bulk";
                an_empty_load_is_a_commit: "A load without rows changes no row.", needs "bulk";
                refused_rows_change_nothing:
                    "A load refuses the keys that a put refuses and goes on.", traps 1 2,
                    needs "bulk";
                a_load_waits_for_its_own_writer:
                    "A load that ends inside the thread's own transaction says it would deadlock.",
                    traps 9, needs "bulk";
                a_load_is_durable: "A finished load is there after reopening.", needs "bulk";
                a_reader_takes_no_load:
                    "A store that was opened to read takes no load.", needs "bulk";
            }
            envelope {
                every_size_goes_round: "Values of every size keep their bytes under a checksum.";
                every_way_of_reading_takes_it_off:
                    "Every way of reading takes the checksum off.", traps 27;
                a_transaction_reads_its_own_sealed_values:
                    "A transaction reads its own values under checksums, over rollbacks too.";
                one_row_in_two_tables_is_sealed_for_each:
                    "The same row in two tables has a checksum for each.";
            }
            blocks {
                a_new_store_has_no_block: "A new store has no tip, no tail and no block.";
                blocks_are_found_in_every_way:
                    "A block is found by height, hash, transaction and range.";
                the_first_block_may_have_any_height: "The first block may have any height.";
                blocks_follow_the_tip:
                    "A block that does not follow the tip is refused and changes nothing.";
                a_hash_stands_for_one_block: "A hash that is stored is refused.";
                a_block_and_its_rows_are_one_commit:
                    "A block and other rows of its transaction appear together or not at all.";
                a_rollback_takes_a_block_back: "Rolling back to a mark takes a block back.";
                a_transaction_twice_gives_its_newest_place:
                    "A transaction in several blocks has its newest place, also after truncation.";
                truncation_cuts_at_the_tip: "Truncation cuts at the tip, down to nothing.";
                pruning_cuts_at_the_tail: "Pruning cuts at the tail, up to the tip.";
                cuts_outside_are_refused: "Cuts outside of what is stored are refused.";
                ranges_obey_their_limits:
                    "Ranges obey start, count and bytes, and name the next height.";
                a_view_keeps_its_blocks: "A view keeps its blocks beside later cuts.";
                bodies_of_many_sizes: "Bodies may be empty or of megabytes.";
                hashes_of_every_length: "Hashes have 1 to 64 bytes.";
                a_reorganisation_is_one_commit:
                    "A branch takes another's place in one commit.";
                many_transactions_in_one_block: "A block may have thousands of transactions.";
                staging_alone_leaves_nothing: "A block that is only staged leaves nothing.";
                blocks_are_appended_in_another_order_than_staged:
                    "Blocks are staged in any order and appended in that of the chain.";
                a_staged_block_outlives_its_rival:
                    "A staged block can be appended after a rival was appended and cut away.";
                the_form_that_commits_itself_means_the_same:
                    "The form that commits by itself means the same.";
                random_chains_against_the_model:
                    "Random appends, cuts and aborts leave what they leave in the model.";
                blocks_are_there_after_reopening:
                    "Blocks are there after reopening.", needs "persistent";
            }
        }
    };
}
