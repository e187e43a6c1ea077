//! The child: it opens the store, works through its plan and acknowledges each commit. In the mode
//! for faults it also checks, after each failure, what must be true then.
//!
//! Invariants of the mode for faults: after a write or a sync that the system failed the store
//! refuses every write with `Poisoned`; a view that was open goes on, whole, in its own state; a
//! new view is whole and in the state after the last commit, or after the one whose outcome is
//! unknown if there is one; opened again, the store is in such a state too, and takes writes once
//! nothing fails any more.

use std::num::NonZeroUsize;
use std::path::Path;

use storage_api::{
    Commit, Durability, Effective, Error, ErrorKind, KvStore, OpenOptions, ReadTxn, Result, Schema,
    WriteBatch, WriteTxn,
};

use super::oracle::{Misjudged, judge, judge_range, judge_view};
use super::plan::{Lane, Step, Walk, schema};
use super::role::{Message, Mode, Role, Sabotage, Voice, Wait, wait_for_line};
use crate::case::{CaseError, CaseResult};
use crate::ops::Op;

/// Cache of a store in the mode for faults, in bytes: less than the ballast, so that reads reach
/// the files.
const FAULT_BUDGET_BYTES: u64 = 1 << 20;

/// Failures in a row after which a child waits until the fault is lifted.
const FAILURES_MAX: u32 = 3;

/// Views that are begun on a store that failed: more than fit the first page of LMDB's register.
const VIEWS_MANY: NonZeroUsize = NonZeroUsize::MIN.saturating_add(199);

/// How a child opens its store.
pub type Open<'o, S> = &'o dyn Fn(&Path, &Schema, &OpenOptions) -> Result<S>;

/// Plays the part to its end, unless the process is killed before.
///
/// # Errors
/// What was wrong; the parent was told.
pub fn play<S: KvStore>(role: &Role, open: Open<'_, S>) -> CaseResult {
    let voice = Voice::to(&role.socket)?;
    let mut options = OpenOptions::new();
    if role.mode == Mode::Fault {
        options.memory_budget_bytes = Some(FAULT_BUDGET_BYTES);
    }
    let player = Player {
        role,
        voice,
        open,
        options,
        schema: schema()?,
    };
    let played = match role.mode {
        Mode::Crash => player.work_until_killed(),
        Mode::Fault => player.work_through_faults(),
    };
    if let Err(error) = &played {
        player.voice.say(&Message::Wrong(error.to_string()))?;
    }
    played
}

struct Player<'p, S> {
    role: &'p Role,
    voice: Voice,
    open: Open<'p, S>,
    options: OpenOptions,
    schema: Schema,
}

/// A call that failed.
struct Failure {
    call: &'static str,
    error: Error,
}

fn failed(call: &'static str) -> impl Fn(Error) -> Failure {
    move |error| Failure { call, error }
}

/// Whether a store takes no writes after this error of a write: the system failed it, or the
/// outcome is not known.
fn poisons(kind: &ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::CommitUnknown
            | ErrorKind::Io { .. }
            | ErrorKind::DiskFull
            | ErrorKind::PermissionDenied { .. }
            | ErrorKind::EnginePanic { .. }
            | ErrorKind::Poisoned { .. }
    )
}

/// The name of a kind.
fn name_of(kind: &ErrorKind) -> String {
    let text = format!("{kind:?}");
    let end = text.find(|c: char| !c.is_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// An error and those behind it, in words.
fn in_words(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The error of ours that caused this one, or itself.
fn cause_of(error: &Error) -> &Error {
    std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<Error>())
        .map_or(error, cause_of)
}

fn write_ops(step: &Step, keep: impl Fn(&Op) -> bool) -> Result<WriteBatch> {
    let mut batch = WriteBatch::new();
    for op in step.ops.iter().filter(|op| keep(op)) {
        op.write(&mut batch)?;
    }
    Ok(batch)
}

/// The table that an operation changes.
pub(crate) fn table_of(op: &Op) -> storage_api::TableId {
    match op {
        Op::Put { table, .. } | Op::Delete { table, .. } | Op::DeleteRange { table, .. } => *table,
    }
}

/// Makes one commit of the plan.
fn commit<S: KvStore>(store: &S, step: &Step) -> Result<Commit, Failure> {
    if !step.aborted.is_empty() {
        let mut txn = store.begin_write().map_err(failed("begin_write"))?;
        for op in &step.aborted {
            op.write(&mut txn).map_err(failed("write"))?;
        }
        txn.abort().map_err(failed("abort"))?;
    }
    match step.lane {
        Lane::Batch => {
            let batch = write_ops(step, |_| true).map_err(failed("batch"))?;
            store
                .apply(&batch, step.durability)
                .map_err(failed("apply"))
        }
        Lane::Txn => {
            let mut txn = store.begin_write().map_err(failed("begin_write"))?;
            for op in &step.ops {
                op.write(&mut txn).map_err(failed("write"))?;
            }
            txn.commit(step.durability).map_err(failed("commit"))
        }
    }
}

/// Makes the walk's next commit.
pub(crate) fn commit_next<S: KvStore>(store: &S, walk: &mut Walk) -> Result<Commit> {
    commit(store, &walk.advance()).map_err(|failure| failure.error)
}

impl<S: KvStore> Player<'_, S> {
    fn wait_here(&self) -> CaseResult {
        self.voice.wait()?;
        Ok(())
    }

    fn open_store(&self) -> Result<S> {
        (self.open)(&self.role.directory, &self.schema, &self.options)
    }

    fn judge(&self, store: &S, low: u64, high: u64) -> Result<u64, Misjudged> {
        judge(store, self.role.seed, self.role.ballast, low..=high)
    }

    fn walk_to(&self, store: &S, number: u64) -> Result<Walk> {
        Walk::to(self.role.seed, self.role.ballast, number, store.catalogue())
    }

    fn work_until_killed(&self) -> CaseResult {
        if self.role.wait == Wait::BeforeOpen {
            self.wait_here()?;
        }
        let store = self.open_store()?;
        let at = store.stats()?.commit_seq.get();
        self.voice.say(&Message::Opened(at))?;
        if self.role.wait == Wait::BeforeWork {
            self.wait_here()?;
        }
        let mut walk = self.walk_to(&store, at)?;
        let mut late: Option<Step> = None;
        while walk.number() < self.role.commits {
            let step = walk.advance();
            self.commit_or_sabotage(&store, step, &mut late)?;
        }
        drop(store);
        self.voice.say(&Message::Done)?;
        Ok(())
    }

    fn commit_or_sabotage(
        &self,
        store: &S,
        step: Step,
        late: &mut Option<Step>,
    ) -> Result<(), CaseError> {
        let number = step.number;
        let told = |failure: Failure| CaseError::from(failure.error);
        match self.role.sabotage {
            Sabotage::None | Sabotage::ErrorIgnored => {
                let done = commit(store, &step).map_err(told)?;
                return self.acknowledge(number, done);
            }
            Sabotage::AckFirst => {
                self.voice.say(&Message::Acked(number))?;
                commit(store, &step).map_err(told)?;
                return Ok(());
            }
            Sabotage::Late => {
                if let Some(step) = late.replace(step) {
                    commit(store, &step).map_err(told)?;
                }
            }
            Sabotage::Torn => {
                let apart = self.walk_to(store, 0)?.tables()[0];
                let here = write_ops(&step, |op| table_of(op) == apart)?;
                store.apply(&here, step.durability)?;
                let rest = write_ops(&step, |op| table_of(op) != apart)?;
                store.apply(&rest, step.durability)?;
            }
        }
        self.voice.say(&Message::Acked(number))?;
        Ok(())
    }

    /// Acknowledges a commit that outlives the process.
    fn acknowledge(&self, number: u64, done: Commit) -> CaseResult {
        if done.seq.map(storage_api::CommitSeq::get) != Some(number) {
            return Err(CaseError::failed(format!(
                "commit {number} of the plan is commit {:?} of the store",
                done.seq
            )));
        }
        if done.effective >= Effective::Buffered {
            self.voice.say(&Message::Acked(number))?;
        }
        Ok(())
    }

    fn report(&self, failure: &Failure) -> CaseResult {
        let message = Message::Failed {
            call: failure.call.to_owned(),
            kind: name_of(failure.error.kind()),
            cause: name_of(cause_of(&failure.error).kind()),
            text: in_words(&failure.error),
        };
        self.voice.say(&message)?;
        Ok(())
    }

    fn work_through_faults(&self) -> CaseResult {
        if self.role.wait == Wait::BeforeOpen {
            self.wait_here()?;
        }
        let (mut low, mut high, mut failures) = (None, None, 0);
        let mut waits = self.role.wait == Wait::BeforeWork;
        loop {
            match self.live_once(&mut low, &mut high, &mut waits)? {
                None => break,
                Some(failure) => {
                    self.report(&failure)?;
                    failures += 1;
                }
            }
            if failures == FAILURES_MAX {
                self.voice.say(&Message::Stuck)?;
                wait_for_line()?;
            }
            if failures > 2 * FAILURES_MAX {
                return Err(CaseError::failed("writing does not work again"));
            }
        }
        self.voice.say(&Message::Done)?;
        Ok(())
    }

    /// Opens the store, judges it and works until a call fails; `None` when everything is
    /// committed.
    fn live_once(
        &self,
        low: &mut Option<u64>,
        high: &mut Option<u64>,
        waits: &mut bool,
    ) -> Result<Option<Failure>, CaseError> {
        let store = match self.open_store() {
            Ok(store) => store,
            Err(error) => {
                return Ok(Some(Failure {
                    call: "open",
                    error,
                }));
            }
        };
        let known = match self.judge(&store, low.unwrap_or(0), high.unwrap_or(u64::MAX)) {
            Ok(known) => known,
            Err(Misjudged::Failed(error)) => {
                return Ok(Some(Failure {
                    call: "read",
                    error,
                }));
            }
            Err(wrong) => return Err(wrong.into()),
        };
        (*low, *high) = (Some(known), Some(known));
        self.voice.say(&Message::Opened(known))?;
        let held = match store.begin_read() {
            Ok(view) => (view, self.walk_to(&store, known)?),
            Err(error) => {
                let call = "begin_read";
                return Ok(Some(Failure { call, error }));
            }
        };
        if std::mem::take(waits) {
            self.wait_here()?;
        }
        let mut walk = self.walk_to(&store, known)?;
        while walk.number() < self.role.commits {
            let step = walk.advance();
            match commit(&store, &step) {
                Ok(done) => {
                    self.acknowledge(step.number, done)?;
                    (*low, *high) = (Some(step.number), Some(step.number));
                }
                Err(failure) => {
                    if matches!(failure.error.kind(), ErrorKind::CommitUnknown) {
                        *high = Some(step.number);
                    }
                    if self.role.sabotage == Sabotage::ErrorIgnored {
                        self.voice.say(&Message::Acked(step.number))?;
                        *low = Some(step.number);
                        *high = *low;
                        return Ok(Some(failure));
                    }
                    let (low, high) = (low.unwrap_or(0), high.unwrap_or(0));
                    self.check_failed_store(&store, &failure, (low, high))?;
                    judge_view(&held.0, &held.1)?;
                    return Ok(Some(failure));
                }
            }
        }
        judge_view(&held.0, &held.1)?;
        drop(held);
        drop(store);
        Ok(None)
    }

    /// What must be true of a store that is still open after a write failed.
    fn check_failed_store(
        &self,
        store: &S,
        failure: &Failure,
        (low, high): (u64, u64),
    ) -> CaseResult {
        // Beginning writes nothing, so a failure of it leaves the store as it was.
        if poisons(failure.error.kind()) && failure.call != "begin_write" {
            let words = || in_words(&failure.error);
            let refused = [
                ("begin_write", store.begin_write().map(drop)),
                (
                    "apply",
                    store
                        .apply(&WriteBatch::new(), Durability::Durable)
                        .map(drop),
                ),
                ("sync", store.sync()),
            ];
            for (call, outcome) in refused {
                let poisoned = outcome
                    .as_ref()
                    .is_err_and(|error| matches!(error.kind(), ErrorKind::Poisoned { .. }));
                if !poisoned {
                    let call_failed = failure.call;
                    return Err(CaseError::failed(format!(
                        "after {call_failed} failed with {}, {call} was not refused as poisoned: \
                         {outcome:?}",
                        words()
                    )));
                }
            }
        }
        let after = |what: &str| {
            let words = in_words(&failure.error);
            CaseError::failed(format!("{what} after {} failed with {words}", failure.call))
        };
        judge_range(store, self.role.seed, self.role.ballast, low..=high)
            .map_err(|why| after(&format!("a new view: {why:?}")))?;
        // Views take memory that may be part of a file, and there may be no room for more of it.
        let many = store
            .begin_read_many(VIEWS_MANY)
            .map_err(|error| after(&format!("many views: {}", in_words(&error))))?;
        for view in [many.first(), many.last()].into_iter().flatten() {
            view.commit_seq()
                .map_err(|error| after(&format!("one of many views: {error}")))?;
        }
        Ok(())
    }
}
