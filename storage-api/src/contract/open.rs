//! Opening: [`Engine`] adds opening and constants to a store; [`OpenOptions`] holds what means the
//! same on every engine.
//!
//! Invariants: an option never changes a meaning from one engine to the next; what an engine alone
//! knows is in its own [`Engine::Options`]. A directory of another engine, chain or newer format is
//! refused and not touched.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::capability::Capabilities;
use crate::clock::{Clock, SystemClock};
use crate::contract::store::KvStore;
use crate::error::{Error, Result};
use crate::table::{Schema, TableId};

/// Reading only, or reading and writing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// The one writer of the directory.
    #[default]
    ReadWrite,
    /// One of many readers; changes no byte, works on a read-only mount.
    ReadOnly,
}

/// What to do when there is no store at the path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfMissing {
    /// Make one.
    #[default]
    Create,
    /// Refuse with `NotFound`.
    Fail,
}

/// Whether every commit has a place in one order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommitOrder {
    /// Every commit has a [`crate::CommitSeq`]. Undo, replicas and tiers need this.
    #[default]
    Ordered,
    /// Batches of several threads may run beside each other where the engine can; they report no
    /// place.
    Relaxed,
}

/// Whether a store that forgets on exit will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Persistence {
    /// Any store.
    #[default]
    Any,
    /// Refuse a store that is not persistent.
    Required,
}

/// The name of a chain, so that stores of two chains are never mixed: 1..=64 bytes of `a-z 0-9 : .
/// _ -`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChainId(String);

impl ChainId {
    /// A chain of this name.
    ///
    /// # Errors
    /// `InvalidArgument` when the name is malformed.
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b":._-".contains(&b);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(legal) || name == "-" {
            return Err(Error::invalid(format!(
                "chain name {name:?} is not 1..=64 bytes of a-z 0-9 : . _ -"
            )));
        }
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ChainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Limits on long-lived views (trap 11). Nothing borrowed is ever revoked: past the hard age the
/// view's next call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderLimits {
    /// Past this age a warning is logged, once a view.
    pub warn_age: Duration,
    /// Past this age the view's next call returns `ReaderTooOld`, moves of its cursors included.
    /// `None`: never. Setting it costs one reading of the clock a call.
    pub age_max: Option<Duration>,
    /// Past this many bytes pinned by views, write transactions and batches are refused. `None`:
    /// never.
    pub pinned_bytes_max: Option<u64>,
}

impl Default for ReaderLimits {
    fn default() -> Self {
        Self {
            warn_age: Duration::from_secs(300),
            age_max: None,
            pinned_bytes_max: None,
        }
    }
}

/// How to open a store; the same on every engine.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OpenOptions {
    /// Reading or writing.
    pub access: Access,
    /// Making a store where there is none.
    pub if_missing: IfMissing,
    /// The chain the store must belong to; a store that belongs to none yet is marked with it when
    /// it
    /// is opened to write.
    pub chain_id: Option<ChainId>,
    /// Order of commits.
    pub commit_order: CommitOrder,
    /// Whether the store must be persistent.
    pub persistence: Persistence,
    /// Memory for caches and buffers together, in bytes; `None` takes the engine's default.
    pub memory_budget_bytes: Option<u64>,
    /// Limits on long-lived views.
    pub reader_limits: ReaderLimits,
    /// The clock behind ages and limits.
    pub clock: Arc<dyn Clock>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            access: Access::default(),
            if_missing: IfMissing::default(),
            chain_id: None,
            commit_order: CommitOrder::default(),
            persistence: Persistence::default(),
            memory_budget_bytes: None,
            reader_limits: ReaderLimits::default(),
            clock: Arc::new(SystemClock::default()),
        }
    }
}

impl OpenOptions {
    /// Read and write, create when missing, ordered commits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One of many readers of an existing store.
    #[must_use]
    pub fn read_only() -> Self {
        Self {
            access: Access::ReadOnly,
            if_missing: IfMissing::Fail,
            ..Self::default()
        }
    }
}

/// Where a store lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location<'p> {
    /// In this process only; gone with the last handle and view.
    Memory,
    /// In a directory of its own.
    Directory(&'p Path),
}

/// What opening found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenReport {
    /// The store was made by this call.
    pub created: bool,
    /// The engine repaired or replayed something left by an unclean end, in its own words.
    pub recovered: Option<String>,
    /// Tables that the schema added.
    pub tables_added: Vec<TableId>,
    /// Tables of the store that the schema does not name; they are kept (trap 16).
    pub tables_unnamed: Vec<TableId>,
    /// Time it took.
    pub took: Duration,
}

/// A store that can be opened by its type.
pub trait Engine: KvStore + Sized {
    /// The engine's name: URL scheme, feature and marker.
    const NAME: &'static str;

    /// What it can do at best; an open store may have less.
    const CAPABILITIES: Capabilities;

    /// What only this engine knows.
    type Options: Clone + Default + fmt::Debug + Send + Sync + 'static;

    /// Opens the store and adds the schema's tables to it.
    ///
    /// # Errors
    /// `NotFound`, `NotAStore`, `WrongEngine`, `WrongChain`, `FormatTooNew`, `AlreadyOpen`,
    /// `PermissionDenied`, `SchemaRefused`, `TooManyTables`, `Unsupported`, `Corruption`, `Io`.
    fn open(
        location: Location<'_>,
        schema: &Schema,
        options: &OpenOptions,
        engine_options: &Self::Options,
    ) -> Result<(Self, OpenReport)>;

    /// Opens an existing store as it is, without a schema, as tools do.
    ///
    /// # Errors
    /// As [`Engine::open`].
    fn open_existing(path: &Path, options: &OpenOptions) -> Result<(Self, OpenReport)> {
        let options = OpenOptions {
            if_missing: IfMissing::Fail,
            ..options.clone()
        };
        Self::open(
            Location::Directory(path),
            &Schema::empty(),
            &options,
            &Self::Options::default(),
        )
    }
}
