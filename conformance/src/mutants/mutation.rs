//! The list of ways in which a store is broken on purpose.
//!
//! Each is a mistake that engines, wrappers and memory stores have made or easily make. Invariant:
//! one mutation, one mistake; the store is right in everything else.

macro_rules! mutations {
    ($($(#[doc = $what:literal])+ $name:ident,)*) => {
        /// One deliberate mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Mutation {
            /// No mistake: the wrapper alone.
            Nothing,
            $($(#[doc = $what])+ $name,)*
        }

        impl Mutation {
            /// Every mistake, without [`Mutation::Nothing`].
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The mistake in one sentence.
            #[must_use]
            pub const fn what(self) -> &'static str {
                match self {
                    Self::Nothing => "No mistake.",
                    $(Self::$name => concat!($($what),+).trim_ascii(),)*
                }
            }
        }
    };
}

mutations! {
    /// A range gives its excluded end as well.
    RangeIncludesEnd,
    /// A range leaves its first key out.
    RangeExcludesStart,
    /// A range of no key gives every key.
    EmptyRangeIsEverything,
    /// A prefix of ff bytes only ends at 32 bytes ff.
    PrefixOfFfEndsEarly,
    /// Rows are ordered by length first.
    LengthFirstOrder,
    /// Rows are ordered by signed bytes.
    SignedOrder,
    /// Trailing zero bytes of keys are cut off.
    TrailingZerosCut,
    /// A seek that hits a key moves behind it.
    SeekSkipsHit,
    /// A seek back that hits a key moves before it.
    SeekBackSkipsHit,
    /// A seek to a key before the range finds nothing.
    SeekBeforeRangeFails,
    /// Moving backward never gives the first row.
    ReverseSkipsFirst,
    /// A step back from behind the last row finds nothing.
    NoWayBackFromTheEnd,
    /// A step back on a fresh cursor gives the last row.
    FreshPrevGivesLast,
    /// A step forward from before the first row gives the second.
    NextFromBeforeSkips,
    /// A scan that is broken off has moved on by one row.
    BrokenScanGoesOn,
    /// A scan ends one row before the end.
    ScanLeavesLast,
    /// Deletes are ignored.
    DeleteIgnored,
    /// A delete of an absent key removes the key before it.
    DeleteTakesNeighbour,
    /// A range delete leaves the last key of its range.
    RangeDeleteLeavesLast,
    /// A range delete takes its excluded end as well.
    RangeDeleteTakesEnd,
    /// A range delete without end stops at 16 bytes ff.
    RangeDeleteLeavesTail,
    /// A range delete of no key deletes every key.
    EmptyRangeDeletesAll,
    /// A put inside a range that was deleted before brings another key of it back.
    DeletedKeyResurrected,
    /// Range deletes of a batch happen after its puts.
    BatchRangeDeletesLast,
    /// The last operation of a batch is lost.
    BatchLosesLast,
    /// Of several puts of one key in a batch the first wins.
    BatchFirstWins,
    /// A batch becomes visible in two halves.
    BatchTornInTwo,
    /// A batch with a bad operation leaves what came before it.
    BadBatchHalfApplied,
    /// A batch above fifty operations loses the fifty-first.
    LongBatchDropsOne,
    /// An empty value is read as absent.
    EmptyValueAbsent,
    /// contains says that an empty value is absent.
    ContainsDeniesEmpty,
    /// A put of an empty value over another is ignored.
    EmptyPutIgnored,
    /// Values are cut at 64 KiB.
    ValuesCut,
    /// A table with the append hint ignores keys that are not the highest.
    AppendHintDropsKeys,
    /// Reads of table b come from table c.
    TablesSwapped,
    /// A get with a sink calls it twice.
    GetWithCallsTwice,
    /// A get of many keys answers in sorted order instead of place by place.
    MultiGetSorts,
    /// A get of many keys answers a key that is asked twice once only.
    MultiGetSkipsDuplicates,
    /// The count grows with every overwrite.
    CountGrowsOnOverwrite,
    /// The count calls an estimate exact.
    CountLies,
    /// A new view is of the commit before the last.
    ViewIsStale,
    /// get in a view sees later commits.
    ViewGetsLaterCommits,
    /// A cursor of a view sees later commits.
    ViewScansLaterCommits,
    /// A view sees what an open transaction put.
    ViewSeesUncommitted,
    /// A view reports the last commit and not its own.
    ViewReportsLastCommit,
    /// Views begun together are begun one after the other.
    ViewsBegunOneByOne,
    /// A view is refused while a transaction is open.
    ReadersRefusedBesideWriter,
    /// The statistics forget live views.
    LiveViewsForgotten,
    /// A dropped view keeps its place among the readers.
    ReaderPlacesLeak,
    /// A cursor in a transaction misses its own writes.
    TxnScanMissesOwnWrites,
    /// get in a transaction misses its own writes.
    TxnGetMissesOwnWrites,
    /// A get of many keys in a transaction misses its own writes.
    TxnMultiGetMissesOwnWrites,
    /// The count in a transaction misses its own writes.
    TxnCountMissesOwnWrites,
    /// An aborted transaction is committed.
    AbortCommits,
    /// A dropped transaction is committed.
    DropCommits,
    /// Every seventh commit of a transaction is lost.
    CommitLost,
    /// A commit covers all tables but the last one touched.
    CommitForgetsATable,
    /// A rollback does nothing.
    RollbackIgnored,
    /// A rollback goes to the first mark.
    RollbackTooFar,
    /// A rollback leaves range deletes done.
    RollbackKeepsRangeDeletes,
    /// A rollback forgets its mark.
    RollbackForgetsMark,
    /// Releasing a mark rolls it back.
    ReleaseRollsBack,
    /// A mark that is gone is accepted and ignored.
    BadMarkAccepted,
    /// A refused operation ends the transaction.
    RefusalEndsTxn,
    /// Commits do not rise.
    CommitSeqStands,
    /// Commits of batches have no place.
    BatchWithoutSeq,
    /// Asking twice for the writer in one thread just times out.
    NoDeadlockCheck,
    /// A batch in the thread of an open transaction is dropped with success.
    ApplyInsideTxnDropped,
    /// An empty key is accepted and dropped.
    EmptyKeyAccepted,
    /// Reading the empty key is an error.
    EmptyKeyReadFails,
    /// A key of 512 bytes is accepted and dropped.
    LongKeyAccepted,
    /// A key of 512 bytes is cut.
    LongKeyCut,
    /// Reading a key past the limit is an error.
    LongKeyReadFails,
    /// An unknown table is read as empty.
    UnknownTableEmpty,
    /// Writes to an unknown table are dropped.
    UnknownTableDropped,
    /// A commit reports another durability than is declared.
    DurabilityMisreported,
    /// Less durability is declared and given than was asked for.
    DurabilityWeakened,
    /// Compaction is declared and not there.
    CompactionClaimed,
    /// An error loses its place.
    ErrorWithoutPlace,
    /// An error prints the key.
    ErrorPrintsKey,
    /// Reopening loses a row.
    ReopenLosesARow,
    /// Reopening numbers tables in another way.
    ReopenRenumbers,
    /// Tables that the schema does not name are emptied.
    UnnamedTablesEmptied,
    /// Changed settings are accepted.
    ChangedSettingsAccepted,
    /// The chain is not looked at.
    ChainIgnored,
    /// A second writer may open the place.
    DoubleOpenAllowed,
    /// Closing does not free the place.
    LockLeaks,
    /// A store opened read-only drops writes with success.
    ReadOnlyDropsWrites,
    /// A missing store is made where it must exist.
    MissingStoreMade,
    /// An old view is never told.
    OldViewNotTold,
    /// A cursor of an old view goes on.
    CursorForgetsAge,
    /// A young view is told that it is old.
    YoungViewTold,
    /// Views that pin too much are ignored.
    PinnedIgnored,
    /// The oldest view is reported as new.
    OldestViewIsNew,
    /// A table too many is accepted and not made.
    TablesLimitIgnored,
}
