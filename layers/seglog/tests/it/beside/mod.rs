//! Reading, checking and packing at the one moment at which the log is written to or cut: what
//! happens in between is no damage, and is not forgotten afterwards.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use seglog::disk::{Access, Disk, DiskFile};
use seglog::sim::{SimDisk, Trouble};
use seglog::{ChainTag, Height, Log, LogOptions, Place, Reader, SegmentNumber};

/// When something is done in between.
#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    /// Once a file of this name was opened, or found to be missing.
    Opened(&'static str),
    /// Before the read of this number of a file that had this name when it was opened.
    Read(&'static str, usize),
    /// Once a file was read behind its end.
    ReadNothing,
}

type Hook = (When, Box<dyn FnOnce() + Send>);

/// A disk on which something is done, once, in between.
#[derive(Clone, Default)]
struct Between(SimDisk, Arc<Mutex<Option<Hook>>>);

#[derive(Debug)]
struct BetweenFile(Arc<dyn DiskFile>, Between, String);

impl fmt::Debug for Between {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Between")
    }
}

impl Between {
    fn plan(&self, when: When, hook: impl FnOnce() + Send + 'static) {
        *self.1.lock().unwrap() = Some((when, Box::new(hook)));
    }

    fn is_done(&self) -> bool {
        self.1.lock().unwrap().is_none()
    }

    /// Does what is planned, if it is planned for now.
    fn now(&self, is_now: impl FnOnce(&mut When) -> bool) {
        let mut planned = self.1.lock().unwrap();
        if !planned.as_mut().is_some_and(|(when, _)| is_now(when)) {
            return;
        }
        let hook = planned.take();
        // What is done uses the disk as well.
        drop(planned);
        if let Some((_, hook)) = hook {
            hook();
        }
    }

    fn wrap(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(BetweenFile(file, self.clone(), name.to_owned()))
    }
}

impl Disk for Between {
    fn names(&self) -> io::Result<Vec<String>> {
        self.0.names()
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Arc<dyn DiskFile>> {
        let opened = self.0.open(name, access);
        self.now(|when| matches!(when, When::Opened(of) if *of == name));
        Ok(self.wrap(name, opened?))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(name, self.0.create(name)?))
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

impl DiskFile for BetweenFile {
    fn read_at(&self, offset: u64, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        self.1.now(|when| match when {
            When::Read(of, left) if *of == self.2 => {
                *left -= 1;
                *left == 0
            }
            _ => false,
        });
        let read = self.0.read_at(offset, parts)?;
        if read == 0 {
            self.1.now(|when| *when == When::ReadNothing);
        }
        Ok(read)
    }

    fn write_at(&self, offset: u64, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.write_at(offset, parts)
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

const CHAIN: ChainTag = ChainTag::new(5);

/// A log of 30 synced records, ten in each of three segments, whose cut segments become spares.
fn log(disk: &Between) -> (Arc<Mutex<Log>>, Vec<Place>) {
    let options = LogOptions {
        chain: CHAIN,
        segment_bytes_max: 10_000,
        advance_bytes: 1,
        ..LogOptions::default()
    };
    let (mut log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
    let places = (0..30).map(|height| put(&mut log, height)).collect();
    assert_eq!(log.segment(), SegmentNumber::new(2));
    (Arc::new(Mutex::new(log)), places)
}

fn put(log: &mut Log, height: u64) -> Place {
    let place = log.append(Height::new(height), &[height as u8; 1_000]);
    log.sync().unwrap();
    place.unwrap()
}

#[test]
fn records_that_come_while_the_end_is_looked_at_are_no_damage() {
    let disk = Between::default();
    let (log, _) = log(&disk);
    let reader = log.lock().unwrap().reader();
    let write = |from: u64| {
        let log = Arc::clone(&log);
        move || {
            for height in from..from + 3 {
                put(&mut log.lock().unwrap(), height);
            }
        }
    };
    log.lock().unwrap().truncate(Height::new(21)).unwrap();
    disk.plan(When::ReadNothing, write(21));
    assert_eq!(reader.check().unwrap(), []);
    assert!(disk.is_done());
    disk.plan(When::ReadNothing, write(24));
    let (_, next, _) = Reader::open(Arc::new(disk.clone()), CHAIN).unwrap();
    assert!(disk.is_done());
    assert_eq!(next, Some(Height::new(27)));
}

#[test]
fn damage_at_the_end_is_found_beside_a_writer() {
    let disk = Between::default();
    let (log, places) = log(&disk);
    let place = places[27];
    let name = place.segment.file_name();
    let file = disk.0.open(&name, Access::Write).unwrap();
    file.write_at(place.offset + 50, &[IoSlice::new(&[99])])
        .unwrap();
    let reader = log.lock().unwrap().reader();
    let found = reader.check().unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].segment, found[0].offset),
        (place.segment, place.offset)
    );
}

#[test]
fn segments_that_are_cut_away_while_they_are_checked_are_no_damage() {
    for read in 1..4 {
        for name in ["0000000000.seg", "0000000001.seg", "0000000002.seg"] {
            for is_prune in [false, true] {
                let disk = Between::default();
                let (log, _) = log(&disk);
                let reader = log.lock().unwrap().reader();
                let cut = Arc::clone(&log);
                disk.plan(When::Read(name, read), move || {
                    let mut log = cut.lock().unwrap();
                    if is_prune {
                        log.prune(Height::new(25)).unwrap();
                    } else {
                        log.truncate(Height::new(5)).unwrap();
                    }
                    // In the files of the segments that are gone.
                    let next = log.next().get();
                    for height in next..next + 17 {
                        put(&mut log, height);
                    }
                });
                let found = reader.check().unwrap();
                assert_eq!(found, [], "read {read} of {name}, prune: {is_prune}");
                assert_eq!(reader.check().unwrap(), []);
            }
        }
    }
}

#[test]
fn a_segment_that_is_cut_away_while_it_is_packed_is_passed_over() {
    for read in 1..3 {
        let disk = Between::default();
        let (log, _) = log(&disk);
        let packer = log.lock().unwrap().packer();
        let cut = Arc::clone(&log);
        disk.plan(When::Read("0000000000.seg", read), move || {
            let mut log = cut.lock().unwrap();
            log.prune(Height::new(15)).unwrap();
            for height in 30..50 {
                put(&mut log, height);
            }
        });
        let packed = packer.pack(SegmentNumber::new(0)).unwrap();
        assert_eq!(packed, None, "read {read}");
        assert!(disk.is_done(), "read {read}");
        assert_eq!(log.lock().unwrap().reader().check().unwrap(), []);
    }
}

#[test]
fn a_reader_that_opens_a_segment_while_it_is_cut_reads_what_comes_then() {
    for name in ["0000000001.seg", "0000000001.segz"] {
        let disk = Between::default();
        let (first, places) = log(&disk);
        let packed = first.lock().unwrap().packer().pack(SegmentNumber::new(1));
        assert!(packed.unwrap().is_some());
        drop(first);
        let options = LogOptions {
            chain: CHAIN,
            segment_bytes_max: 10_000,
            ..LogOptions::default()
        };
        let (log, _) = Log::open(Arc::new(disk.clone()), options).unwrap();
        let reader = log.reader();
        let log = Arc::new(Mutex::new(log));
        let cut = Arc::clone(&log);
        disk.plan(When::Opened(name), move || {
            let mut log = cut.lock().unwrap();
            log.truncate(Height::new(15)).unwrap();
            put(&mut log, 15);
        });
        let mut buffer = Vec::new();
        let read = reader.read(Height::new(12), &places[12], &mut buffer);
        assert_eq!(read.unwrap(), [12; 1_000], "{name}");
        assert!(disk.is_done(), "{name}");
        let mut log = log.lock().unwrap();
        let place = log.append(Height::new(16), &[99; 1_000]).unwrap();
        log.sync().unwrap();
        let read = reader.read(Height::new(16), &place, &mut buffer);
        assert_eq!(read.unwrap(), [99; 1_000], "{name}");
    }
}

#[test]
fn packing_that_failed_on_the_way_brings_nothing_back_that_is_cut() {
    let mut step = 0;
    loop {
        let disk = Between::default();
        let (log, _) = log(&disk);
        let mut log = Arc::into_inner(log).unwrap().into_inner().unwrap();
        let before = disk.0.steps();
        disk.0.plan(before + step, Trouble::Fail(ErrorKind::Other));
        let packed = log.packer().pack(SegmentNumber::new(1));
        let is_whole = disk.0.steps() <= before + step;
        assert_eq!(packed.is_ok(), is_whole, "step {step}");
        disk.0.plan(u64::MAX, Trouble::Short);
        log.truncate(Height::new(7)).unwrap();
        drop(log);
        let options = LogOptions {
            chain: CHAIN,
            ..LogOptions::default()
        };
        let (log, _) = Log::open(Arc::new(disk.0.clone()), options).unwrap();
        assert_eq!(log.next(), Height::new(7), "step {step}");
        if is_whole {
            assert!(step > 5, "{step} steps");
            return;
        }
        step += 1;
    }
}

#[test]
fn a_packed_segment_that_is_cut_while_another_one_is_packed_stays_what_it_was() {
    for read in 1..3 {
        let disk = Between::default();
        let (log, places) = log(&disk);
        let (reader, packer) = {
            let log = log.lock().unwrap();
            (log.reader(), log.packer())
        };
        assert!(packer.pack(SegmentNumber::new(1)).unwrap().is_some());
        let cut = Arc::clone(&log);
        let (cutting, cutter) = mpsc::channel();
        disk.plan(When::Read("0000000000.seg", read), move || {
            let cut = thread::spawn(move || cut.lock().unwrap().truncate(Height::new(15)));
            // A cut that does not wait for the packing to end does its work here, in the midst.
            let until = Instant::now() + Duration::from_millis(300);
            while !cut.is_finished() && Instant::now() < until {
                thread::yield_now();
            }
            cutting.send(cut).unwrap();
        });
        let packed = packer.pack(SegmentNumber::new(0)).unwrap();
        assert_eq!(
            packed, None,
            "read {read}: a cut on the way ends the packing"
        );
        assert!(disk.is_done(), "read {read}");
        cutter.recv().unwrap().join().unwrap().unwrap();
        put(&mut log.lock().unwrap(), 15);
        assert_eq!(reader.check().unwrap(), [], "read {read}");
        let mut buffer = Vec::new();
        for (height, place) in (0..15).zip(&places) {
            let record = reader.read(Height::new(height), place, &mut buffer);
            assert_eq!(record.unwrap(), [height as u8; 1_000], "read {read}");
        }
    }
}
