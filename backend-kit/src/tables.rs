//! Tables of an open store: merging a schema into what the marker knows, and what each call needs
//! to know of a table.
//!
//! Invariants: a known name keeps its number whatever the order of declaration; a new one gets the
//! next number, which was never given before; hints are replaced, settings that bear meaning are
//! refused when they differ (trap 15, trap 16).

use storage_api::{
    Access, Capabilities, Catalogue, ChecksumSetting, Error, ErrorKind, KEY_BYTES_MAX_PORTABLE,
    KeyLimit, Result, Schema, TableDef, TableId, TableInfo,
};

use crate::raw::RawTable;

/// The engine's name of the internal table; a schema cannot have it, because it does not begin with
/// a letter.
const INTERNAL_NAME: &str = "_internal";

/// What a schema did to the list of tables.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) tables: Vec<TableInfo>,
    pub(crate) next_table: u16,
    pub(crate) added: Vec<TableId>,
    pub(crate) unnamed: Vec<TableId>,
    /// The list differs from what was known.
    pub(crate) changed: bool,
}

fn refused(reason: String) -> Error {
    Error::new(ErrorKind::SchemaRefused { reason })
}

/// Merges a schema into the known tables.
pub(crate) fn merge(
    known: &[TableInfo],
    next_table: u16,
    schema: &Schema,
    access: Access,
    caps: &Capabilities,
) -> Result<Merged> {
    let mut merged = Merged {
        tables: known.to_vec(),
        next_table,
        ..Merged::default()
    };
    for def in schema.tables() {
        let at = merged
            .tables
            .iter()
            .position(|table| table.def.name() == def.name());
        match at.and_then(|at| merged.tables.get_mut(at)) {
            Some(table) => {
                check_settings(&table.def, def)?;
                if table.def != *def && access == Access::ReadWrite {
                    table.def = def.clone();
                    merged.changed = true;
                }
            }
            None if access == Access::ReadOnly => {
                return Err(refused(format!(
                    "table {} is not in the store, which is opened read-only",
                    def.name()
                )));
            }
            None => merged.add(def, caps)?,
        }
    }
    let named = |name: &str| schema.tables().iter().any(|def| def.name() == name);
    let unnamed = known.iter().filter(|table| !named(table.def.name()));
    merged.unnamed = unnamed.map(|table| table.id).collect();
    Ok(merged)
}

/// Refuses settings that bear meaning and differ from those the table was made with.
fn check_settings(made: &TableDef, declared: &TableDef) -> Result<()> {
    let name = made.name();
    if made.checksum() != declared.checksum() {
        return Err(refused(format!(
            "table {name} was made with the checksum setting {:?} and is declared with {:?}; the \
             setting is fixed when a table is made",
            made.checksum(),
            declared.checksum()
        )));
    }
    if made.key_limit() != declared.key_limit() {
        return Err(refused(format!(
            "table {name} was made with the key limit {:?} and is declared with {:?}; the limit is \
             fixed when a table is made",
            made.key_limit(),
            declared.key_limit()
        )));
    }
    Ok(())
}

impl Merged {
    /// Adds a table under the next number.
    fn add(&mut self, def: &TableDef, caps: &Capabilities) -> Result<()> {
        let asked = self.tables.len() + 1;
        let too_many = Error::new(ErrorKind::TooManyTables {
            asked,
            max: caps.tables_max,
        });
        if asked > caps.tables_max {
            return Err(too_many);
        }
        let id = TableId::new(self.next_table);
        self.next_table = self.next_table.checked_add(1).ok_or(too_many)?;
        self.tables.push(TableInfo {
            id,
            def: def.clone(),
        });
        self.added.push(id);
        self.changed = true;
        Ok(())
    }
}

/// The list an engine opens, the internal table first.
pub(crate) fn for_engine(tables: &[TableInfo]) -> Vec<RawTable> {
    let internal = RawTable {
        id: TableId::INTERNAL,
        name: INTERNAL_NAME.to_owned(),
        hints: storage_api::TableHints::default(),
    };
    let rest = tables.iter().map(|table| RawTable {
        id: table.id,
        name: table.def.name().to_owned(),
        hints: table.def.hints(),
    });
    std::iter::once(internal).chain(rest).collect()
}

/// What a call needs to know of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) key_bytes_max: usize,
    pub(crate) envelope: bool,
}

/// Rules by table number; the internal table has none, so it cannot be reached from outside.
#[derive(Debug)]
pub(crate) struct Rules {
    rules: Vec<Option<Rule>>,
    pub(crate) value_bytes_max: usize,
}

impl Rules {
    pub(crate) fn new(catalogue: &Catalogue, caps: &Capabilities) -> Self {
        let len = catalogue
            .iter()
            .map(|table| table.id.index() + 1)
            .max()
            .unwrap_or(0);
        let mut rules = vec![None; len];
        for table in catalogue.iter() {
            rules[table.id.index()] = Some(Rule {
                key_bytes_max: match table.def.key_limit() {
                    KeyLimit::Portable => KEY_BYTES_MAX_PORTABLE.min(caps.key_bytes_max),
                    KeyLimit::Engine => caps.key_bytes_max,
                },
                envelope: table.def.checksum() == ChecksumSetting::Envelope,
            });
        }
        Self {
            rules,
            value_bytes_max: caps.value_bytes_max,
        }
    }

    /// The rules by table number, absent where there is no table.
    pub(crate) fn by_number(&self) -> &[Option<Rule>] {
        &self.rules
    }

    /// The rule of a table.
    #[inline]
    pub(crate) fn of(&self, table: TableId) -> Result<Rule> {
        match self.rules.get(table.index()) {
            Some(Some(rule)) => Ok(*rule),
            _ => Err(unknown(table)),
        }
    }

    /// Refuses a key that no write may have.
    #[inline]
    pub(crate) fn check_key(rule: Rule, key: &[u8]) -> Result<()> {
        if key.is_empty() || key.len() > rule.key_bytes_max {
            return Err(bad_key(rule, key.len()));
        }
        Ok(())
    }

    /// Refuses a value that is too long, its envelope included.
    #[inline]
    pub(crate) fn check_value(&self, rule: Rule, value: &[u8]) -> Result<()> {
        let extra = if rule.envelope {
            storage_api::envelope::ENVELOPE_BYTES
        } else {
            0
        };
        let max = self.value_bytes_max - extra;
        if value.len() > max {
            return Err(Error::new(ErrorKind::ValueTooLong {
                len: value.len(),
                max,
            }));
        }
        Ok(())
    }
}

/// The error for a number that no table has.
#[cold]
pub(crate) fn unknown(table: TableId) -> Error {
    Error::new(ErrorKind::UnknownTable {
        table: table.to_string(),
    })
}

#[cold]
fn bad_key(rule: Rule, len: usize) -> Error {
    Error::new(if len == 0 {
        ErrorKind::EmptyKey
    } else {
        ErrorKind::KeyTooLong {
            len,
            max: rule.key_bytes_max,
        }
    })
}
