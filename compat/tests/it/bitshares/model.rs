//! B21 against the simplest thing that could be it, with random operations and reopenings, on every
//! engine.

use std::collections::BTreeMap;

use chain_store::{AnyStore, EngineName};
use compat::bitshares::{BlockDatabaseStore, DatabaseError};
use conformance::scaled;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage_api::KvStore;
use storage_api::blocks::{BlockHash, Height};

use super::{id, open, schema};
use crate::stores::{Lab, engines};

const SEED: u64 = 0x6269_7473;

/// Number to id and block; no block when it was removed.
pub(super) type Model = BTreeMap<u32, (BlockHash, Option<Vec<u8>>)>;

/// Most numbers are few, so that they meet; some are anywhere.
fn number(dice: &mut ChaCha8Rng) -> u32 {
    match dice.random_range(0..20) {
        0 => dice.random(),
        1 => u32::MAX,
        _ => dice.random_range(1..30),
    }
}

pub(super) fn last_of(model: &Model) -> Option<BlockHash> {
    let mut rows = model.values().rev();
    rows.find(|(_, block)| block.is_some()).map(|(id, _)| *id)
}

/// Everything that can be asked about a number and an id.
pub(super) fn compare_one<S: KvStore>(
    blocks: &BlockDatabaseStore<S>,
    model: &Model,
    (number, id): (u32, &BlockHash),
    context: &str,
) {
    let known = model.get(&number);
    let height = Height::new(number.into());
    match blocks.fetch_block_id(height) {
        Ok(found) => assert_eq!(Some(found), known.map(|(id, _)| *id), "{context}"),
        Err(DatabaseError::NotContained { .. }) => assert!(known.is_none(), "{context}"),
        Err(error) => panic!("{context}: {error}"),
    }
    let block = known.and_then(|(_, block)| block.as_ref());
    let found = blocks.fetch_by_number(height).unwrap();
    assert_eq!(found.as_ref().map(|found| &found.block), block, "{context}");
    let is_it = known.is_some_and(|(known, _)| known == id);
    let block = block.filter(|_| is_it);
    let found = blocks.fetch_optional(id).unwrap();
    assert_eq!(found.as_ref().map(|found| &found.block), block, "{context}");
    assert!(found.is_none_or(|found| found.id == *id && found.number == height));
    assert_eq!(blocks.contains(id).unwrap(), block.is_some(), "{context}");
}

pub(super) fn compare_all<S: KvStore>(
    blocks: &BlockDatabaseStore<S>,
    model: &Model,
    context: &str,
) {
    for (number, (id, _)) in model {
        compare_one(blocks, model, (*number, id), context);
    }
    assert_eq!(blocks.last_id().unwrap(), last_of(model), "{context}: last");
    let view = blocks.database().store().begin_read().unwrap();
    let check = blocks.database().check(&view).unwrap();
    assert!(
        check.blocks.is_empty() && check.segments.is_empty(),
        "{context}: {check:?}"
    );
    let live = model.values().filter(|(_, block)| block.is_some()).count();
    assert_eq!(check.sound_blocks, live as u64, "{context}");
    assert_eq!(
        check.removed_blocks,
        (model.len() - live) as u64,
        "{context}"
    );
}

#[test]
fn random_operations_agree_with_the_model_on_every_engine() {
    for engine in engines() {
        // A durable engine syncs for each operation.
        let count = match engine {
            EngineName::Mem => scaled(6_000),
            _ => scaled(800),
        };
        println!("seed {SEED:#x}, {engine}, {count} operations");
        let mut dice = ChaCha8Rng::seed_from_u64(SEED);
        let mut lab = Lab::new(engine, schema::<AnyStore>());
        let mut model = Model::new();
        let mut blocks = Some(open(&lab.store(), lab.disk()));
        for step in 0..count {
            let context = format!("{engine}, seed {SEED:#x}, step {step}");
            let number = number(&mut dice);
            let id = id(number, dice.random_range(1..4));
            let database = blocks.as_ref().unwrap();
            match dice.random_range(0..100) {
                0..=39 => {
                    let len = dice.random_range(1..120);
                    let block: Vec<u8> = (0..len).map(|_| dice.random()).collect();
                    database.store(&id, &block).unwrap();
                    model.insert(number, (id, Some(block)));
                }
                40..=59 => {
                    let highest = model.keys().next_back().copied();
                    let expected = model
                        .get(&number)
                        .is_some_and(|(known, block)| *known == id && block.is_some());
                    match database.remove(&id) {
                        Ok(removed) => {
                            assert_eq!(removed, expected, "{context}");
                            assert!(
                                highest.is_some_and(|highest| number <= highest),
                                "{context}"
                            );
                        }
                        Err(DatabaseError::NotContained { .. }) => {
                            assert!(highest.is_none_or(|highest| number > highest), "{context}");
                        }
                        Err(error) => panic!("{context}: {error}"),
                    }
                    if expected {
                        model.insert(number, (id, None));
                    }
                }
                60..=94 => {
                    compare_one(database, &model, (number, &id), &context);
                    assert_eq!(database.last_id().unwrap(), last_of(&model), "{context}");
                }
                95..=97 => {
                    let truncated = database.truncate_to_last_valid().unwrap();
                    assert_eq!(truncated.lost_rows, 0, "{context}");
                    while model
                        .last_key_value()
                        .is_some_and(|(_, (_, block))| block.is_none())
                    {
                        model.pop_last();
                    }
                }
                _ => {
                    drop(blocks.take());
                    blocks = Some(open(&lab.store(), lab.disk()));
                    compare_all(blocks.as_ref().unwrap(), &model, &context);
                }
            }
        }
        compare_all(&blocks.unwrap(), &model, engine.as_str());
    }
}
