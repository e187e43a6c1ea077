//! The marker: a short text that says whose directory this is. Format: `docs/format/directory.md`.
//!
//! Invariants: the first line is the magic and the marker's version, the last line is the CRC-32C
//! of everything before it; a newer version is refused by number; an unknown line is a corruption,
//! because this version wrote all it knows; parsing never panics and never allocates more than the
//! text's length allows.

use std::borrow::Cow;
use std::fmt::{self, Write};

use storage_api::{
    AccessHint, ChainId, ChecksumSetting, CommitSeq, Error, ErrorKind, KeyLimit, Result, TableDef,
    TableHints, TableId, TableInfo, ValueHint,
};

/// Version of the marker's own format.
pub const MARKER_VERSION: u32 = 1;
const MAGIC: &str = "chainstore-directory";
/// The longest marker in bytes: 1,024 tables of 150 bytes each, generously.
pub const MARKER_BYTES_MAX: usize = 1 << 20;

/// Whether the engine's files are complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A creation is under way or was cut short.
    Creating,
    /// The store is a copy that is being filled, or whose filling was cut short: its files are
    /// sound, and its rows are a part of those of the source.
    Filling(FillSource),
    /// The store is complete.
    Ready,
}

/// What a copy is filled from: exactly this state of exactly this store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillSource {
    /// The source's random number.
    pub store_id: u128,
    /// The last commit that the copy is of.
    pub commit: CommitSeq,
}

impl FillSource {
    fn parse(words: &str) -> Option<Self> {
        let (id, commit) = words.split_once(' ')?;
        let is_plain = id.len() == 32 && !commit.starts_with('+');
        Some(Self {
            store_id: u128::from_str_radix(id, 16).ok().filter(|_| is_plain)?,
            commit: CommitSeq::new(commit.parse().ok()?),
        })
    }
}

impl fmt::Display for FillSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x} {}", self.store_id, self.commit.get())
    }
}

/// What the marker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The engine's name.
    pub engine: String,
    /// Version of how tables are laid out in the engine.
    pub engine_format: u32,
    /// The release that wrote the marker last.
    pub written_by: String,
    /// A random number that tells two stores apart.
    pub store_id: u128,
    /// The chain, once known.
    pub chain_id: Option<ChainId>,
    /// Completeness.
    pub state: State,
    /// The number that the next new table gets; numbers below it were given out and are never
    /// given again.
    pub next_table: u16,
    /// All tables, in order of number.
    pub tables: Vec<TableInfo>,
}

fn access_word(hint: AccessHint) -> &'static str {
    match hint {
        AccessHint::Mixed => "mixed",
        AccessHint::PointLookups => "point",
        AccessHint::AppendOnly => "append",
    }
}

fn value_word(hint: ValueHint) -> &'static str {
    match hint {
        ValueHint::Small => "small",
        ValueHint::Large => "large",
    }
}

fn checksum_word(setting: ChecksumSetting) -> &'static str {
    match setting {
        ChecksumSetting::None => "none",
        ChecksumSetting::Envelope => "envelope",
    }
}

fn key_word(limit: KeyLimit) -> &'static str {
    match limit {
        KeyLimit::Portable => "portable",
        KeyLimit::Engine => "engine",
    }
}

impl Marker {
    /// The text of the marker.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = format!(
            "{MAGIC} {MARKER_VERSION}\nengine {}\nengine-format {}\nwritten-by {}\n\
             store-id {:032x}\nchain-id {}\nstate {}\nnext-table {}\n",
            self.engine,
            self.engine_format,
            self.written_by,
            self.store_id,
            self.chain_id.as_ref().map_or("-", ChainId::as_str),
            match self.state {
                State::Creating => "creating".to_owned(),
                State::Filling(source) => format!("filling {source}"),
                State::Ready => "ready".to_owned(),
            },
            self.next_table,
        );
        for table in &self.tables {
            let (def, hints) = (&table.def, table.def.hints());
            // Writing to a string cannot fail.
            let _infallible = writeln!(
                text,
                "table {} {} {} {} {} {} {}",
                table.id.get(),
                def.name(),
                checksum_word(def.checksum()),
                key_word(def.key_limit()),
                access_word(hints.access),
                value_word(hints.values),
                hints.prefix_bytes,
            );
        }
        let sum = crc32c::crc32c(text.as_bytes());
        let _infallible = writeln!(text, "crc32c {sum:08x}");
        text
    }

    /// Reads a marker; `place` names the file in errors.
    ///
    /// # Errors
    /// `FormatTooNew` for a newer version, `NotAStore` when it is no marker at all, `Corruption`.
    pub fn parse(bytes: &[u8], place: &str) -> Result<Self> {
        let corrupt = |what: String| Error::corruption(place, what);
        if bytes.len() > MARKER_BYTES_MAX {
            return Err(corrupt(format!(
                "{} bytes, more than {MARKER_BYTES_MAX}",
                bytes.len()
            )));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| corrupt("not a text".to_owned()))?;
        let version = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix(MAGIC))
            .and_then(|rest| rest.trim().parse::<u32>().ok())
            .ok_or_else(|| corrupt(format!("does not begin with `{MAGIC} VERSION`")))?;
        if version > MARKER_VERSION {
            return Err(Error::new(ErrorKind::FormatTooNew {
                what: place.to_owned(),
                found: version,
                supported: MARKER_VERSION,
            }));
        }
        let body = check_sum(text).map_err(corrupt)?;
        let mut lines = Lines {
            lines: body.lines().skip(1),
        };
        let marker = lines.marker().map_err(corrupt)?;
        // There is one text for each marker, so whatever differs from it is damage.
        if marker.to_text() == text {
            Ok(marker)
        } else {
            Err(corrupt("not written as a marker is".to_owned()))
        }
    }
}

fn check_sum(text: &str) -> std::result::Result<&str, String> {
    let at = text.rfind("crc32c ").ok_or("no checksum line")?;
    let (body, last) = text.split_at(at);
    let computed = format!("crc32c {:08x}\n", crc32c::crc32c(body.as_bytes()));
    if last == computed {
        Ok(body)
    } else {
        Err(format!(
            "checksum line {:?}, computed {:?}",
            last.trim_end(),
            computed.trim_end()
        ))
    }
}

struct Lines<'t, I: Iterator<Item = &'t str>> {
    lines: I,
}

type Parsed<T> = std::result::Result<T, String>;

impl<'t, I: Iterator<Item = &'t str>> Lines<'t, I> {
    fn word(&mut self, name: &str) -> Parsed<&'t str> {
        let line = self
            .lines
            .next()
            .ok_or_else(|| format!("no line `{name}`"))?;
        line.strip_prefix(name)
            .and_then(|rest| rest.strip_prefix(' '))
            .ok_or_else(|| format!("line {line:?} where `{name}` was expected"))
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Parsed<T> {
        let word = self.word(name)?;
        word.parse()
            .map_err(|_| format!("{name} {word:?} is not a number in range"))
    }

    fn marker(&mut self) -> Parsed<Marker> {
        let engine = self.word("engine")?.to_owned();
        let engine_format = self.number("engine-format")?;
        let written_by = self.word("written-by")?.to_owned();
        let id = self.word("store-id")?;
        let store_id =
            u128::from_str_radix(id, 16).map_err(|_| format!("store-id {id:?} is not hex"))?;
        let chain_id = match self.word("chain-id")? {
            "-" => None,
            name => Some(ChainId::new(name).map_err(|error| error.to_string())?),
        };
        let state = match self.word("state")? {
            "creating" => State::Creating,
            "ready" => State::Ready,
            other => {
                let source = other.strip_prefix("filling ").and_then(FillSource::parse);
                State::Filling(source.ok_or_else(|| format!("state {other:?}"))?)
            }
        };
        let next_table: u16 = self.number("next-table")?;
        let mut tables: Vec<TableInfo> = Vec::new();
        for line in self.lines.by_ref() {
            let table = parse_table(line)?;
            let after = tables.last().map_or(0, |last| last.id.get());
            if table.id.get() <= after || table.id.get() >= next_table {
                return Err(format!(
                    "table number {} after {after}, next is {next_table}",
                    table.id.get()
                ));
            }
            tables.push(table);
        }
        Ok(Marker {
            engine,
            engine_format,
            written_by,
            store_id,
            chain_id,
            state,
            next_table,
            tables,
        })
    }
}

fn parse_table(line: &str) -> Parsed<TableInfo> {
    let bad = || format!("table line {line:?}");
    let mut words = line.split(' ');
    let mut next = || words.next().ok_or_else(bad);
    if next()? != "table" {
        return Err(bad());
    }
    let id = TableId::new(next()?.parse().map_err(|_| bad())?);
    let name = next()?.to_owned();
    let checksum = match next()? {
        "none" => ChecksumSetting::None,
        "envelope" => ChecksumSetting::Envelope,
        _ => return Err(bad()),
    };
    let limit = match next()? {
        "portable" => KeyLimit::Portable,
        "engine" => KeyLimit::Engine,
        _ => return Err(bad()),
    };
    let access = match next()? {
        "mixed" => AccessHint::Mixed,
        "point" => AccessHint::PointLookups,
        "append" => AccessHint::AppendOnly,
        _ => return Err(bad()),
    };
    let values = match next()? {
        "small" => ValueHint::Small,
        "large" => ValueHint::Large,
        _ => return Err(bad()),
    };
    let prefix_bytes = next()?.parse().map_err(|_| bad())?;
    if words.next().is_some() {
        return Err(bad());
    }
    let def = TableDef::from_name(Cow::Owned(name))
        .with_hints(TableHints {
            access,
            values,
            prefix_bytes,
        })
        .with_checksum(checksum)
        .with_key_limit(limit);
    Ok(TableInfo { id, def })
}
