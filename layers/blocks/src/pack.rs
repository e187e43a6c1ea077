//! Packing the segments of old blocks.
//!
//! Invariants: places stay true, so the index is not touched and views read on; only segments that
//! are not written to any more are packed; blocks are stored, read and cut meanwhile.

use storage_api::KvStore;
use storage_api::Reader;
use storage_api::blocks::{BlockResult, Height};

use crate::error::of_log;
use crate::store::SegmentBlocks;

/// What packing came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackReport {
    /// Segments that were packed.
    pub segments: u64,
    /// Their bytes before.
    pub plain_bytes: u64,
    /// Their bytes now.
    pub packed_bytes: u64,
}

impl<S: KvStore> SegmentBlocks<S> {
    /// Packs segments in which every block lies below this height: zstd in frames of 64 KiB, which
    /// can be read at random. Segments that are packed already, or would not gain a sixteenth, are
    /// passed over. Again after a crash it goes on. Cost: a read of each segment twice, on the
    /// caller's thread; a random read of a small body takes the unpacking of a frame afterwards.
    ///
    /// # Errors
    /// `Store` with `ReadOnly`, `Corruption` where a record does not check, `DiskFull`, `Io`.
    pub fn pack<R: Reader>(&self, reader: &R, below: Height) -> BlockResult<PackReport> {
        let packer = self.packer()?;
        let Some(tip) = self.index.tip(reader)? else {
            return Ok(PackReport::default());
        };
        let end = if below > tip.height {
            self.known_place(reader, tip.height)?.record.next()
        } else {
            self.place(reader, below)?
                .map_or(seglog::Height::default(), |at| at.record)
        };
        let mut report = PackReport::default();
        for pair in self.reader.segments().windows(2) {
            let [(number, _), (_, next)] = pair else {
                continue;
            };
            if *next > end {
                break;
            }
            if let Some(packed) = packer.pack(*number).map_err(of_log)? {
                report.segments += 1;
                report.plain_bytes += packed.plain_bytes;
                report.packed_bytes += packed.packed_bytes;
            }
        }
        Ok(report)
    }
}
