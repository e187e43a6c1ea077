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
pub use strace::{Blow, Log, Point, Strace, usable as strace_usable};
pub use tally::Tally;

/// How the folder around a store begins.
const HOME: &str = "crash-";

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
}

impl<'h, H: CrashHarness> Stage<'h, H> {
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
        })
    }

    /// The same with a large first commit.
    #[must_use]
    pub fn with_ballast(mut self) -> Self {
        self.ballast = Ballast::First;
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
            engine: self.harness.engine().to_owned(),
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
        Actor::start(self.harness.child()?, role, self.home.path())
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
    /// As [`CrashHarness::child`].
    pub fn command(&self) -> io::Result<Command> {
        self.harness.child()
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

    /// Opens the store here, judges it, and commits once more. Returns the state it was in.
    ///
    /// # Errors
    /// When it cannot be opened, is in no state that it may be in, or takes no commit.
    pub fn judge(&self, low: u64, high: u64) -> Result<u64, CaseError> {
        let open = || {
            self.harness
                .open(&self.store(), &schema()?, &OpenOptions::new())
        };
        let store = open()?;
        let found = judge(&store, self.seed, self.ballast, low..=high)?;
        let mut walk = Walk::to(self.seed, self.ballast, found, store.catalogue())?;
        player::commit_next(&store, &mut walk)?;
        judge(&store, self.seed, self.ballast, found + 1..=found + 1)?;
        Ok(found)
    }

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
