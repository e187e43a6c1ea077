//! The merge of sorted chunks and runs, each key once.
//!
//! Invariant: of equal keys the newest source wins. Cost: a heap of the first eight bytes of the
//! sources' present keys, so that most comparisons do not touch a key; for a row about the
//! logarithm of the number of sources of them.

use std::cmp::Ordering;
use std::ops::Range;

use storage_api::Result;

use super::chunk::{self, Chunk};
use super::run::{Bounds, Reading, Run};

/// Bytes that all merges of a load read at once from one run.
const READ_BYTES: usize = 128 << 10;

/// Rows of a chunk that are copied out at once, and their bytes, at most.
const WINDOW_ROWS: usize = 16;
const WINDOW_BYTES: usize = 4 << 10;

/// What takes the rows of a merge, a key and a value each.
pub(super) type RowSink<'s> = dyn FnMut(&[u8], &[u8]) -> Result<()> + 's;

/// One source of a merge: a run being read, or rows of a chunk.
enum Source<'c> {
    File(Box<Reading<'c>>),
    Memory(Box<Window<'c>>),
}

/// Rows of a chunk, some copied out at a time: side by side their reads wait for memory together,
/// where one by one, between the comparisons of a merge, each would wait alone.
struct Window<'c> {
    chunk: &'c Chunk,
    /// Rows that are neither copied out nor behind.
    rows: Range<usize>,
    /// Empty while the present row is a large one, which is not copied.
    copied: Chunk,
    /// The present row's place, among the copied ones if there are any.
    at: usize,
}

impl<'c> Window<'c> {
    fn new(chunk: &'c Chunk, rows: Range<usize>) -> Self {
        let mut window = Self {
            chunk,
            rows,
            copied: Chunk::new(),
            at: 0,
        };
        window.refill();
        window
    }

    /// Goes to the first of the rows that are neither copied nor behind; false if there is none.
    fn refill(&mut self) -> bool {
        let Range { start, end } = self.rows;
        let few = start..end.min(start + WINDOW_ROWS);
        let copied = self.copied.copy(self.chunk, few, WINDOW_BYTES);
        self.at = if copied == 0 { start } else { 0 };
        self.rows.start = end.min(start + copied.max(1));
        start < end
    }

    fn present(&self) -> &Chunk {
        if self.copied.is_empty() {
            self.chunk
        } else {
            &self.copied
        }
    }

    fn advance(&mut self) -> bool {
        if self.at + 1 < self.copied.len() {
            self.at += 1;
            return true;
        }
        self.refill()
    }
}

impl Source<'_> {
    fn row(&self) -> (&[u8], &[u8]) {
        match self {
            Self::File(reading) => reading.row(),
            Self::Memory(window) => window.present().get(window.at).unwrap_or_default(),
        }
    }

    fn head(&self) -> u64 {
        match self {
            Self::File(reading) => chunk::head(reading.row().0),
            Self::Memory(window) => window.present().head(window.at),
        }
    }

    fn advance(&mut self) -> Result<bool> {
        match self {
            Self::File(reading) => reading.advance(),
            Self::Memory(window) => Ok(window.advance()),
        }
    }
}

/// Several sorted sources as one, each key once.
pub(super) struct Merge<'c> {
    sources: Vec<Source<'c>>,
    /// The places of the sources as a heap, that of the smallest present key first, of equal keys
    /// that of the newest source.
    heap: Vec<usize>,
    /// The head of the present key of each source of the heap. A list of its own: a head and a
    /// place beside it, moved as one right after one of them was written, make the processor wait
    /// for all writes before it, which took half the time of a load into memory.
    heads: Vec<u64>,
}

impl<'c> Merge<'c> {
    /// Merges the rows within `bounds` of sorted chunks, oldest first, and of runs, which are
    /// newer, oldest first. So many merges read the same runs at the same time.
    pub(super) fn new(
        chunks: &'c [Chunk],
        runs: &'c [Run],
        bounds: Bounds<'c>,
        merges: usize,
    ) -> Result<Self> {
        let mut sources = Vec::with_capacity(chunks.len() + runs.len());
        for chunk in chunks {
            let from = bounds.from.map_or(0, |from| chunk.place(from));
            let end = bounds.until.map_or(chunk.len(), |until| chunk.place(until));
            if from < end {
                sources.push(Source::Memory(Box::new(Window::new(chunk, from..end))));
            }
        }
        for run in runs {
            let buffer_bytes = READ_BYTES / merges.max(1);
            let mut reading = Box::new(Reading::open(run, bounds, buffer_bytes)?);
            if reading.advance()? {
                sources.push(Source::File(reading));
            }
        }
        let heads = sources.iter().map(Source::head).collect();
        let heap = (0..sources.len()).collect();
        let mut merge = Self {
            sources,
            heap,
            heads,
        };
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sink(at);
        }
        Ok(merge)
    }

    /// Whether the first of two sources, each with the head of its key, comes before the second.
    fn is_before(&self, (a_head, a): (u64, usize), (b_head, b): (u64, usize)) -> bool {
        match a_head.cmp(&b_head) {
            Ordering::Equal => {
                let keys = self.sources[a].row().0.cmp(self.sources[b].row().0);
                keys.then(b.cmp(&a)).is_lt()
            }
            heads => heads.is_lt(),
        }
    }

    fn at(&self, at: usize) -> (u64, usize) {
        (self.heads[at], self.heap[at])
    }

    /// Moves what is at this place of the heap down to where it belongs.
    fn sink(&mut self, mut at: usize) {
        if at >= self.heap.len() {
            return;
        }
        let sinking = self.at(at);
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.heap.len() {
                break;
            }
            let is_right = right < self.heap.len() && self.is_before(self.at(right), self.at(left));
            let child = if is_right { right } else { left };
            let risen = self.at(child);
            if !self.is_before(risen, sinking) {
                break;
            }
            (self.heads[at], self.heap[at]) = risen;
            at = child;
        }
        (self.heads[at], self.heap[at]) = sinking;
    }

    /// Moves the source of the smallest key on.
    fn step(&mut self) -> Result<()> {
        let Some(&top) = self.heap.first() else {
            return Ok(());
        };
        if self.sources[top].advance()? {
            self.heads[0] = self.sources[top].head();
        } else {
            self.heap.swap_remove(0);
            self.heads.swap_remove(0);
        }
        self.sink(0);
        Ok(())
    }

    /// Hands every row to `take`, each key once.
    pub(super) fn for_each(mut self, take: &mut RowSink<'_>) -> Result<()> {
        let mut last: Vec<u8> = Vec::new();
        let mut last_head = None;
        while let (Some(&top), Some(&head)) = (self.heap.first(), self.heads.first()) {
            let (key, value) = self.sources[top].row();
            // Of equal keys the newest source comes first; the others are passed over.
            if last_head != Some(head) || key != last {
                take(key, value)?;
                last.clear();
                last.extend_from_slice(key);
                last_head = Some(head);
            }
            self.step()?;
        }
        Ok(())
    }
}
