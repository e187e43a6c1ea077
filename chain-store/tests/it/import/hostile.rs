//! Hostile files through the whole import, for every format: what is wrong is told with file,
//! record and offset, what came before stays, and the good file afterwards ends with the digest of
//! an import that was never disturbed. On every compiled engine, with bodies in both places; stores
//! on disk meet every kind of file, and the one in memory more places of each kind.
//!
//! The files are those of the corpus of `fuzz`, which our own writers made.

use std::fmt;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chain_store::bitcoin::BlockFile;
use chain_store::chain_files::{FileReader, ReadOptions};
use chain_store::{
    AnyStore, BitcoinImport, Blocks, Bodies, Coverage, EngineName, FileImport, ImportError,
};
use conformance::scaled;
use storage_api::blocks::{BlockHash, BlockQuery, BlockStore, Height};
use storage_api::{ChecksumSetting, Durability, KvStore};

use super::ground::{Content, content, grounds};

/// What is imported into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ground {
    engine: EngineName,
    bodies: Bodies,
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, bodies in {}", self.engine, self.bodies)
    }
}

impl Ground {
    const MEMORY: Self = Self {
        engine: EngineName::Mem,
        bodies: Bodies::Store,
    };

    fn all() -> impl Iterator<Item = Self> {
        grounds().map(|(engine, bodies)| Self { engine, bodies })
    }
}

/// A store, and the folder that goes with it.
struct Target {
    store: Arc<AnyStore>,
    _dir: tempfile::TempDir,
}

/// A format by the name of its corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Rlp,
    Era1,
    Log,
    Bitcoin,
}

const FORMATS: [Format; 4] = [Format::Rlp, Format::Era1, Format::Log, Format::Bitcoin];

impl Format {
    fn corpus(self) -> PathBuf {
        let name = match self {
            Self::Rlp => "rlp_chain",
            Self::Era1 => "era1",
            Self::Log => "antelope_log",
            Self::Bitcoin => "bitcoin_file",
        };
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../fuzz/corpus")
            .join(name)
    }

    fn seed(self, name: &str) -> Vec<u8> {
        fs::read(self.corpus().join(name)).unwrap()
    }

    fn store(self, ground: Ground) -> Target {
        let schema = match self {
            Self::Bitcoin => BitcoinImport::schema(ground.bodies, ChecksumSetting::None),
            _ => FileImport::schema(ground.bodies, ChecksumSetting::None),
        };
        let dir = crate::place::in_memory();
        let url = crate::url::of(ground.engine, dir.path());
        Target {
            store: Arc::new(AnyStore::open(&url, &schema.unwrap()).unwrap()),
            _dir: dir,
        }
    }

    /// Imports a file; gives the blocks that were stored and those that were known.
    fn import(self, target: &Target, path: &Path) -> Result<(u64, u64), ImportError> {
        let store = &target.store;
        let go_on = &mut |_: &_| ControlFlow::Continue(());
        let report = if self == Self::Bitcoin {
            let import = BitcoinImport::into(store).unwrap();
            // The chain of the corpus begins on no known genesis block.
            let import = import
                .with_coverage(Coverage::Partial)
                .with_first_height(Some(Height::new(1)));
            let mut import = import.with_durability(Durability::Volatile);
            import.file(path, go_on)?;
            import.report().clone()
        } else {
            let import = FileImport::into(store).unwrap();
            let mut import = import.with_durability(Durability::Volatile);
            import.file(path, go_on)?;
            import.report().clone()
        };
        Ok((report.blocks, report.known_blocks))
    }

    /// Where each record begins, and where the last one ends.
    fn boundaries(self, good: &[u8]) -> Vec<usize> {
        let mut places = Vec::new();
        if self == Self::Bitcoin {
            let input = std::io::Cursor::new(good.to_vec());
            let mut file = BlockFile::from_reader(Path::new("good"), input).unwrap();
            while let Some(record) = file.next_record().unwrap() {
                places.push(record.position.offset as usize);
                let end = record.position.offset as usize + 8 + record.bytes.len();
                places.push(end);
            }
            places.dedup();
            return places;
        }
        let mut reader = FileReader::open(good, ReadOptions::default()).unwrap();
        while let Some(block) = reader.next_block().unwrap() {
            places.push(block.at.offset as usize);
            places.push(block.next.offset as usize);
        }
        places.dedup();
        places
    }
}

impl Target {
    fn blocks(&self) -> Vec<(BlockHash, Vec<u8>)> {
        let blocks = Blocks::open(&self.store).unwrap();
        let view = self.store.begin_read().unwrap();
        let mut found = Vec::new();
        let query = BlockQuery::from(Height::ZERO);
        blocks
            .range(&view, query, &mut |info, body| {
                found.push((info.hash, body.to_vec()));
                ControlFlow::Continue(())
            })
            .unwrap();
        found
    }
}

/// The good file of a format, and what an import of it that nothing disturbs comes to.
struct Undisturbed {
    ground: Ground,
    format: Format,
    folder: tempfile::TempDir,
    good: Vec<u8>,
    blocks: Vec<(BlockHash, Vec<u8>)>,
    digest: Content,
}

impl Undisturbed {
    fn new(ground: Ground, format: Format) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let good = format.seed("good");
        fs::write(folder.path().join("good"), &good).unwrap();
        let store = format.store(ground);
        let (stored, known) = format.import(&store, &folder.path().join("good")).unwrap();
        assert!(stored >= 3 && known == 0, "{format:?}: {stored} blocks");
        Self {
            ground,
            format,
            blocks: store.blocks(),
            digest: content(&store.store),
            folder,
            good,
        }
    }

    fn write(&self, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join("hostile");
        fs::write(&path, bytes).unwrap();
        path
    }

    /// Imports hostile bytes into a fresh store; gives how it went and the store.
    fn attack(&self, bytes: &[u8]) -> (Target, Result<(u64, u64), ImportError>) {
        let store = self.format.store(self.ground);
        let outcome = self.format.import(&store, &self.write(bytes));
        (store, outcome)
    }

    /// What is stored is the beginning of the good chain; the good file makes it whole.
    fn goes_on(&self, store: &Target, context: &str) {
        let kept = store.blocks();
        assert!(self.blocks.starts_with(&kept), "{context}");
        let counts = self
            .format
            .import(store, &self.folder.path().join("good"))
            .unwrap_or_else(|error| panic!("{context}: {error}"));
        let kept = kept.len() as u64;
        assert_eq!(counts, (self.blocks.len() as u64 - kept, kept), "{context}");
        assert_eq!(content(&store.store), self.digest, "{context}");
    }
}

fn grounds_and_formats() -> impl Iterator<Item = (Ground, Format)> {
    Ground::all().flat_map(|ground| FORMATS.map(|format| (ground, format)))
}

/// An error with all its sources, as the program prints it.
fn text(error: &ImportError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The number behind a word.
fn number(text: &str, word: &str) -> Option<u64> {
    let (_, behind) = text.split_once(word)?;
    let digits = behind.trim_start().split(|c: char| !c.is_ascii_digit());
    { digits }.next()?.parse().ok()
}

/// What tells the format at most: the header of a block, the beginning of a log.
const HEAD_BYTES: u64 = 80;

/// The error names the file, this record, and an offset in it.
fn check_place(error: &ImportError, record: u64, offsets: std::ops::RangeInclusive<u64>) {
    let text = text(error);
    assert!(text.contains("hostile"), "{text}");
    // Where the beginning is of no format, there are no records.
    if *offsets.end() < HEAD_BYTES && !text.contains("record") {
        return;
    }
    assert_eq!(number(&text, "record"), Some(record), "{text}");
    let offset = number(&text, "offset");
    assert!(offset.is_some_and(|at| offsets.contains(&at)), "{text}");
}

#[test]
fn a_file_cut_at_any_place_keeps_what_was_whole_and_goes_on() {
    for (ground, format) in grounds_and_formats() {
        let whole = Undisturbed::new(ground, format);
        let boundaries = format.boundaries(&whole.good);
        let near = |cut: &usize| boundaries.iter().any(|at| at.abs_diff(*cut) <= 2);
        // At and beside each boundary always; between them as many as the scale says.
        let many = scaled(if ground == Ground::MEMORY { 700 } else { 40 });
        let step = whole.good.len() / many.min(whole.good.len());
        let cuts = (0..whole.good.len()).filter(|cut| near(cut) || cut.is_multiple_of(step));
        for cut in cuts {
            let context = format!("{ground}, {format:?} cut at {cut} of {}", whole.good.len());
            let (store, outcome) = whole.attack(&whole.good[..cut]);
            let ended = boundaries[1..].iter().filter(|at| **at <= cut).count();
            assert_eq!(store.blocks().len(), ended, "{context}");
            let begin = if ended == 0 { 0 } else { boundaries[ended] };
            match outcome {
                Err(error) => check_place(&error, ended as u64, begin as u64..=cut as u64),
                // Formats without a count or an end cannot tell a shorter file; zeros may follow.
                Ok(_) => {
                    let is_end = boundaries.contains(&cut);
                    let is_padding = format == Format::Bitcoin && ended + 1 == boundaries.len();
                    assert!(is_end && format != Format::Era1 || is_padding, "{context}");
                }
            }
            whole.goes_on(&store, &context);
        }
    }
}

/// Where the file is not the good chain's beginning, the store keeps what it had, and only that.
#[test]
fn every_hostile_file_is_told_and_leaves_a_chain() {
    for (ground, format) in grounds_and_formats() {
        let whole = Undisturbed::new(ground, format);
        let mut refused = 0;
        for entry in fs::read_dir(format.corpus()).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let bytes = fs::read(entry.path()).unwrap();
            let context = format!("{ground}, {format:?}, {name}");
            let (store, outcome) = whole.attack(&bytes);
            let kept = store.blocks();
            if let Err(error) = &outcome {
                refused += 1;
                let text = text(error);
                assert!(text.contains("hostile"), "{context}: {text}");
            }
            if whole.blocks.starts_with(&kept) {
                whole.goes_on(&store, &context);
            }
            // The same again stores nothing new and says the same.
            let (store, _) = whole.attack(&bytes);
            let before = content(&store.store);
            let again = format.import(&store, &whole.write(&bytes));
            assert_eq!(content(&store.store), before, "{context}, again");
            match (&outcome, &again) {
                (Ok((stored, known)), Ok(again)) => assert_eq!(*again, (0, stored + known)),
                (Err(first), Err(again)) => assert_eq!(text(first), text(again), "{context}"),
                _ => panic!("{context}: {outcome:?}, then {again:?}"),
            }

            // Onto the good chain: its blocks stay as they are.
            let full = format.store(whole.ground);
            format
                .import(&full, &whole.folder.path().join("good"))
                .unwrap();
            let _ = format.import(&full, &whole.write(&bytes));
            assert!(full.blocks().starts_with(&whole.blocks), "{context}");
        }
        assert!(refused >= 12, "{format:?}: {refused} files were refused");
    }
}

/// Gaps, duplicates, swapped records, forks: told at the record that does not follow.
#[test]
fn what_does_not_follow_is_told_at_its_record() {
    for (ground, format) in grounds_and_formats() {
        let whole = Undisturbed::new(ground, format);
        let last = whole.good.len() as u64;
        for (name, record) in [("gap", 1), ("duplicate", 1), ("swapped", 1)] {
            let (store, outcome) = whole.attack(&format.seed(name));
            let Err(error) = outcome else {
                // Bitcoin's files hold blocks in the order of arrival, the same one twice too.
                assert_eq!((format, name), (Format::Bitcoin, "duplicate"));
                whole.goes_on(&store, "a duplicate");
                continue;
            };
            let context = format!("{ground}, {format:?}, {name}");
            // A log says where it begins, so there the first block is told.
            let at = if format == Format::Log && name == "swapped" {
                0
            } else {
                record
            };
            check_place(&error, at, 0..=last);
            assert_eq!(store.blocks().len() as u64, at, "{context}: {error}");
            if name != "swapped" {
                whole.goes_on(&store, &context);
            }
        }
    }
    for ground in Ground::all() {
        let whole = Undisturbed::new(ground, Format::Rlp);
        for name in ["fork", "mixed-chains"] {
            let (store, outcome) = whole.attack(&Format::Rlp.seed(name));
            check_place(&outcome.unwrap_err(), 1, 1..=whole.good.len() as u64);
            whole.goes_on(&store, &format!("{ground}, {name}"));
        }
    }
}

/// A block beside the chain that a store holds, by a file that is good by itself.
#[test]
fn a_good_file_of_another_chain_is_refused_at_its_record() {
    // The blocks of the second begin below the stored ones, so the block at the tail tells.
    let others = [
        (Format::Rlp, "shanghai", 0),
        (Format::Log, "version-4", 2),
        (Format::Log, "version-2-late", 0),
    ];
    for (ground, (format, name, record)) in
        Ground::all().flat_map(|ground| others.map(|other| (ground, other)))
    {
        let whole = Undisturbed::new(ground, format);
        let store = format.store(whole.ground);
        let good = whole.folder.path().join("good");
        format.import(&store, &good).unwrap();
        let other = whole.write(&format.seed(name));
        let error = format.import(&store, &other).unwrap_err();
        let is_other = matches!(error, ImportError::OtherBlock { .. });
        assert!(is_other, "{ground}, {name}: {error}");
        check_place(&error, record, 0..=other.metadata().unwrap().len());
        assert_eq!(content(&store.store), whole.digest, "{ground}, {format:?}");
    }
}

fn zstd(parts: &[&[u8]], zeros: u64) -> Vec<u8> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    for part in parts {
        std::io::Write::write_all(&mut encoder, part).unwrap();
    }
    let mut endless = std::io::Read::take(std::io::repeat(0), zeros);
    std::io::copy(&mut endless, &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// Files that go on and on behind a good record: compressed, so that they are small on disk.
#[test]
fn endless_files_end_at_their_record() {
    // Long to read in a test build, so stores on disk meet one format each.
    let one_each = Ground::all().zip(FORMATS.into_iter().cycle()).skip(1);
    let of_memory = FORMATS.map(|format| (Ground::MEMORY, format));
    for (ground, format) in of_memory.into_iter().chain(one_each) {
        let whole = Undisturbed::new(ground, format);
        let end = format.boundaries(&whole.good)[1];
        // More than Bitcoin Core would ever write in advance, and more than the longest block.
        let endless = zstd(&[&whole.good[..end]], 200 << 20);
        assert!(endless.len() < 100_000);
        let (store, outcome) = whole.attack(&endless);
        let error = outcome.unwrap_err();
        check_place(&error, 1, end as u64..=end as u64);
        assert_eq!(store.blocks().len(), 1, "{ground}, {format:?}: {error}");
        whole.goes_on(&store, &format!("{ground}, behind an endless file"));
    }
}

#[cfg(target_os = "linux")]
mod memory {
    //! What bombs take, in a process of their own.

    use std::process::Command;

    use super::{FORMATS, Format, Ground, Undisturbed, zstd};

    /// The limit of a block, and what a process takes that imports nothing, generously.
    const BYTES_MAX: u64 = (64 << 20) + (72 << 20);

    /// The most memory that this process had so far.
    fn peak_bytes() -> u64 {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        super::number(line.unwrap(), ":").unwrap() * 1024
    }

    /// A block of the longest length that is allowed, which arrives whole and is none.
    fn bombs(format: Format, begin: &[u8]) -> Vec<Vec<u8>> {
        match format {
            Format::Rlp => {
                // A list of 63 MiB whose first item is a list.
                let head = [0xfb, 0x03, 0xf0, 0x00, 0x00, 0xf9, 0x01, 0xf7];
                vec![zstd(&[begin, &head], 64 << 20), [begin, &head].concat()]
            }
            Format::Era1 => {
                let head = [3, 0, 0, 0, 0xf0, 0x03, 0, 0];
                vec![zstd(&[begin, &head], 64 << 20), [begin, &head].concat()]
            }
            // So many producers that the zeros behind them are keys, up to the limit.
            Format::Log => {
                let mut header = vec![0; 14 + 96 + 4];
                header.push(1);
                header.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
                vec![zstd(&[begin, &header], 80 << 20), [begin, &header].concat()]
            }
            Format::Bitcoin => {
                let head = [&begin[..4], &[0, 0, 0, 2]].concat();
                vec![zstd(&[begin, &head], 33 << 20), [begin, &head].concat()]
            }
        }
    }

    #[test]
    #[ignore = "started by bombs_stay_within_the_limit, alone in its process"]
    fn bombs_alone() {
        for format in FORMATS {
            let whole = Undisturbed::new(Ground::MEMORY, format);
            let end = format.boundaries(&whole.good)[1];
            for bomb in bombs(format, &whole.good[..end]) {
                let (store, outcome) = whole.attack(&bomb);
                let error = outcome.unwrap_err();
                assert_eq!(store.blocks().len(), 1, "{format:?}: {error}");
                super::check_place(&error, 1, 0..=u64::MAX);
                let peak = peak_bytes();
                assert!(peak < BYTES_MAX, "{format:?}: {peak} bytes: {error}");
            }
        }
        println!("at most {} bytes", peak_bytes());
    }

    #[test]
    fn bombs_stay_within_the_limit() {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "import::hostile::memory::bombs_alone"])
            .args(["--ignored", "--nocapture", "--test-threads=1"])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}{errors}");
        assert!(text.contains("1 passed"), "the test was not found: {text}");
        eprint!("{text}");
    }
}
