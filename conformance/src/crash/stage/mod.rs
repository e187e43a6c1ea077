//! The parent: a place for one store at a time, and the ways to bring a child on it to an end.
//!
//! Invariants: every store is judged after every end, in this process, by opening it as any caller
//! would, and is proved to take the next commit of its plan; the first wrong store ends the
//! campaign with the seed and the point in its error.

mod actor;
mod faults;
mod kills;
mod strace;
mod tally;

use std::fs;
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;

use storage_api::{KvStore, OpenOptions, Result, Schema};

use super::oracle::judge;
use super::plan::{Ballast, Walk, schema};
use super::player;
use super::role::{Mode, Role, Sabotage, Wait};
use crate::case::CaseError;

pub use actor::{Actor, Ended, Found};
pub use faults::Choice;
pub use strace::{Blow, Calls, Log, Point, Strace, usable as strace_usable};
pub use tally::Tally;

/// How the folder around a store begins.
const HOME: &str = "crash-";

/// Commits of a store that is killed at random, after which it is made anew.
const RANDOM_COMMITS_MAX: u64 = 400;

/// What children work on, and how what they leave is judged. Every [`CrashHarness`] is one.
///
/// A state is a number: 0 is that of a store without a commit, and each commit leads to the next.
/// A child says in which state it opened the store, and each state when it is there to stay.
pub trait Subject {
    /// What it is, without a semicolon.
    fn engine_name(&self) -> &str;

    /// A command whose process plays the part of its [`Role`].
    ///
    /// # Errors
    /// When there is no such program.
    fn child_command(&self) -> io::Result<Command>;

    /// The state from which on a store that is killed at random is made anew; a child that comes
    /// to its end has reached it.
    fn last_state(&self) -> u64;

    /// Opens the store of this part as any caller would and judges it: it is in one of these
    /// states, whole, and takes what comes next.
    ///
    /// # Errors
    /// When it is not.
    fn judge_store(&self, role: &Role, allowed: RangeInclusive<u64>) -> Result<Judged, CaseError>;
}

/// What a judge saw and what it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The state that the store was in.
    pub found: u64,
    /// The state that it is in now.
    pub left: u64,
}

impl<H: CrashHarness> Subject for H {
    fn engine_name(&self) -> &str {
        self.engine()
    }

    fn child_command(&self) -> io::Result<Command> {
        self.child()
    }

    fn last_state(&self) -> u64 {
        RANDOM_COMMITS_MAX
    }

    fn judge_store(&self, role: &Role, allowed: RangeInclusive<u64>) -> Result<Judged, CaseError> {
        let store = self.open(&role.directory, &schema()?, &OpenOptions::new())?;
        let found = judge(&store, role.seed, role.ballast, allowed)?;
        let mut walk = Walk::to(role.seed, role.ballast, found, store.catalogue())?;
        player::commit_next(&store, &mut walk)?;
        let left = judge(&store, role.seed, role.ballast, found + 1..=found + 1)?;
        Ok(Judged { found, left })
    }
}

/// What an engine brings to be crashed.
pub trait CrashHarness {
    /// The store under test.
    type Store: KvStore;

    /// The engine's name, without a semicolon.
    fn engine(&self) -> &str;

    /// Opens the store in this directory, making it if there is none.
    ///
    /// # Errors
    /// As [`storage_api::Engine::open`].
    fn open(&self, directory: &Path, schema: &Schema, options: &OpenOptions)
    -> Result<Self::Store>;

    /// A command whose process calls [`super::play`] with [`Role::of_process`]: as a rule the test
    /// binary itself, run for one test.
    ///
    /// # Errors
    /// When there is no such program.
    fn child(&self) -> io::Result<Command>;
}

/// A place where children of one engine are started and brought to an end.
#[derive(Debug)]
pub struct Stage<'h, H> {
    harness: &'h H,
    home: tempfile::TempDir,
    seed: u64,
    ballast: Ballast,
    sabotage: Sabotage,
    calls: Calls,
}

impl<'h, H: Subject> Stage<'h, H> {
    /// A place for stores that follow the plan of this seed.
    ///
    /// # Errors
    /// Of making a temporary directory.
    pub fn new(harness: &'h H, seed: u64) -> io::Result<Self> {
        Self::new_in(harness, seed, &std::env::temp_dir())
    }

    /// The same in a folder, as where a small file system is mounted.
    ///
    /// # Errors
    /// As [`Stage::new`].
    pub fn new_in(harness: &'h H, seed: u64, folder: &Path) -> io::Result<Self> {
        let home = tempfile::Builder::new().prefix(HOME).tempdir_in(folder)?;
        Ok(Self {
            harness,
            home,
            seed,
            ballast: Ballast::None,
            sabotage: Sabotage::None,
            calls: Calls::Files,
        })
    }

    /// The same with a large first commit.
    #[must_use]
    pub fn with_ballast(mut self) -> Self {
        self.ballast = Ballast::First;
        self
    }

    /// The same with sweeps that strike these calls.
    #[must_use]
    pub fn striking(mut self, calls: Calls) -> Self {
        self.calls = calls;
        self
    }

    /// The same with children that do wrong.
    #[must_use]
    pub fn with_sabotage(mut self, sabotage: Sabotage) -> Self {
        self.sabotage = sabotage;
        self
    }

    /// The store's directory.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.home.path().join("store")
    }

    /// The part of a child here.
    #[must_use]
    pub fn role(&self, commits: u64, wait: Wait, mode: Mode) -> Role {
        Role {
            engine: self.harness.engine_name().to_owned(),
            directory: self.store(),
            socket: self.home.path().join("socket"),
            seed: self.seed,
            ballast: self.ballast,
            commits,
            wait,
            mode,
            sabotage: self.sabotage,
        }
    }

    /// Starts a child with this part.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn start(&self, role: &Role) -> io::Result<Actor> {
        Actor::start(self.harness.child_command()?, role, self.home.path())
    }

    /// Starts a child by this command with this part, as where limits are set before.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn start_by(&self, command: Command, role: &Role) -> io::Result<Actor> {
        Actor::start(command, role, self.home.path())
    }

    /// The command of a child.
    ///
    /// # Errors
    /// As [`Subject::child_command`].
    pub fn command(&self) -> io::Result<Command> {
        self.harness.child_command()
    }

    /// Removes the store.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(self.store()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Puts the store aside under a name, so that it can be had again.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn keep(&self, name: &str) -> io::Result<()> {
        let kept = self.home.path().join(name);
        let _gone = fs::remove_dir_all(&kept);
        copy_folder(&self.store(), &kept)
    }

    /// Has the store again that was put aside.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn restore(&self, name: &str) -> io::Result<()> {
        self.clear()?;
        copy_folder(&self.home.path().join(name), &self.store())
    }

    /// Opens the store here, judges it, and lets it take what comes next. Returns the state it was
    /// in.
    ///
    /// # Errors
    /// When it cannot be opened, is in no state that it may be in, or does not go on.
    pub fn judge(&self, low: u64, high: u64) -> Result<u64, CaseError> {
        let role = self.role(high, Wait::Never, Mode::Crash);
        Ok(self.harness.judge_store(&role, low..=high)?.found)
    }
}

impl<H: CrashHarness> Stage<'_, H> {
    /// Makes the store here by this many commits, in this process.
    ///
    /// # Errors
    /// Of the store.
    pub fn make(&self, commits: u64) -> Result<(), CaseError> {
        self.clear()?;
        let store = self
            .harness
            .open(&self.store(), &schema()?, &OpenOptions::new())?;
        let mut walk = Walk::new(self.seed, self.ballast, store.catalogue())?;
        for _ in 0..commits {
            player::commit_next(&store, &mut walk)?;
        }
        Ok(())
    }
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    fs::set_permissions(to, fs::metadata(from)?.permissions())?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
