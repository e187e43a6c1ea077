//! `chainstore export`: stored blocks out into the files that other programs read.
//!
//! Invariants: the store is opened read-only; what cannot be exported is refused before a byte is
//! written; a file stands under its name only when it is whole and synced, and one that is there
//! stays unless `--overwrite` is said; an interrupted export leaves nothing. What is checked and
//! written: `chain_store::export`.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Error, Result};
use chain_store::bitcoin::Network;
use chain_store::export::{
    Existing, Export, ExportError, ExportOptions, ExportReport, Origin, TargetFile,
};
use chain_store::migrate::resolved;
use chain_store::{AnyReadTxn, ChainFormat};
use clap::{Args, ValueEnum};
use serde::Serialize;
use storage_api::KvStore;
use storage_api::blocks::{BlockStore, Height};

use super::upkeep::copy::check_apart;
use crate::args::StoreArg;
use crate::exit::{Exit, Stop};
use crate::interrupt;
use crate::output::{Format, Output, facts, grouped};
use crate::progress::{Progress, Unit, say};
use crate::store;

/// Write blocks into a file that other programs read.
///
/// Every block is checked again. The file appears when it is whole and on stable storage; an export
/// that fails or is interrupted leaves nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  chainstore export --store ./first-blocks --output-file blk00000.dat
  chainstore export --store ./eth --to era1 --last-height 8191 --output-file first.era1
  chainstore export --store ./eos --output-file blocks.log --index-file blocks.index
  chainstore export --store ./node --first-height 100 --output-file - | zstd > blocks.zst

The format is that of the stored blocks: a store keeps them as their file held them, and files of
another format cannot.")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) store: StoreArg,

    /// Which program's file.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Target::Auto)]
    to: Target,

    /// The file, which must not exist; `-` for standard output.
    #[arg(long, value_name = "FILE")]
    output_file: PathBuf,

    /// The index of a block log, `blocks.index`, which must not exist either.
    #[arg(long, value_name = "FILE")]
    index_file: Option<PathBuf>,

    /// The lowest height [default: that of the first block].
    #[arg(long, value_name = "HEIGHT")]
    first_height: Option<u64>,

    /// The highest height [default: that of the tip].
    #[arg(long, value_name = "HEIGHT")]
    last_height: Option<u64>,

    /// The network of a Bitcoin block file, where neither the import nor the chain says it:
    /// mainnet, testnet3, testnet4, signet or regtest.
    #[arg(long, value_name = "NETWORK", value_parser = network)]
    network: Option<Network>,

    /// Replace files of these names, when the new ones are whole.
    #[arg(long)]
    overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Target {
    /// A blk*.dat file of Bitcoin Core.
    Bitcoin,
    /// Blocks of an Ethereum chain as `geth import` reads them.
    EthereumRlp,
    /// An era1 file of at most 8,192 blocks.
    Era1,
    /// `blocks.log` of an Antelope chain.
    Antelope,
    /// What the stored blocks are.
    Auto,
}

impl Target {
    const fn format(self) -> Option<ChainFormat> {
        match self {
            Self::Bitcoin => Some(ChainFormat::Bitcoin),
            Self::EthereumRlp => Some(ChainFormat::EthereumRlp),
            Self::Era1 => Some(ChainFormat::Era1),
            Self::Antelope => Some(ChainFormat::Antelope),
            Self::Auto => None,
        }
    }
}

fn network(text: &str) -> Result<Network, String> {
    let found = Network::ALL
        .into_iter()
        .find(|network| network.to_string() == text);
    found.ok_or_else(|| {
        let names = Network::ALL.map(|network| network.to_string()).join(", ");
        format!("known are {names}")
    })
}

#[derive(Serialize)]
struct Exported {
    store: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_file: Option<String>,
    format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
    first_height: u64,
    last_height: u64,
    blocks: u64,
    body_bytes: u64,
    file_bytes: u64,
    seconds: f64,
}

/// Runs the command.
pub(crate) fn run(args: &ExportArgs, out: &mut Output) -> Result<Exit> {
    let to_stdout = args.output_file == Path::new("-");
    check(args, to_stdout, out.format())?;
    let files = (!to_stdout).then_some(&args.output_file);
    for file in files.into_iter().chain(&args.index_file) {
        // A store that is not there is told when it is opened.
        let there = store::path(&args.store.store).filter(|path| path.exists());
        check_apart(there, file)?;
    }
    let writing = interrupt::finish_blocks();
    let opened = Arc::new(store::open_to_read(&args.store.store)?);
    let view = opened.begin_read()?;
    let begun = Instant::now();
    let origin = Origin::of(&view, opened.catalogue())?;
    let blocks = store::blocks(&opened)?;
    let mut options = ExportOptions::default();
    options.format = args.to.format();
    options.first_height = args.first_height.map(Height::new);
    options.last_height = args.last_height.map(Height::new);
    options.network = args.network;
    let planned = Export::plan(&blocks, &view, &origin, options);
    let export = planned.map_err(|error| in_words(error, args))?;
    let report = if to_stdout {
        watched(&export, out.bytes(), None)
    } else {
        Targets::create(args).and_then(|targets| targets.fill(&export))
    };
    let report = report.map_err(|error| in_words(error, args))?;
    drop(writing);
    if report.stopped {
        let what = if to_stdout {
            "interrupted between two blocks; what was written is no whole export"
        } else {
            "interrupted between two blocks; nothing of the export was kept"
        };
        return Err(Stop::Interrupted(what.to_owned()).into());
    }
    let exported = Exported {
        store: args.store.store.to_string(),
        file: args.output_file.display().to_string(),
        index_file: (args.index_file.as_ref()).map(|file| file.display().to_string()),
        format: export.format().as_str(),
        network: export.network().map(|network| network.to_string()),
        first_height: export.first_height().get(),
        last_height: export.last_height().get(),
        blocks: report.blocks,
        body_bytes: report.body_bytes,
        file_bytes: report.file_bytes,
        seconds: begun.elapsed().as_secs_f64(),
    };
    if to_stdout {
        say(&format!("chainstore: exported {}", in_short(&exported)));
    } else {
        out.document(&exported, to_table)?;
    }
    Ok(Exit::Done)
}

/// Refuses what the command line alone shows to be wrong.
fn check(args: &ExportArgs, to_stdout: bool, format: Format) -> Result<()> {
    let wrong = if to_stdout && format != Format::Table {
        "--output-file - gives standard output to the file, so there is no document; \
         say --output table or name a file"
    } else if is_same(args) {
        "--output-file and --index-file name the same file"
    } else if args.index_file.is_some() && to_stdout {
        "--index-file needs a file beside it; name one with --output-file"
    } else {
        return Ok(());
    };
    Err(Stop::Usage(wrong.to_owned()).into())
}

/// Whether file and index are one, whichever way leads there.
fn is_same(args: &ExportArgs) -> bool {
    let index = args.index_file.as_deref();
    index.is_some_and(|index| resolved(index) == resolved(&args.output_file))
}

/// The file and its index, under way.
struct Targets {
    file: TargetFile,
    index: Option<TargetFile>,
}

impl Targets {
    fn create(args: &ExportArgs) -> Result<Self, ExportError> {
        let existing = if args.overwrite {
            Existing::Replace
        } else {
            Existing::Refuse
        };
        let index = args.index_file.as_ref();
        Ok(Self {
            file: TargetFile::create(&args.output_file, existing)?,
            index: index
                .map(|path| TargetFile::create(path, existing))
                .transpose()?,
        })
    }

    /// Fills the files and gives them their names, unless it was interrupted.
    fn fill<B: BlockStore>(
        mut self,
        export: &Export<'_, B, AnyReadTxn>,
    ) -> Result<ExportReport, ExportError> {
        let index = self.index.as_mut().map(|index| index as &mut dyn Write);
        let report = watched(export, &mut self.file, index)?;
        if !report.stopped {
            self.file.finish()?;
            // Without an index a node makes one; with one of another log it would be misled.
            self.index.map_or(Ok(()), TargetFile::finish)?;
        }
        Ok(report)
    }
}

/// Writes with a bar, and ends between two blocks when that was asked for.
fn watched<'o, B: BlockStore>(
    export: &Export<'_, B, AnyReadTxn>,
    file: &'o mut (dyn Write + 'o),
    index: Option<&'o mut (dyn Write + 'o)>,
) -> Result<ExportReport, ExportError> {
    let total = Some(export.block_count());
    let mut progress = Progress::begin("export", Unit::Things("blocks"), total);
    export.write(file, index, &mut |report| {
        progress.set(report.blocks, || {
            format!("{} bytes", grouped(report.file_bytes))
        });
        if interrupt::asked() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
}

/// The error with what to do about it on the command line.
fn in_words(error: ExportError, args: &ExportArgs) -> Error {
    let hint = match &error {
        ExportError::Write(source) if source.kind() == io::ErrorKind::BrokenPipe => {
            return Stop::OutputClosed.into();
        }
        ExportError::Exists { .. } => "say --overwrite to replace it",
        ExportError::TooManyBlocks { .. } => "choose some with --first-height and --last-height",
        ExportError::UnknownNetwork => "say --network",
        ExportError::OtherFormat { .. } if args.to == Target::Auto => {
            "export the heights of each format apart, with --first-height and --last-height"
        }
        ExportError::NoPreamble { .. } => "import the log that the blocks came from again",
        _ => return error.into(),
    };
    match error {
        ExportError::Exists { .. }
        | ExportError::TooManyBlocks { .. }
        | ExportError::UnknownNetwork => Stop::Usage(format!("{error}; {hint}")).into(),
        error => Stop::NotThere(format!("{error}; {hint}")).into(),
    }
}

fn in_short(done: &Exported) -> String {
    let network = match &done.network {
        Some(network) => format!(" of {network}"),
        None => String::new(),
    };
    format!(
        "{} blocks{network}, heights {} to {}, as {}, {} bytes",
        grouped(done.blocks),
        done.first_height,
        done.last_height,
        done.format,
        grouped(done.file_bytes)
    )
}

fn to_table(done: &Exported) -> String {
    let rate = done.blocks as f64 / done.seconds.max(0.001);
    let mut rows = vec![
        ("store", done.store.clone()),
        ("file", done.file.clone()),
        ("exported", in_short(done)),
        // Rates are shown whole.
        (
            "time",
            format!("{:.2} s, {} blocks/s", done.seconds, grouped(rate as u64)),
        ),
    ];
    if let Some(index) = &done.index_file {
        rows.insert(2, ("index", index.clone()));
    }
    facts(rows)
}
