//! Faults: every system call of a short life on a store of each durable engine fails once or for
//! good. The child (see `crash`) checks the store after each failure; this parent judges it
//! afterwards. Devices and limits that are really full are in `limits`.

use chain_store::EngineName;
use conformance::Scale;
use conformance::crash::{Blow, Choice, Sabotage, Stage, Tally};

use super::crash::{Crashed, durable, has_strace, stride};

/// What is struck with, and one of how many calls is, at full scale.
const BLOWS: [(Blow, usize); 6] = [
    (Blow::Error("EIO"), 1),
    (Blow::Error("ENOSPC"), 1),
    (Blow::NothingWritten, 2),
    (Blow::Error("EDQUOT"), 4),
    (Blow::Error("EINTR"), 4),
    (Blow::ErrorFrom("ENOSPC"), 2),
];

/// Commits of a life from the making of the store.
const LIFE_COMMITS: u64 = 6;

/// Commits that are there before a life that begins with a store larger than its cache.
const KEPT_COMMITS: u64 = 5;

/// The first call of each place is always struck by the first blow, and at full scale by every.
fn choice(blow: Blow, one_in: usize) -> Choice {
    let everywhere = Scale::of_run() != Scale::Tenth;
    if everywhere || blow == BLOWS[0].0 {
        Choice::EachPlaceAndStride(stride(one_in))
    } else {
        Choice::Stride(stride(one_in))
    }
}

fn each_call_fails(engine: EngineName, calls_of_one: usize) {
    if !has_strace("faults at each system call") {
        return;
    }
    let harness = Crashed(engine);
    let mut tally = Tally::new(engine.as_str(), "faults at system calls");
    let stage = Stage::new(&harness, 11).unwrap();
    let kept = Stage::new(&harness, 12).unwrap().with_ballast();
    kept.make(KEPT_COMMITS).unwrap();
    kept.keep("kept").unwrap();
    let mut wrong = Vec::new();
    for (blow, one_in) in BLOWS {
        let one_in = one_in * calls_of_one;
        let commits = KEPT_COMMITS + 4;
        let chosen = choice(blow, one_in);
        let new = stage.sweep_faults(LIFE_COMMITS, blow, chosen, None, &mut tally);
        let chosen = Choice::Stride(stride(one_in * 2));
        let old = kept.sweep_faults(commits, blow, chosen, Some("kept"), &mut tally);
        wrong.extend(new.err().into_iter().chain(old.err()));
    }
    tally.publish("faults.jsonl").unwrap();
    for error in &wrong {
        eprintln!("{error}");
    }
    assert!(wrong.is_empty(), "{engine}: see above");
    assert!(tally.count("faults EIO") > 10);
}

macro_rules! engines {
    ($($feature:literal $module:ident $name:ident $calls_of_one:literal)*) => {
        $(
            #[cfg(feature = $feature)]
            mod $module {
                use super::*;

                #[test]
                fn each_system_call_fails() {
                    each_call_fails(EngineName::$name, $calls_of_one);
                }
            }
        )*
    };
}

engines! {
    "redb" redb Redb 1
    "lmdb" lmdb Lmdb 1
    "rocks" rocks Rocks 3
}

#[test]
fn a_child_that_takes_a_failed_write_for_done_is_found_out() {
    let test = "faults of a child that ignores them";
    if !has_strace(test) {
        return;
    }
    let engine = durable().next().unwrap();
    let harness = Crashed(engine);
    let stage = Stage::new(&harness, 13)
        .unwrap()
        .with_sabotage(Sabotage::ErrorIgnored);
    let mut tally = Tally::new(engine.as_str(), "failed writes ignored");
    let blow = Blow::ErrorFrom("ENOSPC");
    let chosen = Choice::Stride(10);
    let outcome = stage.sweep_faults(LIFE_COMMITS, blow, chosen, None, &mut tally);
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("was expected"), "{error}");
}
