//! Packing sealed segments, and making a packed one plain again where it is cut.
//!
//! Invariants: a segment is packed beside appends and reads, which wait for nothing; its packed
//! file gets its name when all of it is durable and was read back record by record, and only then
//! the plain file goes; a cut on the way ends the packing, and waits for its end where it needs the
//! file that is being written. A crash leaves the plain file, the
//! packed one, or both, of which opening keeps the plain one. Cost: the segment is read twice and
//! compressed once, by the caller's thread; memory of two frames.

pub(crate) mod file;

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use zstd::bulk::Compressor;

use self::file::{FRAME_BYTES, HEADER_LEN, PackedFile, PackedHeader};
use crate::ahead::remove_spares;
use crate::checksum::checksum;
use crate::disk::{Access, Disk, DiskFile, read_full, write_all};
use crate::error::{LogError, LogResult};
use crate::log::{Log, Shared};
use crate::segment::SegmentNumber;
use crate::walk::{Segment, Step, Walk};

/// The name of a file that becomes a packed segment or a plain one again. What is left of it is
/// removed by opening.
pub(crate) const PACKING: &str = "packing.new";

/// What packing a segment came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Bytes of the plain file, which is gone.
    pub plain_bytes: u64,
    /// Bytes of the packed one.
    pub packed_bytes: u64,
}

/// Packs segments of a log, from any thread.
#[derive(Clone, Debug)]
pub struct Packer {
    shared: Arc<Shared>,
}

impl Log {
    /// A way to pack sealed segments, beside appends. Cheap to copy, for any thread.
    #[must_use]
    pub fn packer(&self) -> Packer {
        Packer {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Packer {
    /// Packs a sealed segment. `None` where there is nothing to do: the segment is written to, is
    /// packed, is not there, was cut meanwhile, or would save less than a sixteenth.
    ///
    /// # Errors
    /// `Damaged` where a record of the segment does not check, `Full`, `Io`; the segment stays
    /// plain then.
    pub fn pack(&self, number: SegmentNumber) -> LogResult<Option<Packed>> {
        let shared = &self.shared;
        let packing = shared.packing.lock();
        let _one_at_a_time = packing.unwrap_or_else(PoisonError::into_inner);
        let cuts = shared.cuts.load(Ordering::Acquire);
        let is_sealed = shared.known(|known| {
            let is_there = known.firsts.contains_key(&number);
            is_there && known.firsts.keys().next_back() != Some(&number)
        });
        let is_plain = || shared.disk.open(&number.file_name(), Access::Read).is_ok();
        let is_being_cut = cuts % 2 == 1;
        if is_being_cut || !is_sealed || !is_plain() {
            return Ok(None);
        }
        let done = match self.pack_sealed(number, cuts) {
            // Its file was another one's already, or gone.
            Err(_) if shared.cuts.load(Ordering::Acquire) != cuts => Ok(None),
            done => done,
        };
        if !matches!(done, Ok(Some(_))) {
            // Opening removes what cannot be removed now.
            let _removed = shared.disk.remove(PACKING);
        }
        done
    }

    fn pack_sealed(&self, number: SegmentNumber, cuts: u64) -> LogResult<Option<Packed>> {
        let shared = &self.shared;
        let plain = shared.open_segment(number, Access::Read)?;
        let place = shared.disk.place(PACKING);
        let plain_bytes = plain.len()?;
        let file = fresh(&*shared.disk).map_err(|error| shared.io(PACKING, error))?;
        let is_cut = || shared.cuts.load(Ordering::Acquire) != cuts;
        let written = write_packed(&*plain.file, plain_bytes, &*file, FRAME_BYTES, &is_cut);
        let packed_bytes = written.map_err(|error| LogError::io(place.clone(), error))?;
        if packed_bytes > plain_bytes / 16 * 15 {
            return Ok(None);
        }
        let packed = PackedFile::open(file).map_err(|error| LogError::io(place.clone(), error))?;
        let of = (shared.chain, number);
        let packed = Segment::open(Arc::new(packed), place.into(), of)?;
        if packed.checksum != plain.checksum {
            return Err(packed.damaged(0, "the packed segment is another one"));
        }
        let mut walk = Walk::new(packed);
        loop {
            match walk.step()? {
                Step::Record(..) if is_cut() => return Ok(None),
                Step::Record(..) => {}
                Step::End(_) if walk.offset == plain_bytes => break,
                Step::End(what) => return Err(plain.damaged(walk.offset, what)),
            }
        }
        let _names = shared.names();
        if is_cut() {
            return Ok(None);
        }
        let packed_name = number.packed_name();
        let changed = shared.disk.rename(PACKING, &packed_name);
        let changed = changed.and_then(|()| shared.disk.sync_names());
        let changed = changed.and_then(|()| shared.disk.remove(&number.file_name()));
        let changed = changed.and_then(|()| shared.disk.sync_names());
        changed.map_err(|error| shared.io(&packed_name, error))?;
        shared.change(|known| known.open.remove(&number));
        Ok(Some(Packed {
            plain_bytes,
            packed_bytes,
        }))
    }
}

/// An empty file of the name in which segments are made.
fn fresh(disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
    match disk.open(PACKING, Access::Overwrite) {
        Ok(left) => left.set_len(0).map(|()| left),
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(PACKING),
        Err(error) => Err(error),
    }
}

/// Writes the packed form of a plain file, durably, and says how long it is; gives up where it is
/// told to, as if it was interrupted.
pub(crate) fn write_packed(
    plain: &dyn DiskFile,
    plain_bytes: u64,
    file: &dyn DiskFile,
    frame_bytes: u32,
    gives_up: &dyn Fn() -> bool,
) -> io::Result<u64> {
    let mut header = PackedHeader {
        plain_bytes,
        frame_bytes,
        table_checksum: 0,
    };
    let frames = usize::try_from(header.frames()).map_err(io::Error::other)?;
    let mut table = Vec::with_capacity(4 * frames);
    let mut zstd = Compressor::new(zstd::DEFAULT_COMPRESSION_LEVEL)?;
    let mut frame = vec![0; frame_bytes as usize];
    let mut packed = vec![0; zstd::zstd_safe::compress_bound(frame.len())];
    let mut end = (HEADER_LEN + 4 * frames) as u64;
    let mut at = 0;
    while at < plain_bytes {
        if gives_up() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let len = usize::try_from(plain_bytes - at).unwrap_or(usize::MAX);
        let part = &mut frame[..len.min(frame_bytes as usize)];
        if read_full(plain, at, part)? < part.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let bytes = zstd.compress_to_buffer(part, &mut packed[..])?;
        write_all(file, end, [packed.get(..bytes).unwrap_or_default()])?;
        // A packed frame is a few bytes longer than a plain one at most.
        table.extend_from_slice(&u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes());
        end += bytes as u64;
        at += part.len() as u64;
    }
    header.table_checksum = checksum(&table);
    write_all(file, 0, [&header.encode(), &table])?;
    file.sync()?;
    Ok(end)
}

/// Makes a packed segment plain again, so that it can be cut and written to. Whoever calls holds
/// the names, and keeps everybody from packing, which writes to the same file.
pub(crate) fn make_plain(shared: &Shared, number: SegmentNumber) -> LogResult<()> {
    let packed = shared.open_segment(number, Access::Read)?;
    match unpack(shared, &packed) {
        // A cut has to come to its end, and opening as well: what is only kept for its bytes goes.
        Err(LogError::Full { .. }) if remove_spares(shared) => unpack(shared, &packed)?,
        unpacked => unpacked?,
    }
    let disk = &shared.disk;
    let changed = disk.rename(PACKING, &number.file_name());
    let changed = changed.and_then(|()| disk.sync_names());
    let changed = changed.and_then(|()| disk.remove(&number.packed_name()));
    let changed = changed.and_then(|()| disk.sync_names());
    changed.map_err(|error| shared.io(PACKING, error))?;
    shared.change(|known| known.open.remove(&number));
    Ok(())
}

/// Writes the plain form of a packed segment, durably.
fn unpack(shared: &Shared, packed: &Segment) -> LogResult<()> {
    let io = |error| shared.io(PACKING, error);
    let file = fresh(&*shared.disk).map_err(io)?;
    let (bytes, mut at) = (packed.len()?, 0);
    let mut part = vec![0; FRAME_BYTES as usize];
    while at < bytes {
        let read = read_full(&*packed.file, at, &mut part).map_err(|error| packed.io(error))?;
        if read == 0 {
            return Err(packed.damaged(at, "the packed segment ends before it should"));
        }
        write_all(&*file, at, [part.get(..read).unwrap_or_default()]).map_err(io)?;
        at += read as u64;
    }
    file.sync().map_err(io)
}
