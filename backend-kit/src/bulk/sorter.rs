//! A sorter: a thread that sorts full chunks while the next one is gathered.
//!
//! Invariants: chunks come back in the order in which they were given; at most [`UNDER_WAY_MAX`]
//! are on their way, so memory stays bounded; the thread ends with its sorter, which waits for it;
//! a chunk that does not come back is told ([`Sorter::has_lost`]). Where the system gives no
//! thread, chunks are sorted on the spot.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use super::chunk::Chunk;

/// Chunks given and not taken back.
const UNDER_WAY_MAX: usize = 2;

/// See the head of this file.
#[derive(Debug, Default)]
pub(super) struct Sorter {
    worker: Option<Worker>,
    under_way: usize,
    is_begun: bool,
    has_lost: bool,
}

#[derive(Debug)]
struct Worker {
    give: Option<Sender<Chunk>>,
    take: Receiver<Chunk>,
    thread: Option<JoinHandle<()>>,
}

impl Worker {
    fn start() -> Option<Self> {
        let (give, given) = channel::<Chunk>();
        let (done, take) = channel();
        let work = move || {
            for chunk in given {
                // Nobody takes it when the load was dropped.
                if done.send(sorted(chunk)).is_err() {
                    return;
                }
            }
        };
        let thread = thread::Builder::new()
            .name("bulk-sort".to_owned())
            .spawn(work);
        Some(Self {
            give: Some(give),
            take,
            thread: Some(thread.ok()?),
        })
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.give.take());
        if let Some(thread) = self.thread.take() {
            // It ends after the chunk at hand; sorting does not panic.
            let _ended = thread.join();
        }
    }
}

fn sorted(mut chunk: Chunk) -> Chunk {
    chunk.sort();
    chunk.in_order()
}

impl Sorter {
    /// Whether no chunk is on its way.
    pub(super) const fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// Whether a chunk did not come back, so that rows are missing.
    pub(super) const fn has_lost(&self) -> bool {
        self.has_lost
    }

    /// Gives a chunk and hands those that are done to `take`, oldest first.
    pub(super) fn give(&mut self, chunk: Chunk, take: &mut dyn FnMut(Chunk)) {
        if !self.is_begun {
            self.is_begun = true;
            self.worker = Worker::start();
        }
        let given = self.worker.as_ref().and_then(|worker| worker.give.as_ref());
        let refused = match given {
            Some(give) => give.send(chunk).map_err(|refused| refused.0),
            None => Err(chunk),
        };
        match refused {
            Ok(()) => self.under_way += 1,
            Err(chunk) => {
                self.collect(0, take);
                take(sorted(chunk));
            }
        }
        self.collect(UNDER_WAY_MAX, take);
    }

    /// Waits until at most so many chunks are on their way.
    fn collect(&mut self, most: usize, take: &mut dyn FnMut(Chunk)) {
        while self.under_way > most {
            self.under_way -= 1;
            match self.worker.as_ref().map(|worker| worker.take.recv()) {
                Some(Ok(chunk)) => take(chunk),
                _ => self.has_lost = true,
            }
        }
    }

    /// Waits for all chunks.
    pub(super) fn finish(&mut self, take: &mut dyn FnMut(Chunk)) {
        self.collect(0, take);
    }
}
