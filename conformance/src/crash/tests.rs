//! The oracle sees what it must see: states that no crash may leave are refused, one by one.

use storage_api::{Durability, KeyRange, KvStore, OpenOptions, Result, WriteBatch, Writer};

use super::oracle::{Misjudged, judge};
use super::plan::{Ballast, Walk, schema};
use super::player::commit_next;
use crate::model::{ModelDisk, ModelStore};

const SEED: u64 = 5;
const COMMITS: u64 = 20;

/// A store after the plan's commits, but for what `spoil` does instead of the last.
fn store(spoil: impl FnOnce(&ModelStore, &mut Walk) -> Result<()>) -> Result<ModelStore> {
    let disk = std::sync::Arc::new(ModelDisk::default());
    let (store, _) = ModelStore::open(&disk, &schema()?, &OpenOptions::new())?;
    let mut walk = Walk::new(SEED, Ballast::None, store.catalogue())?;
    while walk.number() + 1 < COMMITS {
        commit_next(&store, &mut walk)?;
    }
    spoil(&store, &mut walk)?;
    Ok(store)
}

fn wrong(store: &ModelStore, low: u64, high: u64) -> bool {
    matches!(
        judge(store, SEED, Ballast::None, low..=high),
        Err(Misjudged::Wrong(_))
    )
}

#[test]
fn a_sound_store_is_sound() -> Result<()> {
    let store = store(|store, walk| commit_next(store, walk).map(drop))?;
    let found = judge(&store, SEED, Ballast::None, 0..=COMMITS);
    assert!(matches!(found, Ok(COMMITS)), "{found:?}");
    Ok(())
}

#[test]
fn a_lost_commit_and_a_phantom_are_seen() -> Result<()> {
    let short = store(|_, _| Ok(()))?;
    assert!(wrong(&short, COMMITS, COMMITS + 1));
    let long = store(|store, walk| {
        commit_next(store, walk)?;
        commit_next(store, walk).map(drop)
    })?;
    assert!(wrong(&long, COMMITS - 1, COMMITS));
    Ok(())
}

#[test]
fn a_torn_commit_is_seen() -> Result<()> {
    for left_out in 0..3 {
        let torn = store(|store, walk| {
            let step = walk.advance();
            let table = walk.tables()[left_out];
            let mut batch = WriteBatch::new();
            for op in &step.ops {
                if super::player::table_of(op) != table {
                    op.write(&mut batch)?;
                }
            }
            store.apply(&batch, Durability::Durable).map(drop)
        })?;
        assert!(wrong(&torn, COMMITS, COMMITS));
    }
    Ok(())
}

#[test]
fn a_hole_a_changed_value_and_a_row_too_many_are_seen() -> Result<()> {
    let hole = store(|store, walk| {
        let _lost = walk.advance();
        // The commit behind the hole, with the number of the one that is missing.
        commit_next(store, walk).map(drop)
    })?;
    assert!(wrong(&hole, COMMITS, COMMITS));
    type Spoil = fn(&mut WriteBatch, &Walk) -> Result<()>;
    let spoils: [Spoil; 3] = [
        |batch: &mut WriteBatch, walk: &Walk| {
            batch.put(walk.tables()[1], b"nobody wrote this", b"")
        },
        |batch: &mut WriteBatch, walk: &Walk| batch.put(walk.tables()[2], b"!stamp", b"changed"),
        |batch: &mut WriteBatch, walk: &Walk| {
            batch.delete_range(walk.tables()[0], &KeyRange::prefix(b"!"))
        },
    ];
    for spoil in spoils {
        let spoilt = store(|store, walk| {
            let step = walk.advance();
            let mut batch = WriteBatch::new();
            for op in &step.ops {
                op.write(&mut batch)?;
            }
            spoil(&mut batch, walk)?;
            store.apply(&batch, Durability::Durable).map(drop)
        })?;
        assert!(wrong(&spoilt, COMMITS, COMMITS));
    }
    Ok(())
}
