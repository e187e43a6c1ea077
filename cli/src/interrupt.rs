//! Ctrl-C, and the other polite ways to end a process.
//!
//! Invariants: while a command writes ([`finish_commits`], [`finish_blocks`]), the first signal
//! only asks, the command ends between two commits or blocks, and the second signal aborts; at any
//! other time the first one ends the process. Either way the exit code is 130, and the store is
//! what its last commit made it.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::exit::Exit;
use crate::progress::say;

static IS_WRITING: AtomicBool = AtomicBool::new(false);
static IS_EXPORTING: AtomicBool = AtomicBool::new(false);
static ASKED: AtomicBool = AtomicBool::new(false);

/// Takes the signals over.
pub(crate) fn install() -> Result<()> {
    ctrlc::set_handler(|| {
        if IS_WRITING.load(Ordering::SeqCst) && !ASKED.swap(true, Ordering::SeqCst) {
            let what = match IS_EXPORTING.load(Ordering::SeqCst) {
                true => "block",
                false => "commit",
            };
            say(&format!(
                "chainstore: ends after this {what}; interrupt again to abort"
            ));
        } else {
            // At once: the destructors of an engine's library do not run beside a thread that is
            // still inside of it, which would crash.
            signal_hook::low_level::exit(i32::from(Exit::Interrupted.code()));
        }
    })
    .context("signals cannot be handled")
}

/// While it lives, an interrupt waits for the commit under way.
#[derive(Debug)]
pub(crate) struct FinishCommits(());

/// Announces that commits are being made, and that [`asked`] is looked at between them.
pub(crate) fn finish_commits() -> FinishCommits {
    IS_WRITING.store(true, Ordering::SeqCst);
    FinishCommits(())
}

/// Announces that a file is being written, and that [`asked`] is looked at between its blocks.
pub(crate) fn finish_blocks() -> FinishCommits {
    IS_EXPORTING.store(true, Ordering::SeqCst);
    finish_commits()
}

impl Drop for FinishCommits {
    fn drop(&mut self) {
        IS_WRITING.store(false, Ordering::SeqCst);
    }
}

/// Whether the user asked to end.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}
