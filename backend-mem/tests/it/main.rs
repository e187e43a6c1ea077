//! Integration tests of the engine in memory: the whole suite, and what only this engine promises.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod limits;

conformance::suite!(mem, conformance::TempHarness<backend_mem::MemStore>);
