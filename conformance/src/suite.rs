//! What is made of the list of cases: [`CASES`] for programs, [`crate::suite!`] for tests.

use crate::case::Case;

macro_rules! list_cases {
    ({} $($group:ident {
        $($case:ident:
            $requirement:literal $(, traps $($trap:literal)+)? $(, needs $needs:literal)?;
        )*
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

crate::for_each_case!(list_cases {});

/// Makes a module with one `#[test]` for every case, over a [`crate::Harness`].
///
/// ```
/// // In a file under tests/ of the store's own crate. TempHarness serves every Engine.
/// conformance::suite!(model, conformance::ModelHarness);
/// ```
/// The tests are `model::crud_batch::put_then_get` and so on. A case that does not apply to the
/// store prints a line with `SKIPPED by capability` and the reason.
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
        $($case:ident:
            $requirement:literal $(, traps $($trap:literal)+)? $(, needs $needs:literal)?;
        )*
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

/// Makes a module with one `#[test]` for every case of blocks, over a [`crate::BlockHarness`].
///
/// [`crate::suite!`] runs them over the block store that every store has; this is for block stores
/// of another kind.
#[macro_export]
macro_rules! block_suite {
    ($name:ident, $harness:ty) => {
        mod $name {
            use super::*;

            /// The harness under its one name for the tests below.
            type Harness = $harness;

            $crate::for_each_case!($crate::__tests_of_block_cases {});
        }
    };
}

/// The tests of [`block_suite!`]: those of the group of blocks.
#[doc(hidden)]
#[macro_export]
macro_rules! __tests_of_block_cases {
    (blocks {
        $($case:ident:
            $requirement:literal $(, traps $($trap:literal)+)? $(, needs $needs:literal)?;
        )*
    }) => {
        $(
            #[test]
            fn $case() {
                $crate::check_blocks::<Harness>("blocks", stringify!($case));
            }
        )*
    };
    ($group:ident { $($case:tt)* }) => {};
    ({} $($group:ident $cases:tt)*) => {
        $($crate::__tests_of_block_cases! { $group $cases })*
    };
}

/// Makes a module with one `#[test]` for every case of reading, writing and savepoints inside one
/// transaction: for readers and writers that are not stores of their own, such as overlays. Their
/// harness has the profile [`crate::Profile::TXN_ONLY`].
#[macro_export]
macro_rules! txn_suite {
    ($name:ident, $harness:ty) => {
        mod $name {
            use super::*;

            /// The harness under its one name for the tests below.
            type Harness = $harness;

            $crate::for_each_case!($crate::__tests_of_txn_cases {});
        }
    };
}

/// The tests of [`txn_suite!`]: the groups of [`crate::Profile::TXN_ONLY`].
#[doc(hidden)]
#[macro_export]
macro_rules! __tests_of_txn_cases {
    (crud_txn $cases:tt) => { $crate::__tests_of_cases! { {} crud_txn $cases } };
    (read $cases:tt) => { $crate::__tests_of_cases! { {} read $cases } };
    (order $cases:tt) => { $crate::__tests_of_cases! { {} order $cases } };
    (range $cases:tt) => { $crate::__tests_of_cases! { {} range $cases } };
    (cursor $cases:tt) => { $crate::__tests_of_cases! { {} cursor $cases } };
    (txn $cases:tt) => { $crate::__tests_of_cases! { {} txn $cases } };
    (savepoint $cases:tt) => { $crate::__tests_of_cases! { {} savepoint $cases } };
    ($group:ident { $($case:tt)* }) => {};
    ({} $($group:ident $cases:tt)*) => {
        $($crate::__tests_of_txn_cases! { $group $cases })*
    };
}
