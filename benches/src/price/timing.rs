//! Paired times: the forms take turns in one process, forward and back (ABBA), so that what changes
//! slowly hits all alike, and each round gives one ratio.
//!
//! Invariants: a ratio comes with the 95 % interval of its median by order statistics, which
//! assumes nothing about the noise; where the interval is wider than the budget, the ratio says
//! nothing about it. Times of one thread are processor time of that thread, which waits for nobody;
//! times of two threads are on the clock, because waiting is what they are to show.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use chain_store::EngineName;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::case::{Case, Extent, Form, Operation, VALUE_BYTES, cases, value_sizes};
use super::rows::Rows;
use super::subjects::{self, Named, Subject};

/// Seconds that one turn is to take.
const TURN_SECONDS: f64 = 0.004;

/// Gets of a thread in one turn of two threads.
const GETS_OF_THREAD: usize = 40_000;

/// How much is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// Rows of the table with the main size of values; others have as many bytes at most.
    pub rows: usize,
    /// Rounds of each case.
    pub rounds: usize,
}

/// A ratio with the interval of its median.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// The median.
    pub median: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Ratio {
    /// The median of these with its 95 % interval; `None` for fewer than eight.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted: Vec<f64> = samples.iter().copied().filter(|s| s.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        if sorted.len() < 8 {
            return None;
        }
        let count = sorted.len() as f64;
        let reach = 0.98 * count.sqrt();
        let low = (count / 2.0 - reach).floor().max(0.0) as usize;
        let high = ((count / 2.0 + reach).ceil() as usize).min(sorted.len() - 1);
        Some(Self {
            median: sorted[sorted.len() / 2],
            low: sorted[low],
            high: sorted[high],
        })
    }

    /// The width of the interval.
    #[must_use]
    pub fn width(&self) -> f64 {
        self.high - self.low
    }
}

/// The times of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Timed {
    /// The engine.
    pub engine: String,
    /// The case.
    pub case: Case,
    /// Threads that worked at once.
    pub threads: usize,
    /// Each form: nanoseconds of a unit, the median, and its ratio to the first one.
    pub forms: Vec<(Form, f64, Option<Ratio>)>,
}

fn thread_seconds() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 + now.tv_nsec as f64 * 1e-9
}

fn spent(subject: &mut dyn Subject, case: Case, times: usize) -> Result<f64> {
    let begun = thread_seconds();
    subject.run(case.operation, times)?;
    Ok(thread_seconds() - begun)
}

/// Times every case of an engine in stores below `dir`.
///
/// # Errors
/// Of a store; a wrong answer.
pub fn run(
    engine: EngineName,
    extent: Extent,
    effort: Effort,
    dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Timed>> {
    let mut all = Vec::new();
    for &value_bytes in value_sizes(extent) {
        let bytes = effort.rows * VALUE_BYTES;
        let rows = Arc::new(Rows::new(
            (bytes / value_bytes).clamp(64, effort.rows),
            value_bytes,
        ));
        let dir = tempfile::Builder::new().prefix("price-").tempdir_in(dir)?;
        let mut subjects: Vec<Named> = Vec::new();
        for form in Form::ALL {
            subjects.extend(subjects::make(engine, form, &rows, dir.path())?);
        }
        for case in cases(extent, value_bytes) {
            progress(&format!("{engine}: {case}"));
            all.push(
                turns(engine, case, (&mut subjects, rows.keys.len()), effort)
                    .with_context(|| format!("{engine}, {case}"))?,
            );
            if case.operation == Operation::GetHit && value_bytes == VALUE_BYTES {
                progress(&format!("{engine}: {case}, two threads"));
                all.push(two_threads(engine, case, &subjects, effort)?);
            }
        }
    }
    Ok(all)
}

/// The figures of the forms, and each one's ratio to the first.
fn summed(forms: &[Form], samples: &[Vec<f64>]) -> Vec<(Form, f64, Option<Ratio>)> {
    let figure = |samples: &[f64]| {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or(0.0)
    };
    let first = samples.first().map_or(&[][..], |first| &first[..]);
    let ratio = |of: &[f64]| {
        let ratios: Vec<f64> = of.iter().zip(first).map(|(of, to)| of / to).collect();
        Ratio::of(&ratios)
    };
    let each = forms.iter().zip(samples);
    each.map(|(form, samples)| (*form, figure(samples) * 1e9, ratio(samples)))
        .collect()
}

fn turns(
    engine: EngineName,
    case: Case,
    (subjects, rows): (&mut [Named], usize),
    effort: Effort,
) -> Result<Timed> {
    let has = |named: &&mut Named| named.subject.has(case.operation);
    let mut subjects: Vec<&mut Named> = subjects.iter_mut().filter(has).collect();
    let forms: Vec<Form> = subjects.iter().map(|named| named.form).collect();
    let mut times = case.operation.times();
    if let Some(first) = subjects.first_mut() {
        spent(&mut *first.subject, case, times)?;
        let one = spent(&mut *first.subject, case, times)? / times as f64;
        times = ((TURN_SECONDS / one.max(1e-9)) as usize).clamp(1, 1 << 20);
    }
    let units = times * case.operation.units(rows);
    let mut samples = vec![Vec::new(); subjects.len()];
    for round in 0..=effort.rounds {
        let mut seconds = vec![0.0; subjects.len()];
        let forward = 0..subjects.len();
        for at in forward.clone().chain(forward.rev()) {
            seconds[at] += spent(&mut *subjects[at].subject, case, times)?;
        }
        // The first round warms the caches.
        if round > 0 {
            for (samples, seconds) in samples.iter_mut().zip(seconds) {
                samples.push(seconds / (2 * units) as f64);
            }
        }
    }
    Ok(Timed {
        engine: engine.to_string(),
        case,
        threads: 1,
        forms: summed(&forms, &samples),
    })
}

/// Both threads begin together; seconds on the clock until both are done, of one get.
fn together(readers: &mut [Box<dyn Subject + Send + '_>], case: Case) -> Result<f64> {
    let barrier = Barrier::new(readers.len() + 1);
    thread::scope(|scope| {
        let threads: Vec<_> = readers
            .iter_mut()
            .map(|reader| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    reader.run(case.operation, GETS_OF_THREAD)
                })
            })
            .collect();
        barrier.wait();
        let begun = Instant::now();
        for thread in threads {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        }
        Ok(begun.elapsed().as_secs_f64() / GETS_OF_THREAD as f64)
    })
}

fn two_threads(
    engine: EngineName,
    case: Case,
    subjects: &[Named],
    effort: Effort,
) -> Result<Timed> {
    let mut forms = Vec::new();
    let mut pairs = Vec::new();
    for Named { form, subject } in subjects {
        let pair = [subject.reader()?, subject.reader()?];
        let pair: Vec<_> = pair.into_iter().flatten().collect();
        if pair.len() == 2 {
            forms.push(*form);
            pairs.push(pair);
        }
    }
    let mut samples = vec![Vec::new(); pairs.len()];
    for round in 0..=effort.rounds {
        let mut seconds = vec![0.0; pairs.len()];
        let forward = 0..pairs.len();
        for at in forward.clone().chain(forward.rev()) {
            seconds[at] += together(&mut pairs[at], case)?;
        }
        if round > 0 {
            for (samples, seconds) in samples.iter_mut().zip(seconds) {
                samples.push(seconds / 2.0);
            }
        }
    }
    Ok(Timed {
        engine: engine.to_string(),
        case,
        threads: 2,
        forms: summed(&forms, &samples),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_median_and_shrinks() {
        let samples = |count: u32| (0..count).map(f64::from).collect::<Vec<f64>>();
        assert_eq!(Ratio::of(&samples(7)), None);
        let few = Ratio::of(&samples(16));
        let want = |median, low, high| Some(Ratio { median, low, high });
        assert_eq!(few, want(8.0, 4.0, 12.0));
        let many = Ratio::of(&[vec![1.0; 400], vec![f64::NAN]].concat());
        assert_eq!(many, want(1.0, 1.0, 1.0));
        assert!(many.is_some_and(|ratio| ratio.width() < 0.01));
    }
}
