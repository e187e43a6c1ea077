//! The differential run over every engine of this build and the model: one stream of operations,
//! the same answers, the same rows.

use conformance::differential::{Config, Player, run};
use conformance::{ModelDiskHarness, scaled, seed_of_run};

#[cfg(feature = "lmdb")]
use crate::suite::Lmdb;
#[cfg(feature = "redb")]
use crate::suite::Redb;
#[cfg(feature = "rocks")]
use crate::suite::Rocks;
use crate::suite::{AnyOf, Mem};

/// Operations at full scale.
const OPS: usize = 200_000;

#[test]
fn every_engine_means_the_same() {
    let players = [
        Player::new("model", ModelDiskHarness::default),
        Player::new("mem", AnyOf::<Mem>::default),
        #[cfg(feature = "redb")]
        Player::new("redb", AnyOf::<Redb>::default),
        #[cfg(feature = "lmdb")]
        Player::new("lmdb", AnyOf::<Lmdb>::default),
        #[cfg(feature = "rocks")]
        Player::new("rocks", AnyOf::<Rocks>::default),
    ];
    let config = Config {
        ops: scaled(OPS) as u64,
        seed: seed_of_run(),
    };
    let summary = run(&players, config, &mut |_| ()).unwrap_or_else(|found| panic!("{found}"));
    println!(
        "seed {}: {} stores, {} operations in {} episodes, {} comparisons of all rows, digest \
         {:08x}",
        config.seed,
        players.len(),
        summary.ops,
        summary.episodes,
        summary.contents,
        summary.digest
    );
    assert!(summary.ops >= config.ops);
}
