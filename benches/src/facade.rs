//! The price of choosing an engine at run time: the static type, the enum and the erased form of
//! one and the same store.
//!
//! Invariants: all three views are of one store and one commit, so they read the same memory; they
//! take turns in small rounds and their ratio is taken round by round, of processor time, which
//! waits for nobody; a ratio that its own spread could explain is printed as none.

use std::path::Path;

use anyhow::{Context, Result, bail};
use chain_store::{AnyStore, EngineName};
use storage_api::{Durability, DynStore, KvStore, Reader, TableId};

use crate::engines::{self, SEED, Site, work};
use crate::figures::{Lap, Summary, ratio};
use crate::workload::{Key, Plan, Sizes};

/// Gets of one turn.
const GETS_OF_TURN: usize = 20_000;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Call {
    /// `get`; the erased form copies the value.
    Get,
    /// `get_with`, which lends it.
    GetWith,
    /// One row of a scan.
    ScanRow,
}

impl Call {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Get, Self::GetWith, Self::ScanRow];

    /// Its name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "get hit",
            Self::GetWith => "get hit, lent",
            Self::ScanRow => "scan, a row",
        }
    }
}

/// What one call costs in the three forms, in processor seconds, a sample a round.
#[derive(Clone, Debug)]
pub struct Price {
    /// The engine.
    pub engine: EngineName,
    /// The call.
    pub call: Call,
    forms: [Vec<f64>; 3],
}

impl Price {
    /// The static form, in processor seconds.
    #[must_use]
    pub fn of_static(&self) -> Option<Summary> {
        Summary::of(&self.forms[0])
    }

    /// The enum, as a multiple of the static form.
    #[must_use]
    pub fn of_any(&self) -> Option<Summary> {
        ratio(&self.forms[1], &self.forms[0])
    }

    /// The erased form, as a multiple of the static form.
    #[must_use]
    pub fn of_dyn(&self) -> Option<Summary> {
        ratio(&self.forms[2], &self.forms[0])
    }
}

/// Whether the middle half of a multiple's samples does not hold one.
#[must_use]
pub fn is_seen(multiple: &Summary) -> bool {
    !(multiple.low..=multiple.high).contains(&1.0)
}

/// Views of one store by its static type, then through the enum, then erased; views outlive
/// handles, so the store moves from form to form while they live.
macro_rules! in_three_forms {
    ($variant:ident, $store:expr, $table:expr, $plan:expr) => {{
        let of_static = $store.begin_read()?;
        let any = AnyStore::$variant($store);
        let of_any = any.begin_read()?;
        let AnyStore::$variant(store) = any else {
            bail!("the enum gave another engine back");
        };
        let of_dyn = DynStore::new(store).begin_read()?;
        turns(&of_static, &of_any, &of_dyn, $table, $plan)?
    }};
}

/// Measures the three forms of each engine in stores below `dir`.
///
/// # Errors
/// Of a store; an answer that is not the plan's.
pub fn run(
    engines: &[EngineName],
    sizes: Sizes,
    dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Price>> {
    let plan = Plan::new(SEED, sizes);
    let mut prices = Vec::new();
    for &engine in engines {
        progress(&format!("forms of {engine}"));
        prices.extend(price(engine, &plan, dir).with_context(|| format!("forms of {engine}"))?);
    }
    Ok(prices)
}

fn price(engine: EngineName, plan: &Plan, dir: &Path) -> Result<Vec<Price>> {
    let dir = tempfile::Builder::new().prefix("facade-").tempdir_in(dir)?;
    let site = Site::of_accounts(engine, &dir.path().join("store"))?;
    let store = site.open()?;
    let table = store.catalogue().iter().map(|info| info.id).next();
    let table = table.context("the store has no table")?;
    work::load(&store, table, plan, Durability::Buffered)?;
    let store = if store.capabilities().persistent {
        drop(store);
        site.open()?
    } else {
        store
    };
    // Compacted, because views of one commit may otherwise read different files of an engine that
    // compacts in the background.
    if let Some(compact) = store.as_compact() {
        compact.compact()?;
    }
    engines::warm(&store, table, &plan.keys)?;
    let calls = match store {
        AnyStore::Mem(store) => in_three_forms!(Mem, store, table, plan),
        #[cfg(feature = "redb")]
        AnyStore::Redb(store) => in_three_forms!(Redb, store, table, plan),
        #[cfg(feature = "lmdb")]
        AnyStore::Lmdb(store) => in_three_forms!(Lmdb, store, table, plan),
        #[cfg(feature = "rocks")]
        AnyStore::Rocks(store) => in_three_forms!(Rocks, store, table, plan),
        other => bail!("{} has no static form here", other.engine_name()),
    };
    let price = |(call, forms)| Price {
        engine,
        call,
        forms,
    };
    Ok(Call::ALL.into_iter().zip(calls).map(price).collect())
}

/// Samples of the three forms.
type Forms = [Vec<f64>; 3];

/// The three forms take turns on each call, beginning with another one each round.
fn turns(
    of_static: &impl Reader,
    of_any: &impl Reader,
    of_dyn: &impl Reader,
    table: TableId,
    plan: &Plan,
) -> Result<[Forms; 3]> {
    let keys = &plan.hits[..GETS_OF_TURN.min(plan.hits.len())];
    let mut calls: [Forms; 3] = Default::default();
    for round in 0..plan.sizes.facade_rounds {
        for (call, forms) in Call::ALL.into_iter().zip(&mut calls) {
            // Not kept: whoever came first would pay for the caches that the call before emptied.
            once(of_static, call, table, keys, plan)?;
            for turn in 0..forms.len() {
                let at = (turn + round) % forms.len();
                let (lap, operations) = match at {
                    0 => once(of_static, call, table, keys, plan)?,
                    1 => once(of_any, call, table, keys, plan)?,
                    _ => once(of_dyn, call, table, keys, plan)?,
                };
                forms[at].push(lap.per(operations).1);
            }
        }
    }
    Ok(calls)
}

fn once(
    view: &impl Reader,
    call: Call,
    table: TableId,
    keys: &[Key],
    plan: &Plan,
) -> Result<(Lap, usize)> {
    let rows = plan.keys.len();
    Ok(match call {
        Call::Get => (work::gets(view, table, keys, keys.len())?, keys.len()),
        Call::GetWith => (work::gets_lent(view, table, keys, keys.len())?, keys.len()),
        Call::ScanRow => (work::scan(view, table, rows)?, rows),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_inside_its_spread_is_not_seen() {
        let seen = |samples: &[f64]| Summary::of(samples).map(|multiple| is_seen(&multiple));
        assert_eq!(seen(&[1.04, 1.05, 1.06]), Some(true));
        assert_eq!(seen(&[0.88, 0.9, 0.92]), Some(true));
        assert_eq!(seen(&[0.9, 1.01, 1.2]), Some(false));
    }

    #[test]
    fn prices_are_ratios_to_the_static_form() {
        let price = Price {
            engine: EngineName::Mem,
            call: Call::Get,
            forms: [vec![1.0, 2.0], vec![1.5, 3.0], vec![3.0, 6.0]],
        };
        let medians = [price.of_static(), price.of_any(), price.of_dyn()];
        assert_eq!(
            medians.map(|summary| summary.map(|summary| summary.median)),
            [Some(1.5), Some(1.5), Some(3.0)]
        );
    }
}
