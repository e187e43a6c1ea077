//! How the program ends: the one table of exit codes, which error is which, and what to type next.
//!
//! Invariants: every failure of every command comes through [`report`], so an error of one kind has
//! one exit code; the codes are promised to scripts and never change their meaning. Source:
//! ecosystem 1.2.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Error;
use chain_store::bitcoin;
use chain_store::export::ExportError;
use chain_store::verify::VerifyError;
use chain_store::{ImportError, MarkerState, StoreUrl, read_marker};
use storage_api::ErrorKind;
use storage_api::blocks::BlockError;

use crate::progress::say;
use crate::settings::colour::{self, Part};

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
            Self::Usage => (
                2,
                "the command line or the configuration is wrong, --write or --overwrite is \
                 missing, or --first-height does not fit the chain",
            ),
            Self::Locked => (
                3,
                "another process holds the store, or writes the same export",
            ),
            Self::WrongStore => (
                4,
                "no store there, not a store, one of another engine, chain or newer format, or \
                 another schema",
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
    text.push_str("\n       killed by a signal: an engine's library gave up on a damaged store; ");
    text.push_str("run verify");
    text
}

/// Failures that are the program's own and no library's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// The command line asks for something that makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A command that changes the store was given without `--write`.
    #[error("{0} changes the store, and --write is missing")]
    NotAgreed(&'static str),
    /// Where a new store is to be, something is.
    #[error("{0}")]
    Taken(String),
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
            Self::Usage(_) | Self::NotAgreed(_) => Exit::Usage,
            Self::Taken(_) => Exit::WrongStore,
            Self::NotThere(_) | Self::Different(_) => Exit::Different,
            Self::Unsupported(_) => Exit::Unsupported,
            Self::Interrupted(_) => Exit::Interrupted,
            // `chainstore list | head` has got what it wanted.
            Self::OutputClosed => Exit::Done,
        }
    }
}

/// What is being done, as far as what to do next depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Import,
    Verify,
    Other,
}

/// The task, and the store that it is done to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Doing<'a> {
    pub(crate) task: Task,
    pub(crate) store: Option<&'a StoreUrl>,
}

impl Doing<'_> {
    /// Nothing has begun yet.
    pub(crate) const NOTHING: Self = Self {
        task: Task::Other,
        store: None,
    };
}

/// Prints the error with its causes and what to do about it, and says how the program ends.
pub(crate) fn report(error: &Error, doing: Doing<'_>) -> Exit {
    let exit = of(error);
    if exit == Exit::Done {
        return exit;
    }
    if let Some(VerifyError::Refused { .. }) = error.downcast_ref() {
        // The second process has told it on the same standard error, with its hint.
        return exit;
    }
    let stderr = io::stderr();
    let word = colour::paint(Part::Error, "error:", &stderr);
    say(&format!("chainstore: {word} {error:#}"));
    let hint = match error.downcast_ref() {
        Some(Stop::NotAgreed(_)) => Some("nothing was touched; add --write".to_owned()),
        _ => store_error(error).and_then(|error| hint(error, doing)),
    };
    if let Some(hint) = hint {
        let word = colour::paint(Part::Hint, "hint:", &stderr);
        say(&format!("chainstore: {word} {hint}"));
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
        if let Some(error) = cause.downcast_ref::<ExportError>() {
            return of_export(error);
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
        ImportError::Source(bitcoin::Error::Open { .. } | bitcoin::Error::Read { .. })
        | ImportError::Open { .. } => Exit::Io,
        ImportError::Network { .. }
        | ImportError::OtherChain { .. }
        | ImportError::OtherLog { .. } => Exit::WrongStore,
        // The heights on the command line are missing or wrong.
        ImportError::UnknownHeight { .. } | ImportError::WrongHeight { .. } => Exit::Usage,
        _ => Exit::Different,
    }
}

fn of_export(error: &ExportError) -> Exit {
    match error {
        ExportError::Store(error) => of_store(error.kind()),
        ExportError::Blocks(error) => of_blocks(error),
        ExportError::Reversed { .. }
        | ExportError::NoFile { .. }
        | ExportError::NoIndex { .. }
        | ExportError::OtherNetwork { .. } => Exit::Usage,
        ExportError::Busy { .. } => Exit::Locked,
        ExportError::Write(_) | ExportError::Target { .. } => Exit::Io,
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
fn store_error(error: &Error) -> Option<&storage_api::Error> {
    error.chain().find_map(|cause| {
        let direct = cause.downcast_ref::<storage_api::Error>();
        // These two pass their source on as themselves, so it is no link of its own.
        direct
            .or_else(|| match cause.downcast_ref::<ImportError>() {
                Some(ImportError::Store(error) | ImportError::Blocks(BlockError::Store(error))) => {
                    Some(error)
                }
                _ => None,
            })
            .or_else(|| match cause.downcast_ref::<ExportError>() {
                Some(ExportError::Store(error) | ExportError::Blocks(BlockError::Store(error))) => {
                    Some(error)
                }
                _ => None,
            })
            .or_else(|| match cause.downcast_ref::<BlockError>() {
                Some(BlockError::Store(error)) => Some(error),
                _ => None,
            })
    })
}

/// What to type or do next.
fn hint(error: &storage_api::Error, doing: Doing<'_>) -> Option<String> {
    let store = doing
        .store
        .map_or_else(String::new, |url| format!(" --store {url}"));
    if is_disk_full(error) {
        let next = match doing.task {
            Task::Import => "; it goes on from the last stored block",
            Task::Verify | Task::Other => "",
        };
        return Some(format!(
            "free some space, then run the same command again{next}"
        ));
    }
    Some(match error.kind() {
        ErrorKind::NotAStore { path, .. } => of_foreign(Path::new(path)),
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
        ErrorKind::Corruption { .. } if doing.task == Task::Verify => {
            "restore the store from a backup, or make it again elsewhere".to_owned()
        }
        ErrorKind::Corruption { .. } => {
            format!("`chainstore verify{store}` says what else is damaged")
        }
        ErrorKind::PermissionDenied { .. } => {
            "run it as the user that this belongs to, or ask for the right to it".to_owned()
        }
        ErrorKind::Full { .. } => {
            "a store in memory takes more with --memory-budget-bytes; one on disk after `compact`, \
             or from a program that raises its limit"
                .to_owned()
        }
        ErrorKind::UnknownTable { .. } => {
            format!("`chainstore list{store}` names the tables")
        }
        _ => return None,
    })
}

/// Whether a full device is the reason, also behind a commit of unknown outcome.
fn is_disk_full(error: &storage_api::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    std::iter::successors(Some(first), |cause| cause.source()).any(|cause| {
        let ours = cause.downcast_ref::<storage_api::Error>();
        let system = cause.downcast_ref::<io::Error>();
        ours.is_some_and(|error| *error.kind() == ErrorKind::DiskFull)
            || system.is_some_and(|error| {
                use io::ErrorKind::{QuotaExceeded, StorageFull};
                matches!(error.kind(), StorageFull | QuotaExceeded)
            })
    })
}

/// What to do about a place that is no store, by what is there.
fn of_foreign(path: &Path) -> String {
    if let Ok(Some(marker)) = read_marker(path)
        && marker.state == MarkerState::Creating
    {
        return "run the command that made it again; nothing was stored yet".to_owned();
    }
    let is_empty = fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if is_empty {
        "it is empty; name the engine to make a store there: --store ENGINE:PATH".to_owned()
    } else {
        "it is not a store and nothing in it was touched; name another place".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint_of(error: &Error, task: Task) -> String {
        let url = StoreUrl::Path("some/store".into());
        let doing = Doing {
            task,
            store: Some(&url),
        };
        let hint = store_error(error).and_then(|error| hint(error, doing));
        hint.unwrap_or_default()
    }

    #[test]
    fn a_full_device_is_told_wherever_it_stands() {
        let full = || storage_api::Error::new(ErrorKind::DiskFull);
        let unknown = || storage_api::Error::new(ErrorKind::CommitUnknown);
        let system = io::Error::from(io::ErrorKind::StorageFull);
        for error in [
            Error::from(ImportError::Store(full())),
            Error::from(ImportError::Store(unknown().with_source(full()))),
            Error::from(ImportError::Blocks(BlockError::Store(full()))),
            Error::from(unknown().with_source(system)),
        ] {
            let hint = hint_of(&error, Task::Import);
            assert!(hint.starts_with("free some space"), "{error:#}: {hint}");
            assert!(hint.ends_with("from the last stored block"), "{hint}");
            assert!(hint_of(&error, Task::Other).ends_with("same command again"));
        }
        assert_eq!(hint_of(&Error::from(unknown()), Task::Import), "");
    }

    #[test]
    fn damage_names_the_store_and_verify_does_not_send_to_itself() {
        let damaged = Error::from(storage_api::Error::corruption("a", "b"));
        let hint = hint_of(&damaged, Task::Other);
        assert!(hint.contains("verify --store some/store"), "{hint}");
        assert!(!hint_of(&damaged, Task::Verify).contains("verify"));
    }

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
            let hint = hint_of(&error, Task::Other);
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
