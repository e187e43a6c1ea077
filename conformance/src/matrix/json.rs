//! The matrix as JSON for programs.
//!
//! Shape: `schema` (1), `suite`, `seed`, `setting` (names to values), `stores` (each `store`,
//! `about`, `capabilities` or `not_run`, `tally`), `requirements` (each `id`, `group`, `name`,
//! `requirement`, `traps`, `results`: store to `outcome` and `why`), `mutants` (each `name`,
//! `mistake`, `caught_by` or null).
//! Invariant: fields are added to a schema, never changed.

use serde_json::{Map, Value, json};

use super::{Column, Matrix, Run, SUITE_VERSION, capability};

impl Matrix {
    /// The matrix as a JSON document.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let setting: Map<String, Value> = self
            .setting
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let requirements = self.rows().map(|(case, cells)| {
            let results: Map<String, Value> = self
                .columns
                .iter()
                .zip(cells)
                .map(|(column, (word, why))| {
                    let outcome = word.to_lowercase();
                    (
                        column.store.clone(),
                        json!({"outcome": outcome, "why": why}),
                    )
                })
                .collect();
            json!({
                "id": format!("{}::{}", case.group, case.name),
                "group": case.group,
                "name": case.name,
                "requirement": case.requirement,
                "traps": case.traps,
                "results": results,
            })
        });
        let requirements: Vec<Value> = requirements.collect();
        let mutants = self.catches.iter().map(|catch| {
            let by = catch.caught_by.as_ref();
            json!({
                "name": format!("{:?}", catch.mutation),
                "mistake": catch.mutation.what(),
                "caught_by": by.map(|by| format!("{}::{}", by.case.group, by.case.name)),
            })
        });
        let mutants: Vec<Value> = mutants.collect();
        let stores: Vec<Value> = self.columns.iter().map(store).collect();
        json!({
            "schema": 1,
            "suite": SUITE_VERSION,
            "seed": self.seed(),
            "setting": setting,
            "stores": stores,
            "requirements": requirements,
            "mutants": mutants,
        })
    }
}

fn store(column: &Column) -> Value {
    match &column.run {
        Run::NotRun(why) => json!({
            "store": column.store,
            "about": column.about,
            "not_run": why,
        }),
        Run::Done { capabilities, .. } => {
            let declared: Map<String, Value> = capability::ROWS
                .iter()
                .map(|(name, words)| ((*name).to_owned(), json!(words(capabilities))))
                .collect();
            let tally = Matrix::tally(column);
            json!({
                "store": column.store,
                "about": column.about,
                "capabilities": declared,
                "tally": {
                    "passed": tally.passed,
                    "unsupported": tally.unsupported,
                    "skipped": tally.skipped,
                    "failed": tally.failed,
                },
            })
        }
    }
}
