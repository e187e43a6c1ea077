//! What a case is, how it ends, and the macros that state what must hold.
//!
//! Invariants: a case ends in one of four ways: it held; it failed with what was expected and what
//! was found; the store declares that it cannot and refused; or it does not apply to this store.
//! The last two are printed and counted, never silent. Nothing here is generic over stores, so that
//! it compiles once.

use std::fmt;
use std::panic::Location;

use storage_api::blocks::BlockError;
use storage_api::{Error, ErrorKind};

use crate::lab::Lab;

/// How a case ends.
pub type CaseResult = Result<(), CaseError>;

/// One requirement of the contract, as a function over a store under test.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// The group it belongs to.
    pub group: &'static str,
    /// Its name, unique in the group.
    pub name: &'static str,
    /// The requirement in one sentence.
    pub requirement: &'static str,
    /// Numbers of the semantic traps it guards against, see [`crate::traps`].
    pub traps: &'static [u8],
    /// The capability it is about, empty when it applies to every store alike.
    pub capability: &'static str,
    /// The check itself.
    pub run: fn(&Lab) -> CaseResult,
}

/// Why a case did not hold.
#[derive(Debug)]
pub enum CaseError {
    /// The store does not do what the contract says.
    Failed {
        /// What was expected and what was found.
        what: String,
        /// Where the case found it.
        at: &'static Location<'static>,
    },
    /// The store declares that it cannot do this, and refused to when asked.
    Unsupported {
        /// What was asked for and refused.
        what: String,
    },
    /// The case has nothing to show on this store.
    Skipped {
        /// The capability or property that is missing.
        why: String,
    },
}

impl CaseError {
    /// A failure, placed at the caller.
    #[must_use]
    #[track_caller]
    pub fn failed(what: impl Into<String>) -> Self {
        Self::Failed {
            what: what.into(),
            at: Location::caller(),
        }
    }

    /// The store refused as it declares.
    #[must_use]
    pub fn unsupported(what: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into() }
    }

    /// The case does not apply.
    #[must_use]
    pub fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped { why: why.into() }
    }
}

impl fmt::Display for CaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { what, at } => write!(f, "{what} (at {}:{})", at.file(), at.line()),
            Self::Unsupported { what } => write!(f, "UNSUPPORTED as declared: {what}"),
            Self::Skipped { why } => write!(f, "SKIPPED by capability: {why}"),
        }
    }
}

impl From<Error> for CaseError {
    #[track_caller]
    fn from(error: Error) -> Self {
        Self::failed(format!("unexpected error: {error} ({error:?})"))
    }
}

impl From<BlockError> for CaseError {
    #[track_caller]
    fn from(error: BlockError) -> Self {
        Self::failed(format!(
            "unexpected error of the block store: {error} ({error:?})"
        ))
    }
}

impl From<std::io::Error> for CaseError {
    #[track_caller]
    fn from(error: std::io::Error) -> Self {
        Self::failed(format!("unexpected input or output error: {error}"))
    }
}

/// States that a condition holds; otherwise the case fails with the message.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($crate::case::CaseError::failed(format!($($message)+)));
        }
    };
}

/// States that what was found is what was expected.
macro_rules! ensure_eq {
    ($found:expr, $expected:expr, $($message:tt)+) => {
        match (&$found, &$expected) {
            (found, expected) => {
                if *found != *expected {
                    return Err($crate::case::CaseError::failed(format!(
                        "{}: expected {}, found {}",
                        format_args!($($message)+),
                        $crate::case::short(expected),
                        $crate::case::short(found),
                    )));
                }
            }
        }
    };
}

/// States that a call was refused with this kind of error.
macro_rules! ensure_refused {
    ($result:expr, $kind:pat, $($message:tt)+) => {
        match $result {
            Ok(_) => {
                return Err($crate::case::CaseError::failed(format!(
                    "{}: expected {}, found success",
                    format_args!($($message)+),
                    stringify!($kind),
                )));
            }
            Err(error) => {
                if !matches!(error.kind(), $kind) {
                    return Err($crate::case::CaseError::failed(format!(
                        "{}: expected {}, found {error:?}",
                        format_args!($($message)+),
                        stringify!($kind),
                    )));
                }
            }
        }
    };
}

pub(crate) use {ensure, ensure_eq, ensure_refused};

/// A value as text, cut so that a failure stays readable.
pub(crate) fn short(value: &dyn fmt::Debug) -> String {
    const CHARS_MAX: usize = 400;
    let text = format!("{value:?}");
    match text.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => format!("{}... ({} bytes)", &text[..cut], text.len()),
        None => text,
    }
}

/// Bytes as text, cut in the middle.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const BYTES_MAX: usize = 48;
    if bytes.len() <= BYTES_MAX {
        return format!("\"{}\"", bytes.escape_ascii());
    }
    let (head, tail) = (
        &bytes[..BYTES_MAX / 2],
        &bytes[bytes.len() - BYTES_MAX / 2..],
    );
    format!(
        "\"{}..{}\" ({} bytes)",
        head.escape_ascii(),
        tail.escape_ascii(),
        bytes.len()
    )
}

/// A value or its absence as text.
pub(crate) fn shown_value(value: Option<&[u8]>) -> String {
    value.map_or_else(|| "nothing".to_owned(), shown)
}

/// States that a call whose success is of no use was refused as unsupported, naming the capability.
#[track_caller]
pub(crate) fn refused_as_unsupported<T>(result: Result<T, Error>, call: &str) -> CaseResult {
    match result.map_err(|error| error.kind().clone()) {
        Err(ErrorKind::Unsupported { .. }) => Ok(()),
        Err(kind) => Err(CaseError::failed(format!(
            "{call}: expected Unsupported, found {kind:?}"
        ))),
        Ok(_) => Err(CaseError::failed(format!(
            "{call}: expected Unsupported, found success"
        ))),
    }
}
