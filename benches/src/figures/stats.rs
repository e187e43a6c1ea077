//! Medians, spreads and who is best.
//!
//! Invariants: a summary exists only of samples; the middle half of the samples is between the
//! quartiles, so one disturbed round of five does not move it; two figures are told apart only when
//! their middle halves do not overlap.

/// The middle of samples and their middle half.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The middle sample.
    pub median: f64,
    /// The lower quartile.
    pub low: f64,
    /// The upper quartile.
    pub high: f64,
    /// Number of samples.
    pub samples: usize,
}

impl Summary {
    /// The summary of these samples; `None` when there are none.
    #[must_use]
    pub fn of(samples: &[f64]) -> Option<Self> {
        Some(Self {
            median: quantile(samples, 0.5)?,
            low: quantile(samples, 0.25)?,
            high: quantile(samples, 0.75)?,
            samples: samples.len(),
        })
    }

    /// Half the distance between the quartiles, as a part of the median; `None` of one sample,
    /// which has no spread, and of a median of zero.
    #[must_use]
    pub fn spread(&self) -> Option<f64> {
        let spread = (self.high - self.low) / 2.0 / self.median;
        (self.samples > 1 && self.median != 0.0).then_some(spread)
    }

    /// Whether the middle halves do not overlap.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        self.low > other.high || other.low > self.high
    }
}

fn sorted(samples: &[f64]) -> Vec<f64> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The sample that this part of all samples is at or below, with a straight line between
/// neighbours.
fn quantile(samples: &[f64], part: f64) -> Option<f64> {
    let sorted = sorted(samples);
    let last = sorted.len().checked_sub(1)?;
    let place = part.clamp(0.0, 1.0) * last as f64;
    let low = place.floor() as usize;
    let high = (low + 1).min(last);
    Some(sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64))
}

/// The smallest sample that `percent` of a hundred samples are at or below: a sample that was
/// really seen, as latencies want it.
#[must_use]
pub fn percentile(samples: &[f64], percent: u8) -> Option<f64> {
    let sorted = sorted(samples);
    let rank = (sorted.len() * usize::from(percent)).div_ceil(100).max(1);
    sorted.get(rank - 1).or_else(|| sorted.last()).copied()
}

/// The summary of the ratios of samples that were taken in pairs: sample by sample, so that what
/// moves both of a pair moves no ratio.
#[must_use]
pub fn ratio(of: &[f64], to: &[f64]) -> Option<Summary> {
    let ratios: Vec<f64> = of.iter().zip(to).map(|(of, to)| of / to).collect();
    Summary::of(&ratios)
}

/// Costs beside each other, of which some are ranked.
#[derive(Clone, Debug)]
pub struct Ranked {
    best: Option<Summary>,
}

impl Ranked {
    /// Ranks costs; a smaller one is better.
    #[must_use]
    pub fn new<'a>(costs: impl IntoIterator<Item = &'a Summary>) -> Self {
        let best = costs
            .into_iter()
            .min_by(|a, b| a.median.total_cmp(&b.median));
        Self {
            best: best.copied(),
        }
    }

    /// Whether this cost is the best or cannot be told apart from it.
    #[must_use]
    pub fn is_best(&self, cost: &Summary) -> bool {
        self.best
            .as_ref()
            .is_some_and(|best| !cost.differs_from(best))
    }

    /// The cost as a multiple of the best; `None` when nothing is ranked.
    #[must_use]
    pub fn multiple(&self, cost: &Summary) -> Option<f64> {
        self.best.as_ref().map(|best| cost.median / best.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(samples: &[f64]) -> Summary {
        let none = Summary {
            median: f64::NAN,
            low: f64::NAN,
            high: f64::NAN,
            samples: 0,
        };
        Summary::of(samples).unwrap_or(none)
    }

    #[test]
    fn medians_and_spreads() {
        assert_eq!(Summary::of(&[]), None);
        let one = summary(&[4.0]);
        assert_eq!((one.median, one.spread(), one.samples), (4.0, None, 1));
        let five = summary(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((five.low, five.median, five.high), (2.0, 3.0, 4.0));
        assert_eq!(five.spread(), Some(1.0 / 3.0));
        assert_eq!(summary(&[1.0, 2.0]).median, 1.5);
        let disturbed = summary(&[1.0, 1.0, 1.0, 1.0, 100.0]);
        assert_eq!((disturbed.median, disturbed.spread()), (1.0, Some(0.0)));
        assert_eq!(summary(&[0.0, 0.0]).spread(), None);
    }

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        assert_eq!(percentile(&samples, 50), Some(100.0));
        assert_eq!(percentile(&samples, 99), Some(198.0));
        assert_eq!(percentile(&samples, 100), Some(200.0));
        assert_eq!(percentile(&samples, 0), Some(1.0));
        assert_eq!(percentile(&[3.0], 99), Some(3.0));
        assert_eq!(percentile(&[], 99), None);
    }

    #[test]
    fn ratios_are_taken_in_pairs() {
        let noisy = [1.0, 10.0, 100.0];
        let twice = noisy.map(|sample| sample * 2.0);
        let found = ratio(&twice, &noisy);
        assert_eq!(
            found.map(|found| (found.median, found.spread())),
            Some((2.0, Some(0.0)))
        );
    }

    #[test]
    fn what_cannot_be_told_apart_is_best_too() {
        let [best, close, far] = [
            summary(&[90.0, 100.0, 110.0]),
            summary(&[95.0, 108.0, 120.0]),
            summary(&[190.0, 200.0, 210.0]),
        ];
        let ranked = Ranked::new([&far, &close, &best]);
        assert!(ranked.is_best(&best) && ranked.is_best(&close) && !ranked.is_best(&far));
        assert_eq!(ranked.multiple(&far), Some(2.0));
        // A far figure does not come nearer by being disturbed upwards.
        assert!(!ranked.is_best(&summary(&[190.0, 200.0, 9000.0])));
        let nothing = Ranked::new([]);
        assert!(!nothing.is_best(&best) && nothing.multiple(&best).is_none());
    }
}
