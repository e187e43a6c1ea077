//! Keeping what a repair removes: bytes of files, rows of the index, and a report.
//!
//! ```text
//! STORE/quarantine/000001.part/    under way, or left by a process that died: begun again; one
//!                                  that fails takes it away, as it may fill the disk
//! STORE/quarantine/000001/         complete and durable, before anything is removed
//!     report.json                  what was removed, from where, why
//!     0000000003.seg               a file as it was
//!     0000000002.seg.from-1234     the end of a file, from this offset on
//!     blocks.index.jsonl           rows as `chainstore list --output jsonl` prints them
//! ```
//!
//! Invariants: a folder has its final name once everything in it is durable; what is kept is the
//! bytes as they are, damaged or not.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use backend_kit::directory::{self, QUARANTINE_FOLDER};
use seglog::LogError;
use seglog::tools::Tools;
use serde::Serialize;
use storage_api::blocks::Height;
use storage_api::{Cursor, KeyRange, KvStore, Reader};

use super::{Action, Finding, RepairError};
use crate::any::{AnyReadTxn, AnyStore};

/// Table of heights by hash.
pub(super) const HASHES: &str = "blocks.hashes";

/// Table of places of transactions.
pub(super) const TXS: &str = "blocks.txs";

/// Version of the report.
const SCHEMA: u32 = 1;

/// Something that was kept.
#[derive(Clone, Debug, Serialize)]
struct Kept {
    /// The file in the quarantine.
    file: String,
    /// What it was: the name of a file in `segments/`, or of a table.
    from: String,
    /// Where it began there, of a part of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// How many bytes, or rows of a table.
    length: u64,
    /// Why it was removed.
    why: String,
}

/// The report beside what was kept.
#[derive(Debug, Serialize)]
struct Report<'r> {
    schema: u32,
    unix_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    to_height: Option<u64>,
    findings: &'r [Finding],
    actions: &'r [Action],
    removed: &'r [Kept],
}

/// A quarantine being filled.
pub(super) struct Quarantine {
    folder: PathBuf,
    /// Its final name.
    name: PathBuf,
    kept: Vec<Kept>,
}

impl Quarantine {
    /// Begins the next one, and removes what a process that died left of one.
    pub(super) fn begin(store: &AnyStore) -> Result<Self, RepairError> {
        let place = store
            .path()
            .ok_or_else(|| storage_api::Error::unsupported("persistent"))?;
        let all = place.join(QUARANTINE_FOLDER);
        directory::make_durable_folder(&all)?;
        let explain = |source| lost(&all, source);
        let mut last = 0;
        for entry in fs::read_dir(&all).map_err(explain)? {
            let entry = entry.map_err(explain)?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if let Some(number) = name.strip_suffix(".part")
                && number.parse::<u64>().is_ok()
            {
                fs::remove_dir_all(entry.path()).map_err(explain)?;
            }
            last = last.max(name.parse::<u64>().unwrap_or(0));
        }
        let number = last + 1;
        let folder = all.join(format!("{number:06}.part"));
        directory::make_durable_folder(&folder)?;
        Ok(Self {
            folder,
            name: all.join(format!("{number:06}")),
            kept: Vec::new(),
        })
    }

    /// Keeps a file, from an offset on.
    pub(super) fn keep_file(
        &mut self,
        tools: &Tools,
        name: &str,
        offset: u64,
        why: String,
    ) -> Result<(), RepairError> {
        let file = if offset == 0 {
            name.to_owned()
        } else {
            format!("{name}.from-{offset}")
        };
        let path = self.folder.join(&file);
        let explain = |source| lost(&path, source);
        let mut out = BufWriter::new(File::create(&path).map_err(explain)?);
        let mut length = 0;
        tools
            .read_bytes::<Failed>(name, offset, &mut |bytes| {
                length += bytes.len() as u64;
                out.write_all(bytes).map_err(|error| Failed(explain(error)))
            })
            .map_err(|Failed(error)| error)?;
        finish(out).map_err(explain)?;
        self.kept.push(Kept {
            file,
            from: name.to_owned(),
            offset: Some(offset),
            length,
            why,
        });
        Ok(())
    }

    /// Keeps the rows of a table, all or those above a height. Cost: a read of what is kept, or of
    /// the whole table where its keys do not begin with the height.
    pub(super) fn keep_rows(
        &mut self,
        (store, view): (&AnyStore, &AnyReadTxn),
        table: &str,
        above: Option<Height>,
        why: &str,
    ) -> Result<(), RepairError> {
        let Ok(id) = store.catalogue().id(table) else {
            return Ok(());
        };
        let above_in_row = above.filter(|_| has_height_inside(table));
        let range = match above {
            Some(above) if above_in_row.is_none() => {
                KeyRange::from_key(&above.next().get().to_be_bytes())
            }
            _ => KeyRange::all(),
        };
        let file = format!("{table}.jsonl");
        let path = self.folder.join(&file);
        let explain = |source| lost(&path, source);
        let mut out = BufWriter::new(File::create(&path).map_err(explain)?);
        let mut rows = 0;
        let mut cursor = view.cursor(id, range)?;
        while let Some(row) = cursor.next()? {
            if above_in_row.is_some_and(|above| height_of(row.key, row.value) <= Some(above)) {
                continue;
            }
            rows += 1;
            let (key, value) = (hex(row.key), hex(row.value));
            writeln!(
                out,
                "{{\"schema\":1,\"key\":\"{key}\",\"value\":\"{value}\"}}"
            )
            .map_err(explain)?;
        }
        finish(out).map_err(explain)?;
        self.kept.push(Kept {
            file,
            from: table.to_owned(),
            offset: None,
            length: rows,
            why: why.to_owned(),
        });
        Ok(())
    }

    /// Writes the report and gives the quarantine its name: from here on things may be removed.
    pub(super) fn finish(
        self,
        findings: &[Finding],
        actions: &[Action],
        to: Option<Height>,
    ) -> Result<PathBuf, RepairError> {
        let path = self.folder.join("report.json");
        let explain = |source| lost(&path, source);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let report = Report {
            schema: SCHEMA,
            unix_seconds: now.map_or(0, |now| now.as_secs()),
            to_height: to.map(Height::get),
            findings,
            actions,
            removed: &self.kept,
        };
        let mut out = BufWriter::new(File::create(&path).map_err(explain)?);
        serde_json::to_writer_pretty(&mut out, &report)
            .map_err(io::Error::from)
            .and_then(|()| out.write_all(b"\n"))
            .and_then(|()| finish(out))
            .map_err(explain)?;
        directory::sync_folder(&self.folder)?;
        fs::rename(&self.folder, &self.name).map_err(explain)?;
        if let Some(all) = self.name.parent() {
            directory::sync_folder(all)?;
        }
        Ok(self.name.clone())
    }
}

impl Drop for Quarantine {
    /// What was not finished goes; a complete one has another name by now.
    fn drop(&mut self) {
        // What cannot be removed now, the next one removes.
        let _left = fs::remove_dir_all(&self.folder);
    }
}

/// A failure inside a copy.
struct Failed(RepairError);

impl From<LogError> for Failed {
    fn from(error: LogError) -> Self {
        Self(error.into())
    }
}

/// Whether the height of a row is not what its key begins with.
fn has_height_inside(table: &str) -> bool {
    [HASHES, TXS].contains(&table)
}

/// The height in a row of hashes, which is its value, or of places of transactions, which have no
/// value: `docs/format/kv-blocks.md`. A row that is neither has none.
fn height_of(key: &[u8], value: &[u8]) -> Option<Height> {
    let height = if value.is_empty() {
        let (rest, _position) = key.split_last_chunk::<4>()?;
        let (_, height) = rest.split_last_chunk::<8>()?;
        u64::from_be_bytes(*height)
    } else {
        u64::from_le_bytes(value.try_into().ok()?)
    };
    Some(Height::new(height))
}

fn lost(path: &Path, source: io::Error) -> RepairError {
    RepairError::Quarantine {
        what: path.display().to_string(),
        source,
    }
}

fn finish(out: BufWriter<File>) -> io::Result<()> {
    let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 + 2 * bytes.len());
    text.push_str("0x");
    for byte in bytes {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

    use std::sync::Arc;

    use seglog::ChainTag;
    use seglog::disk::Folder;
    use storage_api::Schema;

    use super::*;
    use crate::EngineName;

    /// A repair that ran out of space left the disk full of copies that were of no use.
    #[test]
    fn what_was_kept_goes_with_a_repair_that_fails() {
        for engine in EngineName::compiled().filter(|engine| *engine != EngineName::Mem) {
            let dir = tempfile::tempdir().unwrap();
            let url = format!("{engine}:{}", dir.path().join("store").display());
            let store = AnyStore::open(&url, &Schema::empty()).unwrap();
            let files = dir.path().join("files");
            fs::create_dir_all(&files).unwrap();
            fs::write(files.join("there"), [7; 10_000]).unwrap();
            let tools = Tools::new(Arc::new(Folder::new(&files)), ChainTag::default());
            let all = store.path().unwrap().join(QUARANTINE_FOLDER);
            let names = || -> Vec<_> {
                let entries = fs::read_dir(&all).unwrap();
                entries.map(|entry| entry.unwrap().file_name()).collect()
            };
            let keep = |name: &str| {
                let mut quarantine = Quarantine::begin(&store)?;
                quarantine.keep_file(&tools, "there", 0, String::new())?;
                assert_eq!(names(), ["000001.part"]);
                quarantine.keep_file(&tools, name, 10, String::new())?;
                quarantine.finish(&[], &[], None)
            };
            assert!(keep("not there").is_err());
            assert_eq!(names().len(), 0, "{engine}");
            keep("there").unwrap();
            assert_eq!(names(), ["000001"], "{engine}");
        }
    }
}
