//! [`Content`]: rows that are known before and after damage, with every value a key ever had.
//!
//! Invariants: the same seed gives the same commits on every engine; keys are written again and
//! deleted over several commits, so that the files of a copy-on-write engine hold old versions of
//! pages which a damaged pointer could lead to; values are incompressible, so that damage is not
//! hidden by compression.

use std::collections::BTreeMap;

use storage_api::{
    ChecksumSetting, Durability, KvStore, Result, Schema, TableDef, WriteBatch, Writer,
};

use crate::ops::Dice;

/// Tables of the content.
const TABLES: [TableDef; 3] = [
    TableDef::new("accounts"),
    TableDef::new("blocks").large_values(),
    TableDef::new("index").point_lookups(),
];

/// Commits that make the content.
pub const COMMITS: usize = 10;

/// What a key holds and held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// Its value, unless it was deleted.
    pub now: Option<Vec<u8>>,
    /// Values it had before.
    pub before: Vec<Vec<u8>>,
}

/// The keys of one table that were ever written.
pub type Keys = BTreeMap<Vec<u8>, Versions>;

type Change = (usize, Vec<u8>, Option<Vec<u8>>);

/// Known rows of three tables.
#[derive(Clone, Debug)]
pub struct Content {
    commits: Vec<Vec<Change>>,
    tables: Vec<(&'static str, Keys)>,
}

impl Content {
    /// The content of this seed.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut dice = Dice::of(&format!("damage {seed}"));
        let mut content = Self {
            commits: Vec::new(),
            tables: ["accounts", "blocks", "index"]
                .map(|name| (name, Keys::new()))
                .to_vec(),
        };
        for commit in 0..COMMITS {
            let mut changes = Vec::new();
            content.change(&mut dice, commit, &mut changes);
            content.commits.push(changes);
        }
        content
    }

    fn change(&mut self, dice: &mut Dice, commit: usize, changes: &mut Vec<Change>) {
        // The first commit is the bulk of the rows, the others touch some of them again.
        let share = if commit == 0 { 1 } else { 6 };
        for (table, (keys, len_max)) in [(600, 90), (60, 1_500), (500, 9)].into_iter().enumerate() {
            for _ in 0..keys / share {
                let number = dice.below(keys) as u32;
                let key = [&b"key/"[..], &number.to_be_bytes()].concat();
                let value = (commit == 0 || !dice.once_in(5)).then(|| {
                    let len = match dice.below(15) {
                        0 if table == 1 => 9_000,
                        _ => dice.below(len_max),
                    };
                    dice.bytes(len)
                });
                let Some((_, known)) = self.tables.get_mut(table) else {
                    continue;
                };
                let versions = known.entry(key.clone()).or_default();
                let old = std::mem::replace(&mut versions.now, value.clone());
                versions.before.extend(old);
                changes.push((table, key, value));
            }
        }
    }

    /// The schema, with or without the checksum envelope on every table.
    ///
    /// # Errors
    /// None in practice: the names are legal and different.
    pub fn schema(checksum: ChecksumSetting) -> Result<Schema> {
        Schema::new(&TABLES.map(|table| table.with_checksum(checksum)))
    }

    /// Writes commits of the content, all durable: those of this range, the first of them being
    /// number 0.
    ///
    /// # Errors
    /// Of the store.
    pub fn write<S: KvStore>(&self, store: &S, commits: std::ops::Range<usize>) -> Result<()> {
        for changes in self.commits.get(commits).unwrap_or_default() {
            let mut batch = WriteBatch::new();
            for (table, key, value) in changes {
                let name = self.tables.get(*table).map_or("", |(name, _)| name);
                let table = store.catalogue().id(name)?;
                match value {
                    Some(value) => batch.put(table, key, value)?,
                    None => batch.delete(table, key)?,
                }
            }
            store.apply(&batch, Durability::Durable)?;
        }
        Ok(())
    }

    /// Tables by name, each with its keys.
    pub fn tables(&self) -> impl Iterator<Item = (&'static str, &Keys)> {
        self.tables.iter().map(|(name, keys)| (*name, keys))
    }
}
