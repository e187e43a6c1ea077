//! [`Tally`]: what many flips did, and which of them broke a promise.
//!
//! Invariants: a flip breaks the promise of verification when what a reader got or could get
//! differs from what was written and verification says that all is well; it breaks the promise of
//! the envelope when a reader got a value that the key does not have. Nothing else is a breach: a
//! process that dies has served nothing, and is counted.

use std::collections::BTreeMap;
use std::fmt;

use super::reading::Verdict;
use super::record::Figures;
use super::specimen::Flip;

/// What verification said after a flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verification {
    /// All is well.
    Sound,
    /// Something is wrong.
    Findings,
    /// The store was refused.
    Refused,
    /// The process died, which is a finding of its parent.
    Died,
}

impl Verification {
    /// All that can be said.
    pub const ALL: [Self; 4] = [Self::Sound, Self::Findings, Self::Refused, Self::Died];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "verify_sound",
            Self::Findings => "verify_findings",
            Self::Refused => "verify_refused",
            Self::Died => "verify_died",
        }
    }

    /// What has this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|said| said.as_str() == name)
    }
}

/// One flip and what came of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The bit.
    pub flip: Flip,
    /// Its file.
    pub file: String,
    /// What reads gave.
    pub verdict: Verdict,
    /// What verification said.
    pub verification: Verification,
    /// Panics of the engine's library that were caught and became errors.
    pub panics: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (byte, bit) = (self.flip.byte, self.flip.bit);
        let (read, said) = (self.verdict.as_str(), self.verification.as_str());
        write!(f, "{} byte {byte} bit {bit}: {read}, {said}", self.file)
    }
}

/// What is promised of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// Verification finds what is not as it was written, and no read serves a value that the key
    /// does not have.
    Checked,
    /// Verification finds what is not as it was written, and no read serves a value that the key
    /// never had.
    Found,
    /// Nothing; the figures say what happens.
    None,
}

/// What came of many flips.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    outcomes: Vec<Outcome>,
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, outcome: Outcome) {
        self.outcomes.push(outcome);
    }

    /// All outcomes.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// Flips with this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let same = |outcome: &&Outcome| outcome.verdict == verdict;
        self.outcomes.iter().filter(same).count()
    }

    /// Flips of which verification said this.
    #[must_use]
    pub fn count_said(&self, said: Verification) -> usize {
        let same = |outcome: &&Outcome| outcome.verification == said;
        self.outcomes.iter().filter(same).count()
    }

    /// Flips that broke the promise.
    #[must_use]
    pub fn breaches(&self, promise: Promise) -> Vec<&Outcome> {
        let broken = |outcome: &&Outcome| {
            let missed =
                outcome.verification == Verification::Sound && outcome.verdict != Verdict::Right;
            let served = match promise {
                Promise::Checked => matches!(outcome.verdict, Verdict::Wrong | Verdict::Stale),
                Promise::Found => outcome.verdict == Verdict::Wrong,
                Promise::None => return false,
            };
            missed || served
        };
        self.outcomes.iter().filter(broken).collect()
    }

    /// What readers got that is not so, and verification did not find, by file.
    #[must_use]
    pub fn silent_by_file(&self) -> BTreeMap<&str, usize> {
        let mut files = BTreeMap::new();
        for outcome in self.outcomes.iter().filter(|o| o.verdict.is_silent()) {
            *files.entry(outcome.file.as_str()).or_default() += 1;
        }
        files
    }

    /// Adds the counts to figures.
    #[must_use]
    pub fn figures(&self, mut figures: Figures) -> Figures {
        figures = figures.number("flips", self.outcomes.len() as u64);
        for verdict in Verdict::ALL {
            figures = figures.number(verdict.as_str(), self.count(verdict) as u64);
        }
        for said in Verification::ALL {
            figures = figures.number(said.as_str(), self.count_said(said) as u64);
        }
        let undetected =
            |o: &&Outcome| o.verdict != Verdict::Right && o.verification == Verification::Sound;
        let undetected = self.outcomes.iter().filter(undetected).count();
        let panics: u64 = self.outcomes.iter().map(|outcome| outcome.panics).sum();
        figures
            .number("undetected", undetected as u64)
            .number("panics_caught", panics)
    }
}
