//! The differential run agrees with itself, finds planted mistakes, and cuts them down.

use crate::model::{Medium, ModelDiskHarness, ModelHarness};
use crate::mutants::{self, Mutation};

use super::{Config, Player, run};

const CONFIG: Config = Config {
    ops: 8_000,
    seed: 0x00d1_ff00,
};

#[test]
fn the_model_agrees_with_itself_in_memory_and_on_its_disk() {
    println!("seed {}", CONFIG.seed);
    let players = [
        Player::new("model in memory", ModelHarness::default),
        Player::new("model on a disk", ModelDiskHarness::default),
    ];
    let summary = run(&players, CONFIG, &mut |_| ()).unwrap_or_else(|found| panic!("{found}"));
    assert!(
        summary.ops >= CONFIG.ops && summary.contents > 2,
        "{summary:?}"
    );
    let again = run(&players, CONFIG, &mut |_| ()).unwrap_or_else(|found| panic!("{found}"));
    assert_eq!(again, summary, "one seed, one run");
}

#[test]
fn planted_mistakes_are_found_and_cut_down() {
    for mutation in [
        Mutation::RangeIncludesEnd,
        Mutation::DeleteIgnored,
        Mutation::BatchLosesLast,
        Mutation::RangeDeleteLeavesLast,
        Mutation::SeekSkipsHit,
        Mutation::ReverseSkipsFirst,
        Mutation::BatchRangeDeletesLast,
        Mutation::RollbackKeepsRangeDeletes,
        Mutation::NextFromBeforeSkips,
        Mutation::MultiGetSorts,
        Mutation::ViewScansLaterCommits,
        Mutation::ReopenLosesARow,
        Mutation::BadBatchHalfApplied,
        Mutation::LongKeyReadFails,
        Mutation::UnknownTableEmpty,
    ] {
        let players = [
            Player::new("model", ModelDiskHarness::default),
            Player::of("mutant", mutants::labs_of(mutation, Medium::Disk)),
        ];
        let Err(found) = run(&players, CONFIG, &mut |_| ()) else {
            panic!("{mutation:?} was not found");
        };
        assert!(found.repeats, "{mutation:?}: {found}");
        assert!(found.script.len() <= 6, "{mutation:?}: {found}");
        let told = found.to_string();
        let seed = format!("CHAINSTORE_SEED={} ", found.seed);
        assert!(
            found.script.iter().all(|line| told.contains(line)) && told.contains(&seed),
            "{told}"
        );
        let longest = found.script.iter().map(String::len).max();
        assert!(
            longest.is_some_and(|chars| chars < 2_000),
            "{mutation:?}: {found}"
        );
        assert_eq!(found.answers.len(), 2);
        assert_ne!(
            found.answers[0].1, found.answers[1].1,
            "{mutation:?}: {found}"
        );
    }
}
