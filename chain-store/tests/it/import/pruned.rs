//! Files that begin below a store's tail: its blocks there were pruned, so their hashes are gone.
//! On every compiled engine, with bodies in both places, at every durability.
//!
//! A store that had been pruned could not be continued from the file that it was imported from:
//! `block at height 0 offered, height 200 comes next`. Nor could blocks that were damaged be given
//! up and imported again. Invariant of all of these: nothing is stored but what follows the tip,
//! and a chain that is another one is refused at the tail.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain_store::bitcoin::BlockFile;
use chain_store::chain_files::{FileReader, ReadOptions};
use chain_store::{
    AntelopeState, AnyStore, BitcoinImport, Blocks, Bodies, Coverage, EngineName, FileImport,
    ImportError, ImportReport, repair,
};
use storage_api::blocks::{BlockHash, BlockStore, Height, NewBlock, TxId};
use storage_api::{ChecksumSetting, Durability, KvStore, ReadTxn, WriteTxn};

use super::ground::{Content, content, grounds};
use crate::regtest::{block_file, coinbase_alone};

const LEVELS: [Durability; 3] = [
    Durability::Durable,
    Durability::Buffered,
    Durability::Volatile,
];
const CORPORA: [&str; 3] = ["rlp_chain", "era1", "antelope_log"];

fn seed(corpus: &str, name: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus");
    Path::new(root).join(corpus).join(name)
}

/// A block of a file, kept.
struct Read {
    height: u64,
    hash: BlockHash,
    parent: BlockHash,
    tx_ids: Vec<TxId>,
    body: Vec<u8>,
}

fn blocks_of(file: &Path) -> Vec<Read> {
    let bytes = fs::read(file).unwrap();
    let mut reader = FileReader::open(&bytes[..], ReadOptions::default()).unwrap();
    let mut blocks = Vec::new();
    while let Some(block) = reader.next_block().unwrap() {
        blocks.push(Read {
            height: block.number,
            hash: BlockHash::new(&block.hash).unwrap(),
            parent: BlockHash::new(&block.parent).unwrap(),
            tx_ids: block
                .tx_ids
                .iter()
                .map(|id| TxId::new(id).unwrap())
                .collect(),
            body: block.body.to_vec(),
        });
    }
    blocks
}

struct Place {
    store: Arc<AnyStore>,
    _dir: tempfile::TempDir,
}

impl Place {
    fn of_schema((engine, bodies): (EngineName, Bodies), bitcoin: bool) -> Self {
        let dir = crate::place::in_memory();
        let schema = if bitcoin {
            BitcoinImport::schema(bodies, ChecksumSetting::None)
        } else {
            FileImport::schema(bodies, ChecksumSetting::None)
        };
        let url = crate::url::of(engine, dir.path());
        Self {
            store: Arc::new(AnyStore::open(&url, &schema.unwrap()).unwrap()),
            _dir: dir,
        }
    }

    /// A store with these blocks, put there by something else than an import.
    fn with<'b>(
        ground: (EngineName, Bodies),
        chain: impl IntoIterator<Item = NewBlock<'b>>,
    ) -> Self {
        let place = Self::of_schema(ground, false);
        let blocks = Blocks::open(&place.store).unwrap();
        for block in chain {
            let staged = blocks.stage(block).unwrap();
            let mut txn = place.store.begin_write().unwrap();
            blocks.append(&mut txn, staged).unwrap();
            txn.commit(Durability::Buffered).unwrap();
        }
        drop(blocks);
        place
    }

    fn import(&self, file: &Path, level: Durability) -> (ImportReport, Result<(), ImportError>) {
        let import = FileImport::into(&self.store).unwrap();
        let mut import = import.with_durability(level);
        let ended = import.file(file, &mut |_| ControlFlow::Continue(()));
        (import.report().clone(), ended)
    }

    fn bitcoin(&self, file: &Path, level: Durability) -> (ImportReport, Result<(), ImportError>) {
        let import = BitcoinImport::into(&self.store).unwrap();
        let import = import.with_coverage(Coverage::Partial);
        let mut import = import.with_durability(level);
        let ended = import.file(file, &mut |_| ControlFlow::Continue(()));
        (import.report().clone(), ended)
    }

    fn prune(&self, below: u64) {
        repair::prune(&self.store, Height::new(below)).unwrap();
    }

    fn commits(&self) -> u64 {
        self.store.begin_read().unwrap().commit_seq().unwrap().get()
    }

    fn digest(&self) -> Content {
        content(&self.store)
    }

    fn has_preamble(&self) -> bool {
        let state = AntelopeState::resolve(self.store.catalogue()).unwrap();
        let view = self.store.begin_read().unwrap();
        state.preamble(&view).unwrap().is_some()
    }
}

/// Stored, known, and of the known ones those below the tail.
fn counts(report: &ImportReport) -> (u64, u64, u64) {
    (report.blocks, report.known_blocks, report.below_tail_blocks)
}

/// Every tail, and every tip at or above it to which the blocks were cut back: given up, as after
/// damage, or never imported.
#[test]
fn a_pruned_store_goes_on_from_the_file_that_it_was_imported_from() {
    for ground in grounds() {
        for corpus in CORPORA {
            let file = seed(corpus, "good");
            let chain = blocks_of(&file);
            let (first, last) = (chain[0].height, chain[chain.len() - 1].height);
            for tail in first..=last {
                let expected = Place::of_schema(ground, false);
                expected.import(&file, Durability::Buffered).1.unwrap();
                expected.prune(tail);
                for (tip, level) in (tail..=last).flat_map(|tip| LEVELS.map(|level| (tip, level))) {
                    let context = format!("{ground:?}, {corpus}, {tail} to {tip}, {level:?}");
                    let place = Place::of_schema(ground, false);
                    place.import(&file, level).1.unwrap();
                    place.prune(tail);
                    repair::truncate(&place.store, Height::new(tip)).unwrap();
                    for again in [false, true] {
                        let (report, ended) = place.import(&file, level);
                        ended.unwrap_or_else(|error| panic!("{context}: {error}"));
                        let known = if again { last } else { tip } + 1 - first;
                        let stored = last + 1 - first - known;
                        let below = tail - first;
                        assert_eq!(counts(&report), (stored, known, below), "{context}");
                        assert_eq!(report.tip, (stored > 0).then(|| Height::new(last)));
                        assert_eq!(place.digest(), expected.digest(), "{context}");
                    }
                }
            }
        }
    }
}

/// Nothing below the tail tells two chains from each other, so the block at the tail has to.
#[test]
fn another_chain_that_begins_below_the_tail_is_refused_at_the_tail() {
    let hash = |height: u64| BlockHash::new(&[height as u8; 32]).unwrap();
    for ground in grounds() {
        for corpus in CORPORA {
            let file = seed(corpus, "good");
            let chain = blocks_of(&file);
            let (first, last) = (chain[0].height, chain[chain.len() - 1].height);
            // One that ends within the file, and one that ends where the file does.
            for (tail, tip) in (first + 1..=last).flat_map(|tail| [(tail, tail), (tail, last)]) {
                let other = (tail..=tip).map(|height| NewBlock {
                    height: Height::new(height),
                    hash: hash(height),
                    parent: hash(height - 1),
                    tx_ids: &[],
                    body: b"of another chain",
                });
                let place = Place::with(ground, other);
                let (digest, commits) = (place.digest(), place.commits());
                for level in LEVELS {
                    let context = format!("{ground:?}, {corpus}, {tail} to {tip}, {level:?}");
                    let (report, ended) = place.import(&file, level);
                    let Err(ImportError::OtherBlock {
                        at, height, stored, ..
                    }) = ended
                    else {
                        panic!("{context}: {ended:?}");
                    };
                    assert_eq!((at.record, height.get()), (tail - first, tail), "{context}");
                    assert_eq!(*stored, hash(tail), "{context}");
                    let below = tail - first;
                    assert_eq!(counts(&report), (0, below, below), "{context}");
                    assert_eq!((place.digest(), place.commits()), (digest, commits));
                    assert!(!place.has_preamble(), "{context}");
                }
            }
        }
    }
}

/// Such a file says nothing of the stored chain: there is nothing to store and nothing to refuse,
/// and the beginning of a log is not kept for it either.
#[test]
fn a_file_that_ends_below_the_tail_changes_nothing() {
    for ground in grounds() {
        for corpus in CORPORA {
            let file = seed(corpus, "good");
            let count = blocks_of(&file).len() as u64;
            let far = (100..103).map(|height| NewBlock {
                height: Height::new(height),
                hash: BlockHash::new(&[height as u8; 32]).unwrap(),
                parent: BlockHash::new(&[height as u8 - 1; 32]).unwrap(),
                tx_ids: &[],
                body: b"far above",
            });
            let place = Place::with(ground, far);
            let (digest, commits) = (place.digest(), place.commits());
            for level in LEVELS {
                let context = format!("{ground:?}, {corpus}, {level:?}");
                let (report, ended) = place.import(&file, level);
                ended.unwrap_or_else(|error| panic!("{context}: {error}"));
                assert_eq!(counts(&report), (0, count, count), "{context}");
                assert_eq!((place.digest(), place.commits()), (digest, commits));
                assert!(!place.has_preamble(), "{context}");
            }
        }
    }
}

/// A store that has blocks of a log, but not the log's beginning, takes that from the first block
/// of the file that it has, or that follows: not from one below its tail.
#[test]
fn the_beginning_of_a_log_is_kept_once_one_of_its_blocks_was_found() {
    let file = seed("antelope_log", "good");
    let chain = blocks_of(&file);
    let stored = &chain[2..3];
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short.log");
    let bytes = fs::read(&file).unwrap();
    let mut reader = FileReader::open(&bytes[..], ReadOptions::default()).unwrap();
    reader.next_block().unwrap();
    let end = reader.next_block().unwrap().unwrap().next.offset;
    fs::write(&short, &bytes[..end as usize]).unwrap();
    for (ground, level) in grounds().flat_map(|ground| LEVELS.map(|level| (ground, level))) {
        let context = format!("{ground:?}, {level:?}");
        let blocks = stored.iter().map(|block| NewBlock {
            height: Height::new(block.height),
            hash: block.hash,
            parent: block.parent,
            tx_ids: &block.tx_ids,
            body: &block.body,
        });
        let place = Place::with(ground, blocks);
        let (report, ended) = place.import(&short, level);
        ended.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(counts(&report), (0, 2, 2), "{context}");
        assert!(!place.has_preamble(), "{context}");
        let (report, ended) = place.import(&file, level);
        ended.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(counts(&report), (chain.len() as u64 - 3, 3, 2), "{context}");
        assert!(place.has_preamble(), "{context}");
    }
}

fn numbered(from: u32) -> impl FnMut() -> Vec<u8> {
    let mut number = from;
    move || {
        number += 1;
        number.to_le_bytes().repeat(20)
    }
}

/// A store of Bitcoin goes forward only, so it was not cut back: it never had the rest.
#[test]
fn a_pruned_store_of_bitcoin_goes_on_from_a_file_that_begins_with_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, begun) = (dir.path().join("whole.dat"), dir.path().join("begun.dat"));
    fs::write(&whole, block_file(30, &mut numbered(0)).0).unwrap();
    fs::write(&begun, block_file(20, &mut numbered(0)).0).unwrap();
    for ground in grounds() {
        for tail in [1, 2, 11, 20] {
            let expected = Place::of_schema(ground, true);
            expected.bitcoin(&whole, Durability::Buffered).1.unwrap();
            expected.prune(tail);
            for level in LEVELS {
                let context = format!("{ground:?}, {tail}, {level:?}");
                let place = Place::of_schema(ground, true);
                place.bitcoin(&begun, level).1.unwrap();
                place.prune(tail);
                for (stored, known) in [(10, 20), (0, 30)] {
                    let (report, ended) = place.bitcoin(&whole, level);
                    ended.unwrap_or_else(|error| panic!("{context}: {error}"));
                    assert_eq!(counts(&report), (stored, known, tail - 1), "{context}");
                    assert_eq!(place.digest(), expected.digest(), "{context}");
                }
            }
        }
    }
}

#[test]
fn another_chain_of_bitcoin_is_refused_at_the_tail() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (dir.path().join("own.dat"), dir.path().join("other.dat"));
    fs::write(&own, block_file(20, &mut numbered(0)).0).unwrap();
    fs::write(&other, block_file(30, &mut numbered(500)).0).unwrap();
    for ground in grounds() {
        for tail in [3, 11, 20] {
            let place = Place::of_schema(ground, true);
            place.bitcoin(&own, Durability::Buffered).1.unwrap();
            place.prune(tail);
            let (digest, commits) = (place.digest(), place.commits());
            for level in LEVELS {
                let context = format!("{ground:?}, {tail}, {level:?}");
                let (report, ended) = place.bitcoin(&other, level);
                let Err(ImportError::MissingParent {
                    place: at,
                    height,
                    tail: lowest,
                    ..
                }) = ended
                else {
                    panic!("{context}: {ended:?}");
                };
                assert_eq!(at.at.record, tail - 1, "{context}");
                assert_eq!((height.get(), lowest.get()), (20, tail), "{context}");
                assert_eq!(counts(&report), (0, tail - 1, tail - 1), "{context}");
                assert_eq!((place.digest(), place.commits()), (digest, commits));
            }
        }
    }
}

/// What is passed over is never looked at again, so its network is.
#[test]
fn a_file_of_another_network_is_refused_below_the_tail_too() {
    let Some(mainnet) = super::real_file(super::FIRST_BLOCKS) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("own.dat");
    fs::write(&own, block_file(20, &mut numbered(0)).0).unwrap();
    for ground in grounds() {
        let place = Place::of_schema(ground, true);
        place.bitcoin(&own, Durability::Buffered).1.unwrap();
        place.prune(11);
        let (digest, commits) = (place.digest(), place.commits());
        for level in LEVELS {
            let (report, ended) = place.bitcoin(&mainnet, level);
            let is_network = matches!(ended, Err(ImportError::Network { .. }));
            assert!(is_network, "{ground:?}, {level:?}: {ended:?}");
            assert_eq!(counts(&report), (0, 0, 0), "{ground:?}, {level:?}");
            assert_eq!((place.digest(), place.commits()), (digest, commits));
        }
    }
}

/// Records of so many blocks on no known one, whose coinbases state heights from this one on: large
/// enough that the four bytes that state it are the shortest.
fn mid_chain(first: u32, count: u32) -> Vec<Vec<u8>> {
    let mut parent = [9; 32];
    (first..first + count)
        .map(|height| {
            let record = coinbase_alone(parent, height);
            let input = std::io::Cursor::new(record.clone());
            let mut file = BlockFile::from_reader(Path::new("one"), input).unwrap();
            let header = file.next_record().unwrap().unwrap().header().unwrap();
            parent = *header.hash.as_bytes();
            record
        })
        .collect()
}

/// A file of Bitcoin Core begins anywhere, and what it holds says where. One that leaves out blocks
/// above the tip is still told.
#[test]
fn a_file_of_mid_chain_goes_on_by_the_heights_that_its_blocks_state() {
    const FIRST: u32 = 1 << 24;
    let dir = tempfile::tempdir().unwrap();
    let blocks = mid_chain(FIRST, 30);
    let write = |name: &str, range: std::ops::Range<usize>| {
        let path = dir.path().join(name);
        fs::write(&path, blocks[range].concat()).unwrap();
        path
    };
    let begun = write("begun.dat", 0..20);
    let later = write("later.dat", 5..30);
    let gap = write("gap.dat", 22..30);
    for (ground, level) in grounds().flat_map(|ground| LEVELS.map(|level| (ground, level))) {
        let context = format!("{ground:?}, {level:?}");
        let place = Place::of_schema(ground, true);
        place.bitcoin(&begun, level).1.unwrap();
        place.prune(u64::from(FIRST) + 10);
        let digest = place.digest();
        let (report, ended) = place.bitcoin(&gap, level);
        let is_parent = matches!(ended, Err(ImportError::MissingParent { .. }));
        assert!(is_parent, "{context}: {ended:?}");
        assert_eq!((counts(&report), place.digest()), ((0, 0, 0), digest));
        let (report, ended) = place.bitcoin(&later, level);
        ended.unwrap_or_else(|error| panic!("{context}: {error}"));
        assert_eq!(counts(&report), (10, 15, 5), "{context}");
        let blocks = Blocks::open(&place.store).unwrap();
        let tip = blocks.tip(&place.store.begin_read().unwrap()).unwrap();
        assert_eq!(tip.unwrap().height.get(), u64::from(FIRST) + 29);
    }
}

/// The first blocks of mainnet state no height: from the beginning on they have one, and in the
/// middle nothing says that they are below the tail, so the error says what is stored.
#[test]
fn blocks_that_state_no_height_are_passed_over_from_the_beginning_only() {
    let Some(file) = super::real_file(super::FIRST_BLOCKS) else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let middle = dir.path().join("middle.dat");
    let mut reader = BlockFile::open(&file).unwrap();
    let mut records = Vec::new();
    while let Some(record) = reader.next_record().unwrap() {
        let mut bytes = record.network.unwrap().magic().to_vec();
        bytes.extend((record.bytes.len() as u32).to_le_bytes());
        records.push([bytes, record.bytes].concat());
    }
    fs::write(&middle, records[100..].concat()).unwrap();
    let place = Place::of_schema((EngineName::Mem, Bodies::Store), true);
    place.bitcoin(&file, Durability::Buffered).1.unwrap();
    place.prune(200);
    let digest = place.digest();
    let (report, ended) = place.bitcoin(&file, Durability::Buffered);
    ended.unwrap();
    assert_eq!(counts(&report), (0, 255, 199));
    let error = place.bitcoin(&middle, Durability::Buffered).1.unwrap_err();
    let text = error.to_string();
    let says = "is not stored; blocks 200 to 255 are";
    assert!(text.contains("record 0") && text.contains(says), "{text}");
    assert_eq!(place.digest(), digest);
}
