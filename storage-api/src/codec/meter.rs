//! [`Meter`] and [`Level`]: how far and how deep an encoding or decoding is, and what it was
//! refused for.
//!
//! The reading and the writing guard count alike, so that what can be written can be read back: a
//! nested value is one level, and an element of a sequence or a map takes at least one byte. Cost:
//! a comparison a nested value, a load and a store a read or write.

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

/// Position and fault of one run. Shared by the bytes at the bottom and the guard above them.
#[derive(Debug)]
pub(super) struct Meter {
    bytes_max: usize,
    position: Cell<usize>,
    fault: Cell<Option<Fault>>,
}

impl Meter {
    /// A meter at the front of at most this many bytes.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            position: Cell::new(0),
            fault: Cell::new(None),
        }
    }

    /// Bytes read or written so far.
    #[inline]
    pub(super) fn position(&self) -> usize {
        self.position.get()
    }

    /// Bytes that may still be read or written.
    #[inline]
    pub(super) fn remaining(&self) -> usize {
        self.bytes_max - self.position.get()
    }

    /// Counts bytes read or written, and says whether they are within the limit.
    #[inline]
    pub(super) fn advance(&self, bytes: usize) -> bool {
        let position = self.position.get();
        let fits = bytes <= self.bytes_max - position;
        if fits {
            self.position.set(position + bytes);
        } else {
            self.refuse(Fault::TooLong {
                max: self.bytes_max,
            });
        }
        fits
    }

    /// Keeps the first fault, for the message, and gives it back.
    #[cold]
    pub(super) fn refuse(&self, fault: Fault) -> Fault {
        let first = self.fault.get().unwrap_or(fault);
        self.fault.set(Some(first));
        first
    }

    /// What the run was refused for, if it was.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault.get()
    }

    /// The level above the outermost value.
    pub(super) fn outside(&self) -> Level<'_> {
        Level {
            meter: self,
            depth: 0,
        }
    }

    /// Checks that the element that began at this position took a byte.
    #[inline]
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

/// A depth inside the run of a meter. Passed down by value, so that coming back up costs nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level<'m> {
    pub(super) meter: &'m Meter,
    depth: usize,
}

impl Level<'_> {
    /// The level of a nested value; `error` makes the error when that is too deep.
    #[inline]
    pub(super) fn deeper<E>(self, error: impl FnOnce(Fault) -> E) -> Result<Self, E> {
        if self.depth == VALUE_DEPTH_MAX {
            return Err(error(self.meter.refuse(Fault::TooDeep)));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }
}
