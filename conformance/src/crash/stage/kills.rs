//! Campaigns of kills: at random instants, at each system call of a short life, and again during
//! the recovery from such a kill.
//!
//! Invariants: a sweep without stride strikes every call of the life that was logged; where threads
//! make the life differ from run to run, a point that is not reached is counted as missed and the
//! places that were struck are counted, so that what was covered can be read off.

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use super::{Blow, Calls, Log, Point, Stage, Strace, Subject, Tally};
use crate::case::CaseError;
use crate::crash::role::{Message, Mode, Role, Wait};
use crate::ops::Dice;

use super::actor::{Ended, Found};

/// The longest wait before a random kill.
const RANDOM_WAIT_MICROS: usize = 60_000;

/// How far a sweep goes on behind the last call of a kind.
const BEYOND_MAX: usize = 20;

/// How often a place that was missed is aimed at again.
const ATTEMPTS_MAX: usize = 4;

impl<H: Subject> Stage<'_, H> {
    /// The points of a life that are struck.
    fn points(&self, log: &Log) -> Vec<Point> {
        let mut points = log.points(|_| true);
        points.retain(|point| match self.calls {
            Calls::Files => !log.is_memory(point),
            Calls::Changes => log.changes.contains_key(point),
        });
        points
    }

    /// Lets a child with this part run to its end under the eyes of `strace`.
    ///
    /// # Errors
    /// When it does not come to its end.
    pub fn log(&self, role: &Role) -> Result<Log, CaseError> {
        let (ended, log) = self.run_struck(role, None)?;
        if !ended.is_done() {
            return Err(CaseError::failed(format!("undisturbed, {ended}")));
        }
        Ok(log)
    }

    /// Runs a child with this part and strikes it; returns how it ended and what it did.
    ///
    /// # Errors
    /// Of the operating system, and when it hangs.
    pub fn run_struck(
        &self,
        role: &Role,
        blow: Option<(Blow, &Point)>,
    ) -> io::Result<(Ended, Log)> {
        let mut actor = self.start(role)?;
        actor.wait_until_ready()?;
        let mut strace = Some(Strace::attach(
            actor.id(),
            blow,
            &self.home.path().join("log"),
        )?);
        actor.go_on();
        let ended = actor.finish(&mut || {
            if let Some(strace) = strace.take() {
                strace.lift();
            }
        })?;
        let log = strace.map(Strace::read).transpose()?.unwrap_or_default();
        Ok((ended, log))
    }

    fn explain(&self, what: &str, error: &CaseError) -> CaseError {
        CaseError::failed(format!(
            "{}, {what}, CHAINSTORE_SEED={} plan {}: {error}",
            self.harness.engine_name(),
            crate::ops::seed_of_run(),
            self.seed
        ))
    }

    /// Kills one child at this point and judges what it leaves; `false` where the point was not
    /// reached. `before` is the state that was there before the child.
    ///
    /// # Errors
    /// What is wrong with the store.
    pub fn kill_at(
        &self,
        role: &Role,
        point: &Point,
        before: u64,
        tally: &mut Tally,
    ) -> Result<bool, CaseError> {
        let Some(acked) = self.kill_unjudged(role, point, before, tally)? else {
            return Ok(false);
        };
        let judged = self.judge(acked, acked + 1);
        judged.map_err(|error| self.explain(&format!("killed at {point:?}"), &error))?;
        Ok(true)
    }

    /// Kills one child at this point; returns the last commit that it acknowledged.
    fn kill_unjudged(
        &self,
        role: &Role,
        point: &Point,
        before: u64,
        tally: &mut Tally,
    ) -> Result<Option<u64>, CaseError> {
        let (ended, log) = self.run_struck(role, Some((Blow::Kill, point)))?;
        if ended.is_done() {
            tally.add("not reached");
            return Ok(None);
        }
        if !ended.was_killed() {
            return Err(CaseError::failed(format!("not killed, but {ended}")));
        }
        tally.add("kills");
        // A kill leaves no mark in the log; it falls where a thread reaches the point first.
        for place in log.places_at(point).chain(&point.place_on_file()) {
            tally.strike(place);
        }
        Ok(Some(ended.acked().max(before)))
    }

    /// Kills a child at every `stride`-th call of a life from the making of the store to its
    /// closing, and at the first of each place.
    ///
    /// # Errors
    /// The first store that is wrong.
    pub fn sweep(&self, commits: u64, stride: usize, tally: &mut Tally) -> Result<(), CaseError> {
        let role = self.role(commits, Wait::BeforeOpen, Mode::Crash);
        self.clear()?;
        let log = self.log(&role)?;
        let points = self.points(&log);
        tally.add_many("calls of the life", points.len() as u64);
        for point in log.sample(&points, stride) {
            self.clear()?;
            self.kill_at(&role, &point, 0, tally)?;
        }
        for point in log.points_aside().step_by(stride) {
            self.clear()?;
            self.kill_at(&role, &point, 0, tally)?;
        }
        self.sweep_missed(&role, (&log, &points), tally)?;
        if stride > 1 {
            return Ok(());
        }
        self.sweep_beyond(&role, &log, tally)
    }

    /// Aims again at places that were missed: threads make calls come in another order than in the
    /// life that was logged, so what was meant for one place may have struck another.
    fn sweep_missed(
        &self,
        role: &Role,
        (log, points): (&Log, &[Point]),
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        let places: BTreeSet<&String> = match self.calls {
            Calls::Files => points.iter().flat_map(|at| log.places_at(at)).collect(),
            Calls::Changes => log.changes.values().flatten().collect(),
        };
        tally.add_many("places of the life", places.len() as u64);
        for place in places {
            let is_here = |at: &&Point| log.places_at(at).any(|known| known == place);
            let here = points.iter().filter(is_here).cloned();
            for point in log.points_on_files(place).chain(here).take(ATTEMPTS_MAX) {
                if tally.places.contains_key(place) {
                    break;
                }
                self.clear()?;
                self.kill_at(role, &point, 0, tally)?;
            }
            if !tally.places.contains_key(place) {
                tally.add(&format!("never struck: {place}"));
            }
        }
        Ok(())
    }

    /// Goes on behind the last call of each kind that was logged until a child comes to its end:
    /// with threads, lives differ in length.
    fn sweep_beyond(&self, role: &Role, log: &Log, tally: &mut Tally) -> Result<(), CaseError> {
        let kinds: BTreeSet<&String> = log.changes.keys().map(|point| &point.call).collect();
        for call in kinds {
            let most = log.most.get(call).copied().unwrap_or(0);
            for count in most + 1..=most + BEYOND_MAX {
                let point = Point {
                    call: call.clone(),
                    count,
                    file: None,
                };
                self.clear()?;
                if !self.kill_at(role, &point, 0, tally)? {
                    break;
                }
                tally.add("kills beyond the life that was logged");
            }
        }
        Ok(())
    }

    /// Kills a child in the middle of its work, and another at each `stride`-th call of the
    /// recovery that follows, from the same state each time; so often from other first kills.
    ///
    /// # Errors
    /// The first store that is wrong.
    pub fn sweep_recovery(
        &self,
        first_kills: usize,
        stride: usize,
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        const COMMITS: u64 = 8;
        let working = self.role(COMMITS, Wait::BeforeWork, Mode::Crash);
        self.clear()?;
        let log = self.log(&working)?;
        let points = log.points(|call| call.contains("write") || call.contains("sync"));
        for n in 0..first_kills {
            self.clear()?;
            let first = &points[points.len() * (n + 1) / (first_kills + 1)];
            let Some(acked) = self.kill_unjudged(&working, first, 0, tally)? else {
                continue;
            };
            self.keep("killed")?;
            let again = self.role(acked + 2, Wait::BeforeOpen, Mode::Crash);
            let log = self.log(&again)?;
            let seconds = log.sample(&self.points(&log), stride);
            for second in seconds {
                self.restore("killed")?;
                let (ended, log) = self.run_struck(&again, Some((Blow::Kill, &second)))?;
                if ended.is_done() {
                    tally.add("not reached");
                    continue;
                }
                if !ended.was_killed() {
                    let what = format!("killed at {first:?} and not again, but {ended}");
                    return Err(CaseError::failed(what));
                }
                tally.add("kills in the recovery");
                for place in log.places_at(&second) {
                    tally.strike(place);
                }
                let low = ended.acked().max(acked);
                // One commit was under way at each kill; the second child may have found the first.
                let high = if ended.acked() > 0 {
                    low + 1
                } else {
                    acked + 1
                };
                self.judge(low, high).map_err(|error| {
                    let place = format!("killed at {first:?} and again at {second:?}");
                    self.explain(&place, &error)
                })?;
            }
        }
        Ok(())
    }

    /// Kills so many children at random instants of their work, one after the other on one store
    /// until that is in its last state.
    ///
    /// # Errors
    /// The first store that is wrong.
    pub fn kill_at_random(&self, kills: usize, tally: &mut Tally) -> Result<(), CaseError> {
        let mut dice = Dice::of(&format!("crash instants {}", self.seed));
        let (mut before, mut done) = (0, 0);
        self.clear()?;
        while done < kills {
            if before >= self.harness.last_state() {
                self.clear()?;
                before = 0;
            }
            let role = self.role(u64::MAX, Wait::Never, Mode::Crash);
            let ended = self.kill_at_an_instant(&role, &mut dice)?;
            if ended.was_killed() {
                done += 1;
                tally.add("kills");
            } else if ended.is_done() {
                tally.add("came to their end before they were killed");
            } else {
                return Err(CaseError::failed(format!("not killed, but {ended}")));
            }
            let acked = ended.acked().max(before);
            tally.add_many("commits acknowledged", acked - before);
            let explain = |error| {
                let what = format!("random kill {done} after commit {acked}");
                self.explain(&what, &error)
            };
            let judged = self.harness.judge_store(&role, acked..=acked + 1);
            let judged = judged.map_err(explain)?;
            let unknown = judged.found - acked;
            tally.add_many("commits found that were not acknowledged", unknown);
            before = judged.left;
        }
        Ok(())
    }

    /// Starts a child with this part and kills it at some instant. The wait begins with the
    /// process, with its store or with the first commit, so that each is struck.
    fn kill_at_an_instant(&self, role: &Role, dice: &mut Dice) -> io::Result<Ended> {
        let mut actor = self.start(role)?;
        let waits_for_commit = dice.once_in(2);
        let mut begun = dice.once_in(3);
        while !begun {
            begun = match actor.listen(Duration::from_secs(30))? {
                Found::Message(Message::Opened(_)) => !waits_for_commit,
                Found::Message(Message::Acked(_)) => true,
                Found::Message(_) => false,
                Found::Ended(_) | Found::Silent => true,
            };
        }
        let wait = Duration::from_micros(dice.below(RANDOM_WAIT_MICROS) as u64);
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if matches!(actor.listen(left)?, Found::Ended(_)) {
                break;
            }
        }
        actor.kill()
    }

    /// Lets a child go on with the store that is here to the last state, which the judge sees.
    ///
    /// # Errors
    /// When it does not come to it.
    pub fn finish(&self) -> Result<(), CaseError> {
        let last = self.harness.last_state();
        let role = self.role(last, Wait::Never, Mode::Crash);
        let ended = self.start(&role)?.finish(&mut || ())?;
        if !ended.is_done() {
            return Err(CaseError::failed(format!("left alone, {ended}")));
        }
        self.judge(last, last).map(drop)
    }

    /// Strikes as [`Stage::sweep`] does, over children that do wrong, until a store is found wrong:
    /// at one call in `stride` first, then at the others. Gives the number of kills that it took,
    /// `None` when none found it out.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn kills_until_wrong(
        &self,
        commits: u64,
        stride: usize,
    ) -> Result<Option<usize>, CaseError> {
        let role = self.role(commits, Wait::BeforeWork, Mode::Crash);
        let mut tally = Tally::new(self.harness.engine_name(), "sabotage");
        self.clear()?;
        let log = self.log(&role)?;
        let points = log.points(|call| call.contains("write") || call.contains("sync"));
        let stride = stride.max(1);
        let in_turns = (0..stride).flat_map(|first| points.iter().skip(first).step_by(stride));
        for (kills, point) in in_turns.enumerate() {
            self.clear()?;
            if let Some(acked) = self.kill_unjudged(&role, point, 0, &mut tally)?
                && self.judge(acked, acked + 1).is_err()
            {
                return Ok(Some(kills + 1));
            }
        }
        Ok(None)
    }
}
