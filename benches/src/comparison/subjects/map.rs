//! The standard library's ordered map behind a lock: what a program without a store would use. It
//! has no views and forgets everything.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use anyhow::Result;

use crate::comparison::contestant::{About, Contestant, Level, Offered};
use crate::comparison::script::{Changes, Script};
use crate::workload::Key;

type Rows = BTreeMap<Box<[u8]>, Box<[u8]>>;

#[derive(Default)]
struct Map(RwLock<Rows>);

/// Makes it; the directory stays empty.
#[expect(clippy::unnecessary_wraps, reason = "the shape of every maker")]
pub(super) fn make(_: &Path, _: u64) -> Result<Box<dyn Contestant>> {
    Ok(Box::new(Map::default()))
}

impl Map {
    fn read<T>(&self, read: impl FnOnce(&Rows) -> T) -> T {
        read(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self, write: impl FnOnce(&mut Rows)) {
        write(&mut self.0.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Contestant for Map {
    fn about(&self) -> About {
        About {
            version: "std BTreeMap of boxed rows behind an RwLock".to_owned(),
            durable: "kept in memory only".to_owned(),
            buffered: "kept in memory only".to_owned(),
            load: "built from sorted rows".to_owned(),
        }
    }

    fn is_persistent(&self) -> bool {
        false
    }

    fn bulk_load(&self, script: &Script) -> Result<()> {
        let rows = script.sorted_rows().into_iter();
        let rows = rows.map(|(key, value)| (Box::from(&key[..]), Box::from(value)));
        let rows = rows.collect();
        self.write(|map| *map = rows);
        Ok(())
    }

    fn commit(&self, changes: Changes<'_>, _: Level) -> Result<Offered> {
        self.write(|map| {
            for (key, value) in changes.iter() {
                match value {
                    Some(value) => drop(map.insert(Box::from(&key[..]), Box::from(value))),
                    None => drop(map.remove(&key[..])),
                }
            }
        });
        Ok(Offered::Done)
    }

    fn gets(&self, keys: &[Key]) -> Result<usize> {
        let get = |key: &Key| {
            self.read(|map| {
                map.get(&key[..]).map_or(0, |value| {
                    black_box(value.first());
                    value.len()
                })
            })
        };
        Ok(keys.iter().map(get).sum())
    }

    fn ranges(&self, starts: &[Key], rows: usize) -> Result<Option<usize>> {
        let range = |start: &Key| {
            self.read(|map| {
                let rows = map.range(Box::from(&start[..])..).take(rows);
                rows.inspect(|(key, value)| {
                    black_box((key.first(), value.first()));
                })
                .count()
            })
        };
        Ok(Some(starts.iter().map(range).sum()))
    }

    fn scan(&self) -> Result<Option<usize>> {
        Ok(Some(self.read(|map| {
            map.iter()
                .inspect(|(key, value)| {
                    black_box((key.first(), value.first()));
                })
                .count()
        })))
    }

    fn compact(&self) -> Result<Offered> {
        Ok(Offered::Not)
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }
}
