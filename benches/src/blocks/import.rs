//! A real chain file, decoded only and imported into everything that stores blocks.
//!
//! Invariants: decoding checks hashes, roots and links as an import does; an import makes each
//! block durable, or the last one only; every import ends at the file's last block.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chain_store::chain_files::{FileReader, ReadOptions};
use chain_store::{Bodies, EngineName, FileImport, Opener, StoreUrl};
use storage_api::{ChecksumSetting, Durability, KvStore};

use crate::figures::{Table, Unit, cost, factor, ratio, timed};

/// Reads a file of blocks to its end.
///
/// # Errors
/// What the file says.
pub fn decode(file: &Path) -> Result<u64> {
    let mut reader = FileReader::open(File::open(file)?, ReadOptions::default())?;
    let mut blocks = 0;
    while reader.next_block()?.is_some() {
        blocks += 1;
    }
    Ok(blocks)
}

fn import(
    file: &Path,
    dir: &Path,
    (engine, bodies, durability): (EngineName, Bodies, Durability),
) -> Result<u64> {
    let url = match engine {
        EngineName::Mem => StoreUrl::Memory,
        engine => StoreUrl::Engine(engine, dir.join("store")),
    };
    let opener = Opener {
        schema: FileImport::schema(bodies, ChecksumSetting::None)?,
        ..Opener::default()
    };
    let store = Arc::new(opener.open(&url)?.0);
    let mut import = FileImport::into(&store)?.with_durability(durability);
    import.file(file, &mut |_| ControlFlow::Continue(()))?;
    store.sync()?;
    Ok(import.report().blocks)
}

/// Seconds a block of each way, a row each: decoding, then imports into rows and segments.
///
/// # Errors
/// Of the file and the stores.
pub fn measure(file: &Path, dir: &Path, engines: &[EngineName], rounds: usize) -> Result<Table> {
    let levels = [Durability::Durable, Durability::Buffered];
    let mut ways = Vec::new();
    for engine in engines {
        for bodies in Bodies::ALL {
            if *engine != EngineName::Mem || bodies == Bodies::Store {
                ways.push((*engine, bodies));
            }
        }
    }
    let mut decoded = Vec::new();
    let mut imported = vec![[Vec::new(), Vec::new()]; ways.len()];
    for _ in 0..rounds {
        let (blocks, lap) = timed(|| decode(file))?;
        let count = usize::try_from(blocks)?;
        decoded.push(lap.per(count).0);
        for (way, laps) in ways.iter().zip(&mut imported) {
            for (level, laps) in levels.into_iter().zip(laps) {
                let dir = tempfile::Builder::new().prefix("import-").tempdir_in(dir)?;
                let (found, lap) = timed(|| import(file, dir.path(), (way.0, way.1, level)))?;
                ensure!(found == blocks, "{found} blocks of {blocks}");
                laps.push(lap.per(count).0);
            }
        }
    }
    let name = file.file_name().context("a file without a name")?;
    let head = name.to_string_lossy().into_owned();
    let mut table = Table::new([head.as_str(), "each block durable", "durable at the end"]);
    let cell = |laps: &[f64]| {
        let median = crate::figures::Summary::of(laps).map_or(f64::NAN, |found| found.median);
        let times = ratio(&decoded, laps).map_or("-".to_owned(), |found| factor(found.median));
        format!("{} ({times})", cost(median, Unit::Rate))
    };
    table.row(["decoded only".to_owned(), cell(&decoded), cell(&decoded)]);
    for ((engine, bodies), laps) in ways.iter().zip(&imported) {
        let name = match bodies {
            Bodies::Store => format!("rows of {engine}"),
            Bodies::Segments => format!("segments beside {engine}"),
        };
        table.row([name, cell(&laps[0]), cell(&laps[1])]);
    }
    Ok(table)
}
