//! What must hold of every reader of `chain-files`, whatever the format.
//!
//! Blocks come in the order of the file without a gap between them; an error stands where the
//! blocks end, inside the file, and nothing comes after it; reading can go on behind every block;
//! a body says of itself what the reader said.

use chain_files::{
    BlockLink, DETECT_BYTES, Error, FileBlock, FileFormat, FileReader, Hash, Position, ReadOptions,
    ResumePoint, detect,
};

use crate::must;

/// The limit under which targets read.
pub(crate) const SMALL: ReadOptions = ReadOptions {
    block_bytes_max: 1 << 20,
    after: None,
};

/// A block that outlives its reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) link: BlockLink,
    pub(crate) parent: Hash,
    pub(crate) tx_ids: Vec<Hash>,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Position,
    pub(crate) resume: ResumePoint,
}

impl From<FileBlock<'_>> for Owned {
    fn from(block: FileBlock<'_>) -> Self {
        Self {
            link: BlockLink {
                number: block.number,
                hash: block.hash,
            },
            parent: block.parent,
            tx_ids: block.tx_ids.to_vec(),
            body: block.body.to_vec(),
            at: block.at,
            resume: block.resume_point(),
        }
    }
}

/// What a reader gave.
#[derive(Debug)]
pub(crate) struct Drained {
    pub(crate) blocks: Vec<Owned>,
    pub(crate) error: Option<Error>,
}

impl Drained {
    /// Where the last block ends; where the first one begins when there is none.
    pub(crate) fn end(&self, begin: u64) -> u64 {
        self.blocks
            .last()
            .map_or(begin, |block| block.resume.at.offset)
    }

    /// What could not be opened.
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            blocks: Vec::new(),
            error: Some(error),
        }
    }
}

/// Takes everything that a reader gives.
pub(crate) fn drain(mut next: impl FnMut() -> Result<Option<Owned>, Error>) -> Drained {
    let mut blocks = Vec::new();
    loop {
        let error = match next() {
            Ok(Some(block)) => {
                blocks.push(block);
                continue;
            }
            Ok(None) => None,
            Err(error) => Some(error),
        };
        assert!(matches!(next(), Ok(None)), "something comes after the end");
        return Drained { blocks, error };
    }
}

/// Holds what was read forward against the file.
pub(crate) fn check_order(drained: &Drained, begin: u64, file_bytes: u64) {
    let mut at = Position {
        record: 0,
        offset: begin,
    };
    let mut last: Option<BlockLink> = None;
    for block in &drained.blocks {
        assert_eq!(block.at, at, "a block begins where the one before ends");
        assert!(at.offset < block.resume.at.offset, "a block has bytes");
        at = block.resume.at;
        if let Some(last) = last {
            assert_eq!(Some(block.link.number), last.number.checked_add(1));
            assert_eq!(block.parent, last.hash);
        }
        last = Some(block.link);
    }
    assert!(at.offset <= file_bytes, "a block ends behind the file");
    if let Some(error) = &drained.error {
        check_error(error, at, file_bytes);
    }
}

fn check_error(error: &Error, at: Position, file_bytes: u64) {
    assert_eq!(error.at.record, at.record, "{error}: the record");
    assert!(error.at.offset >= at.offset, "{error}: within good blocks");
    assert!(error.at.offset <= file_bytes, "{error}: behind the file");
    let text = error.to_string();
    assert!(text.contains("record") && text.contains("offset"), "{text}");
}

/// Reading again from behind a block gives what followed it.
pub(crate) fn check_resume(
    drained: &Drained,
    mut resume: impl FnMut(ResumePoint) -> Result<Drained, Error>,
) {
    let blocks = &drained.blocks;
    // The first, the middle and the last are enough: each costs a read of the file.
    let last = blocks.len().saturating_sub(1);
    for at in [0, last / 2, last] {
        let Some(block) = blocks.get(at) else { return };
        let again = must("a resumed reader", resume(block.resume));
        let rest = blocks.get(at + 1..).unwrap_or_default();
        assert!(again.blocks == rest, "resumed behind block {at}");
        if drained.error.is_none() {
            assert!(again.error.is_none(), "{:?}", again.error);
        }
    }
}

/// A body says of itself what the reader said of the block.
pub(crate) fn check_bodies(drained: &Drained, format: FileFormat) {
    let mut tx_ids = Vec::new();
    for block in &drained.blocks {
        let facts = must("a body", format.check_body(&block.body, &mut tx_ids));
        assert_eq!((facts.link, facts.parent), (block.link, block.parent));
        // Logs are read in one of two ways, which the body alone need not tell.
        if format != FileFormat::AntelopeLog {
            assert_eq!(tx_ids, block.tx_ids);
        }
    }
}

/// A file of any format: told from its beginning, read, read again from the middle.
pub(crate) fn any_file(data: &[u8]) {
    let found = detect(data);
    let head = data.get(..DETECT_BYTES).unwrap_or(data);
    assert_eq!(detect(head), found, "the beginning tells the format");
    let mut reader = match FileReader::open(data, SMALL) {
        Ok(reader) => reader,
        Err(error) => return check_error(&error, Position::default(), data.len() as u64),
    };
    let format = reader.format();
    assert_eq!(Some(format), found);
    let begin = match format {
        FileFormat::EthereumRlp => 0,
        FileFormat::Era1 => 8,
        FileFormat::AntelopeLog => reader
            .preamble()
            .map_or(0, |text| text.bytes().len() as u64),
    };
    let drained = drain(|| Ok(reader.next_block()?.map(Owned::from)));
    check_order(&drained, begin, data.len() as u64);
    check_bodies(&drained, format);
    check_resume(&drained, |point| {
        let mut reader = FileReader::resume(data, SMALL, point)?;
        Ok(drain(|| Ok(reader.next_block()?.map(Owned::from))))
    });
}
