//! How the program ends: the one table of exit codes, which error is which, and what to type next.
//!
//! Invariants: every failure of every command comes through [`report`], so an error of one kind has
//! one exit code; the codes are promised to scripts and never change their meaning. Source:
//! ecosystem 1.2.

use std::process::ExitCode;

use anyhow::Error;
use chain_store::ImportError;
use chain_store::bitcoin;
use chain_store::verify::VerifyError;
use storage_api::ErrorKind;
use storage_api::blocks::BlockError;

use crate::progress::say;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Different,
    Usage,
    Locked,
    WrongStore,
    Unsupported,
    Io,
    Interrupted,
}

impl Exit {
    pub(crate) const ALL: [Self; 8] = [
        Self::Done,
        Self::Different,
        Self::Usage,
        Self::Locked,
        Self::WrongStore,
        Self::Unsupported,
        Self::Io,
        Self::Interrupted,
    ];

    /// The table: code and meaning.
    const fn row(self) -> (u8, &'static str) {
        match self {
            Self::Done => (0, "done"),
            Self::Different => (
                1,
                "the check ran and found damage or a difference, a file to import is damaged or \
                 does not fit, or what was asked for is not in the store",
            ),
            Self::Usage => (2, "the command line is wrong"),
            Self::Locked => (3, "another process holds the store"),
            Self::WrongStore => (
                4,
                "no store there, not a store, or one of another engine, chain or newer format",
            ),
            Self::Unsupported => (5, "this engine or this build of the program cannot do that"),
            Self::Io => (
                74,
                "the operating system or the engine failed: input and output, permission, space",
            ),
            Self::Interrupted => (130, "interrupted; what was committed stays"),
        }
    }

    /// The number that the process ends with.
    pub(crate) const fn code(self) -> u8 {
        self.row().0
    }

    /// The end that this number means.
    fn from_code(code: i32) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|exit| i32::from(exit.code()) == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The table as a text for `--help`.
pub(crate) fn help() -> String {
    let mut text = "Exit codes:".to_owned();
    for exit in Exit::ALL {
        let (code, meaning) = exit.row();
        text.push_str(&format!("\n  {code:>3}  {meaning}"));
    }
    text
}

/// Failures that are the program's own and no library's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// What was asked for is not in the store.
    #[error("{0}")]
    NotThere(String),
    /// What was read is not what was written.
    #[error("{0}")]
    Different(String),
    /// This store or build cannot do that.
    #[error("{0}")]
    Unsupported(String),
    /// The user interrupted, and everything committed stays.
    #[error("{0}")]
    Interrupted(String),
    /// Nobody reads standard output any more.
    #[error("standard output is closed")]
    OutputClosed,
}

impl Stop {
    const fn exit(&self) -> Exit {
        match self {
            Self::Usage(_) => Exit::Usage,
            Self::NotThere(_) | Self::Different(_) => Exit::Different,
            Self::Unsupported(_) => Exit::Unsupported,
            Self::Interrupted(_) => Exit::Interrupted,
            // `chainstore list | head` has got what it wanted.
            Self::OutputClosed => Exit::Done,
        }
    }
}

/// Prints the error with its causes and what to do about it, and says how the program ends.
pub(crate) fn report(error: &Error) -> Exit {
    let exit = of(error);
    if exit == Exit::Done {
        return exit;
    }
    say(&format!("chainstore: error: {error:#}"));
    if let Some(hint) = store_kind(error).and_then(hint) {
        say(&format!("chainstore: hint: {hint}"));
    }
    exit
}

/// The end that an error means.
fn of(error: &Error) -> Exit {
    for cause in error.chain() {
        if let Some(stop) = cause.downcast_ref::<Stop>() {
            return stop.exit();
        }
        if let Some(error) = cause.downcast_ref::<ImportError>() {
            return of_import(error);
        }
        if let Some(error) = cause.downcast_ref::<BlockError>() {
            return of_blocks(error);
        }
        if let Some(error) = cause.downcast_ref::<VerifyError>() {
            return of_verify(error);
        }
        if let Some(error) = cause.downcast_ref::<storage_api::Error>() {
            return of_store(error.kind());
        }
    }
    Exit::Io
}

fn of_store(kind: &ErrorKind) -> Exit {
    match kind {
        ErrorKind::EmptyKey
        | ErrorKind::KeyTooLong { .. }
        | ErrorKind::ValueTooLong { .. }
        | ErrorKind::InvalidArgument { .. }
        | ErrorKind::UnknownEngine { .. } => Exit::Usage,
        ErrorKind::UnknownTable { .. } | ErrorKind::Corruption { .. } | ErrorKind::Codec { .. } => {
            Exit::Different
        }
        ErrorKind::AlreadyOpen { .. } => Exit::Locked,
        ErrorKind::NotFound { .. }
        | ErrorKind::NotAStore { .. }
        | ErrorKind::WrongEngine { .. }
        | ErrorKind::WrongChain { .. }
        | ErrorKind::FormatTooNew { .. }
        | ErrorKind::SchemaRefused { .. } => Exit::WrongStore,
        ErrorKind::EngineNotCompiled { .. }
        | ErrorKind::Unsupported { .. }
        | ErrorKind::TooManyTables { .. } => Exit::Unsupported,
        // Space, permission, the device, the engine's own failures.
        _ => Exit::Io,
    }
}

fn of_blocks(error: &BlockError) -> Exit {
    match error {
        BlockError::Store(error) => of_store(error.kind()),
        _ => Exit::Different,
    }
}

fn of_import(error: &ImportError) -> Exit {
    match error {
        ImportError::Store(error) => of_store(error.kind()),
        ImportError::Blocks(error) => of_blocks(error),
        ImportError::Source(bitcoin::Error::Open { .. } | bitcoin::Error::Read { .. }) => Exit::Io,
        ImportError::Network { .. } => Exit::WrongStore,
        // The heights on the command line are missing or wrong.
        ImportError::UnknownHeight { .. } | ImportError::WrongHeight { .. } => Exit::Usage,
        _ => Exit::Different,
    }
}

fn of_verify(error: &VerifyError) -> Exit {
    match error {
        VerifyError::Refused { code, .. } => Exit::from_code(*code).unwrap_or(Exit::Io),
        _ => Exit::Io,
    }
}

/// The store's own error, wherever it stands in the chain.
fn store_kind(error: &Error) -> Option<&ErrorKind> {
    error.chain().find_map(|cause| {
        let direct = cause
            .downcast_ref::<storage_api::Error>()
            .map(storage_api::Error::kind);
        // These two pass their source on as themselves, so it is no link of its own.
        direct
            .or_else(|| match cause.downcast_ref::<ImportError>() {
                Some(ImportError::Store(error)) => Some(error.kind()),
                _ => None,
            })
            .or_else(|| match cause.downcast_ref::<BlockError>() {
                Some(BlockError::Store(error)) => Some(error.kind()),
                _ => None,
            })
    })
}

/// What to type or do next.
fn hint(kind: &ErrorKind) -> Option<String> {
    Some(match kind {
        ErrorKind::NotFound { path } => {
            format!("`chainstore import --store ENGINE:{path} ...` makes one")
        }
        ErrorKind::WrongEngine { path, found, .. } => {
            format!("say --store {found}:{path}, or only --store {path}")
        }
        ErrorKind::AlreadyOpen { .. } => {
            "one process writes or many read; end the other".to_owned()
        }
        ErrorKind::FormatTooNew { .. } => {
            "use the release that wrote it, named in its CHAINSTORE file, or a newer one".to_owned()
        }
        ErrorKind::EngineNotCompiled { feature, .. } => {
            format!("cargo run --release --features {feature} -- ...")
        }
        ErrorKind::Corruption { .. } => {
            "`chainstore verify --store URL` says what else is damaged".to_owned()
        }
        ErrorKind::UnknownTable { .. } => {
            "`chainstore list --store URL` names the tables".to_owned()
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_promised() {
        let codes: Vec<u8> = Exit::ALL.into_iter().map(Exit::code).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 74, 130]);
        for exit in Exit::ALL {
            assert_eq!(Exit::from_code(i32::from(exit.code())), Some(exit));
        }
        assert_eq!(Exit::from_code(101), None);
    }

    #[test]
    fn an_engine_that_is_not_compiled_in_is_not_supported_by_this_build() {
        for engine in chain_store::EngineName::ALL {
            let error = Error::from(engine.not_compiled()).context("outer");
            assert_eq!(of(&error), Exit::Unsupported, "{engine}");
            let hint = store_kind(&error).and_then(hint).unwrap_or_default();
            assert!(hint.contains(engine.as_str()), "{hint}");
        }
    }

    #[test]
    fn an_error_is_sorted_wherever_it_stands_in_the_chain() {
        let locked = || {
            storage_api::Error::new(ErrorKind::AlreadyOpen {
                path: "x".to_owned(),
                holder_pid: None,
            })
        };
        for error in [
            Error::from(locked()),
            Error::from(locked()).context("outer"),
            Error::from(BlockError::Store(locked())),
            Error::from(ImportError::Store(locked())),
            Error::from(ImportError::Blocks(BlockError::Store(locked()))),
        ] {
            assert_eq!(of(&error), Exit::Locked, "{error:#}");
        }
        assert_eq!(of(&Error::from(Stop::OutputClosed)), Exit::Done);
        assert_eq!(of(&anyhow::anyhow!("anything else")), Exit::Io);
    }
}
