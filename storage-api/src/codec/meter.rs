//! [`Meter`]: how far and how deep one encoding or decoding has come, and what it was refused for.
//!
//! The reading and the writing guard count alike, so that what can be written can be read back: a
//! nested value is one level, and an element of a sequence or a map takes at least one byte. Cost:
//! a few loads and stores a nested value.

use std::cell::Cell;
use std::fmt;

use crate::codec::value::VALUE_DEPTH_MAX;

/// Why a value was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Values nest too deeply; a recursive type could overflow the stack.
    TooDeep,
    /// An element takes no bytes, so its number is bounded by nothing.
    ZeroSize,
    /// More bytes than the codec allows.
    TooLong { max: usize },
    /// A field was left out when writing, which a format without field names cannot read back.
    FieldSkipped,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooDeep => write!(
                f,
                "expected at most {VALUE_DEPTH_MAX} levels of nested values, found more"
            ),
            Self::ZeroSize => f.write_str("expected elements of 1 byte or more, found one of 0"),
            Self::TooLong { max } => write!(f, "expected at most {max} bytes, found more"),
            Self::FieldSkipped => f.write_str("expected every field, found one that is skipped"),
        }
    }
}

/// Position, depth and fault of one run. Shared by the bytes at the bottom and the guard above
/// them.
#[derive(Debug)]
pub(super) struct Meter {
    bytes_max: usize,
    position: Cell<usize>,
    depth: Cell<usize>,
    fault: Cell<Option<Fault>>,
}

impl Meter {
    /// A meter at the front of at most this many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            position: Cell::new(0),
            depth: Cell::new(0),
            fault: Cell::new(None),
        }
    }

    /// Bytes read or written so far.
    pub(super) fn position(&self) -> usize {
        self.position.get()
    }

    /// Bytes that may still be read or written.
    pub(super) fn remaining(&self) -> usize {
        self.bytes_max - self.position.get()
    }

    /// Counts bytes read or written, or says that they are too many.
    pub(super) fn advance(&self, bytes: usize) -> Result<(), Fault> {
        if bytes > self.remaining() {
            return Err(self.refuse(Fault::TooLong {
                max: self.bytes_max,
            }));
        }
        self.position.set(self.position.get() + bytes);
        Ok(())
    }

    /// Keeps the first fault, for the message, and gives it back.
    pub(super) fn refuse(&self, fault: Fault) -> Fault {
        let first = self.fault.get().unwrap_or(fault);
        self.fault.set(Some(first));
        first
    }

    /// What the run was refused for, if it was.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// Runs `run` one level deeper; `error` makes the error when that is too deep.
    pub(super) fn nested<T, E>(
        &self,
        error: impl FnOnce(Fault) -> E,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let depth = self.depth.get();
        if depth == VALUE_DEPTH_MAX {
            return Err(error(self.refuse(Fault::TooDeep)));
        }
        self.depth.set(depth + 1);
        let result = run();
        self.depth.set(depth);
        result
    }

    /// Checks that the element that began at this position took a byte.
    pub(super) fn element_from<E>(
        &self,
        start: usize,
        error: impl FnOnce(Fault) -> E,
    ) -> Result<(), E> {
        if self.position() == start {
            return Err(error(self.refuse(Fault::ZeroSize)));
        }
        Ok(())
    }
}
