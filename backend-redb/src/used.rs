//! [`UsedPages`]: how many pages of a file were ever written.
//!
//! redb doubles its file, later adds 4 GiB at a time, and takes pages from all over it, so neither
//! the length nor the highest byte written says how much is in use; the pages written at least once
//! do, because pages that are free again are taken before new ones grow the file. Invariant: pages
//! that were there at opening count as written. Cost: one short lock a write, one bit a page that
//! was added since opening.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

pub(crate) const PAGE_BYTES: u64 = 4096;

/// The pages of a file that were ever written.
#[derive(Debug)]
pub(crate) struct UsedPages {
    count: AtomicU64,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// All pages below this one count.
    first: u64,
    /// One bit a page from `first` on.
    bits: Vec<u64>,
}

impl Written {
    fn count(&self) -> u64 {
        let set: u64 = self
            .bits
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum();
        self.first + set
    }
}

impl UsedPages {
    /// All pages of a file of this length in bytes.
    pub(crate) fn of_length(len: u64) -> Self {
        let first = len.div_ceil(PAGE_BYTES);
        Self {
            count: first.into(),
            written: Mutex::new(Written {
                first,
                bits: Vec::new(),
            }),
        }
    }

    /// Bytes of the pages.
    pub(crate) fn bytes(&self) -> u64 {
        self.count
            .load(Ordering::Relaxed)
            .saturating_mul(PAGE_BYTES)
    }

    /// These bytes were written.
    pub(crate) fn add(&self, offset: u64, len: usize) {
        let end = offset.saturating_add(len as u64).div_ceil(PAGE_BYTES);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let mut added = 0;
        for page in (offset / PAGE_BYTES).max(written.first)..end {
            let at = page - written.first;
            let (word, bit) = ((at / 64) as usize, 1 << (at % 64));
            if word >= written.bits.len() {
                written.bits.resize(word + 1, 0);
            }
            added += u64::from(written.bits[word] & bit == 0);
            written.bits[word] |= bit;
        }
        if added > 0 {
            self.count.fetch_add(added, Ordering::Relaxed);
        }
    }

    /// The file was cut to this length in bytes, or grew to it with pages that were not written.
    pub(crate) fn cut(&self, len: u64) {
        let pages = len.div_ceil(PAGE_BYTES);
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if pages <= written.first {
            written.first = pages;
            written.bits.clear();
        } else {
            let kept = pages - written.first;
            written.bits.truncate(kept.div_ceil(64) as usize);
            let within = kept % 64;
            if within > 0
                && let Some(last) = written.bits.get_mut((kept / 64) as usize)
            {
                *last &= (1 << within) - 1;
            }
        }
        self.count.store(written.count(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{PAGE_BYTES, UsedPages};

    #[test]
    fn a_page_counts_once_and_goes_with_a_cut() {
        let used = UsedPages::of_length(10 * PAGE_BYTES - 1);
        let pages = || used.bytes() / PAGE_BYTES;
        assert_eq!(pages(), 10);
        used.add(0, 8192);
        assert_eq!(pages(), 10);
        used.cut(500 * PAGE_BYTES);
        assert_eq!(pages(), 10);
        used.add(200 * PAGE_BYTES, 4096);
        used.add(200 * PAGE_BYTES + 1, 4096);
        used.add(9 * PAGE_BYTES, 3 * 4096);
        assert_eq!(pages(), 14);
        used.cut(201 * PAGE_BYTES);
        assert_eq!(pages(), 13);
        used.cut(11 * PAGE_BYTES);
        assert_eq!(pages(), 11);
        used.add(300 * PAGE_BYTES, 1);
        assert_eq!(pages(), 12);
        used.cut(4 * PAGE_BYTES);
        assert_eq!(pages(), 4);
        used.add(4 * PAGE_BYTES, 1);
        assert_eq!(pages(), 5);
    }
}
