//! The differential run: one seeded stream of operations on several stores at once, whose answers
//! and contents must be the same.
//!
//! A run is a sequence of episodes. Each makes new stores, generates a script from its own seed
//! (`script`), has every store play it step by step (`player`) and compares what each step
//! said, and now and then all rows. A difference is cut down to a script that a person can read
//! (`shrink`).
//!
//! Invariants: a script is made before any store is asked, so the same seed and number give the
//! same script whatever the stores do, and a part of a script is a script; an answer holds every
//! byte and the kind of every error, so stores cannot differ where nobody looks; a store that is
//! not persistent keeps its contents over a reopening by not being reopened.

mod player;
mod script;
mod shrink;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use crate::case::{CaseError, CaseResult};
use crate::harness::Harness;
use crate::lab::Lab;
use crate::model::ModelDiskHarness;
use crate::report::LabMaker;

use player::Playing;
use script::Step;

/// Operations of one episode, about.
const EPISODE_OPS: usize = 10_000;

/// Steps of a script that are shown, the last ones.
const LINES_MAX: usize = 60;

/// Steps between two comparisons of all rows.
const STEPS_BETWEEN_CONTENTS: usize = 250;

/// A store of the run and how to make one.
#[derive(Clone)]
pub struct Player {
    name: String,
    make: LabMaker,
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Player").field(&self.name).finish()
    }
}

impl Player {
    /// Stores of harnesses that `make` makes, each a new place.
    #[must_use]
    pub fn new<H: Harness>(name: &str, make: impl Fn() -> H + Send + Sync + 'static) -> Self {
        Self::of(name, Arc::new(move || Lab::new(make())))
    }

    pub(crate) fn of(name: &str, make: LabMaker) -> Self {
        Self {
            name: name.to_owned(),
            make,
        }
    }
}

/// How much, from which seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Operations, at least: each write, each query and each end of a transaction is one.
    pub ops: u64,
    /// The seed of the first episode; each further one takes the next number.
    pub seed: u64,
}

/// What a run did, when nothing differed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Operations that every store did.
    pub ops: u64,
    /// Episodes.
    pub episodes: u64,
    /// Comparisons of all rows.
    pub contents: u64,
    /// A checksum over every answer and every compared content.
    pub digest: u32,
}

/// Two stores that did not answer the same.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// The seed of the episode.
    pub seed: u64,
    /// The step of its script, counted from 0.
    pub step: usize,
    /// What each store said.
    pub answers: Vec<(String, String)>,
    /// The shortest script that was found to differ, a line a step.
    pub script: Vec<String>,
    /// Whether the stores differed again on new places; the script is cut down only then.
    pub repeats: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cut = if self.repeats {
            "cut down to"
        } else {
            "it did not differ again when it was repeated, so nothing is cut:"
        };
        writeln!(
            f,
            "stores differ in the episode of seed {} at step {}; {cut} {} steps:",
            self.seed,
            self.step,
            self.script.len()
        )?;
        let left_out = self.script.len().saturating_sub(LINES_MAX);
        if left_out > 0 {
            writeln!(f, "  ({left_out} steps before)")?;
        }
        for line in &self.script[left_out..] {
            writeln!(f, "  {line}")?;
        }
        for (name, answer) in &self.answers {
            writeln!(f, "  {name}: {answer}")?;
        }
        write!(
            f,
            "again: the same stores with CHAINSTORE_SEED={seed} and {EPISODE_OPS} operations, as \
             in CHAINSTORE_SEED={seed} chainstore conform --no-mutants --ops {EPISODE_OPS}",
            seed = self.seed
        )
    }
}

impl std::error::Error for Divergence {}

/// What playing a script came to.
#[derive(Debug, Default)]
struct Played {
    ops: u64,
    contents: u64,
    digest: u32,
}

/// The first step at which two stores differ, and what each said.
#[derive(Debug)]
struct Difference {
    step: usize,
    answers: Vec<(String, String)>,
}

/// Runs the stores, telling how many operations are done.
///
/// # Errors
/// [`Divergence`], cut down.
pub fn run(
    players: &[Player],
    config: Config,
    progress: &mut dyn FnMut(u64),
) -> Result<Summary, Box<Divergence>> {
    let mut summary = Summary {
        ops: 0,
        episodes: 0,
        contents: 0,
        digest: 0,
    };
    while summary.ops < config.ops {
        let seed = config.seed.wrapping_add(summary.episodes);
        let left = config.ops - summary.ops;
        let ops = usize::try_from(left).map_or(EPISODE_OPS, |left| left.min(EPISODE_OPS));
        let script = script::script(seed, ops);
        match play(players, &script) {
            Ok(played) => {
                summary.ops += played.ops;
                summary.contents += played.contents;
                let digest = played.digest.to_le_bytes();
                summary.digest = crc32c::crc32c_append(summary.digest, &digest);
            }
            Err(difference) => return Err(Box::new(explain(players, seed, script, difference))),
        }
        summary.episodes += 1;
        progress(summary.ops);
    }
    Ok(summary)
}

/// Plays a script on new stores.
fn play(players: &[Player], script: &[Step]) -> Result<Played, Difference> {
    let labs: Vec<(&str, Lab)> = players
        .iter()
        .map(|player| (player.name.as_str(), (player.make)()))
        .collect();
    play_at(&labs, script)
}

/// One episode on a store that is empty and on the model, for the case of the suite.
pub(crate) fn agrees_with_the_model(lab: &Lab, seed: u64, ops: usize) -> CaseResult {
    let model = Lab::new(ModelDiskHarness::default());
    let script = script::script(seed, ops);
    let agreed = {
        let mut playing = [
            Playing::begin("model", &model),
            Playing::begin("store", lab),
        ];
        play_steps(&mut playing, &script)
    };
    let Err(difference) = agreed else {
        return Ok(());
    };
    let answers: Vec<String> = difference
        .answers
        .iter()
        .map(|(name, answer)| format!("{name}: {answer}"))
        .collect();
    let step = script.get(difference.step).map(ToString::to_string);
    Err(CaseError::failed(format!(
        "at step {} ({}): {}",
        difference.step,
        step.unwrap_or_default(),
        answers.join(" / ")
    )))
}

/// Plays a script at these places.
fn play_at(labs: &[(&str, Lab)], script: &[Step]) -> Result<Played, Difference> {
    let mut playing: Vec<Playing<'_>> = labs
        .iter()
        .map(|(name, lab)| Playing::begin(name, lab))
        .collect();
    play_steps(&mut playing, script)
}

fn play_steps(playing: &mut [Playing<'_>], script: &[Step]) -> Result<Played, Difference> {
    let mut played = Played::default();
    for (at, step) in script.iter().enumerate() {
        played.ops += step.ops();
        compare(playing, at, &mut played, |playing, answer| {
            playing.play(step, answer);
        })?;
        let is_last = at + 1 == script.len();
        if is_last || (at + 1).is_multiple_of(STEPS_BETWEEN_CONTENTS) {
            played.contents += 1;
            compare(playing, at, &mut played, |playing, answer| {
                playing.contents(answer);
            })?;
        }
    }
    Ok(played)
}

fn compare(
    playing: &mut [Playing<'_>],
    step: usize,
    played: &mut Played,
    mut ask: impl FnMut(&mut Playing<'_>, &mut Vec<u8>),
) -> Result<(), Difference> {
    let mut answers: Vec<Vec<u8>> = Vec::with_capacity(playing.len());
    for one in playing.iter_mut() {
        let mut answer = Vec::new();
        ask(one, &mut answer);
        answers.push(answer);
    }
    if let Some(first) = answers.first() {
        played.digest = crc32c::crc32c_append(played.digest, first);
    }
    if answers.windows(2).all(|pair| pair[0] == pair[1]) {
        return Ok(());
    }
    Err(Difference {
        step,
        answers: told(playing, &answers),
    })
}

/// The answers as text, cut to where they begin to differ.
fn told(playing: &[Playing<'_>], answers: &[Vec<u8>]) -> Vec<(String, String)> {
    const CHARS_BEFORE: usize = 60;
    const CHARS: usize = 240;
    let shared = answers
        .windows(2)
        .map(|pair| {
            let same = pair[0].iter().zip(&pair[1]).take_while(|(a, b)| a == b);
            same.count()
        })
        .min()
        .unwrap_or(0);
    let from = shared.saturating_sub(CHARS_BEFORE);
    playing
        .iter()
        .zip(answers)
        .map(|(one, answer)| {
            let part = answer.get(from..).unwrap_or_default();
            let part = &part[..part.len().min(CHARS)];
            (
                one.name().to_owned(),
                format!("byte {from}: {}", part.escape_ascii()),
            )
        })
        .collect()
}

fn explain(
    players: &[Player],
    seed: u64,
    mut script: Vec<Step>,
    difference: Difference,
) -> Divergence {
    script.truncate(difference.step + 1);
    let (script, shortest) = shrink::shrink(players, script);
    Divergence {
        seed,
        step: difference.step,
        repeats: shortest.is_some(),
        answers: shortest.map_or(difference.answers, |shortest| shortest.answers),
        script: script.iter().map(ToString::to_string).collect(),
    }
}
