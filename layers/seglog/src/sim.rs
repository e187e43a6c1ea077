//! A disk in memory that fails, stops and forgets at a chosen step.
//!
//! Invariants: reads see every write; what is durable is what was synced, a name what was synced
//! with the names; [`SimDisk::after_power_cut`] draws from a seed what else happened to reach the
//! disk: any of the unsynced writes, each torn at sectors of [`SECTOR_BYTES`], lengths ahead of
//! data, and any of the changes of names. A failed sync forgets for good what it should have made
//! durable, and goes on showing it until the file is opened to be written again, as Linux does.

use std::collections::BTreeMap;
use std::io::{self, IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::disk::{Access, Disk, DiskFile};

/// Bytes that reach a disk together or not at all.
pub const SECTOR_BYTES: usize = 512;

/// What happens at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The power goes: the step is on its way, nothing after it happens.
    PowerCut,
    /// The step fails with this kind; a write has done half of its work.
    Fail(io::ErrorKind),
    /// A write takes half of the bytes and says so.
    Short,
}

#[derive(Clone, Debug)]
enum FileStep {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

#[derive(Clone, Debug)]
enum NameStep {
    Make(String, usize),
    Rename(String, String),
    Remove(String),
}

#[derive(Clone, Debug, Default)]
struct SimFile {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<FileStep>,
}

fn apply(bytes: &mut Vec<u8>, step: &FileStep) {
    let to_len = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
    match step {
        FileStep::Write(at, written) => {
            let at = to_len(*at);
            if bytes.len() < at + written.len() {
                bytes.resize(at + written.len(), 0);
            }
            bytes[at..at + written.len()].copy_from_slice(written);
        }
        FileStep::SetLen(len) => bytes.resize(to_len(*len), 0),
    }
}

type Names = BTreeMap<String, usize>;

fn apply_name(names: &mut Names, step: &NameStep) {
    match step {
        NameStep::Make(name, file) => {
            names.insert(name.clone(), *file);
        }
        NameStep::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameStep::Remove(name) => {
            names.remove(name);
        }
    }
}

#[derive(Debug, Default)]
struct State {
    files: Vec<SimFile>,
    names: Names,
    durable_names: Names,
    pending_names: Vec<NameStep>,
    steps: u64,
    trouble: Option<(u64, Trouble)>,
    is_off: bool,
}

impl State {
    /// Counts a step; what is to happen at it.
    fn step(&mut self) -> io::Result<Option<Trouble>> {
        if self.is_off {
            return Err(io::Error::other("the power is off"));
        }
        let step = self.steps;
        self.steps += 1;
        let trouble = self.trouble.filter(|(at, _)| *at == step);
        let trouble = trouble.map(|(_, trouble)| trouble);
        if trouble == Some(Trouble::PowerCut) {
            self.is_off = true;
        }
        Ok(trouble)
    }

    fn name_step(&mut self, step: NameStep) -> io::Result<()> {
        match self.step()? {
            Some(Trouble::Fail(kind)) => return Err(kind.into()),
            trouble => {
                apply_name(&mut self.names, &step);
                self.pending_names.push(step);
                if trouble == Some(Trouble::PowerCut) {
                    return Err(io::Error::other("the power went"));
                }
            }
        }
        Ok(())
    }
}

/// See the head of this file. Copies are the same disk.
#[derive(Clone, Debug, Default)]
pub struct SimDisk(Arc<Mutex<State>>);

#[derive(Debug)]
struct SimHandle {
    disk: SimDisk,
    file: usize,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Steps so far: writes, lengths, syncs and changes of names.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Whether the power went.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.state().is_off
    }

    /// Lets this happen at the step of this number.
    pub fn plan(&self, step: u64, trouble: Trouble) {
        self.state().trouble = Some((step, trouble));
    }

    /// The bytes of a file as they are read now.
    #[must_use]
    pub fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let file = state.names.get(name)?;
        Some(state.files.get(*file)?.now.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let mut state = self.state();
        let number = state.files.len();
        state.files.push(SimFile {
            now: bytes.to_vec(),
            durable: bytes.to_vec(),
            pending: Vec::new(),
        });
        state.names.insert(name.to_owned(), number);
        state.durable_names.insert(name.to_owned(), number);
    }

    /// Another disk with what this one's process left behind: every write, synced or not.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let state = self.state();
        let copy = State {
            files: state.files.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            pending_names: state.pending_names.clone(),
            ..State::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }

    /// Another disk with what happened to reach this one.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let mut dice = ChaCha8Rng::seed_from_u64(seed);
        let state = self.state();
        let chance = [0.0, 1.0, 0.5, 0.9][dice.random_range(0..4)];
        let files = state.files.iter();
        let files: Vec<SimFile> = files
            .map(|file| survivors(file, chance, &mut dice))
            .collect();
        let mut names = state.durable_names.clone();
        for step in &state.pending_names {
            if dice.random_bool(chance) {
                apply_name(&mut names, step);
            }
        }
        let copy = State {
            files,
            durable_names: names.clone(),
            names,
            ..State::default()
        };
        Self(Arc::new(Mutex::new(copy)))
    }
}

/// What of a file reached the disk.
fn survivors(file: &SimFile, chance: f64, dice: &mut ChaCha8Rng) -> SimFile {
    let mut bytes = file.durable.clone();
    for step in &file.pending {
        match step {
            FileStep::SetLen(_) if dice.random_bool(chance) => apply(&mut bytes, step),
            FileStep::SetLen(_) => {}
            FileStep::Write(at, written) => {
                let mut at = *at;
                let mut rest = written.as_slice();
                while !rest.is_empty() {
                    let in_sector = SECTOR_BYTES - (at % SECTOR_BYTES as u64) as usize;
                    let (sector, others) = rest.split_at(in_sector.min(rest.len()));
                    if dice.random_bool(chance) {
                        apply(&mut bytes, &FileStep::Write(at, sector.to_vec()));
                    } else if dice.random_bool(0.5) {
                        // The length is ahead of the data.
                        let end = usize::try_from(at).unwrap_or(0) + sector.len();
                        bytes.resize(bytes.len().max(end), 0);
                    }
                    at += sector.len() as u64;
                    rest = others;
                }
            }
        }
    }
    SimFile {
        now: bytes.clone(),
        durable: bytes,
        pending: Vec::new(),
    }
}

impl Disk for SimDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let file = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        if access == Access::Write {
            let file = &mut state.files[file];
            let mut bytes = file.durable.clone();
            file.pending.iter().for_each(|step| apply(&mut bytes, step));
            file.now = bytes;
        }
        let disk = self.clone();
        Ok(Arc::new(SimHandle { disk, file }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(SimFile::default());
        state.name_step(NameStep::Make(name.to_owned(), file))?;
        let disk = self.clone();
        Ok(Arc::new(SimHandle { disk, file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name_step(NameStep::Rename(from.to_owned(), to.to_owned()))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.name_step(NameStep::Remove(name.to_owned()))
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        match state.step()? {
            Some(Trouble::Fail(kind)) => Err(kind.into()),
            Some(Trouble::PowerCut) => Err(io::Error::other("the power went")),
            _ => {
                state.durable_names = state.names.clone();
                state.pending_names.clear();
                Ok(())
            }
        }
    }

    fn place(&self, name: &str) -> String {
        format!("sim/{name}")
    }
}

impl DiskFile for SimHandle {
    fn read_at(&self, offset: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let state = self.disk.state();
        let bytes = &state.files[self.file].now;
        let mut at = usize::try_from(offset).unwrap_or(usize::MAX);
        let mut read = 0;
        for part in parts {
            let there = bytes.get(at..).unwrap_or_default();
            let taken = there.len().min(part.len());
            part[..taken].copy_from_slice(&there[..taken]);
            at = at.saturating_add(taken);
            read += taken;
        }
        Ok(read)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.disk.state();
        let trouble = state.step()?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if matches!(trouble, Some(Trouble::Fail(_) | Trouble::Short)) {
            bytes.truncate(bytes.len().div_ceil(2));
        }
        let written = bytes.len();
        let step = FileStep::Write(offset, bytes);
        let file = &mut state.files[self.file];
        apply(&mut file.now, &step);
        file.pending.push(step);
        match trouble {
            Some(Trouble::Fail(kind)) => Err(kind.into()),
            Some(Trouble::PowerCut) => Err(io::Error::other("the power went")),
            _ => Ok(written),
        }
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.state().files[self.file].now.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let trouble = state.step()?;
        if let Some(Trouble::Fail(kind)) = trouble {
            return Err(kind.into());
        }
        let step = FileStep::SetLen(bytes);
        let file = &mut state.files[self.file];
        apply(&mut file.now, &step);
        file.pending.push(step);
        match trouble {
            Some(Trouble::PowerCut) => Err(io::Error::other("the power went")),
            _ => Ok(()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let trouble = state.step()?;
        let file = &mut state.files[self.file];
        match trouble {
            Some(Trouble::PowerCut) => Err(io::Error::other("the power went")),
            Some(Trouble::Fail(kind)) => {
                // The pages count as clean now, whatever reached the disk.
                file.pending.clear();
                Err(kind.into())
            }
            _ => {
                file.durable = file.now.clone();
                file.pending.clear();
                Ok(())
            }
        }
    }
}
