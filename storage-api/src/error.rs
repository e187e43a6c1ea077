//! Errors, cut by what the caller does about them: retry, reopen, fix the input, repair.
//!
//! One [`Error`] for every store. It carries a [`ErrorKind`] to match on, the engine, the operation
//! and the table it happened in, and the engine's own error as `source()`. It is one pointer wide,
//! so that `Result<Option<Value>>` on a read path stays small. Invariants: absence of a key is
//! never an error; an unknown commit outcome is its own kind ([`ErrorKind::CommitUnknown`]) and
//! never a guess; messages never print keys or values.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What every call of the contract returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The engine's own error, kept as the source.
pub type Source = Box<dyn StdError + Send + Sync + 'static>;

/// A failure of a store: kind, place and cause.
///
/// Cost: one allocation when it is made; nothing on the path that succeeds.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    engine: Option<Cow<'static, str>>,
    operation: Option<&'static str>,
    table: Option<String>,
    /// The file or folder, for a kind that does not name it.
    place: Option<Box<str>>,
    source: Option<Source>,
}

/// The reason of an [`Error`], by what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Keys are at least one byte (trap 1 of `docs/traps.md`). Fix the input.
    #[error("empty key; keys have 1 byte or more")]
    EmptyKey,
    /// The key exceeds the table's limit (trap 2). Fix the input.
    #[error("key of {len} bytes is longer than the limit of {max} bytes")]
    KeyTooLong {
        /// Length of the refused key in bytes.
        len: usize,
        /// Longest key of this table in bytes.
        max: usize,
    },
    /// The value exceeds the engine's limit (trap 4). Fix the input.
    #[error("value of {len} bytes is longer than the limit of {max} bytes")]
    ValueTooLong {
        /// Length of the refused value in bytes.
        len: usize,
        /// Longest value of this engine in bytes.
        max: usize,
    },
    /// No table of this id or name in the store. Open with a schema that has it.
    #[error("unknown table {table}")]
    UnknownTable {
        /// The id or name that was asked for.
        table: String,
    },
    /// The schema is not one this store can have: a bad name, a name twice, a setting that bears
    /// meaning changed.
    #[error("schema refused: {reason}")]
    SchemaRefused {
        /// Which table and why.
        reason: String,
    },
    /// More tables than the engine can hold.
    #[error("{asked} tables asked for, the limit is {max}")]
    TooManyTables {
        /// Tables asked for, known ones included.
        asked: usize,
        /// The engine's limit.
        max: usize,
    },
    /// An argument that no store could accept. Fix the call.
    #[error("invalid argument: {reason}")]
    InvalidArgument {
        /// What was wrong with it.
        reason: String,
    },
    /// The store was opened read-only.
    #[error("the store is open read-only")]
    ReadOnly,
    /// Another handle holds the directory (trap 17). Close it, or open read-only beside readers.
    #[error("{path} is already open{}", holder_text(*.holder_pid))]
    AlreadyOpen {
        /// The directory.
        path: String,
        /// The process that held it last; a hint, it may be gone.
        holder_pid: Option<u32>,
    },
    /// There is no store at the path.
    #[error("no store at {path}")]
    NotFound {
        /// The path that was asked for.
        path: String,
    },
    /// A file or a folder that must be there is not: of a store, or one that was named.
    #[error("{path} is missing")]
    FileMissing {
        /// The path.
        path: String,
    },
    /// The path exists and is not a directory of ours; nothing in it was touched.
    #[error("{path} is not a store directory: {found}")]
    NotAStore {
        /// The path.
        path: String,
        /// What was found there.
        found: String,
    },
    /// The directory belongs to another engine; nothing in it was touched.
    #[error("{path} belongs to engine {found}, not {expected}")]
    WrongEngine {
        /// The path.
        path: String,
        /// Engine that was asked for.
        expected: String,
        /// Engine named by the directory's marker.
        found: String,
    },
    /// The directory belongs to another chain; nothing in it was touched.
    #[error("the store belongs to chain {found}, not {expected}")]
    WrongChain {
        /// Chain that was asked for.
        expected: String,
        /// Chain named by the directory's marker.
        found: String,
    },
    /// A newer release wrote this; nothing was touched. Use that release.
    #[error("format {found} of {what} is newer than {supported}, the newest this release reads")]
    FormatTooNew {
        /// Which format.
        what: String,
        /// Version found.
        found: u32,
        /// Newest version this release reads.
        supported: u32,
    },
    /// The engine exists and is not part of this build.
    #[error(
        "engine {engine} is not compiled in; build with feature `{feature}` (compiled: {available})"
    )]
    EngineNotCompiled {
        /// Engine that was asked for.
        engine: String,
        /// The Cargo feature that adds it.
        feature: String,
        /// Engines of this build, comma separated.
        available: String,
    },
    /// No engine of this name is known.
    #[error("unknown engine {engine} (known: {known})")]
    UnknownEngine {
        /// Engine that was asked for.
        engine: String,
        /// Known engines, comma separated.
        known: String,
    },
    /// The store's own size limit is reached (trap 13). Raise the limit or make room, then retry.
    #[error("the store is full: limit of {limit_bytes} bytes reached")]
    Full {
        /// The limit in bytes (LMDB: the map size).
        limit_bytes: u64,
    },
    /// The device is full. Make room and try again; a store that met it while writing is poisoned
    /// by it and has to be reopened.
    #[error("no space left on the device")]
    DiskFull,
    /// Every reader slot is taken (trap 14). Drop views, then retry.
    #[error("all {max} reader slots are in use")]
    TooManyReaders {
        /// The limit.
        max: u32,
    },
    /// A concurrent commit got in the way. Run the transaction again.
    #[error("conflict with a concurrent commit")]
    Conflict,
    /// The operation needs the store to itself and live views are in the way.
    #[error("busy: {readers} views are open, the oldest for {} s", .oldest_reader.as_secs())]
    Busy {
        /// Number of live views.
        readers: usize,
        /// Age of the oldest one.
        oldest_reader: Duration,
    },
    /// This thread already holds the write transaction (trap 9); waiting would never end.
    #[error("this thread already holds the write transaction; waiting for it would never end")]
    WouldDeadlock,
    /// An earlier operation of this transaction failed; it can only be aborted (trap 24).
    #[error("an earlier operation of this transaction failed; it can only be aborted")]
    TxnFailed,
    /// A write or sync failed earlier; the store takes no writes until it is reopened.
    #[error("the store takes no writes until it is reopened, because {cause}")]
    Poisoned {
        /// The failure that poisoned it.
        cause: String,
    },
    /// The view is past the hard age limit (trap 11). Drop it and begin a new one.
    #[error("the view is {} s old, past the limit of {} s", .age.as_secs(), .max.as_secs())]
    ReaderTooOld {
        /// Age of the view.
        age: Duration,
        /// The limit.
        max: Duration,
    },
    /// Old views pin more space than allowed, so writes are refused until they are dropped.
    #[error("open views pin {pinned_bytes} bytes, past the limit of {max_bytes} bytes")]
    PinnedTooMuch {
        /// Bytes that cannot be reused because of open views.
        pinned_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// What was read is not what was written. Verify, then restore or repair.
    #[error("corruption in {place}: {what}")]
    Corruption {
        /// File, table or structure.
        place: String,
        /// What was expected and found.
        what: String,
    },
    /// Whether the commit took effect is not known. Reopen and look.
    #[error("the outcome of the commit is unknown; reopen the store and look")]
    CommitUnknown,
    /// The operating system denied access.
    #[error("permission denied: {path}")]
    PermissionDenied {
        /// The path.
        path: String,
    },
    /// Any other failure of the operating system.
    #[error("input or output failed{}", place_text(.place))]
    Io {
        /// File or directory, empty when unknown.
        place: String,
    },
    /// The store does not have this capability, and says so in its `Capabilities`.
    #[error("not supported by this store: {capability}")]
    Unsupported {
        /// The capability that would be needed.
        capability: &'static str,
    },
    /// The engine's library panicked; the panic was caught at our boundary.
    #[error("the engine's library panicked: {message}")]
    EnginePanic {
        /// The panic's message.
        message: String,
    },
    /// A value could not be decoded or encoded by its codec.
    #[error("codec: {reason}")]
    Codec {
        /// What was expected and found.
        reason: String,
    },
    /// An engine error that fits no other kind; its text is in the source.
    #[error("the engine reported an error")]
    Engine,
}

fn holder_text(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (held by process {pid})"))
}

fn place_text(place: &str) -> String {
    if place.is_empty() {
        String::new()
    } else {
        format!(": {place}")
    }
}

impl Error {
    /// An error of this kind, with no place yet.
    #[must_use]
    pub fn new(kind: ErrorKind) -> Self {
        Self(Box::new(Inner {
            kind,
            engine: None,
            operation: None,
            table: None,
            place: None,
            source: None,
        }))
    }

    /// Shorthand for [`ErrorKind::InvalidArgument`].
    #[must_use]
    pub fn invalid(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidArgument {
            reason: reason.into(),
        })
    }

    /// Shorthand for [`ErrorKind::Corruption`].
    #[must_use]
    pub fn corruption(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Corruption {
            place: place.into(),
            what: what.into(),
        })
    }

    /// Shorthand for [`ErrorKind::Unsupported`].
    #[must_use]
    pub fn unsupported(capability: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported { capability })
    }

    /// Shorthand for [`ErrorKind::Codec`].
    #[must_use]
    pub fn codec(reason: impl Into<String>) -> Self {
        Self::new(ErrorKind::Codec {
            reason: reason.into(),
        })
    }

    /// The error of the operating system, sorted into disk full, permission, a missing file, or
    /// plain input and output.
    #[must_use]
    pub fn from_io(source: std::io::Error, place: impl Into<String>) -> Self {
        use std::io::ErrorKind as Io;
        let place = place.into();
        let kind = match source.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => {
                let mut error = Self::new(ErrorKind::DiskFull).with_source(source);
                error.0.place = (!place.is_empty()).then(|| place.into());
                return error;
            }
            Io::PermissionDenied => ErrorKind::PermissionDenied {
                path: place.clone(),
            },
            Io::NotFound => ErrorKind::FileMissing {
                path: place.clone(),
            },
            _ => ErrorKind::Io { place },
        };
        Self::new(kind).with_source(source)
    }

    /// Names the engine, unless an inner layer already did.
    #[must_use]
    pub fn with_engine(mut self, engine: impl Into<Cow<'static, str>>) -> Self {
        self.0.engine.get_or_insert_with(|| engine.into());
        self
    }

    /// Names the operation, unless an inner layer already did.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Names the table, unless an inner layer already did.
    #[must_use]
    pub fn with_table(mut self, table: impl Into<String>) -> Self {
        self.0.table.get_or_insert_with(|| table.into());
        self
    }

    /// Keeps the engine's own error as the source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What happened, to match on.
    #[must_use]
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The engine it happened in, where known.
    #[must_use]
    pub fn engine(&self) -> Option<&str> {
        self.0.engine.as_deref()
    }

    /// The operation it happened in, where known.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// The table it happened in, where known.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        self.0.table.as_deref()
    }

    /// Running the same transaction again may succeed, with nothing else to do. Never true of
    /// `CommitUnknown`.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Conflict)
    }

    /// The store must be reopened before it takes writes again. An error of the system in a write
    /// (`Io`, `DiskFull`) poisons the store as well; the same kinds of other calls do not, so it is
    /// the next write that says so.
    #[must_use]
    pub fn needs_reopen(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Poisoned { .. } | ErrorKind::CommitUnknown | ErrorKind::EnginePanic { .. }
        )
    }

    /// Stored bytes are damaged.
    #[must_use]
    pub fn is_corruption(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Corruption { .. })
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(engine) = &inner.engine {
            write!(f, "{engine}: ")?;
        }
        if let Some(operation) = inner.operation {
            write!(f, "{operation}: ")?;
        }
        if let Some(table) = &inner.table {
            write!(f, "table {table}: ")?;
        }
        inner.kind.fmt(f)?;
        match &inner.place {
            Some(place) => write!(f, ": {place}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("engine", &self.0.engine)
            .field("operation", &self.0.operation)
            .field("table", &self.0.table)
            .field("place", &self.0.place)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// A file of a store that was missing was told as "no store at", with the advice to import one.
    #[test]
    fn the_systems_words_keep_their_meaning() {
        let of = |kind: io::ErrorKind| Error::from_io(kind.into(), "/data/segments/0000000000.seg");
        let missing = of(io::ErrorKind::NotFound);
        assert!(matches!(missing.kind(), ErrorKind::FileMissing { .. }));
        let text = missing.to_string();
        assert!(
            text.contains("/data/segments/0000000000.seg is missing"),
            "{text}"
        );
        for full in [
            io::ErrorKind::StorageFull,
            io::ErrorKind::QuotaExceeded,
            io::ErrorKind::FileTooLarge,
        ] {
            assert!(matches!(of(full).kind(), ErrorKind::DiskFull), "{full}");
            let text = of(full).to_string();
            assert!(
                text.ends_with("device: /data/segments/0000000000.seg"),
                "{text}"
            );
        }
        let denied = of(io::ErrorKind::PermissionDenied);
        assert!(matches!(denied.kind(), ErrorKind::PermissionDenied { .. }));
        let other = of(io::ErrorKind::TimedOut);
        assert!(matches!(other.kind(), ErrorKind::Io { .. }));
    }
}
