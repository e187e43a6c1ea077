//! [`WriteBatch`]: blind, ordered operations as a value, the cheapest way to write.
//!
//! Invariants: operations apply in order and the last one wins (trap 23); the batch belongs to no
//! store, is checked as a whole when it is applied, and either all of it takes effect or none;
//! applying does not consume it, so it can be applied again after an error that says so. Cost: one
//! buffer for all bytes, 24 bytes beside them an operation, no allocation an operation once the
//! buffers have grown.

use crate::contract::write::Writer;
use crate::error::{Error, ErrorKind, Result};
use crate::range::KeyRange;
use crate::table::TableId;

/// Blind puts, deletes and range deletes, in order.
#[derive(Clone, Debug, Default)]
pub struct WriteBatch {
    bytes: Vec<u8>,
    ops: Vec<Op>,
}

#[derive(Clone, Copy, Debug)]
struct Op {
    at: usize,
    key_len: u32,
    tail_len: u32,
    table: TableId,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Put,
    Delete,
    DeleteRange,
    DeleteFrom,
}

/// One operation of a batch, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOp<'b> {
    /// Set the value of a key.
    Put {
        /// The table.
        table: TableId,
        /// The key.
        key: &'b [u8],
        /// The value.
        value: &'b [u8],
    },
    /// Remove a key.
    Delete {
        /// The table.
        table: TableId,
        /// The key.
        key: &'b [u8],
    },
    /// Remove `start <= key < end`, `end` absent meaning to the end of the table.
    DeleteRange {
        /// The table.
        table: TableId,
        /// First key removed; empty means from the beginning.
        start: &'b [u8],
        /// First key kept.
        end: Option<&'b [u8]>,
    },
}

impl BatchOp<'_> {
    /// The table of the operation.
    #[must_use]
    pub const fn table(&self) -> TableId {
        match *self {
            Self::Put { table, .. }
            | Self::Delete { table, .. }
            | Self::DeleteRange { table, .. } => table,
        }
    }
}

fn length(len: usize) -> Result<u32> {
    u32::try_from(len).map_err(|_| {
        Error::new(ErrorKind::ValueTooLong {
            len,
            max: u32::MAX as usize,
        })
    })
}

impl WriteBatch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            ops: Vec::new(),
        }
    }

    /// Number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ops.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Bytes of all keys and values.
    #[must_use]
    pub fn payload_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all operations and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ops.clear();
    }

    /// Forgets all operations from the one at `len` on; the first `len` stay.
    pub fn truncate(&mut self, len: usize) {
        if let Some(op) = self.ops.get(len) {
            self.bytes.truncate(op.at);
            self.ops.truncate(len);
        }
    }

    fn push(&mut self, kind: Kind, table: TableId, key: &[u8], tail: &[u8]) -> Result<()> {
        let op = Op {
            at: self.bytes.len(),
            key_len: length(key.len())?,
            tail_len: length(tail.len())?,
            table,
            kind,
        };
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(tail);
        self.ops.push(op);
        Ok(())
    }

    /// The operation at this place, counted from 0.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<BatchOp<'_>> {
        self.ops.get(at).map(|op| self.view(op))
    }

    fn view(&self, op: &Op) -> BatchOp<'_> {
        let (key, tail) = self.bytes[op.at..][..op.key_len as usize + op.tail_len as usize]
            .split_at(op.key_len as usize);
        let table = op.table;
        match op.kind {
            Kind::Put => BatchOp::Put {
                table,
                key,
                value: tail,
            },
            Kind::Delete => BatchOp::Delete { table, key },
            Kind::DeleteRange => BatchOp::DeleteRange {
                table,
                start: key,
                end: Some(tail),
            },
            Kind::DeleteFrom => BatchOp::DeleteRange {
                table,
                start: key,
                end: None,
            },
        }
    }

    /// All operations, in order.
    pub fn ops(&self) -> impl ExactSizeIterator<Item = BatchOp<'_>> + Clone {
        self.ops.iter().map(|op| self.view(op))
    }

    /// Writes all operations to a writer, in order.
    ///
    /// # Errors
    /// As the writer's operations; earlier ones have been written then.
    pub fn replay(&self, to: &mut impl Writer) -> Result<()> {
        for op in self.ops() {
            match op {
                BatchOp::Put { table, key, value } => to.put(table, key, value)?,
                BatchOp::Delete { table, key } => to.delete(table, key)?,
                BatchOp::DeleteRange { table, start, end } => {
                    let range = end.map_or_else(
                        || KeyRange::from_key(start),
                        |end| KeyRange::half_open(start, end),
                    );
                    to.delete_range(table, &range)?;
                }
            }
        }
        Ok(())
    }
}

impl Writer for WriteBatch {
    fn put(&mut self, table: TableId, key: &[u8], value: &[u8]) -> Result<()> {
        self.push(Kind::Put, table, key, value)
    }

    fn delete(&mut self, table: TableId, key: &[u8]) -> Result<()> {
        self.push(Kind::Delete, table, key, &[])
    }

    fn delete_range(&mut self, table: TableId, range: &KeyRange) -> Result<()> {
        match (range.is_empty(), range.end()) {
            (true, _) => Ok(()),
            (false, Some(end)) => self.push(Kind::DeleteRange, table, range.start(), end),
            (false, None) => self.push(Kind::DeleteFrom, table, range.start(), &[]),
        }
    }
}
