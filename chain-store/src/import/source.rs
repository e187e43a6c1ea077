//! A file to import: opened once, decompressed, and looked at before anything is decided by it.
//!
//! Must always hold: what was looked at is read again, so a pipe is as good as a file; a failure
//! while looking comes back at its place when the file is read. Memory: [`SNIFF_BYTES`] and the
//! decompressor.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::ImportError;
use crate::bitcoin::file::{Decompressed, decompressed, is_masked};
use crate::format::{ChainFormat, DetectError, SNIFF_BYTES};

/// A file whose first bytes are known, and of which nothing was read yet.
pub struct SourceFile {
    path: PathBuf,
    head: Vec<u8>,
    opened: Decompressed,
}

/// Gives its error once, then nothing.
struct Failing(Option<io::Error>);

impl Read for Failing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

/// Bytes taken from a file so far, before decompression.
#[derive(Clone, Debug)]
pub(super) struct BytesRead(Arc<AtomicU64>);

impl BytesRead {
    pub(super) fn get(&self) -> u64 {
        // A count for progress only, so no order with anything else is needed.
        self.0.load(Ordering::Relaxed)
    }
}

impl SourceFile {
    /// Opens a file, plain, bzip2, gzip or zstd, and looks at its first bytes.
    ///
    /// # Errors
    /// `Open`.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let cannot_open = |source| ImportError::Open {
            file: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(cannot_open)?;
        let Decompressed {
            mut stream,
            origin,
            bytes_read,
        } = decompressed(Box::new(file)).map_err(cannot_open)?;
        let mut head = Vec::with_capacity(SNIFF_BYTES);
        let looked = stream
            .by_ref()
            .take(SNIFF_BYTES as u64)
            .read_to_end(&mut head);
        let whole = Cursor::new(head.clone())
            .chain(Failing(looked.err()))
            .chain(stream);
        Ok(Self {
            path: path.to_owned(),
            head,
            opened: Decompressed {
                stream: Box::new(whole),
                origin,
                bytes_read,
            },
        })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The format that the first bytes tell.
    ///
    /// # Errors
    /// `Format`, with [`DetectError`] as its source.
    pub fn format(&self) -> Result<ChainFormat, ImportError> {
        match ChainFormat::detect(&self.head) {
            // The Bitcoin reader knows what to do about it.
            Err(DetectError::Unknown) if is_masked(&self.path, &self.head) => {
                Ok(ChainFormat::Bitcoin)
            }
            Err(source) => Err(ImportError::UnknownFormat {
                file: self.path.clone(),
                source,
            }),
            Ok(format) => Ok(format),
        }
    }

    /// Refuses a file that does not begin as one of this format.
    ///
    /// # Errors
    /// `OtherFormat`, `UnknownFormat`.
    pub fn expect(&self, format: ChainFormat) -> Result<(), ImportError> {
        if format.fits(&self.head) {
            return Ok(());
        }
        Err(ImportError::OtherFormat {
            file: self.path.clone(),
            expected: format,
            found: self.format()?,
        })
    }

    /// The file from its first byte, decompressed.
    pub(super) fn into_opened(self) -> (Decompressed, BytesRead) {
        let bytes_read = BytesRead(Arc::clone(&self.opened.bytes_read));
        (self.opened, bytes_read)
    }
}

impl std::fmt::Debug for SourceFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
