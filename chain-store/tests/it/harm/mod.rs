//! What is done to stores on purpose: processes killed, system calls failed, resources exhausted,
//! bits flipped. Each test leaves its figures where `CHAINSTORE_PROOF_OUT` says.

#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
pub(crate) mod crash;
#[cfg(any(feature = "redb", feature = "lmdb", feature = "rocks"))]
mod damage;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod faults;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod imports;
#[cfg(all(unix, any(feature = "redb", feature = "lmdb", feature = "rocks")))]
mod limits;
