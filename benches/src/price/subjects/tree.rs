//! The tree of the engine in memory, without a store around it. It has no transaction to compare.

use std::sync::Arc;

use anyhow::{Context, Result};
use backend_mem::tree::Tree;

use super::{Subject, expect, look, look_at_row, missing, starts};
use crate::price::case::Operation;
use crate::price::rows::{Rows, Turn};

pub(super) struct Raw {
    tree: Tree,
    rows: Arc<Rows>,
    turn: Turn,
}

impl Raw {
    pub(super) fn new(rows: Arc<Rows>) -> Self {
        let mut tree = Tree::default();
        for (at, key) in rows.keys.iter().enumerate() {
            tree.insert(key, rows.value(at, 0));
        }
        Self {
            tree,
            rows,
            turn: Turn::default(),
        }
    }

    fn gets(&mut self, keys: fn(&Rows) -> &[[u8; 32]], times: usize, wanted: usize) -> Result<()> {
        let keys = keys(&self.rows);
        let mut found = 0;
        for _ in 0..times {
            let key = &keys[self.turn.next(keys.len())];
            if let Some(value) = self.tree.get(key) {
                look(value);
                found += 1;
            }
        }
        expect(found, wanted)
    }

    fn multi_gets(&mut self, at_once: usize, times: usize) -> Result<()> {
        let mut keys: Vec<&[u8]> = Vec::with_capacity(at_once);
        let (mut found, mut wanted) = (0, 0);
        for _ in 0..times {
            let places = self.turn.next_many(at_once, self.rows.hits.len());
            keys.clear();
            keys.extend(self.rows.hits[places].iter().map(|key| &key[..]));
            wanted += keys.len();
            self.tree.get_many(&keys, |_, value| {
                if let Some(value) = value {
                    look(value);
                    found += 1;
                }
            });
        }
        expect(found, wanted)
    }

    fn seeks(&mut self, times: usize) -> Result<()> {
        let mut cursor = self.tree.cursor();
        for _ in 0..times {
            let key = &self.rows.hits[self.turn.next(self.rows.hits.len())];
            let (key, value) = cursor.seek(key).context("a row is gone")?;
            look_at_row(key, value);
        }
        Ok(())
    }

    fn ranges(&mut self, most: usize, times: usize) -> Result<()> {
        for _ in 0..times {
            let at = self.turn.next(starts(&self.rows, most));
            let mut cursor = self.tree.cursor();
            let mut found = 0;
            let mut row = cursor.seek(&self.rows.keys[at]);
            while let Some((key, value)) = row {
                look_at_row(key, value);
                found += 1;
                if found == most {
                    break;
                }
                row = cursor.next();
            }
            expect(found, most.min(self.rows.keys.len()))?;
        }
        Ok(())
    }

    fn scan(&self) -> Result<()> {
        let mut cursor = self.tree.cursor();
        let mut found = 0;
        let mut row = cursor.first();
        while let Some((key, value)) = row {
            look_at_row(key, value);
            found += 1;
            row = cursor.next();
        }
        expect(found, self.rows.keys.len())
    }

    fn scan_back(&self) -> Result<()> {
        let mut cursor = self.tree.cursor();
        let mut found = 0;
        let mut row = cursor.last();
        while let Some((key, value)) = row {
            look_at_row(key, value);
            found += 1;
            row = cursor.prev();
        }
        expect(found, self.rows.keys.len())
    }
}

impl Subject for Raw {
    fn has(&self, operation: Operation) -> bool {
        !operation.writes() && operation != Operation::BeginRead
    }

    fn run(&mut self, operation: Operation, times: usize) -> Result<()> {
        match operation {
            Operation::GetHit | Operation::GetWith => self.gets(|rows| &rows.hits, times, times),
            Operation::GetMiss => self.gets(|rows| &rows.misses, times, 0),
            Operation::Seek => self.seeks(times),
            Operation::ScanForward => (0..times).try_for_each(|_| self.scan()),
            Operation::ScanReverse => (0..times).try_for_each(|_| self.scan_back()),
            operation => match (operation.keys_at_once(), operation.range_rows()) {
                (Some(at_once), _) => self.multi_gets(at_once, times),
                (_, Some(most)) => self.ranges(most, times),
                (None, None) => missing(operation),
            },
        }
    }

    fn reader(&self) -> Result<Option<Box<dyn Subject + Send + '_>>> {
        Ok(Some(Box::new(Self {
            tree: self.tree.clone(),
            rows: Arc::clone(&self.rows),
            turn: Turn::default(),
        })))
    }
}
