//! Tests of the codecs: keys against the order of the typed values, values against hostile bytes.
//!
//! Random cases come from a fixed seed, which a failing test prints.

mod keys;
mod values;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestCaseResult, TestRunner};

const SEED: u64 = 0x0c0d_ec20_2611_21aa;
const CASES: u32 = 2048;

/// Runs the property on cases of the strategy and panics with the smallest counterexample.
fn check<S: Strategy>(strategy: &S, property: impl Fn(S::Value) -> TestCaseResult)
where
    S::Value: std::fmt::Debug,
{
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(SEED),
        ..Config::default()
    };
    if let Err(failure) = TestRunner::new(config).run(strategy, property) {
        panic!("seed {SEED:#x}: {failure}");
    }
}

/// Every string over the alphabet up to this length, shortest first.
fn strings(alphabet: &[u8], len_max: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    let mut from = 0;
    for _ in 0..len_max {
        let to = all.len();
        for at in from..to {
            for byte in alphabet {
                let mut longer = all[at].clone();
                longer.push(*byte);
                all.push(longer);
            }
        }
        from = to;
    }
    all
}
