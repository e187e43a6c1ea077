//! Exports: what was imported comes out again, what cannot be is refused, and files appear whole.

mod chains;
mod memory;
mod refuse;
mod round;
mod target;

use std::fs;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use chain_store::export::{Export, ExportError, ExportOptions, ExportReport, Origin};
use chain_store::{
    AnyStore, BitcoinImport, Blocks, BlocksDigest, Bodies, ChainFormat, ChainKind, ContentDigest,
    Coverage, EngineName, FileImport, ImportError, SourceFile,
};
use storage_api::blocks::{Height, KvBlocks};
use storage_api::{ChecksumSetting, Durability, KvStore};

use crate::import::real_file;

/// A real file, and how many blocks it has from which height on.
#[derive(Clone, Copy, Debug)]
struct Real {
    name: &'static str,
    chain: ChainKind,
    blocks: u64,
    first: u64,
}

const ERA1: Real = Real {
    name: "sepolia-00000-643a00f7.era1",
    chain: ChainKind::Ethereum,
    blocks: 8_192,
    first: 0,
};
const RLP: Real = Real {
    name: "execapis-chain.rlp",
    chain: ChainKind::Ethereum,
    blocks: 54,
    first: 1,
};
const LOG: Real = Real {
    name: "antelope-blocks.log",
    chain: ChainKind::Antelope,
    blocks: 5,
    first: 1,
};
const FRAMED: Real = Real {
    name: "btc-blocks1-256.bz2",
    chain: ChainKind::Bitcoin,
    blocks: 255,
    first: 1,
};
const BARE: Real = Real {
    name: "btc-block-367891.raw.zst",
    chain: ChainKind::Bitcoin,
    blocks: 1,
    first: 367_891,
};

/// A real file in each format.
const REAL: [(Real, ChainFormat); 5] = [
    (RLP, ChainFormat::EthereumRlp),
    (LOG, ChainFormat::Antelope),
    (FRAMED, ChainFormat::Bitcoin),
    (BARE, ChainFormat::Bitcoin),
    (ERA1, ChainFormat::Era1),
];

impl Real {
    fn path(&self) -> Option<PathBuf> {
        real_file(self.name)
    }

    /// The content, decompressed.
    fn bytes(&self) -> Option<Vec<u8>> {
        let bytes = fs::read(self.path()?).unwrap();
        let mut plain = Vec::new();
        match Path::new(self.name).extension().unwrap().to_str().unwrap() {
            "bz2" => {
                let mut decoder = bzip2::read::BzDecoder::new(&bytes[..]);
                decoder.read_to_end(&mut plain).unwrap();
            }
            "zst" => plain = zstd::decode_all(&bytes[..]).unwrap(),
            _ => plain = bytes,
        }
        Some(plain)
    }
}

/// An empty store for files of a chain.
fn empty(engine: EngineName, place: &Path, chain: ChainKind) -> Arc<AnyStore> {
    empty_with(Bodies::Store, engine, place, chain)
}

/// The same with its bodies in one place or the other.
fn empty_with(bodies: Bodies, engine: EngineName, place: &Path, chain: ChainKind) -> Arc<AnyStore> {
    let schema = match chain {
        ChainKind::Bitcoin => BitcoinImport::schema(bodies, ChecksumSetting::None),
        _ => FileImport::schema(bodies, ChecksumSetting::None),
    };
    let opened = AnyStore::open(&crate::url::of(engine, place), &schema.unwrap());
    Arc::new(opened.unwrap())
}

/// Imports a file whose content says what it is; mid-chain is no matter.
fn import(store: &Arc<AnyStore>, chain: ChainKind, path: &Path) -> Result<u64, ImportError> {
    let go_on = &mut |_: &_| ControlFlow::Continue(());
    let source = SourceFile::open(path)?;
    if chain == ChainKind::Bitcoin {
        // A chain from its beginning is whole.
        let import = BitcoinImport::into(store)?.with_durability(Durability::Volatile);
        let mut import = match path.to_str().is_some_and(|path| path.contains("367891")) {
            true => import.with_coverage(Coverage::Partial),
            false => import,
        };
        import.source(source, go_on)?;
        return Ok(import.report().blocks);
    }
    let mut import = FileImport::into(store)?.with_durability(Durability::Volatile);
    import.source(source, go_on)?;
    Ok(import.report().blocks)
}

/// A store in memory with the blocks of a real file, to be read; the long one is made once.
fn filled(real: Real) -> Option<Arc<AnyStore>> {
    static LONG: OnceLock<Option<Arc<AnyStore>>> = OnceLock::new();
    if real.name == ERA1.name {
        return LONG.get_or_init(|| filled_anew(real)).clone();
    }
    filled_anew(real)
}

/// The same to be written to.
fn filled_anew(real: Real) -> Option<Arc<AnyStore>> {
    let path = real.path()?;
    let store = empty(EngineName::Mem, Path::new("unused"), real.chain);
    assert_eq!(import(&store, real.chain, &path).unwrap(), real.blocks);
    Some(store)
}

fn digest(store: &AnyStore) -> ContentDigest {
    let view = store.begin_read().unwrap();
    ContentDigest::compute(&view, store.catalogue(), &mut |_| {}).unwrap()
}

/// What the blocks are, wherever their bodies stand.
fn blocks_digest(store: &Arc<AnyStore>) -> BlocksDigest {
    let blocks = Blocks::open(store).unwrap();
    let view = store.begin_read().unwrap();
    BlocksDigest::compute(&blocks, &view, &mut |_| {}).unwrap()
}

/// The blocks of a store with bodies as rows.
fn blocks_of(store: &AnyStore) -> KvBlocks {
    KvBlocks::resolve(store.catalogue()).unwrap()
}

fn heights(first: u64, last: u64) -> ExportOptions {
    let mut options = ExportOptions::default();
    options.first_height = Some(Height::new(first));
    options.last_height = Some(Height::new(last));
    options
}

/// A file and its index.
#[derive(Debug, Default)]
struct Exported {
    file: Vec<u8>,
    index: Vec<u8>,
}

fn export_with(
    store: &Arc<AnyStore>,
    options: ExportOptions,
    go_on: &mut dyn FnMut(&ExportReport) -> ControlFlow<()>,
) -> Result<(Exported, ExportReport), ExportError> {
    let view = store.begin_read()?;
    let origin = Origin::of(&view, store.catalogue())?;
    let blocks = Blocks::open(store)?;
    let export = Export::plan(&blocks, &view, &origin, options)?;
    let mut out = Exported::default();
    let report = match export.format().chain() {
        ChainKind::Antelope => export.write(&mut out.file, Some(&mut out.index), go_on)?,
        _ => export.write(&mut out.file, None, go_on)?,
    };
    assert_eq!(report.file_bytes, out.file.len() as u64);
    Ok((out, report))
}

fn export(store: &Arc<AnyStore>, options: ExportOptions) -> Result<Exported, ExportError> {
    let go_on = &mut |_: &_| ControlFlow::Continue(());
    let (out, report) = export_with(store, options, go_on)?;
    assert!(!report.stopped);
    Ok(out)
}
