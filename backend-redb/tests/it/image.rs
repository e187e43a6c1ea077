//! Crash images: what a disk may hold after a power cut, made from the writes that reached redb's
//! storage seam.
//!
//! The model of the disk: what was written before the last sync is there; of what came after it,
//! any part may be, whole or torn at sectors, in any order. Lengths survive up to some point in
//! their own order (file systems journal them), and bytes beyond the end are lost. A drive that
//! does not keep its word about syncs is modelled too, so that the checks can be seen to bite.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::{Arc, Mutex};

use backend_redb::StorageBackend;

use crate::support::{Dice, Disk};

const SECTOR_BYTES: u64 = 512;

/// What was done to a disk, and what the store above it said meanwhile.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Write(u64, Vec<u8>),
    SetLen(u64),
    Sync,
    /// A commit of this number was asked for.
    Begun(u64),
    /// Every commit up to this number was acknowledged as durable.
    Durable(u64),
}

/// A disk that writes down what is done to it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) disk: Disk,
    events: Arc<Mutex<Vec<Event>>>,
}

impl Recorder {
    /// A recorder of what is done to this image from now on.
    pub(crate) fn on(image: Vec<u8>) -> Self {
        Self {
            disk: Disk::of(image),
            events: Arc::default(),
        }
    }

    pub(crate) fn note(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    pub(crate) fn len_of_history(&self) -> usize {
        self.events.lock().unwrap().len()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        self.disk.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.note(Event::SetLen(len));
        self.disk.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.note(Event::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.note(Event::Write(offset, data.to_vec()));
        self.disk.write(offset, data)
    }
}

/// How a drive keeps its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Honesty {
    /// What was synced is there.
    Honest,
    /// Syncs succeed and do nothing.
    IgnoresSyncs,
    /// Every other write stays in the drive's cache when it is synced.
    SyncsHalf,
}

/// What becomes of the writes since the last sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// All are there: the cut comes after them. With a cut at every event, every prefix.
    InOrder,
    /// Some are there.
    Dropped,
    /// Some are there in part, cut at this many bytes.
    Torn(u64),
    /// Some are there, and where they overlap an older one may have come last.
    Reordered,
}

pub(crate) const FATES: [Fate; 5] = [
    Fate::InOrder,
    Fate::Dropped,
    Fate::Torn(SECTOR_BYTES),
    Fate::Torn(4096),
    Fate::Reordered,
];

/// A disk after a cut.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    /// The same for the same bytes.
    pub(crate) print: u64,
    /// The last commit that was asked for.
    pub(crate) begun: u64,
    /// The last commit that was acknowledged as durable.
    pub(crate) durable: u64,
    /// Changes of the length that did not survive.
    pub(crate) lens_lost: usize,
}

/// A drive on its way through a history.
#[derive(Debug)]
pub(crate) struct Drive<'e> {
    pub(crate) honesty: Honesty,
    stable: Vec<u8>,
    /// Two stable states of the same number are the same.
    stable_number: u64,
    pending: Vec<&'e Event>,
    begun: u64,
    durable: u64,
}

/// Puts bytes where they belong, without those beyond the end.
fn put(disk: &mut [u8], offset: u64, data: &[u8]) {
    let len = disk.len() as u64;
    let end = (offset + data.len() as u64).min(len);
    if offset < end {
        disk[offset as usize..end as usize].copy_from_slice(&data[..(end - offset) as usize]);
    }
}

fn apply(disk: &mut Vec<u8>, event: &Event) {
    match event {
        Event::Write(offset, data) => put(disk, *offset, data),
        Event::SetLen(len) => disk.resize(*len as usize, 0),
        Event::Sync | Event::Begun(_) | Event::Durable(_) => {}
    }
}

impl<'e> Drive<'e> {
    /// A drive that holds these bytes safely; commits up to `durable` are in them, and up to
    /// `begun` may be.
    pub(crate) fn new(honesty: Honesty, stable: Vec<u8>, begun: u64, durable: u64) -> Self {
        Self {
            honesty,
            stable,
            stable_number: 0,
            pending: Vec::new(),
            begun,
            durable,
        }
    }

    /// One more event happens.
    pub(crate) fn pass(&mut self, event: &'e Event) {
        match event {
            Event::Write(..) | Event::SetLen(_) => self.pending.push(event),
            Event::Sync => self.sync(),
            Event::Begun(commit) => self.begun = *commit,
            Event::Durable(commit) => self.durable = *commit,
        }
    }

    fn sync(&mut self) {
        let mut kept_back = Vec::new();
        for (at, event) in std::mem::take(&mut self.pending).into_iter().enumerate() {
            let obeys = match (self.honesty, event) {
                (Honesty::Honest, _) | (_, Event::SetLen(_)) => true,
                (Honesty::SyncsHalf, _) => at % 2 == 0,
                (Honesty::IgnoresSyncs, _) => false,
            };
            if obeys {
                apply(&mut self.stable, event);
            } else {
                kept_back.push(event);
            }
        }
        self.pending = kept_back;
        self.stable_number += 1;
    }

    /// The disk, should the power go now.
    pub(crate) fn image(&self, fate: Fate, dice: &mut Dice) -> Image {
        let mut bytes = self.stable.clone();
        let writes = self.survivors(fate, dice);
        let lens = self.lens();
        let lens_kept = if fate != Fate::InOrder && !lens.is_empty() && dice.below(3) == 0 {
            dice.below(lens.len() as u64) as usize
        } else {
            lens.len()
        };
        if fate == Fate::Reordered {
            for len in &lens[..lens_kept] {
                bytes.resize(*len as usize, 0);
            }
            for (_, offset, data) in &writes {
                put(&mut bytes, *offset, data);
            }
        } else {
            self.replay(&mut bytes, &writes, lens_kept);
        }
        let print = self.print(&bytes, &writes);
        Image {
            bytes,
            print,
            begun: self.begun,
            durable: self.durable,
            lens_lost: lens.len() - lens_kept,
        }
    }

    /// Writes and lengths in the order in which they happened.
    fn replay(&self, bytes: &mut Vec<u8>, writes: &[Piece<'_>], lens: usize) {
        let (mut next, mut lens) = (writes.iter().peekable(), lens);
        for (at, event) in self.pending.iter().enumerate() {
            while let Some((_, offset, data)) = next.next_if(|piece| piece.0 == at) {
                put(bytes, *offset, data);
            }
            if let Event::SetLen(len) = event
                && lens > 0
            {
                lens -= 1;
                bytes.resize(*len as usize, 0);
            }
        }
    }

    /// The lengths that were set since the last sync.
    fn lens(&self) -> Vec<u64> {
        let len = |event: &&Event| match event {
            Event::SetLen(len) => Some(*len),
            _ => None,
        };
        self.pending.iter().filter_map(len).collect()
    }

    /// The parts of writes that survive, in the order in which they reach the disk.
    fn survivors(&self, fate: Fate, dice: &mut Dice) -> Vec<Piece<'e>> {
        let writes = self
            .pending
            .iter()
            .enumerate()
            .filter_map(|(at, event)| match event {
                Event::Write(offset, data) => Some((at, *offset, &data[..])),
                _ => None,
            });
        let mercy = 1 + dice.below(4);
        let mut kept = Vec::new();
        for (at, offset, data) in writes {
            match fate {
                Fate::InOrder => kept.push((at, offset, data)),
                Fate::Dropped | Fate::Reordered if dice.below(5) < mercy => {
                    kept.push((at, offset, data));
                }
                Fate::Dropped | Fate::Reordered => {}
                Fate::Torn(unit) => match dice.below(3) {
                    0 => tear((at, offset, data), unit, dice, &mut kept),
                    _ if dice.below(5) < mercy => kept.push((at, offset, data)),
                    _ => {}
                },
            }
        }
        if fate == Fate::Reordered {
            for at in (1..kept.len()).rev() {
                kept.swap(at, dice.below(at as u64 + 1) as usize);
            }
        }
        kept
    }

    fn print(&self, bytes: &[u8], writes: &[Piece<'_>]) -> u64 {
        let sectors = writes.iter().flat_map(|(_, offset, data)| {
            offset / SECTOR_BYTES..(offset + data.len() as u64).div_ceil(SECTOR_BYTES)
        });
        let mut hash = DefaultHasher::new();
        (self.stable_number, bytes.len()).hash(&mut hash);
        let part = |disk: &[u8], sector: u64| -> Vec<u8> {
            let from = ((sector * SECTOR_BYTES) as usize).min(disk.len());
            let to = (from + SECTOR_BYTES as usize).min(disk.len());
            disk[from..to].to_vec()
        };
        for sector in sectors.collect::<BTreeSet<u64>>() {
            let now = part(bytes, sector);
            if now != part(&self.stable, sector) {
                (sector, now).hash(&mut hash);
            }
        }
        hash.finish()
    }
}

/// Which event, where, what.
type Piece<'e> = (usize, u64, &'e [u8]);

/// Keeps some of the units of a write, which are aligned on the disk.
fn tear<'e>((at, offset, data): Piece<'e>, unit: u64, dice: &mut Dice, kept: &mut Vec<Piece<'e>>) {
    let end = offset + data.len() as u64;
    let mut from = offset;
    while from < end {
        let to = ((from / unit + 1) * unit).min(end);
        if dice.below(2) == 0 {
            let part = &data[(from - offset) as usize..(to - offset) as usize];
            kept.push((at, from, part));
        }
        from = to;
    }
}
