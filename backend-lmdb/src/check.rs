//! A check of the pages of `data.mdb`, read as the bytes that they are: every page belongs to one
//! place only, a tree or the list of free pages.
//!
//! A damaged page number can lead to an old version of a page, or of a whole table: its rows were
//! right once, are in order, check, and may be as many. What gives it away is that the old page is
//! free as well. Invariants: read-only; nothing is trusted, so no content makes this panic or go
//! round for ever (no page is entered twice); pages that belong nowhere are no damage. The layout
//! is that of a 64-bit little-endian machine. Values are not checked. Cost: one read of every page
//! but those of long values, one bit of memory a page.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use backend_kit::RawCheck;
use storage_api::{Error, Finding, Result};

use crate::error::{DATA_FILE, ENGINE};
use crate::header::{self, NO_PAGE};

const BRANCH: u16 = 0x01;
const LEAF: u16 = 0x02;
/// A node whose value is in pages of its own.
const LONG: u16 = 0x01;
/// A node whose value is the record of a table.
const TABLE: u16 = 0x02;
const HEAD_BYTES: usize = 16;
const FINDINGS_MAX: usize = 20;

/// Checks the pages of the last commit in this directory; nothing may be committed meanwhile.
///
/// # Errors
/// `Io`, and of reading the header.
pub(crate) fn run(directory: &Path) -> Result<RawCheck> {
    let path = directory.join(DATA_FILE);
    let at = |source| Error::from_io(source, path.display().to_string()).with_engine(ENGINE);
    let mut file = File::open(&path).map_err(at)?;
    let meta = header::newest_meta(&mut file, directory)?;
    let pages = usize::try_from(meta.last_page).unwrap_or(usize::MAX - 1) + 1;
    if file.metadata().map_err(at)?.len() / u64::from(meta.page_bytes) < meta.last_page {
        // The walk of the rows finds that; a list of pages that are not there could be of any size.
        return Ok(RawCheck::default());
    }
    let mut walk = Walk {
        file,
        page_bytes: meta.page_bytes as usize,
        claimed: vec![0; pages.div_ceil(64)],
        last_page: meta.last_page,
        tables: Vec::new(),
        findings: Vec::new(),
    };
    let [free, main] = meta.roots;
    walk.tree(main, Tree::Names);
    while let Some(root) = walk.tables.pop() {
        walk.tree(root, Tree::Rows);
    }
    walk.tree(free, Tree::FreePages);
    let place = path.display().to_string();
    let findings = walk.findings.into_iter().map(|what| Finding {
        place: place.clone(),
        what,
    });
    Ok(RawCheck {
        summary: format!("LMDB: {pages} pages, each in one place; values are not checked by it"),
        findings: findings.collect(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Tree {
    Names,
    Rows,
    FreePages,
}

struct Walk {
    file: File,
    page_bytes: usize,
    /// One bit a page that was found to belong somewhere.
    claimed: Vec<u64>,
    last_page: u64,
    /// Roots of tables that are still to be walked.
    tables: Vec<u64>,
    findings: Vec<String>,
}

impl Walk {
    fn note(&mut self, what: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what);
        }
    }

    /// Notes that a page belongs to something; false when it cannot.
    fn claim(&mut self, page: u64) -> bool {
        let (word, bit) = ((page / 64) as usize, 1u64 << (page % 64));
        let there = (2..=self.last_page).contains(&page);
        match self.claimed.get_mut(word) {
            Some(claimed) if there && *claimed & bit == 0 => {
                *claimed |= bit;
                true
            }
            Some(_) if there => {
                self.note(format!("page {page} is in two places"));
                false
            }
            _ => {
                let last = self.last_page;
                self.note(format!("page {page} is in use, of pages 2 to {last}"));
                false
            }
        }
    }

    fn read(&mut self, page: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        let offset = page.checked_mul(self.page_bytes as u64)?;
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Some(bytes),
            Err(error) => {
                self.note(format!("page {page} cannot be read: {error}"));
                None
            }
        }
    }

    fn tree(&mut self, root: u64, tree: Tree) {
        let mut next = vec![root];
        next.retain(|page| *page != NO_PAGE);
        while let Some(page) = next.pop() {
            if !self.claim(page) {
                continue;
            }
            let Some(bytes) = self.read(page, self.page_bytes) else {
                continue;
            };
            if self.nodes(page, &bytes, tree, &mut next).is_none() {
                self.note(format!("page {page} is no page of a tree"));
            }
        }
    }

    /// Follows every node of a page; `None` when it is not one.
    fn nodes(&mut self, page: u64, bytes: &[u8], tree: Tree, next: &mut Vec<u64>) -> Option<()> {
        let kind = u16_at(bytes, 10)?;
        let lower = usize::from(u16_at(bytes, 12)?);
        if u64_at(bytes, 0)? != page || !(kind == BRANCH || kind == LEAF) || lower < HEAD_BYTES {
            return None;
        }
        for pointer in (HEAD_BYTES..lower).step_by(2) {
            let node = usize::from(u16_at(bytes, pointer)?);
            let low = u64::from(u16_at(bytes, node)?) | u64::from(u16_at(bytes, node + 2)?) << 16;
            let flags = u16_at(bytes, node + 4)?;
            if kind == BRANCH {
                next.push(low | u64::from(flags) << 32);
                continue;
            }
            let value = node + 8 + usize::from(u16_at(bytes, node + 6)?);
            let len = usize::try_from(low).ok()?;
            if flags & LONG != 0 {
                self.long_value(u64_at(bytes, value)?, len, tree)?;
            } else if tree == Tree::FreePages {
                self.free_pages(bytes.get(value..value.checked_add(len)?)?)?;
            } else if tree == Tree::Names && flags & TABLE != 0 {
                let root = u64_at(bytes, value + 40)?;
                self.tables.extend((root != NO_PAGE).then_some(root));
            }
        }
        Some(())
    }

    /// A value in pages of its own, which begin with one head.
    fn long_value(&mut self, first: u64, len: usize, tree: Tree) -> Option<()> {
        let pages = len.checked_add(HEAD_BYTES)?.div_ceil(self.page_bytes) as u64;
        let end = first.checked_add(pages)?;
        if end > self.last_page + 1 {
            return None;
        }
        // Every page is claimed, also behind one that is not alone.
        let shared = (first..end).filter(|page| !self.claim(*page)).count();
        let alone = shared == 0;
        let head = self.read(first, HEAD_BYTES)?;
        if u64_at(&head, 0)? != first {
            return None;
        }
        if alone && tree == Tree::FreePages {
            let bytes = self.read(first, HEAD_BYTES + len)?;
            self.free_pages(bytes.get(HEAD_BYTES..)?)?;
        }
        Some(())
    }

    /// A list of free pages: how many, then their numbers.
    fn free_pages(&mut self, list: &[u8]) -> Option<()> {
        let count = usize::try_from(u64_at(list, 0)?).ok()?;
        let numbers = list.get(8..8usize.checked_add(count.checked_mul(8)?)?)?;
        for at in (0..numbers.len()).step_by(8) {
            self.claim(u64_at(numbers, at)?);
        }
        Some(())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(bytes.try_into().ok()?))
}
