//! A disk that takes as much as it likes and is full whenever it likes: a log goes on as if what
//! was refused had never been offered, and a kill at any point leaves the beginning of what was
//! taken.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use seglog::disk::{Access, Disk, DiskFile};
use seglog::sim::SimDisk;
use seglog::{Height, Log, LogError, LogOptions, LogResult, Place};

use crate::model::records;

const SEED: u64 = 0x7365_6673;

/// How scarce space is: of so many writes one is short, and of so many one is refused.
#[derive(Debug)]
struct Mood {
    dice: ChaCha8Rng,
    short: u32,
    full: u32,
}

/// See the head of this file. Only writes are refused: a file is cut and names change on a full
/// disk as well.
#[derive(Clone)]
struct Scarce(SimDisk, Arc<Mutex<Mood>>);

impl fmt::Debug for Scarce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scarce")
    }
}

#[derive(Debug)]
struct ScarceFile(Arc<dyn DiskFile>, Scarce);

impl Scarce {
    fn open(&self, options: LogOptions) -> LogResult<Log> {
        let disk: Arc<dyn Disk> = Arc::new(self.clone());
        Ok(Log::open(disk, options)?.0)
    }

    fn set(&self, short: u32, full: u32) {
        let mut mood = self.1.lock().unwrap();
        (mood.short, mood.full) = (short, full);
    }

    fn wrap(&self, file: io::Result<Arc<dyn DiskFile>>) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ScarceFile(file?, self.clone())))
    }
}

impl Disk for Scarce {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        self.wrap(self.0.open(name, access))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.wrap(self.0.create(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.remove(name)
    }

    fn sync_names(&self) -> io::Result<()> {
        self.0.sync_names()
    }

    fn place(&self, name: &str) -> String {
        self.0.place(name)
    }
}

impl DiskFile for ScarceFile {
    fn read_at(&self, offset: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.0.read_at(offset, parts)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut mood = self.1.1.lock().unwrap();
        if mood.full > 0 && mood.dice.random_range(0..100) < mood.full {
            return Err(ErrorKind::StorageFull.into());
        }
        if mood.short > 0 && mood.dice.random_range(0..100) < mood.short {
            // Often up to a few bytes before the end.
            let less = match mood.dice.random_bool(0.5) {
                true => mood.dice.random_range(0..bytes.len()),
                false => mood.dice.random_range(0..bytes.len().min(5_000)),
            };
            bytes.truncate(bytes.len() - less);
        }
        self.0.write_at(offset, &[IoSlice::new(&bytes)])
    }

    fn bytes(&self) -> io::Result<u64> {
        self.0.bytes()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.0.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync()
    }
}

fn scaled(count: u64) -> u64 {
    match std::env::var("CHAINSTORE_TEST_SCALE").as_deref() {
        Ok("full") => count,
        _ => count / 10,
    }
}

/// A payload, of which a part is zeros: space in advance already holds them.
fn draw(dice: &mut ChaCha8Rng) -> Vec<u8> {
    let bytes: usize = match dice.random_range(0..20) {
        0..=11 => dice.random_range(0..2_000),
        12..=15 => dice.random_range(0..32_800),
        16 | 17 => dice.random_range(32_600..40_000),
        18 => dice.random_range(40_000..262_200),
        _ => dice.random_range(262_100..600_000),
    };
    let mut payload = vec![0; bytes];
    let filled = match dice.random_range(0..4) {
        0 => dice.random_range(0..=bytes),
        _ => bytes,
    };
    let mark: u64 = dice.random_range(1..u64::MAX);
    for (at, byte) in payload[..filled].iter_mut().enumerate() {
        *byte = (mark >> (8 * (at % 8))) as u8;
    }
    payload
}

/// What the log must hold.
struct Held {
    options: LogOptions,
    first: u64,
    payloads: Vec<Vec<u8>>,
    places: Vec<Place>,
    /// How many of them outlive the process, and the power.
    flushed: usize,
    synced: usize,
    context: String,
}

impl Held {
    fn next(&self) -> Height {
        Height::new(self.first + self.payloads.len() as u64)
    }

    fn is_durable(&mut self) {
        self.flushed = self.payloads.len();
        self.synced = self.flushed;
    }

    /// The log ends here, durably.
    fn keep(&mut self, next: Height) {
        let kept = (next.get() - self.first) as usize;
        self.payloads.truncate(kept);
        self.places.truncate(kept);
        self.is_durable();
    }

    /// Compares what a log holds: all of it, or at least so many from the first one on.
    fn compare(&self, log: &Log, least: usize) {
        let context = &self.context;
        let next = log.next().get();
        assert!(next <= self.next().get(), "{context}: {next} was refused");
        assert!(next >= self.first + least as u64, "{context}: {next}");
        let found = records(&log.reader(), log.next()).unwrap();
        for (height, payload) in &found {
            if let Some(at) = height.checked_sub(self.first) {
                assert!(
                    *payload == self.payloads[at as usize],
                    "{context}: {height}"
                );
            }
        }
        let seen = found.last().map_or(log.first().get(), |(last, _)| last + 1);
        assert_eq!(seen, next, "{context}");
        assert_eq!(log.reader().check().unwrap(), [], "{context}");
    }

    /// What is there when the process dies now, and when the power goes.
    fn judge(&self, disk: &SimDisk, seed: u64) {
        let image = disk.after_kill();
        for (image, least) in [
            (image, self.flushed),
            (disk.after_power_cut(seed), self.synced),
        ] {
            let disk: Arc<dyn Disk> = Arc::new(image);
            let opened = Log::open(disk, self.options);
            let (log, _) = opened.unwrap_or_else(|error| panic!("{}: {error}", self.context));
            self.compare(&log, least);
        }
    }
}

/// A life on a scarce disk.
struct Life {
    dice: ChaCha8Rng,
    sim: SimDisk,
    disk: Scarce,
    log: Option<Log>,
    held: Held,
    refused: u64,
    images: u64,
}

impl Life {
    fn new(life: u64) -> Self {
        let options = LogOptions {
            segment_bytes_max: [40_000, 300_000, 1 << 20][(life % 3) as usize],
            advance_bytes: [0, 20_000, 500_000][(life / 3 % 3) as usize],
            ..LogOptions::default()
        };
        let mood = Mood {
            dice: ChaCha8Rng::seed_from_u64(life),
            short: 0,
            full: 0,
        };
        let sim = SimDisk::new();
        let disk = Scarce(sim.clone(), Arc::new(Mutex::new(mood)));
        let held = Held {
            options,
            first: 0,
            payloads: Vec::new(),
            places: Vec::new(),
            flushed: 0,
            synced: 0,
            context: format!("life {life}"),
        };
        Self {
            dice: ChaCha8Rng::seed_from_u64(SEED ^ life),
            log: Some(disk.open(options).unwrap()),
            sim,
            disk,
            held,
            refused: 0,
            images: 0,
        }
    }

    fn act(&mut self) {
        match self.dice.random_range(0..4) {
            0 => self.disk.set(0, 0),
            1 => self.disk.set(50, 0),
            2 => self.disk.set(50, 50),
            _ => self.disk.set(20, 90),
        }
        match self.dice.random_range(0..23) {
            0..=12 => self.append(),
            13 | 14 => self.flush(),
            15..=19 => self.sync(),
            20 => self.truncate(),
            21 => self.prune(),
            _ => self.open_again(),
        }
        assert_eq!(self.log().next(), self.held.next(), "{}", self.held.context);
        if self.dice.random_bool(0.3) {
            self.judge();
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().unwrap()
    }

    fn is_full<T: fmt::Debug>(&self, done: &LogResult<T>) -> bool {
        match done {
            Ok(_) => false,
            Err(LogError::Full { .. }) => true,
            Err(error) => panic!("{}: {error}", self.held.context),
        }
    }

    fn append(&mut self) {
        let payload = draw(&mut self.dice);
        let split = payload.len() - self.dice.random_range(0..=payload.len().min(100));
        let (next, before) = (self.held.next(), self.log().segment());
        let done = self.log().append_parts(next, payload.split_at(split));
        if self.is_full(&done) {
            self.refused += 1;
            return;
        }
        if self.log().segment() != before {
            // What is in the segment before is durable.
            self.held.is_durable();
        }
        self.held.payloads.push(payload);
        self.held.places.push(done.unwrap().0);
    }

    fn flush(&mut self) {
        let done = self.log().flush();
        if self.is_full(&done) {
            return;
        }
        self.held.flushed = self.held.payloads.len();
        let (reader, mut buffer) = (self.log().reader(), Vec::new());
        let held = &self.held;
        for (at, place) in held.places.iter().enumerate().rev().take(3) {
            let height = Height::new(held.first + at as u64);
            let read = reader.read(height, place, &mut buffer).unwrap();
            assert!(*read == *held.payloads[at], "{}: {height}", held.context);
        }
    }

    fn sync(&mut self) {
        let done = self.log().sync();
        if !self.is_full(&done) {
            self.held.is_durable();
        }
    }

    fn truncate(&mut self) {
        let back = self.dice.random_range(1..5);
        let kept = self.held.payloads.len().saturating_sub(back);
        let next = Height::new(self.held.first + kept as u64).max(self.log().first());
        let is_cut = next < self.held.next();
        let done = self.log().truncate(next);
        if !self.is_full(&done) && is_cut {
            self.held.keep(next);
        }
    }

    fn prune(&mut self) {
        let tail = self.held.next().get();
        let tail = tail.saturating_sub(self.dice.random_range(0..8));
        let tail = Height::new(tail).max(self.log().first());
        self.log().prune(tail).unwrap();
        let gone = self.log().first().get().saturating_sub(self.held.first) as usize;
        let held = &mut self.held;
        held.first += gone as u64;
        held.payloads.drain(..gone);
        held.places.drain(..gone);
        held.flushed = held.flushed.saturating_sub(gone);
        held.synced = held.synced.saturating_sub(gone);
    }

    fn open_again(&mut self) {
        let done = self.log().flush();
        let least = match self.is_full(&done) {
            true => self.held.flushed,
            false => self.held.payloads.len(),
        };
        self.log = None;
        self.disk.set(0, 0);
        let log = self.disk.open(self.held.options).unwrap();
        self.held.compare(&log, least);
        self.held.keep(log.next());
        self.log = Some(log);
    }

    fn judge(&mut self) {
        self.held.judge(&self.sim, self.dice.random());
        self.images += 2;
    }
}

#[test]
fn what_a_full_disk_refuses_leaves_nothing_and_what_it_took_stays() {
    let lives = scaled(1_000);
    println!("seed {SEED:#x}, {lives} lives");
    let (mut refused, mut images) = (0, 0);
    for number in 0..lives {
        let mut life = Life::new(number);
        for act in 0..60 {
            life.held.context = format!("life {number}, act {act}");
            life.act();
        }
        life.disk.set(0, 0);
        life.sync();
        life.judge();
        refused += life.refused;
        images += life.images;
    }
    println!("{refused} appends were refused, {images} images");
    assert!(refused > lives, "{refused} appends were refused");
}
