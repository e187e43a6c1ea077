//! Tables of an open store: merging a schema into what the marker knows, and what each call needs
//! to know of a table.
//!
//! Invariants: a known name keeps its number whatever the order of declaration; a new one gets the
//! next number, which was never given before; hints are replaced, settings that bear meaning are
//! refused when they differ (trap 15, trap 16).

use storage_api::{
    Access, Capabilities, Catalogue, ChecksumSetting, Error, ErrorKind, KEY_BYTES_MAX_PORTABLE,
    KeyLimit, Result, Schema, TableId, TableInfo,
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

/// Merges a schema into the known tables.
pub(crate) fn merge(
    known: &[TableInfo],
    next_table: u16,
    schema: &Schema,
    access: Access,
    caps: &Capabilities,
) -> Result<Merged> {
    let refuse = |reason: String| Err(Error::new(ErrorKind::SchemaRefused { reason }));
    let mut merged = Merged {
        tables: known.to_vec(),
        next_table,
        ..Merged::default()
    };
    for def in schema.tables() {
        match merged
            .tables
            .iter_mut()
            .find(|table| table.def.name() == def.name())
        {
            Some(table) => {
                if table.def.checksum() != def.checksum()
                    || table.def.key_limit() != def.key_limit()
                {
                    return refuse(format!(
                        "table {} was made with {:?}, {:?} and is declared with {:?}, {:?}",
                        def.name(),
                        table.def.checksum(),
                        table.def.key_limit(),
                        def.checksum(),
                        def.key_limit()
                    ));
                }
                if table.def != *def && access == Access::ReadWrite {
                    table.def = def.clone();
                    merged.changed = true;
                }
            }
            None if access == Access::ReadOnly => {
                return refuse(format!(
                    "table {} is not in the store, which is opened read-only",
                    def.name()
                ));
            }
            None => {
                let id = TableId::new(merged.next_table);
                let too_many = Error::new(ErrorKind::TooManyTables {
                    asked: merged.tables.len() + 1,
                    max: caps.tables_max,
                });
                if merged.tables.len() >= caps.tables_max {
                    return Err(too_many);
                }
                merged.next_table = merged.next_table.checked_add(1).ok_or(too_many)?;
                merged.tables.push(TableInfo {
                    id,
                    def: def.clone(),
                });
                merged.added.push(id);
                merged.changed = true;
            }
        }
    }
    merged.unnamed = known
        .iter()
        .filter(|table| {
            schema
                .tables()
                .iter()
                .all(|def| def.name() != table.def.name())
        })
        .map(|table| table.id)
        .collect();
    Ok(merged)
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

#[cold]
fn unknown(table: TableId) -> Error {
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
