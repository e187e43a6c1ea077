//! Campaigns of faults: every system call of a short life fails once, or from some point on, and
//! the child itself checks what must be true after each failure.
//!
//! Invariants: a failure that reaches the caller has the kind that belongs to its cause; a child
//! never ends in a panic, a signal or a hang; once the fault is over everything is committed and
//! the store, judged in another process, is whole. A fault that nobody sees is counted as absorbed;
//! an absorbed failure of a sync is listed by its place, because none of a commit's may be.

use super::strace::{Blow, Log, Point};
use super::{CrashHarness, Ended, Stage, Tally};
use crate::case::CaseError;
use crate::crash::role::{Message, Mode, Role, Wait};

/// Which of the calls of a life are struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The first of each place, and one in so many.
    EachPlaceAndStride(usize),
    /// One in so many.
    Stride(usize),
}

/// Wrong outcomes after which a sweep gives up.
const WRONG_MAX: usize = 20;

impl Blow {
    /// Whether the blow means anything at this call.
    fn suits(self, call: &str) -> bool {
        let writes = call.contains("write");
        let syncs = call.contains("sync");
        let grows = matches!(call, "ftruncate" | "fallocate");
        let names = ["open", "rename", "link", "mkdir", "creat"];
        match self {
            Self::Kill | Self::Error("EIO") => true,
            Self::NothingWritten => writes,
            Self::Error("EINTR") => writes || syncs || grows,
            Self::ErrorFrom(_) => writes || grows,
            Self::Error("EMFILE") => call.starts_with("open"),
            Self::Error(_) => {
                writes || syncs || grows || names.iter().any(|name| call.contains(name))
            }
        }
    }

    /// The kinds of error of which the caller must see one behind it.
    fn causes(self, call: &str) -> &'static [&'static str] {
        match self {
            // A write that is cut short is how a device mostly says that it is full.
            Self::NothingWritten => &["Io", "DiskFull"],
            // RocksDB hides why it could not open a file.
            Self::Error("ENOSPC" | "EDQUOT") if call.contains("open") => &["DiskFull", "Io"],
            Self::Error("ENOSPC" | "EDQUOT") | Self::ErrorFrom(_) => &["DiskFull"],
            _ => &["Io"],
        }
    }
}

impl<H: CrashHarness> Stage<'_, H> {
    /// Strikes calls that the blow suits, in a life from the making of the store (or from `kept`, a
    /// store that was put aside) to its closing.
    ///
    /// # Errors
    /// What is wrong.
    pub fn sweep_faults(
        &self,
        commits: u64,
        blow: Blow,
        choice: Choice,
        kept: Option<&str>,
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        let role = self.role(commits, Wait::BeforeOpen, Mode::Fault);
        let begin = || match kept {
            Some(name) => self.restore(name),
            None => self.clear(),
        };
        begin()?;
        let log = self.log(&role)?;
        let mut points = log.points(|call| blow.suits(call));
        // Where memory is refused the process may end; that is not the store's to prevent.
        points.retain(|point| !log.is_memory(point));
        let points = match choice {
            Choice::EachPlaceAndStride(stride) => log.sample(&points, stride),
            Choice::Stride(stride) => points.into_iter().step_by(stride.max(1)).collect(),
        };
        let mut wrong = Vec::new();
        for point in points {
            begin()?;
            if let Err(error) = self.fail_at(&role, blow, &point, tally) {
                wrong.push(self.accuse(blow, &point, &log, &error));
            }
            if wrong.len() >= WRONG_MAX {
                break;
            }
        }
        if wrong.is_empty() {
            return Ok(());
        }
        Err(CaseError::failed(wrong.join("\n")))
    }

    fn accuse(&self, blow: Blow, point: &Point, log: &Log, error: &CaseError) -> String {
        format!(
            "{}, {} at {point:?} ({:?}), CHAINSTORE_SEED={} plan {}: {error}",
            self.harness.engine(),
            blow.name(),
            log.places_at(point).collect::<Vec<_>>(),
            crate::ops::seed_of_run(),
            self.seed,
        )
    }

    fn fail_at(
        &self,
        role: &Role,
        blow: Blow,
        point: &Point,
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        let (ended, log) = self.run_struck(role, Some((blow, point)))?;
        self.judge_failed(role, &ended, blow.causes(&point.call), tally)?;
        let stuck = ended.heard.contains(&Message::Stuck);
        if stuck && !matches!(blow, Blow::ErrorFrom(_)) {
            return Err(CaseError::failed("one fault kept failing"));
        }
        if log.struck.is_empty() && !stuck {
            tally.add("not reached");
            return Ok(());
        }
        tally.add(&format!("faults {}", blow.name()));
        for place in &log.struck {
            tally.strike(place);
        }
        note_absorbed(blow, &ended, &log, tally)
    }

    /// What must be true of a child that met faults and has ended, and of its store.
    ///
    /// # Errors
    /// What is not.
    pub fn judge_failed(
        &self,
        role: &Role,
        ended: &Ended,
        causes: &[&str],
        tally: &mut Tally,
    ) -> Result<(), CaseError> {
        if !ended.is_done() {
            return Err(CaseError::failed(ended.to_string()));
        }
        let mut outcomes = 0;
        for message in &ended.heard {
            if let Message::Failed {
                call,
                kind,
                cause,
                text,
            } = message
            {
                outcomes += 1;
                tally.add(&format!("{call} gave {kind}"));
                let reopened_poisoned = outcomes > 1 && cause == "Poisoned";
                if !causes.contains(&cause.as_str()) && !reopened_poisoned {
                    return Err(CaseError::failed(format!(
                        "{call} failed with {kind} because of {cause}, one of {causes:?} was \
                         expected: {text}"
                    )));
                }
            }
        }
        if ended.acked() != role.commits {
            return Err(CaseError::failed(format!("not all is committed: {ended}")));
        }
        self.judge(role.commits, role.commits).map(drop)
    }
}

/// Counts a fault that no call of the store reported. A sync of a commit is never among them.
fn note_absorbed(blow: Blow, ended: &Ended, log: &Log, tally: &mut Tally) -> Result<(), CaseError> {
    let seen = ended
        .heard
        .iter()
        .any(|message| matches!(message, Message::Failed { .. }));
    if seen {
        return Ok(());
    }
    tally.add("absorbed");
    let is_sync = |place: &&String| {
        ["fsync ", "fdatasync ", "msync "]
            .iter()
            .any(|call| place.starts_with(call))
    };
    if matches!(blow, Blow::Error("EINTR") | Blow::NothingWritten) {
        return Ok(());
    }
    if let Some(place) = log.struck.iter().find(is_sync) {
        // The last word is that all is done and closed, and closing commits nothing.
        if log.words_after > 1 {
            return Err(CaseError::failed(format!(
                "{place} failed and nobody said so"
            )));
        }
        tally.add("failed syncs while closing");
    }
    Ok(())
}
