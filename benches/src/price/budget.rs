//! The budgets, and whether a count keeps them.
//!
//! Budgets are stated as a part of the best raw use or as a time. A time becomes instructions at
//! [`INSTRUCTIONS_PER_NS`]: 5 ns are 20 instructions. That is what a core of 3 GHz does at 1.3
//! instructions a cycle, and hard on us: code of this kind, short and in the first cache, runs at
//! twice that.
//!
//! Invariant: the baseline is raw where the engine has a raw form of the case. Without one (the
//! engine in memory has no transaction and no view of its own) nothing is judged but what the enum
//! and the erased form add to the static one. Transactions of RocksDB are held against its own
//! `OptimisticTransactionDB`, since a bare batch does not see its own writes.

use super::case::{Case, Form, Operation};
use super::count::{Count, Counts};

/// How a time in a budget becomes instructions.
pub const INSTRUCTIONS_PER_NS: f64 = 4.0;

/// The time that any call may take longer, in nanoseconds.
pub const ALWAYS_NS: f64 = 5.0;

/// What the form may cost over its baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// As a part of the baseline.
    pub part: f64,
    /// Instructions of a unit that are always granted.
    pub always: f64,
}

/// The budget of a form, or `None` when only its allocations have one.
#[must_use]
pub fn budget(form: Form, operation: Operation, baseline: Form) -> Option<Budget> {
    let always = ALWAYS_NS * INSTRUCTIONS_PER_NS;
    let part = match form {
        // At least as fast.
        Form::Static | Form::Any if baseline == Form::Optimistic => {
            return Some(Budget {
                part: 0.0,
                always: 0.0,
            });
        }
        // The batch lane has a part alone.
        Form::Static | Form::Any if operation.batch().is_some() => {
            return Some(Budget {
                part: 0.03,
                always: 0.0,
            });
        }
        Form::Static => 0.02,
        Form::Any => 0.03,
        Form::Dyn | Form::Raw | Form::Naive | Form::Optimistic => return None,
    };
    Some(Budget { part, always })
}

/// Allocations that the form may make over its baseline, a time of the operation: the erased form
/// one a cursor, a view, a transaction and a copied value.
#[must_use]
pub fn allocations_granted(form: Form, operation: Operation) -> f64 {
    if form != Form::Dyn {
        return 0.0;
    }
    let gets = operation
        .block()
        .map_or(0, |block| block.operations * block.reads_percent / 100);
    let once = operation.takes_cursor()
        || operation.block().is_some()
        || matches!(operation, Operation::GetHit | Operation::BeginRead);
    gets as f64 + f64::from(u8::from(once))
}

/// Allocations that are not told from none: buffers that grow now and then.
pub const ALLOCATIONS_SLACK: f64 = 0.05;

/// One form of one case, judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The case.
    pub case: Case,
    /// The form.
    pub form: Form,
    /// What it is held against.
    pub baseline: Form,
    /// Instructions of a unit of the baseline.
    pub base: f64,
    /// Instructions of a unit of the form.
    pub found: f64,
    /// Instructions over the baseline that are granted, if they are judged.
    pub granted: Option<f64>,
    /// Allocations over the baseline.
    pub allocations: f64,
    /// Those that are granted.
    pub allocations_granted: f64,
}

impl Verdict {
    /// Instructions over the baseline.
    #[must_use]
    pub fn over(&self) -> f64 {
        self.found - self.base
    }

    /// Whether the instructions are inside the budget.
    #[must_use]
    pub fn keeps_instructions(&self) -> bool {
        self.granted.is_none_or(|granted| self.over() <= granted)
    }

    /// Whether the allocations are inside the budget.
    #[must_use]
    pub fn keeps_allocations(&self) -> bool {
        self.allocations <= self.allocations_granted + ALLOCATIONS_SLACK
    }
}

/// The baseline of a case's forms.
fn baseline(counts: &Counts, case: Case) -> Option<&Count> {
    [Form::Optimistic, Form::Raw, Form::Static]
        .into_iter()
        .find_map(|form| counts.of(case, form))
}

/// Judges every form of ours.
#[must_use]
pub fn judge(counts: &Counts) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for case in counts.cases() {
        let Some(base) = baseline(counts, case) else {
            continue;
        };
        for form in [Form::Static, Form::Any, Form::Dyn] {
            let Some(count) = counts.of(case, form).filter(|_| form != base.form) else {
                continue;
            };
            // What a transaction of ours allocates is judged against our own static form: the
            // library behind the baseline allocates out of sight.
            let of_static = counts.of(case, Form::Static);
            let own = of_static.filter(|_| form != Form::Static).unwrap_or(base);
            let budget = budget(form, case.operation, base.form);
            verdicts.push(Verdict {
                case,
                form,
                baseline: base.form,
                base: base.instructions,
                found: count.instructions,
                granted: budget.map(|budget| (budget.part * base.instructions).max(budget.always)),
                allocations: count.allocations - own.allocations,
                allocations_granted: allocations_granted(form, case.operation),
            });
        }
    }
    verdicts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(figures: &[(Form, f64, f64)], operation: Operation) -> Counts {
        let case = Case {
            operation,
            value_bytes: 128,
        };
        let count = |(form, instructions, allocations): &(Form, f64, f64)| Count {
            case,
            form: *form,
            instructions: *instructions,
            allocations: *allocations,
        };
        Counts {
            engine: "redb".into(),
            counts: figures.iter().map(count).collect(),
        }
    }

    fn kept(figures: &[(Form, f64, f64)], operation: Operation) -> Vec<(bool, bool)> {
        let verdicts = judge(&counts(figures, operation));
        let kept = |v: &Verdict| (v.keeps_instructions(), v.keeps_allocations());
        verdicts.iter().map(kept).collect()
    }

    #[test]
    fn a_part_or_five_nanoseconds_whichever_is_more() {
        use Form::{Any, Dyn, Raw, Static};
        let get = Operation::GetHit;
        let figures = [(Raw, 100.0, 0.0), (Static, 120.0, 0.0), (Any, 121.0, 0.0)];
        assert_eq!(kept(&figures, get), [(true, true), (false, true)]);
        let figures = [
            (Raw, 5_000.0, 0.0),
            (Static, 5_100.0, 0.0),
            (Any, 5_150.0, 0.0),
        ];
        assert_eq!(kept(&figures, get), [(true, true), (true, true)]);
        let figures = [
            (Raw, 5_000.0, 0.0),
            (Static, 5_101.0, 0.1),
            (Dyn, 9_000.0, 1.1),
        ];
        assert_eq!(kept(&figures, get), [(false, false), (true, true)]);
        let figures = [(Raw, 9.0, 0.0), (Static, 9.0, 0.0), (Dyn, 9.0, 1.0)];
        assert_eq!(
            kept(&figures, Operation::GetWith),
            [(true, true), (true, false)]
        );
    }

    #[test]
    fn batches_have_a_part_and_transactions_of_rocksdb_nothing() {
        use Form::{Optimistic, Raw, Static};
        let figures = [(Raw, 100.0, 0.0), (Static, 104.0, 0.0)];
        assert_eq!(kept(&figures, Operation::Batch100), [(false, true)]);
        let figures = [
            (Raw, 1.0, 0.0),
            (Optimistic, 100.0, 0.0),
            (Static, 101.0, 0.0),
        ];
        assert_eq!(kept(&figures, Operation::Txn1000Reads0), [(false, true)]);
        let figures = [(Static, 100.0, 3.0), (Form::Any, 190.0, 3.0)];
        assert_eq!(kept(&figures, Operation::BeginRead), [(false, true)]);
    }
}
