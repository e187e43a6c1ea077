//! Tables: what a consumer declares ([`TableDef`]), what a store assigns ([`TableId`]), and what it
//! knows ([`Catalogue`]).
//!
//! Invariants: a name has one id for the life of the store and an id is never given to another
//! name, because undo records, change sets and deltas carry ids for years. Hints steer speed and
//! never a meaning; settings (checksum envelope, key limit) bear meaning and are fixed when the
//! table is created.

use std::borrow::Cow;
use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// The longest key that every engine takes, in bytes (LMDB's default limit is the smallest of
/// them).
pub const KEY_BYTES_MAX_PORTABLE: usize = 511;

/// The longest table name, in bytes.
pub const TABLE_NAME_BYTES_MAX: usize = 64;

/// A table's number inside one store: assigned when the table is first created, recorded, never
/// reused.
///
/// Zero is the store's internal table and never handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(u16);

impl TableId {
    /// The store's internal table; refused by every call of the contract.
    pub const INTERNAL: Self = Self(0);

    /// The id of this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The number as an index into a list of tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for TableId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// How a table is mostly used. A hint: engines lay their data out for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessHint {
    /// Points and ranges alike.
    #[default]
    Mixed,
    /// Mostly single gets, many of them misses.
    PointLookups,
    /// Keys arrive in ascending order and are rarely changed.
    AppendOnly,
}

/// How large values mostly are. A hint: engines with a large-value lane use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValueHint {
    /// Up to a few kilobytes.
    #[default]
    Small,
    /// Mostly above 4 KiB, such as block bodies.
    Large,
}

/// All hints of a table. Changing them later is allowed and never changes a meaning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableHints {
    /// Typical access.
    pub access: AccessHint,
    /// Typical size of values.
    pub values: ValueHint,
    /// Length in bytes of the key prefix that scans share, 0 when there is none.
    pub prefix_bytes: u8,
}

/// Whether each value carries a checksum of ours; fixed when the table is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumSetting {
    /// The engine's own checks only.
    #[default]
    None,
    /// A 4-byte CRC-32C over table, key and value behind every value, checked on every read.
    Envelope,
}

/// The longest key a table takes; fixed when the table is created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyLimit {
    /// 511 bytes, which every engine takes, so that the store can be moved to any engine.
    #[default]
    Portable,
    /// Whatever this engine takes. The store may not be movable to another engine.
    Engine,
}

/// A table as its owner declares it, usually a constant.
///
/// ```
/// use storage_api::TableDef;
/// const ACCOUNTS: TableDef = TableDef::new("accounts").point_lookups().with_envelope();
/// assert_eq!(ACCOUNTS.name(), "accounts");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableDef {
    name: Cow<'static, str>,
    hints: TableHints,
    checksum: ChecksumSetting,
    key_limit: KeyLimit,
}

impl TableDef {
    /// A table of this name, without hints, without envelope, with portable keys.
    ///
    /// Names are 1..=64 bytes of `a-z 0-9 . -`, beginning with a letter; a [`Schema`] checks that.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self::from_name(Cow::Borrowed(name))
    }

    /// The same for a name that is known at run time only.
    #[must_use]
    pub const fn from_name(name: Cow<'static, str>) -> Self {
        Self {
            name,
            hints: TableHints {
                access: AccessHint::Mixed,
                values: ValueHint::Small,
                prefix_bytes: 0,
            },
            checksum: ChecksumSetting::None,
            key_limit: KeyLimit::Portable,
        }
    }

    /// Hint: mostly single gets.
    #[must_use]
    pub const fn point_lookups(mut self) -> Self {
        self.hints.access = AccessHint::PointLookups;
        self
    }

    /// Hint: keys arrive in ascending order.
    #[must_use]
    pub const fn append_only(mut self) -> Self {
        self.hints.access = AccessHint::AppendOnly;
        self
    }

    /// Hint: values are mostly above 4 KiB.
    #[must_use]
    pub const fn large_values(mut self) -> Self {
        self.hints.values = ValueHint::Large;
        self
    }

    /// Hint: scans share key prefixes of this many bytes.
    #[must_use]
    pub const fn prefix_bytes(mut self, bytes: u8) -> Self {
        self.hints.prefix_bytes = bytes;
        self
    }

    /// Replaces all hints.
    #[must_use]
    pub const fn with_hints(mut self, hints: TableHints) -> Self {
        self.hints = hints;
        self
    }

    /// Setting: every value carries a checksum of ours.
    #[must_use]
    pub const fn with_envelope(mut self) -> Self {
        self.checksum = ChecksumSetting::Envelope;
        self
    }

    /// Setting: the checksum as given.
    #[must_use]
    pub const fn with_checksum(mut self, checksum: ChecksumSetting) -> Self {
        self.checksum = checksum;
        self
    }

    /// Setting: keys as long as the engine takes.
    #[must_use]
    pub const fn with_key_limit(mut self, limit: KeyLimit) -> Self {
        self.key_limit = limit;
        self
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The hints.
    #[must_use]
    pub const fn hints(&self) -> TableHints {
        self.hints
    }

    /// The checksum setting.
    #[must_use]
    pub const fn checksum(&self) -> ChecksumSetting {
        self.checksum
    }

    /// The key limit setting.
    #[must_use]
    pub const fn key_limit(&self) -> KeyLimit {
        self.key_limit
    }

    fn check_name(&self) -> Result<()> {
        let name = self.name.as_bytes();
        let first = name.first().copied().unwrap_or(0);
        let legal =
            |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-');
        if name.len() > TABLE_NAME_BYTES_MAX
            || !first.is_ascii_lowercase()
            || !name.iter().all(legal)
        {
            return Err(refused(format!(
                "table name {:?} is not 1..={TABLE_NAME_BYTES_MAX} bytes of a-z 0-9 . - beginning \
                 with a letter",
                self.name
            )));
        }
        Ok(())
    }
}

fn refused(reason: String) -> Error {
    Error::new(ErrorKind::SchemaRefused { reason })
}

/// The tables a program wants to find in a store.
///
/// Each consumer declares its own; the facade merges them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    tables: Vec<TableDef>,
}

impl Schema {
    /// A schema without tables; opening with it takes the store as it is.
    #[must_use]
    pub const fn empty() -> Self {
        Self { tables: Vec::new() }
    }

    /// A schema of these tables.
    ///
    /// # Errors
    /// `SchemaRefused` when a name is malformed or declared twice with different settings.
    pub fn new<'a>(tables: impl IntoIterator<Item = &'a TableDef>) -> Result<Self> {
        let mut schema = Self::empty();
        for table in tables {
            schema.add(table)?;
        }
        Ok(schema)
    }

    /// Adds a table. The same declaration twice is one table.
    ///
    /// # Errors
    /// `SchemaRefused` when the name is malformed or already declared differently.
    pub fn add(&mut self, table: &TableDef) -> Result<()> {
        table.check_name()?;
        match self.tables.iter().find(|known| known.name == table.name) {
            None => self.tables.push(table.clone()),
            Some(known) if known == table => {}
            Some(_) => {
                return Err(refused(format!(
                    "table {} is declared twice, differently",
                    table.name
                )));
            }
        }
        Ok(())
    }

    /// Adds every table of another schema.
    ///
    /// # Errors
    /// As [`Schema::add`].
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        other.tables.iter().try_for_each(|table| self.add(table))
    }

    /// The tables in order of declaration.
    #[must_use]
    pub fn tables(&self) -> &[TableDef] {
        &self.tables
    }
}

/// A table of a store: its number and its definition as it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// The number.
    pub id: TableId,
    /// Name, hints and settings.
    pub def: TableDef,
}

/// All tables of an open store, by id and by name. Fixed while the store is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalogue {
    tables: Vec<TableInfo>,
}

impl Catalogue {
    /// A catalogue of these tables.
    ///
    /// # Errors
    /// `SchemaRefused` when an id or a name occurs twice or an id is zero.
    pub fn new(mut tables: Vec<TableInfo>) -> Result<Self> {
        tables.sort_by_key(|table| table.id);
        for (at, table) in tables.iter().enumerate() {
            table.def.check_name()?;
            let twice = tables[..at]
                .iter()
                .any(|t| t.id == table.id || t.def.name == table.def.name);
            if twice || table.id == TableId::INTERNAL {
                return Err(refused(format!(
                    "table {} {} is not unique",
                    table.id, table.def.name
                )));
            }
        }
        Ok(Self { tables })
    }

    /// Resolves a name once; consumers hold the id.
    ///
    /// # Errors
    /// `UnknownTable`.
    pub fn id(&self, name: &str) -> Result<TableId> {
        self.by_name(name).map(|table| table.id).ok_or_else(|| {
            Error::new(ErrorKind::UnknownTable {
                table: name.to_owned(),
            })
        })
    }

    /// The table of this id. Cost: a binary search.
    #[must_use]
    pub fn get(&self, id: TableId) -> Option<&TableInfo> {
        let at = self
            .tables
            .binary_search_by_key(&id, |table| table.id)
            .ok()?;
        self.tables.get(at)
    }

    /// The table of this name. Cost: linear.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&TableInfo> {
        self.tables.iter().find(|table| table.def.name == name)
    }

    /// All tables in order of id.
    pub fn iter(&self) -> impl Iterator<Item = &TableInfo> {
        self.tables.iter()
    }

    /// Number of tables.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }
}
