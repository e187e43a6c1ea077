//! The stores of this workspace: ours through the facade, and the best raw use of their engines.
//!
//! Invariants: a raw store has the same durability, the same table options and the same memory as
//! ours, and does each piece of work as a programmer who knows the engine would: handles kept,
//! values lent, rows sorted before a loader. What is raw checks no key, keeps no catalogue, no
//! commit number and no lock of ours.

#[cfg(feature = "lmdb")]
mod lmdb;
mod map;
mod ours;
#[cfg(feature = "redb")]
mod redb;
#[cfg(feature = "rocks")]
mod rocks;
mod tuned;

#[cfg(feature = "rocks")]
pub(crate) use rocks::options as rocks_options;

use std::path::Path;

pub use tuned::{Tuned, tuned};

use super::contestant::Maker;
use super::host::Entrant;

/// Every store of this build: its name, what is its raw form, how it is made.
const STORES: &[(&str, Option<&str>, Maker)] = &[
    ("mem", Some("BTreeMap"), ours::mem),
    ("BTreeMap", None, map::make),
    #[cfg(feature = "redb")]
    ("redb", Some("raw redb"), ours::redb),
    #[cfg(feature = "redb")]
    ("raw redb", None, redb::make),
    #[cfg(feature = "lmdb")]
    ("lmdb", Some("raw lmdb"), ours::lmdb),
    #[cfg(feature = "lmdb")]
    ("raw lmdb", None, lmdb::make),
    #[cfg(feature = "rocks")]
    ("rocks", Some("raw rocks"), ours::rocks),
    #[cfg(feature = "rocks")]
    ("raw rocks", None, rocks::make),
];

/// The makers by name, for [`super::protocol::serve`].
#[must_use]
pub fn makers() -> Vec<(&'static str, Maker)> {
    STORES
        .iter()
        .map(|(name, _, make)| (*name, *make))
        .collect()
}

/// The stores of these engines and their raw forms, served by this program with these arguments.
#[must_use]
pub fn entrants(engines: &[&str], program: &Path, arguments: &[String]) -> Vec<Entrant> {
    let mut entrants = Vec::new();
    for (name, raw, _) in STORES {
        if !engines.contains(name) {
            continue;
        }
        let mut add = |name: &str, raw: Option<&str>| {
            entrants.push(Entrant {
                name: name.to_owned(),
                raw: raw.map(str::to_owned),
                program: program.to_owned(),
                arguments: arguments.to_vec(),
            });
        };
        add(name, *raw);
        if let Some(raw) = raw {
            add(raw, None);
        }
    }
    entrants
}
