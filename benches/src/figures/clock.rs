//! The clock: wall time and the processor time of the whole process, background threads included.
//!
//! Processor time moves far less than wall time when others use the machine, so both are kept.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

/// What a piece of work took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lap {
    /// Time on the clock.
    pub wall: Duration,
    /// Time of all processors in this process.
    pub cpu: Duration,
}

impl Lap {
    /// Both times of one of `operations`, in seconds, wall first.
    #[must_use]
    pub fn per(self, operations: usize) -> (f64, f64) {
        let operations = operations.max(1) as f64;
        let seconds = |time: Duration| time.as_secs_f64() / operations;
        (seconds(self.wall), seconds(self.cpu))
    }
}

fn cpu_now() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = Duration::from_secs(u64::try_from(now.tv_sec).unwrap_or(0));
    seconds + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// Does the work and says what it took.
///
/// # Errors
/// Of the work.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Lap)> {
    let (cpu, start) = (cpu_now(), Instant::now());
    let done = work()?;
    let lap = Lap {
        wall: start.elapsed(),
        cpu: cpu_now().saturating_sub(cpu),
    };
    Ok((done, lap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lap_is_divided_among_its_operations() {
        let lap = Lap {
            wall: Duration::from_millis(20),
            cpu: Duration::from_millis(10),
        };
        assert_eq!(lap.per(10), (0.002, 0.001));
        assert_eq!(lap.per(0), (0.02, 0.01));
    }

    #[test]
    fn work_takes_processor_time() -> Result<()> {
        let (sum, lap) = timed(|| Ok((0..2_000_000u64).map(std::hint::black_box).sum::<u64>()))?;
        assert_eq!(sum, 1_999_999_000_000);
        assert!(lap.cpu > Duration::ZERO && lap.wall > Duration::ZERO);
        Ok(())
    }
}
