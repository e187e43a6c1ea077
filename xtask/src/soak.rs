//! The long run: the tests again and again with new seeds until the time is over.
//!
//! A test that can be made longer looks at the scale and takes its seed from the environment; the
//! others just run again. Every seed is printed before its round, so that a failure can be
//! repeated.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::test::{Suite, TestScale};

/// Runs rounds until `minutes` have passed; the round that is under way then is finished. Stops at
/// the first failure.
pub(crate) fn run(minutes: u64) -> Result<()> {
    let suite = Suite::provide(TestScale::Soak)?;
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    let mut rounds = 0_u64;
    while rounds == 0 || Instant::now() < end {
        rounds += 1;
        let seed = random_seed();
        println!("round {rounds}: CHAINSTORE_SEED={seed}");
        suite
            .run_seeded(seed)
            .with_context(|| format!("round {rounds} failed: CHAINSTORE_SEED={seed}"))?;
    }
    println!("{rounds} rounds passed");
    Ok(())
}

/// Reads the arguments after `soak`.
pub(crate) fn minutes(arguments: &[&str]) -> Result<u64> {
    match arguments {
        ["--minutes", minutes] => minutes
            .parse()
            .with_context(|| format!("`{minutes}` is not a number of minutes")),
        _ => bail!("usage: cargo xtask soak --minutes N"),
    }
}

/// A seed that differs from run to run: the standard library's own hash keys are random.
fn random_seed() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_are_read_or_refused() {
        assert!(matches!(minutes(&["--minutes", "3"]), Ok(3)));
        assert!(minutes(&["--minutes", "soon"]).is_err());
        assert!(minutes(&[]).is_err());
    }

    #[test]
    fn seeds_differ() {
        assert_ne!(random_seed(), random_seed());
    }
}
