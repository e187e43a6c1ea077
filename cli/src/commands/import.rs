//! `chainstore import`: blocks of other programs' files into a store.
//!
//! Invariants: a block is stored whole or not at all, so the same command goes on behind what an
//! interrupted import stored; everything before a damaged record stays; a file that is not there is
//! noticed before a store is made.

use std::fs::{self, File};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Error, Result};
use chain_store::{
    AnyStore, BitcoinImport, Blocks, Bodies, ChainFormat, ChainKind, Coverage, FileImport,
    ImportError, ImportReport, MarkerState, Opener, SourceFile, StoreUrl, bitcoin,
    chain_files::FileFormat, read_marker,
};
use clap::{Args, ValueEnum};
use serde::Serialize;
use storage_api::blocks::Height;
use storage_api::{ChecksumSetting, Durability, KvStore, OpenOptions, Schema};

use super::stat::{Digests, Stat};
use crate::args::StoreArg;
use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::metrics;
use crate::output::{Output, facts, grouped};
use crate::progress::{Progress, Unit, say};
use crate::store;

/// Import the block files of another program.
///
/// Interrupted or failed, the same command goes on behind what is stored. With `mem:` nothing is
/// kept, and the statistics at the end are all there is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore import --store redb:./first-blocks --from bitcoin blk00000.dat
  chainstore import --store lmdb:./node --from bitcoin blk0000*.dat.bz2 --checksum envelope
  chainstore import --store redb:./one --from bitcoin --partial block-367891.raw.zst
  chainstore import --store rocks:./eth --from era1 mainnet-00000-5ec1ffb8.era1
  chainstore import --store redb:./eos --from auto blocks.log
  chainstore import --store redb:./large --bodies segments --from bitcoin blk00000.dat")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    /// Which program's files.
    #[arg(long, value_enum, value_name = "FORMAT")]
    from: Source,

    /// The files, in order; plain, bzip2, gzip or zstd.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Height of the first block, where neither the chain nor the block says it.
    #[arg(long, value_name = "HEIGHT")]
    first_height: Option<u64>,

    /// Begin in mid-chain: spent outputs that were never seen are counted and no error.
    #[arg(long)]
    partial: bool,

    /// Whether every value carries a checksum of ours; a store keeps what it was made with
    /// [default: none].
    #[arg(long, value_enum, value_name = "SETTING")]
    checksum: Option<Checksum>,

    /// Where bodies of blocks are kept: as rows in the store, or in segment files in its directory;
    /// a store keeps what it was made with [default: store].
    #[arg(long, value_enum, value_name = "WHERE")]
    bodies: Option<BodiesWord>,

    /// What each commit must survive. `durable` commits block by block; `buffered` commits up to
    /// 1 MiB of blocks together, which is much faster for small ones, and makes all durable at the
    /// end: a crash takes the newest, and the same command goes on.
    #[arg(long, value_enum, value_name = "LEVEL", default_value_t = CommitLevel::Durable)]
    durability: CommitLevel,

    /// Also compute the digest of all content at the end; reads everything.
    #[arg(long)]
    digest: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Source {
    /// blk*.dat files of Bitcoin Core, or one bare block a file.
    Bitcoin,
    /// Blocks of an Ethereum chain as `geth export` writes them.
    EthereumRlp,
    /// era1 files of an Ethereum chain.
    Era1,
    /// `blocks.log` of an Antelope chain.
    Antelope,
    /// Any of these, told by the first bytes.
    Auto,
}

impl Source {
    /// The format that every file must have; none where the file says it.
    const fn format(self) -> Option<FileFormat> {
        match self {
            Self::EthereumRlp => Some(FileFormat::EthereumRlp),
            Self::Era1 => Some(FileFormat::Era1),
            Self::Antelope => Some(FileFormat::AntelopeLog),
            Self::Bitcoin | Self::Auto => None,
        }
    }
}

/// The files, of one kind of chain.
struct Files {
    chain: ChainKind,
    /// The first one, where it was opened to say which chain it is.
    first: Option<SourceFile>,
}

impl Files {
    fn of(args: &ImportArgs) -> Result<Self> {
        let chain = match (args.from, args.files.first()) {
            (Source::Bitcoin, _) => ChainKind::Bitcoin,
            (Source::EthereumRlp | Source::Era1, _) => ChainKind::Ethereum,
            (Source::Antelope, _) => ChainKind::Antelope,
            (Source::Auto, Some(first)) => {
                let first = SourceFile::open(first)?;
                return Ok(Self {
                    chain: first.format()?.chain(),
                    first: Some(first),
                });
            }
            (Source::Auto, None) => return Err(Stop::Usage("no file was named".to_owned()).into()),
        };
        Ok(Self { chain, first: None })
    }

    /// The next file, where the first bytes decide.
    fn next(&mut self, path: &Path) -> Result<SourceFile, ImportError> {
        let next = match self.first.take() {
            Some(first) => first,
            None => SourceFile::open(path)?,
        };
        let found = next.format()?.chain();
        if found != self.chain {
            return Err(ImportError::OtherChain {
                file: path.to_owned(),
                expected: self.chain,
                found,
            });
        }
        Ok(next)
    }
}

/// The import of one chain.
enum Import {
    Bitcoin(BitcoinImport),
    Files(FileImport),
}

impl Import {
    fn of(args: &ImportArgs, chain: ChainKind, opened: &Arc<AnyStore>) -> Result<Self> {
        let durability = args.durability.into();
        if chain != ChainKind::Bitcoin {
            return Ok(Self::Files(
                FileImport::into(opened)?
                    .with_format(args.from.format())
                    .with_durability(durability),
            ));
        }
        let coverage = if args.partial {
            Coverage::Partial
        } else {
            Coverage::Whole
        };
        Ok(Self::Bitcoin(
            BitcoinImport::into(opened)?
                .with_coverage(coverage)
                .with_first_height(args.first_height.map(Height::new))
                .with_durability(durability),
        ))
    }

    fn file(
        &mut self,
        path: &Path,
        go_on: &mut dyn FnMut(&ImportReport) -> ControlFlow<()>,
    ) -> Result<(), ImportError> {
        match self {
            Self::Bitcoin(import) => import.file(path, go_on),
            Self::Files(import) => import.file(path, go_on),
        }
    }

    const fn blocks(&self) -> &Blocks {
        match self {
            Self::Bitcoin(import) => import.blocks(),
            Self::Files(import) => import.blocks(),
        }
    }

    fn source(
        &mut self,
        source: SourceFile,
        go_on: &mut dyn FnMut(&ImportReport) -> ControlFlow<()>,
    ) -> Result<(), ImportError> {
        match self {
            Self::Bitcoin(import) => import.source(source, go_on),
            Self::Files(import) => import.source(source, go_on),
        }
    }

    fn report(&self) -> &ImportReport {
        match self {
            Self::Bitcoin(import) => import.report(),
            Self::Files(import) => import.report(),
        }
    }
}

/// The tables that the import needs.
fn schema(
    chain: ChainKind,
    bodies: Bodies,
    checksum: ChecksumSetting,
) -> storage_api::Result<Schema> {
    match chain {
        ChainKind::Bitcoin => BitcoinImport::schema(bodies, checksum),
        _ => FileImport::schema(bodies, checksum),
    }
}

/// Where bodies go: as the store has it, else as asked for, else into the store.
fn bodies(args: &ImportArgs, url: &StoreUrl) -> Result<Bodies> {
    let asked = args.bodies.map(Bodies::from);
    match (store::bodies(url)?, asked) {
        (Some(known), Some(asked)) if known != asked => {
            let what = format!(
                "the store keeps bodies in {known} since it was made; --bodies {asked} needs a new \
                 store"
            );
            Err(Stop::Usage(what).into())
        }
        (None, Some(Bodies::Segments)) if *url == StoreUrl::Memory => {
            let what = "a store in memory has no directory for segment files: leave --bodies out";
            Err(Stop::Unsupported(what.to_owned()).into())
        }
        (known, asked) => Ok(known.or(asked).unwrap_or_default()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Checksum {
    /// The engine's own checks only.
    None,
    /// Four bytes a value, checked on every read.
    Envelope,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BodiesWord {
    /// Files of one append-only log: the price of a bare file, checked at every read.
    Segments,
    /// Rows of the engine.
    Store,
}

impl From<BodiesWord> for Bodies {
    fn from(word: BodiesWord) -> Self {
        match word {
            BodiesWord::Segments => Self::Segments,
            BodiesWord::Store => Self::Store,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CommitLevel {
    /// Power loss.
    Durable,
    /// The end of the process; power loss may take the last commits.
    Buffered,
}

impl From<CommitLevel> for Durability {
    fn from(level: CommitLevel) -> Self {
        match level {
            CommitLevel::Durable => Self::Durable,
            CommitLevel::Buffered => Self::Buffered,
        }
    }
}

#[derive(Serialize)]
struct Imported {
    import: Summary,
    stat: Stat,
}

#[derive(Serialize)]
struct Summary {
    files: usize,
    blocks: u64,
    known_blocks: u64,
    below_tail_blocks: u64,
    transactions: u64,
    body_bytes: u64,
    seconds: f64,
    interrupted: bool,
}

/// Runs the command.
pub(crate) fn run(args: &ImportArgs, out: &mut Output) -> Result<Exit> {
    let url = &args.store.store;
    let total = length_of(&args.files)?;
    store::check_marked(url)?;
    let files = Files::of(args)?;
    let bodies = bodies(args, url)?;
    let schema = schema(
        files.chain,
        bodies,
        checksum(args, files.chain, url, bodies)?,
    )?;
    check_chain(args, files.chain, &schema)?;
    let opener = Opener {
        schema,
        options: store::with_budget(OpenOptions::new()),
        ..Opener::default()
    };
    // An interrupt waits for the store to be made, too.
    let writing = interrupt::finish_commits();
    let opened = Arc::new(opener.open(url)?.0);
    let _watching = metrics::watch(&url.to_string(), &opened);
    if *url == StoreUrl::Memory {
        say("chainstore: note: a store in memory is gone when this command ends");
    }
    let begun = Instant::now();
    let mut import = Import::of(args, files.chain, &opened)?;
    let (report, outcome) = import_files(args, files, &mut import, total)?;
    if let Err(error) = outcome {
        let tip = report
            .tip
            .map_or_else(String::new, |tip| format!(", the tip is at height {tip}"));
        say(&format!(
            "chainstore: {} new blocks before the error are stored{tip}; {}",
            grouped(report.blocks),
            passed_over(report.known_blocks, report.below_tail_blocks)
        ));
        return Err(in_words(error));
    }
    opened.sync()?;
    drop(writing);
    let digests = if args.digest && !report.stopped {
        Some(Digests::of(&opened, Some(import.blocks()))?)
    } else {
        None
    };
    let imported = Imported {
        import: Summary {
            files: args.files.len(),
            blocks: report.blocks,
            known_blocks: report.known_blocks,
            below_tail_blocks: report.below_tail_blocks,
            transactions: report.transactions,
            body_bytes: report.body_bytes,
            seconds: begun.elapsed().as_secs_f64(),
            interrupted: report.stopped,
        },
        stat: Stat::gather(url, &opened, digests)?,
    };
    out.document(&imported, to_table)?;
    if report.stopped {
        let what = "interrupted between two commits; the same command goes on from here";
        return Err(Stop::Interrupted(what.to_owned()).into());
    }
    Ok(Exit::Done)
}

/// How many blocks of the files were passed over, and why.
fn passed_over(known_blocks: u64, below_tail_blocks: u64) -> String {
    let below = match below_tail_blocks {
        0 => String::new(),
        below => format!(", {} of them below the lowest stored block", grouped(below)),
    };
    format!(
        "{} of the files' blocks were known{below}",
        grouped(known_blocks)
    )
}

/// The error, with plain words for a file that holds nothing.
fn in_words(error: ImportError) -> Error {
    match &error {
        ImportError::Source(bitcoin::Error::Truncated {
            at,
            got_bytes: 0,
            source: None,
            ..
        }) if at.offset == 0 => {
            Stop::Different(format!("{}: the file is empty", at.file.display())).into()
        }
        _ => error.into(),
    }
}

/// Imports all files; what was done so far comes back beside an error.
fn import_files(
    args: &ImportArgs,
    mut files: Files,
    import: &mut Import,
    total: Option<u64>,
) -> Result<(ImportReport, Result<(), ImportError>)> {
    let mut progress = Progress::begin("import", Unit::Bytes, total);
    let mut before = 0;
    let mut outcome = Ok(());
    for file in &args.files {
        let go_on = &mut |report: &ImportReport| {
            progress.set(before + report.file_bytes_read, || {
                let known = report.known_blocks;
                format!(
                    "{} blocks stored, {} known before",
                    grouped(report.blocks),
                    grouped(known)
                )
            });
            if interrupt::asked() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        outcome = match args.from {
            Source::Auto => files
                .next(file)
                .and_then(|source| import.source(source, go_on)),
            _ => import.file(file, go_on),
        };
        if outcome.is_err() || import.report().stopped {
            break;
        }
        before += import.report().file_bytes_read;
    }
    Ok((import.report().clone(), outcome))
}

/// The setting asked for, else the one that the store has, else none.
fn checksum(
    args: &ImportArgs,
    chain: ChainKind,
    url: &StoreUrl,
    bodies: Bodies,
) -> Result<ChecksumSetting> {
    if let Some(asked) = args.checksum {
        return Ok(match asked {
            Checksum::None => ChecksumSetting::None,
            Checksum::Envelope => ChecksumSetting::Envelope,
        });
    }
    // A directory that is none of ours is refused when it is opened, with a better error.
    let marker = store::path(url).and_then(|path| read_marker(path).ok().flatten());
    let names: Vec<_> = schema(chain, bodies, ChecksumSetting::None)?
        .tables()
        .iter()
        .map(|table| table.name().to_owned())
        .collect();
    let known = marker.and_then(|marker| {
        let mut tables = marker.tables.into_iter();
        tables.find(|table| names.iter().any(|name| name == table.def.name()))
    });
    Ok(known.map_or(ChecksumSetting::None, |table| table.def.checksum()))
}

/// Refuses a file of another chain than the store holds, where opening the store for the import
/// would add tables to it before that is noticed.
fn check_chain(args: &ImportArgs, found: ChainKind, schema: &Schema) -> Result<()> {
    let url = &args.store.store;
    // A directory that is none of ours is refused when it is opened, with a better error.
    let marker = store::path(url).and_then(|path| read_marker(path).ok().flatten());
    let Some(marker) = marker.filter(|marker| marker.state != MarkerState::Creating) else {
        return Ok(());
    };
    let is_there = |name: &str| marker.tables.iter().any(|table| table.def.name() == name);
    if (schema.tables().iter()).all(|table| is_there(table.name())) {
        return Ok(());
    }
    let opened = Arc::new(store::open_to_write(url)?);
    let Ok(blocks) = store::blocks(&opened) else {
        return Ok(());
    };
    match ChainFormat::of_tip(&blocks, &opened.begin_read()?)? {
        Some(stored) if stored.chain() != found => Err(ImportError::OtherChain {
            file: args.files.first().cloned().unwrap_or_default(),
            expected: stored.chain(),
            found,
        }
        .into()),
        _ => Ok(()),
    }
}

/// Bytes of all files, or nothing where one is a pipe; a file that cannot be read is an error.
fn length_of(files: &[PathBuf]) -> Result<Option<u64>> {
    let mut total = Some(0);
    for file in files {
        let about = check(file).with_context(|| format!("cannot read {}", file.display()))?;
        total = total
            .filter(|_| about.is_file())
            .map(|total| total + about.len());
    }
    Ok(total)
}

fn check(file: &Path) -> io::Result<fs::Metadata> {
    let about = fs::metadata(file)?;
    if about.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // Opening a pipe and closing it again would end its writer.
    if about.is_file() {
        File::open(file)?;
    }
    Ok(about)
}

fn to_table(imported: &Imported) -> String {
    let import = &imported.import;
    let rate = import.blocks as f64 / import.seconds.max(0.001);
    let done = facts([
        (
            "imported",
            format!(
                "{} new blocks, {} transactions, {} bytes; {}",
                grouped(import.blocks),
                grouped(import.transactions),
                grouped(import.body_bytes),
                passed_over(import.known_blocks, import.below_tail_blocks)
            ),
        ),
        // Rates are shown whole.
        (
            "time",
            format!("{:.2} s, {} blocks/s", import.seconds, grouped(rate as u64)),
        ),
    ]);
    format!("{done}\n\n{}", imported.stat.to_table())
}
