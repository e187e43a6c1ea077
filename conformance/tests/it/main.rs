//! The suite over its own model, in memory and on a made-up disk, and over the mutants.

mod mutants;

conformance::suite!(model_in_memory, conformance::ModelHarness);
conformance::suite!(model_on_disk, conformance::ModelDiskHarness);
