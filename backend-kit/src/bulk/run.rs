//! A run: sorted rows in a temporary file, and the merge of several.
//!
//! Invariants: a run is read once, from the beginning to the end, by the load that wrote it; its
//! number of rows and a checksum over all its bytes are kept in memory and compared at its end,
//! which comes before the load's commit, so that a damaged run fails the load; of equal keys the
//! run that was written last wins. A row in the file is the length of its key and of its value,
//! four bytes little-endian each, and their bytes; the file outlives its process as trash only.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use storage_api::{Error, Result};

use super::chunk::{self, Chunk};

/// Bytes read or written at once.
const BUFFER_BYTES: usize = 256 << 10;

/// A sorted run on disk.
#[derive(Debug)]
pub(super) struct Run {
    path: PathBuf,
    rows: u64,
    checksum: u32,
}

/// Writes a run row by row.
#[derive(Debug)]
pub(super) struct RunWriter {
    file: BufWriter<File>,
    run: Run,
}

fn explain(path: &Path, error: io::Error) -> Error {
    Error::from_io(error, path.display().to_string())
}

impl RunWriter {
    pub(super) fn create(path: PathBuf) -> Result<Self> {
        let file = File::create_new(&path).map_err(|error| explain(&path, error))?;
        Ok(Self {
            file: BufWriter::with_capacity(BUFFER_BYTES, file),
            run: Run {
                path,
                rows: 0,
                checksum: 0,
            },
        })
    }

    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        for part in [&len(key)[..], &len(value)[..], key, value] {
            self.run.checksum = crc32c::crc32c_append(self.run.checksum, part);
            (self.file.write_all(part)).map_err(|error| explain(&self.run.path, error))?;
        }
        self.run.rows += 1;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Run> {
        let Self { mut file, run } = self;
        file.flush().map_err(|error| explain(&run.path, error))?;
        Ok(run)
    }
}

/// Writes what a merge gives as a run.
pub(super) fn spill(merge: Merge<'_>, path: PathBuf) -> Result<Run> {
    let mut writer = RunWriter::create(path)?;
    merge.for_each(&mut |key, value| writer.push(key, value))?;
    writer.finish()
}

/// Runs of one tier; so many are merged into one of the next.
pub(super) const TIER_RUNS: usize = 32;

/// The runs of a load, oldest first, in tiers, so that a row is written again once for each tier,
/// of which each holds [`TIER_RUNS`] times what the one before holds, and few files are open.
#[derive(Debug, Default)]
pub(super) struct Tiers {
    /// Tier and run; tiers never rise from one run to the next.
    runs: Vec<(u32, Run)>,
}

impl Tiers {
    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The runs, oldest first.
    pub(super) fn into_runs(self) -> Vec<Run> {
        self.runs.into_iter().map(|(_, run)| run).collect()
    }

    /// Adds a run newer than all others; `next_path` gives paths for runs that are merged.
    pub(super) fn add(
        &mut self,
        run: Run,
        next_path: &mut dyn FnMut() -> Result<Option<PathBuf>>,
    ) -> Result<()> {
        self.runs.push((0, run));
        while let Some((from, tier)) = self.full_tier() {
            let Some(path) = next_path()? else {
                return Ok(());
            };
            let full: Vec<Run> = self.runs.drain(from..).map(|(_, run)| run).collect();
            let paths: Vec<PathBuf> = full.iter().map(|run| run.path.clone()).collect();
            let merged = spill(Merge::new(full, &[])?, path)?;
            self.runs.push((tier + 1, merged));
            for path in paths {
                // The space comes back now rather than with the folder; a failure costs space only.
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }

    /// Where the newest tier begins, if it is full.
    fn full_tier(&self) -> Option<(usize, u32)> {
        let from = self.runs.len().checked_sub(TIER_RUNS)?;
        let tier = self.runs.last()?.0;
        let is_full = self.runs[from..].iter().all(|(other, _)| *other == tier);
        is_full.then_some((from, tier))
    }
}

/// What takes the rows of a merge, a key and a value each.
pub(super) type RowSink<'s> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 's;

/// One source of a merge: a run being read, or what is still in memory.
enum Source<'c> {
    File(Box<Reading>),
    Memory { chunk: &'c Chunk, at: usize },
}

struct Reading {
    file: BufReader<File>,
    run: Run,
    rows: u64,
    checksum: u32,
    row: Vec<u8>,
    key_len: usize,
}

impl Reading {
    fn open(run: Run) -> Result<Self> {
        let file = File::open(&run.path).map_err(|error| explain(&run.path, error))?;
        Ok(Self {
            file: BufReader::with_capacity(BUFFER_BYTES, file),
            run,
            rows: 0,
            checksum: 0,
            row: Vec::new(),
            key_len: 0,
        })
    }

    fn damaged(&self, what: &str) -> Error {
        let place = self.run.path.display().to_string();
        Error::corruption(place, format!("a spilled run {what}"))
    }

    /// Reads the next row; false at the end, where everything is compared.
    fn advance(&mut self) -> Result<bool> {
        if self.rows == self.run.rows {
            if self.checksum != self.run.checksum {
                return Err(self.damaged("is not what was written"));
            }
            return Ok(false);
        }
        let mut lens = [0; 8];
        self.fill(&mut lens)?;
        let [a, b, c, d, e, f, g, h] = lens;
        let key_len = u32::from_le_bytes([a, b, c, d]) as usize;
        let value_len = u32::from_le_bytes([e, f, g, h]) as usize;
        // A length that a flipped bit made is not asked memory for: what is there is read.
        let mut row = std::mem::take(&mut self.row);
        row.clear();
        let wanted = (key_len + value_len) as u64;
        let read = (&mut self.file).take(wanted).read_to_end(&mut row);
        let read = read.map_err(|error| explain(&self.run.path, error))?;
        if read as u64 != wanted {
            return Err(self.damaged("ends early"));
        }
        self.checksum = crc32c::crc32c_append(self.checksum, &row);
        (self.row, self.key_len) = (row, key_len);
        self.rows += 1;
        Ok(true)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                self.damaged("ends early")
            } else {
                explain(&self.run.path, error)
            }
        })?;
        self.checksum = crc32c::crc32c_append(self.checksum, bytes);
        Ok(())
    }
}

impl Source<'_> {
    fn row(&self) -> (&[u8], &[u8]) {
        match self {
            Self::File(reading) => reading.row.split_at(reading.key_len),
            Self::Memory { chunk, at } => chunk.get(*at).unwrap_or_default(),
        }
    }

    fn head(&self) -> u64 {
        match self {
            Self::File(_) => chunk::head(self.row().0),
            Self::Memory { chunk, at } => chunk.head(*at),
        }
    }

    fn advance(&mut self) -> Result<bool> {
        match self {
            Self::File(reading) => reading.advance(),
            Self::Memory { chunk, at } => {
                *at += 1;
                Ok(chunk.get(*at).is_some())
            }
        }
    }
}

/// Several sorted sources as one, each key once.
pub(super) struct Merge<'c> {
    sources: Vec<Source<'c>>,
    /// The heads of the sources' present keys, with the sources' places, as a heap: the smallest
    /// key first, of equal keys the newest source.
    heap: Vec<(u64, usize)>,
}

impl<'c> Merge<'c> {
    /// Merges runs, oldest first, and sorted chunks, which are newer, oldest first.
    pub(super) fn new(runs: Vec<Run>, chunks: impl IntoIterator<Item = &'c Chunk>) -> Result<Self> {
        let mut sources = Vec::with_capacity(runs.len());
        for run in runs {
            let mut reading = Box::new(Reading::open(run)?);
            if reading.advance()? {
                sources.push(Source::File(reading));
            }
        }
        let chunks = chunks.into_iter().filter(|chunk| !chunk.is_empty());
        sources.extend(chunks.map(|chunk| Source::Memory { chunk, at: 0 }));
        let heap = sources.iter().map(Source::head).zip(0..).collect();
        let mut merge = Self { heap, sources };
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sink(at);
        }
        Ok(merge)
    }

    fn order(&self, (a_head, a): (u64, usize), (b_head, b): (u64, usize)) -> Ordering {
        match a_head.cmp(&b_head) {
            Ordering::Equal => {
                let keys = self.sources[a].row().0.cmp(self.sources[b].row().0);
                keys.then(b.cmp(&a))
            }
            heads => heads,
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.order(self.heap[child], self.heap[least]).is_lt()
                {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }

    /// Moves the source of the smallest key on.
    fn step(&mut self) -> Result<()> {
        let Some(&(_, top)) = self.heap.first() else {
            return Ok(());
        };
        if self.sources[top].advance()? {
            self.heap[0].0 = self.sources[top].head();
            self.sink(0);
        } else {
            self.heap.swap_remove(0);
            self.sink(0);
        }
        Ok(())
    }

    /// Hands every row to `take`, each key once.
    pub(super) fn for_each(mut self, take: &mut RowSink<'_>) -> Result<()> {
        let mut last: Vec<u8> = Vec::new();
        let mut is_first = true;
        while let Some(&(_, top)) = self.heap.first() {
            let (key, value) = self.sources[top].row();
            // Of equal keys the newest source comes first; the others are passed over.
            if is_first || key != last {
                take(key, value)?;
                last.clear();
                last.extend_from_slice(key);
                is_first = false;
            }
            self.step()?;
        }
        Ok(())
    }
}
