//! Cutting a script down to what a person can read: first whole steps, then what is inside of them.
//! Method: delta debugging (Zeller and Hildebrandt, 2002), bounded in runs
//! and in time.
//!
//! Invariant: what comes back differs, on new stores, as it stands.

use std::time::{Duration, Instant};

use super::script::Step;
use super::{Difference, Player, play};

/// The most scripts that are tried.
const RUNS_MAX: usize = 400;

/// How long scripts are tried; what is shortest by then is shown.
const TIME_MAX: Duration = Duration::from_secs(120);

/// The shortest script found that still differs, with how; the script itself when it does not
/// differ again.
pub(super) fn shrink(players: &[Player], script: Vec<Step>) -> (Vec<Step>, Option<Difference>) {
    let mut search = Search {
        players,
        runs: 0,
        begun: Instant::now(),
        found: None,
        script,
    };
    let whole = search.script.clone();
    if !search.try_script(whole) {
        return (search.script, None);
    }
    search.cut_steps();
    search.cut_inside();
    search.cut_steps();
    (search.script, search.found)
}

struct Search<'p> {
    players: &'p [Player],
    runs: usize,
    begun: Instant,
    found: Option<Difference>,
    script: Vec<Step>,
}

impl Search<'_> {
    fn is_over(&self) -> bool {
        self.runs >= RUNS_MAX || self.begun.elapsed() >= TIME_MAX
    }

    /// Whether this script differs; then it is the shortest so far.
    fn try_script(&mut self, mut script: Vec<Step>) -> bool {
        if self.is_over() {
            return false;
        }
        self.runs += 1;
        match play(self.players, &script) {
            Ok(_) => false,
            Err(difference) => {
                script.truncate(difference.step + 1);
                self.script = script;
                self.found = Some(difference);
                true
            }
        }
    }

    fn cut_steps(&mut self) {
        let mut size = self.script.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < self.script.len() {
                let mut shorter = self.script.clone();
                let end = (at + size).min(shorter.len());
                shorter.drain(at..end);
                if shorter.is_empty() || !self.try_script(shorter) {
                    at += size;
                }
                if self.is_over() {
                    return;
                }
            }
            size /= 2;
        }
    }

    /// Takes operations out of batches and transactions, halves first.
    fn cut_inside(&mut self) {
        let mut at = 0;
        while at < self.script.len() {
            let parts = match &self.script[at] {
                Step::Apply(ops, _) => ops.len(),
                Step::Txn(parts, _) => parts.len(),
                _ => 0,
            };
            let mut size = parts.div_ceil(2);
            while size > 0 && at < self.script.len() {
                let mut from = 0;
                while from < inside(&self.script, at) {
                    let mut shorter = self.script.clone();
                    take_out(&mut shorter[at], from, size);
                    if !self.try_script(shorter) {
                        from += size;
                    }
                    if self.is_over() || at >= self.script.len() {
                        return;
                    }
                }
                size /= 2;
            }
            at += 1;
        }
    }
}

fn inside(script: &[Step], at: usize) -> usize {
    match script.get(at) {
        Some(Step::Apply(ops, _)) => ops.len(),
        Some(Step::Txn(parts, _)) => parts.len(),
        _ => 0,
    }
}

fn take_out(step: &mut Step, from: usize, size: usize) {
    match step {
        Step::Apply(ops, _) => {
            let end = (from + size).min(ops.len());
            ops.drain(from..end);
        }
        Step::Txn(parts, _) => {
            let end = (from + size).min(parts.len());
            parts.drain(from..end);
        }
        _ => {}
    }
}
