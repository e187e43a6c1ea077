//! [`BlockIter`]: blocks as an iterator, and threads that read bodies ahead for it.
//!
//! Invariants: blocks come in order whoever reads them; at most the bytes that were allowed are
//! read ahead, and one run; the threads belong to the iterator, read nothing but the log, and end
//! with it. An error is the last thing that comes. Bodies of a run share the memory that they were
//! read into, which none of them was copied out of.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use seglog::{HEADER_BYTES, Reader as LogReader};
use storage_api::blocks::{BlockError, BlockInfo, BlockQuery, BlockResult, Height};
use storage_api::{Error, KvStore, Reader};

use super::{RUN_BYTES, RUN_BYTES_MAX, Run};
use crate::store::SegmentBlocks;

/// Entries of the index that are read at once.
const ENTRIES: u64 = 64;

/// A block with its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What the index knows of it.
    pub info: BlockInfo,
    /// Its body. It shares memory with those that were read with it, at most 256 KiB unless it is
    /// longer itself: whoever keeps one for long keeps all of that, or a copy.
    pub body: Bytes,
}

/// How far ahead bodies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAhead {
    /// Threads that read; 0 for the caller's own, when it comes to a block.
    pub threads: usize,
    /// Most bytes of bodies that wait to be taken; what is read together is a run of at most
    /// 256 KiB, or one body that is longer.
    pub bytes_max: u64,
}

impl Default for ReadAhead {
    /// Two threads, 8 MiB.
    fn default() -> Self {
        Self {
            threads: 2,
            bytes_max: 8 << 20,
        }
    }
}

/// What reading a run came to: blocks, and what ended them.
type Answer = (Vec<Block>, BlockResult<()>);

/// What a thread is asked to read, and where it says what it found.
type Job = (Run, Sender<Answer>);

fn read(reader: &LogReader, run: &Run) -> Answer {
    let (mut buffer, mut count) = (Vec::new(), 0);
    let read = run.read(reader, &mut buffer, &mut |_, _| count += 1);
    let shared = Bytes::from(buffer);
    let begin = run.wanted.first().map_or(0, |first| first.place.offset);
    // Bodies that were lent lie in the buffer as they lie in the file.
    let bodies = run.wanted.iter().take(count).filter_map(|wanted| {
        let at = wanted.place.offset.checked_sub(begin)?;
        let at = usize::try_from(at.checked_add(HEADER_BYTES)?).ok()?;
        let end = at.checked_add(usize::try_from(wanted.prefix.bytes).ok()?)?;
        (end <= shared.len()).then(|| shared.slice(at..end))
    });
    let blocks = run.infos.iter().zip(bodies);
    let blocks = blocks.map(|(info, body)| Block { info: *info, body });
    (blocks.collect(), read)
}

/// Threads, of which each takes every so many-th run.
#[derive(Debug, Default)]
struct Crew {
    threads: Vec<(Sender<Job>, JoinHandle<()>)>,
    turn: usize,
}

impl Crew {
    fn of(count: usize, reader: &LogReader) -> Self {
        let hire = |_| {
            let (jobs, asked) = mpsc::channel::<Job>();
            let reader = reader.clone();
            let work = move || {
                for (run, answer) in asked {
                    // Nobody waits for it when the iterator is gone.
                    let _heard = answer.send(read(&reader, &run));
                }
            };
            let thread = thread::Builder::new().name("blocks-ahead".to_owned());
            thread.spawn(work).ok().map(|thread| (jobs, thread))
        };
        Self {
            threads: (0..count).filter_map(hire).collect(),
            turn: 0,
        }
    }

    /// Hands a run to the next thread; gives it back where there is none.
    fn ask(&mut self, run: Run) -> Result<Receiver<Answer>, Run> {
        self.turn += 1;
        let turn = self.turn.checked_rem(self.threads.len());
        let Some((jobs, _)) = turn.and_then(|turn| self.threads.get(turn)) else {
            return Err(run);
        };
        let (answer, heard) = mpsc::channel();
        match jobs.send((run, answer)) {
            Ok(()) => Ok(heard),
            Err(mpsc::SendError((run, _))) => Err(run),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for (jobs, thread) in self.threads.drain(..) {
            drop(jobs);
            // One that panicked gave no answer, which the iterator told.
            let _ended = thread.join();
        }
    }
}

/// Blocks upwards from a height; see [`SegmentBlocks::iter`].
#[derive(Debug)]
pub struct BlockIter<'r, S, R> {
    blocks: &'r SegmentBlocks<S>,
    view: &'r R,
    /// What is left of the query; `None` when the index was read to its end.
    left: Option<BlockQuery>,
    is_first: bool,
    run_bytes_max: u64,
    planned: VecDeque<Run>,
    bytes_max: u64,
    asked: VecDeque<(u64, Receiver<Answer>)>,
    asked_bytes: u64,
    ready: VecDeque<Block>,
    error: Option<BlockError>,
    crew: Crew,
}

impl<S: KvStore> SegmentBlocks<S> {
    /// Blocks upwards from a height, as many as the query allows, in the order of heights; bodies
    /// are read when they are asked for, or ahead by threads. Cost: as
    /// [`storage_api::blocks::BlockStore::range`], and an allocation for those read together.
    pub fn iter<'r, R: Reader>(
        &'r self,
        view: &'r R,
        query: BlockQuery,
        ahead: ReadAhead,
    ) -> BlockIter<'r, S, R> {
        BlockIter {
            blocks: self,
            view,
            left: Some(query),
            is_first: true,
            run_bytes_max: RUN_BYTES,
            planned: VecDeque::new(),
            bytes_max: ahead.bytes_max,
            asked: VecDeque::new(),
            asked_bytes: 0,
            ready: VecDeque::new(),
            error: None,
            crew: Crew::of(ahead.threads, &self.reader),
        }
    }
}

impl<S: KvStore, R: Reader> BlockIter<'_, S, R> {
    /// Reads on in the index and makes runs of what is there.
    fn plan(&mut self) -> BlockResult<()> {
        let Some(mut left) = self.left.take() else {
            return Ok(());
        };
        let query = BlockQuery {
            start: left.start,
            blocks_max: ENTRIES.min(left.blocks_max),
            body_bytes_max: u64::MAX,
        };
        let mut run = Run::default();
        let mut is_done = false;
        let (is_first, bytes_max) = (&mut self.is_first, &mut self.run_bytes_max);
        let planned = &mut self.planned;
        let next: BlockResult<Option<Height>> =
            self.blocks
                .for_each_place(self.view, query, &mut |info, at| {
                    if info.body_bytes > left.body_bytes_max && !*is_first {
                        is_done = true;
                        return Ok(ControlFlow::Break(()));
                    }
                    *is_first = false;
                    left.blocks_max -= 1;
                    left.body_bytes_max = left.body_bytes_max.saturating_sub(info.body_bytes);
                    if !run.has_room_for(&at, *bytes_max) {
                        planned.push_back(std::mem::take(&mut run));
                        *bytes_max = RUN_BYTES_MAX.min(2 * *bytes_max);
                    }
                    run.push(info, at);
                    Ok(ControlFlow::Continue(()))
                });
        if !run.infos.is_empty() {
            planned.push_back(run);
        }
        if let Some(start) = next?
            && !is_done
            && left.blocks_max > 0
        {
            self.left = Some(BlockQuery { start, ..left });
        }
        Ok(())
    }

    /// Has as much read as is allowed, and at least one run.
    fn ask(&mut self) {
        while self.asked.is_empty() || self.asked_bytes < self.bytes_max {
            if self.planned.is_empty() {
                if self.left.is_none() || self.error.is_some() {
                    return;
                }
                // What was planned before the error comes first.
                self.error = self.plan().err();
                continue;
            }
            let Some(run) = self.planned.pop_front() else {
                return;
            };
            let bytes = run.bytes;
            let heard = match self.crew.ask(run) {
                Ok(heard) => heard,
                Err(run) => {
                    // Nobody else reads: this run is the one that is wanted now, or comes later.
                    if !self.asked.is_empty() {
                        self.planned.push_front(run);
                        return;
                    }
                    let (answer, heard) = mpsc::channel();
                    // The other end is right here.
                    let _heard = answer.send(read(&self.blocks.reader, &run));
                    heard
                }
            };
            self.asked.push_back((bytes, heard));
            self.asked_bytes += bytes;
        }
    }

    fn end_with(&mut self, error: BlockError) {
        self.left = None;
        self.planned.clear();
        self.asked.clear();
        self.error = Some(error);
    }
}

impl<S: KvStore, R: Reader> Iterator for BlockIter<'_, S, R> {
    type Item = BlockResult<Block>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(block) = self.ready.pop_front() {
                return Some(Ok(block));
            }
            self.ask();
            let Some((bytes, heard)) = self.asked.pop_front() else {
                self.left = None;
                return self.error.take().map(Err);
            };
            self.asked_bytes -= bytes;
            match heard.recv() {
                Ok((blocks, read)) => {
                    self.ready.extend(blocks);
                    if let Err(error) = read {
                        self.end_with(error);
                    }
                }
                Err(_) => {
                    let ended = io::Error::other("a thread that read ahead ended");
                    self.end_with(Error::from_io(ended, "the segments").into());
                }
            }
        }
    }
}
