//! Leaf: a sorted run of entries with an index of fixed size and two byte buffers.
//!
//! The index (heads and slots) is part of the node; the bytes of an entry (key, then value) lie in
//! one of two buffers. `base` is packed and shared between versions of the leaf; `patch` belongs to
//! one version and takes new bytes. Copying a shared leaf therefore copies the index and a small
//! patch, not the base; a patch that outgrew [`PATCH_MAX_BYTES`] is merged into a fresh base by the
//! copy. Entries over [`INLINE_MAX_BYTES`] live in a shared [`Blob`] of their own.
//!
//! Invariants: keys strictly ascending; every key starts with the `skip` bytes of the first one;
//! `heads[i]` is the head of key `i` after `skip` bytes and `PAD` past `len`; `live_bytes` is the
//! sum of the inline entries; dead bytes in the buffers stay under about half the live ones plus
//! a constant after every edit. Edits cost O(capacity) index moves plus the bytes written.
//! The limits below were chosen by `benches/tree.rs`; between half and twice each of them the
//! figures are flat, except that scans like large leaves.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use super::Totals;
use super::heads::{self, PAD};

/// Most entries in a leaf.
pub(super) const LEAF_CAPACITY: usize = 48;
/// Most inline bytes in a leaf of more than one entry.
pub(super) const LEAF_MAX_BYTES: usize = 12 << 10;
/// Entries whose key and value together are longer than this go out of line.
pub(super) const INLINE_MAX_BYTES: usize = 1 << 10;
/// The largest patch that is copied with its leaf; a larger one is merged into a new base.
const PATCH_MAX_BYTES: usize = 3 << 9;
/// Dead bytes tolerated beyond half of the live ones before the buffers are rewritten.
const DEAD_SLACK_BYTES: usize = 512;
/// A leaf below both minima is underfull and is merged with a neighbour that has room.
const LEAF_MIN_ENTRIES: usize = LEAF_CAPACITY / 4;
const LEAF_MIN_BYTES: usize = LEAF_MAX_BYTES / 4;
/// What the allocator and the counters of an `Arc` add to one allocation.
pub(super) const ALLOCATION_OVERHEAD_BYTES: usize = 16;

/// In [`Slot::offset`]: the bytes are in the patch, not in the base.
const IN_PATCH: u32 = 1 << 31;
/// In [`Slot::key_len`]: the entry is out of line and `offset` is its index in `blobs`.
const OUT_OF_LINE: u16 = u16::MAX;

/// Where the bytes of one entry are.
#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    offset: u32,
    key_len: u16,
    value_len: u16,
}

impl Slot {
    fn is_out_of_line(self) -> bool {
        self.key_len == OUT_OF_LINE
    }

    fn inline_len(self) -> usize {
        if self.is_out_of_line() {
            return 0;
        }
        usize::from(self.key_len) + usize::from(self.value_len)
    }
}

/// An entry too large for the leaf, shared by all versions that hold it.
#[derive(Debug)]
struct Blob {
    key_len: usize,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(key: &[u8], value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(key.len() + value.len());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(value);
        Self {
            key_len: key.len(),
            bytes,
        }
    }

    fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + size_of::<Self>() + 2 * ALLOCATION_OVERHEAD_BYTES
    }
}

/// Which buffer a rebuilt leaf starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Into {
    /// Packed bytes that later copies share.
    Base,
    /// Bytes that this leaf goes on editing.
    Patch,
}

/// See the head of this file. The order of the fields is that of use: what every read needs lies
/// in the first cache line, beside the counter of the `Arc`, and the heads follow.
#[derive(Clone, Debug)]
#[repr(C)]
pub(super) struct Leaf {
    len: u16,
    skip: u32,
    base: Option<Arc<[u8]>>,
    patch: Vec<u8>,
    heads: [u64; LEAF_CAPACITY],
    live_bytes: u32,
    payload_bytes: usize,
    blob_heap_bytes: usize,
    blobs: Vec<Arc<Blob>>,
    slots: [Slot; LEAF_CAPACITY],
}

impl Leaf {
    /// A leaf of one entry.
    pub(super) fn single(key: &[u8], value: &[u8]) -> Self {
        let mut leaf = Self::with_patch(Vec::new());
        leaf.insert_at(0, key, value);
        leaf
    }

    fn with_patch(patch: Vec<u8>) -> Self {
        Self {
            len: 0,
            skip: 0,
            live_bytes: 0,
            payload_bytes: 0,
            blob_heap_bytes: 0,
            base: None,
            patch,
            blobs: Vec::new(),
            heads: [PAD; LEAF_CAPACITY],
            slots: [Slot::default(); LEAF_CAPACITY],
        }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.len)
    }

    /// Entries, payload and heap of this leaf; the shared base is counted in full.
    pub(super) fn totals(&self) -> Totals {
        let base = self
            .base
            .as_ref()
            .map_or(0, |base| base.len() + 2 * ALLOCATION_OVERHEAD_BYTES);
        let patch = match self.patch.capacity() {
            0 => 0,
            capacity => capacity + ALLOCATION_OVERHEAD_BYTES,
        };
        Totals {
            entries: self.len(),
            payload_bytes: self.payload_bytes,
            heap_bytes: size_of::<Self>()
                + 2 * ALLOCATION_OVERHEAD_BYTES
                + base
                + patch
                + self.blobs.capacity() * size_of::<Arc<Blob>>()
                + self.blob_heap_bytes,
        }
    }

    /// The entry at `index`, which must be below `len`.
    #[inline]
    pub(super) fn entry(&self, index: usize) -> (&[u8], &[u8]) {
        let slot = self.slots[index];
        if slot.is_out_of_line() {
            let blob = &self.blobs[slot.offset as usize];
            return blob.bytes.split_at(blob.key_len);
        }
        self.inline_bytes(slot).split_at(usize::from(slot.key_len))
    }

    #[inline]
    pub(super) fn key(&self, index: usize) -> &[u8] {
        self.entry(index).0
    }

    #[inline]
    fn inline_bytes(&self, slot: Slot) -> &[u8] {
        let start = (slot.offset & !IN_PATCH) as usize;
        let buffer = if slot.offset & IN_PATCH != 0 {
            self.patch.as_slice()
        } else {
            self.base.as_deref().unwrap_or_default()
        };
        &buffer[start..start + slot.inline_len()]
    }

    /// Where `key` is, or where it would be inserted.
    #[inline(always)]
    pub(super) fn find(&self, key: &[u8]) -> Result<usize, usize> {
        let skip = self.skip as usize;
        if skip > 0 {
            match heads::against_prefix(key, &self.key(0)[..skip]) {
                Ordering::Less => return Err(0),
                Ordering::Greater => return Err(self.len()),
                Ordering::Equal => {}
            }
        }
        let wanted = heads::head(key, skip);
        let equal = heads::equal_heads(&self.heads[..self.len()], wanted);
        self.find_among(equal, key)
    }

    /// Binary search by whole keys among entries with the same head.
    #[inline]
    fn find_among(&self, range: Range<usize>, key: &[u8]) -> Result<usize, usize> {
        let Range {
            start: mut low,
            end: mut high,
        } = range;
        while low < high {
            let middle = low.midpoint(high);
            match self.key(middle).cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return Ok(middle),
            }
        }
        Err(low)
    }

    /// Whether the leaf is small enough to be merged away.
    pub(super) fn is_underfull(&self) -> bool {
        self.len() < LEAF_MIN_ENTRIES && (self.live_bytes as usize) < LEAF_MIN_BYTES
    }

    /// Whether the entries of both fit one leaf with room to spare. Two underfull leaves always do.
    pub(super) fn can_merge(&self, other: &Self) -> bool {
        self.len() + other.len() <= LEAF_CAPACITY / 4 * 3
            && (self.live_bytes + other.live_bytes) as usize <= LEAF_MAX_BYTES / 4 * 3
    }

    /// Whether the entry can be stored at the place that [`Leaf::find`] gave, without a split.
    pub(super) fn has_room(&self, place: Result<usize, usize>, key: &[u8], value: &[u8]) -> bool {
        let needed = inline_need(key, value);
        let live = self.live_bytes as usize;
        match place {
            Ok(at) => {
                self.len() == 1
                    || live - self.slots[at].inline_len() + needed <= LEAF_MAX_BYTES
                    || needed <= self.slots[at].inline_len()
            }
            Err(_) => {
                self.len() < LEAF_CAPACITY && (self.len() == 0 || live + needed <= LEAF_MAX_BYTES)
            }
        }
    }

    /// Brings the line of the counter into the cache; see [`heads::touch`].
    #[inline]
    pub(super) fn touch(&self) {
        heads::touch(&self.len);
    }

    /// Brings into the cache what a copy of the leaf reads: the index, the patch, and the line of
    /// the counter of the base.
    pub(super) fn touch_for_copy(&self, key: &[u8]) {
        heads::touch(&self.find(key).is_ok());
        heads::touch(&self.blobs.len());
        self.touch_buffers();
        self.slots
            .chunks(8)
            .filter_map(<[Slot]>::first)
            .for_each(|slot| heads::touch(&slot.offset));
        self.patch
            .chunks(64)
            .filter_map(<[u8]>::first)
            .for_each(heads::touch);
    }

    /// Brings the lines of the two buffers' counters and allocator headers into the cache.
    #[inline]
    pub(super) fn touch_buffers(&self) {
        self.base
            .as_ref()
            .and_then(|base| base.first())
            .into_iter()
            .for_each(heads::touch);
        self.patch.first().into_iter().for_each(heads::touch);
    }

    /// The same entries as a node of its own with room for `spare_bytes` more.
    pub(super) fn copy(&self, spare_bytes: usize) -> Self {
        if self.patch.len() > PATCH_MAX_BYTES || self.dead_bytes() > self.dead_limit() {
            let mut copy = Self::build(&[(self, 0..self.len())], Into::Base, 0);
            copy.patch = Vec::with_capacity(spare_bytes);
            return copy;
        }
        self.touch_buffers();
        let mut patch = Vec::with_capacity(self.patch.len() + spare_bytes);
        patch.extend_from_slice(&self.patch);
        Self {
            base: self.base.clone(),
            patch,
            blobs: self.blobs.clone(),
            ..*self
        }
    }

    /// The entries of `self` and `right`, whose keys must all be greater.
    pub(super) fn merge(&self, right: &Self) -> Self {
        Self::build(
            &[(self, 0..self.len()), (right, 0..right.len())],
            Into::Patch,
            0,
        )
    }

    /// Two leaves with the entries before and from `at`; `spare_bytes` of room in each.
    pub(super) fn split(&self, at: usize, spare_bytes: usize) -> (Self, Self) {
        let left = Self::build(&[(self, 0..at)], Into::Patch, spare_bytes);
        let right = Self::build(&[(self, at..self.len())], Into::Patch, spare_bytes);
        (left, right)
    }

    /// The place that halves the leaf: by entries when it is full, by bytes otherwise. Needs at
    /// least two entries and leaves at least one on each side.
    pub(super) fn split_point(&self) -> usize {
        if self.len() == LEAF_CAPACITY {
            return self.len() / 2;
        }
        let half = self.live_bytes as usize / 2;
        let mut sum = 0;
        let middle = self.slots[..self.len()].iter().position(|slot| {
            sum += slot.inline_len();
            sum >= half
        });
        (middle.unwrap_or(0) + 1).min(self.len() - 1)
    }

    /// A leaf without entries that [`Leaf::append`] fills: with room for `spare_bytes`.
    pub(super) fn open(spare_bytes: usize) -> Self {
        Self::with_patch(Vec::with_capacity(spare_bytes))
    }

    /// Whether the entry can be added and the inline bytes stay within `limit_bytes`.
    pub(super) fn fits(&self, key: &[u8], value: &[u8], limit_bytes: usize) -> bool {
        self.live_bytes as usize + inline_need(key, value) <= limit_bytes
    }

    /// Adds an entry after all others, where there must be room. The heads are left for
    /// [`Leaf::seal`]; until then only the entries can be read.
    pub(super) fn append(&mut self, key: &[u8], value: &[u8]) {
        let at = self.len();
        self.slots[at] = self.store(key, value);
        self.len += 1;
        self.payload_bytes += key.len() + value.len();
    }

    /// The finished leaf of what was appended, its bytes packed in the shared base. What stays
    /// behind is open again, with the old buffer, which grows to `spare_bytes` if it is smaller.
    pub(super) fn seal(&mut self, spare_bytes: usize) -> Self {
        let mut sealed = std::mem::replace(self, Self::with_patch(Vec::new()));
        let mut bytes = std::mem::take(&mut sealed.patch);
        if !bytes.is_empty() {
            sealed.base = Some(Arc::from(bytes.as_slice()));
        }
        let len = sealed.len();
        for slot in &mut sealed.slots[..len] {
            if !slot.is_out_of_line() {
                slot.offset &= !IN_PATCH;
            }
        }
        sealed.choose_skip();
        bytes.clear();
        bytes.reserve_exact(spare_bytes);
        self.patch = bytes;
        sealed
    }

    /// Stores a new entry at `at`, where it belongs and where there is room.
    pub(super) fn insert_at(&mut self, at: usize, key: &[u8], value: &[u8]) {
        let len = self.len();
        let slot = self.store(key, value);
        if self.skip > 0 {
            let shared = heads::common_prefix(key, &self.key(0)[..self.skip as usize]);
            if shared < self.skip as usize {
                self.skip = shared as u32;
                self.fill_heads();
            }
        }
        self.heads.copy_within(at..len, at + 1);
        self.slots.copy_within(at..len, at + 1);
        self.heads[at] = heads::head(key, self.skip as usize);
        self.slots[at] = slot;
        self.len += 1;
        self.payload_bytes += key.len() + value.len();
    }

    /// Replaces the value of the entry at `at`, whose key is `key`.
    pub(super) fn replace_at(&mut self, at: usize, key: &[u8], value: &[u8]) {
        let old = self.entry(at).1.len();
        self.payload_bytes = self.payload_bytes - old + value.len();
        if !self.overwrite(at, key, value) {
            self.release(at);
            self.slots[at] = Slot::default();
            self.slots[at] = self.store(key, value);
        }
        self.bound_dead_bytes();
    }

    /// Removes the entries in `range`.
    pub(super) fn remove(&mut self, range: Range<usize>) {
        let len = self.len();
        for at in range.clone() {
            let (key, value) = self.entry(at);
            self.payload_bytes -= key.len() + value.len();
            self.release(at);
            self.slots[at] = Slot::default();
        }
        self.heads.copy_within(range.end..len, range.start);
        self.slots.copy_within(range.end..len, range.start);
        self.len -= range.len() as u16;
        for at in self.len()..len {
            self.heads[at] = PAD;
            self.slots[at] = Slot::default();
        }
        self.bound_dead_bytes();
    }

    /// Writes over the old value where it lies, if that place is ours and long enough.
    fn overwrite(&mut self, at: usize, key: &[u8], value: &[u8]) -> bool {
        let slot = self.slots[at];
        let fits = !slot.is_out_of_line() && value.len() <= usize::from(slot.value_len);
        if !fits {
            return false;
        }
        let start = (slot.offset & !IN_PATCH) as usize + key.len();
        let place = if slot.offset & IN_PATCH != 0 {
            Some(self.patch.as_mut_slice())
        } else {
            self.base.as_mut().and_then(Arc::get_mut)
        };
        let Some(place) = place else { return false };
        place[start..start + value.len()].copy_from_slice(value);
        self.slots[at].value_len = value.len() as u16;
        self.live_bytes -= u32::from(slot.value_len) - value.len() as u32;
        true
    }

    /// Puts the bytes of an entry into the patch or into a blob.
    fn store(&mut self, key: &[u8], value: &[u8]) -> Slot {
        let needed = key.len() + value.len();
        if needed > INLINE_MAX_BYTES {
            let blob = Blob::new(key, value);
            self.blob_heap_bytes += blob.heap_bytes();
            self.blobs.push(Arc::new(blob));
            return Slot {
                offset: self.blobs.len() as u32 - 1,
                key_len: OUT_OF_LINE,
                value_len: 0,
            };
        }
        self.reserve(needed);
        let offset = self.patch.len() as u32 | IN_PATCH;
        self.patch.extend_from_slice(key);
        self.patch.extend_from_slice(value);
        self.live_bytes += needed as u32;
        Slot {
            offset,
            key_len: key.len() as u16,
            value_len: value.len() as u16,
        }
    }

    /// Gives up the bytes of the entry at `at`; its slot is stale afterwards.
    fn release(&mut self, at: usize) {
        let slot = self.slots[at];
        if !slot.is_out_of_line() {
            self.live_bytes -= slot.inline_len() as u32;
            return;
        }
        let index = slot.offset as usize;
        let blob = self.blobs.swap_remove(index);
        self.blob_heap_bytes -= blob.heap_bytes();
        let moved = self.blobs.len() as u32;
        let len = self.len();
        for other in &mut self.slots[..len] {
            if other.is_out_of_line() && other.offset == moved {
                other.offset = slot.offset;
            }
        }
    }

    fn bound_dead_bytes(&mut self) {
        if self.dead_bytes() > self.dead_limit() {
            self.compact(0);
        }
    }

    fn dead_bytes(&self) -> usize {
        let base = self.base.as_ref().map_or(0, |base| base.len());
        base + self.patch.len() - self.live_bytes as usize
    }

    fn dead_limit(&self) -> usize {
        self.live_bytes as usize / 2 + DEAD_SLACK_BYTES
    }

    /// Makes room in the patch, by rewriting the buffers when much of them is dead.
    fn reserve(&mut self, needed: usize) {
        if self.patch.capacity() - self.patch.len() >= needed {
            return;
        }
        let growth = needed.max(self.patch.len() / 8);
        if self.dead_bytes() > self.dead_limit() {
            self.compact(growth);
        } else {
            self.patch.reserve_exact(growth);
        }
    }

    /// Moves all live bytes into a fresh patch.
    fn compact(&mut self, spare_bytes: usize) {
        let mut patch = Vec::with_capacity(self.live_bytes as usize + spare_bytes);
        for at in 0..self.len() {
            let slot = self.slots[at];
            if !slot.is_out_of_line() {
                self.slots[at].offset = patch.len() as u32 | IN_PATCH;
                patch.extend_from_slice(self.inline_bytes(slot));
            }
        }
        self.patch = patch;
        self.base = None;
    }

    /// A leaf of the given runs of entries, in this order.
    fn build(parts: &[(&Self, Range<usize>)], into: Into, spare_bytes: usize) -> Self {
        let slots = parts
            .iter()
            .flat_map(|(source, range)| &source.slots[range.clone()]);
        let live: usize = slots.map(|slot| slot.inline_len()).sum();
        let mark = if into == Into::Patch { IN_PATCH } else { 0 };
        let mut bytes = Vec::with_capacity(live + spare_bytes);
        let mut leaf = Self::with_patch(Vec::new());
        for (source, range) in parts {
            for slot in &source.slots[range.clone()] {
                let mut copy = *slot;
                if slot.is_out_of_line() {
                    let blob = &source.blobs[slot.offset as usize];
                    copy.offset = leaf.blobs.len() as u32;
                    leaf.blob_heap_bytes += blob.heap_bytes();
                    leaf.payload_bytes += blob.bytes.len();
                    leaf.blobs.push(Arc::clone(blob));
                } else {
                    copy.offset = bytes.len() as u32 | mark;
                    bytes.extend_from_slice(source.inline_bytes(*slot));
                }
                leaf.slots[leaf.len()] = copy;
                leaf.len += 1;
            }
        }
        leaf.live_bytes = live as u32;
        leaf.payload_bytes += live;
        match into {
            Into::Base => leaf.base = Some(Arc::from(bytes)),
            Into::Patch => leaf.patch = bytes,
        }
        leaf.choose_skip();
        leaf
    }

    /// Takes the longest prefix that all keys share and derives the heads from it.
    fn choose_skip(&mut self) {
        self.skip = match self.len() {
            0 | 1 => 0,
            len => {
                let shared = heads::common_prefix(self.key(0), self.key(len - 1));
                u32::try_from(shared).unwrap_or(u32::MAX)
            }
        };
        self.fill_heads();
    }

    fn fill_heads(&mut self) {
        for at in 0..self.len() {
            self.heads[at] = heads::head(self.key(at), self.skip as usize);
        }
    }
}

/// How many inline bytes the entry takes in a leaf.
fn inline_need(key: &[u8], value: &[u8]) -> usize {
    match key.len() + value.len() {
        needed if needed > INLINE_MAX_BYTES => 0,
        needed => needed,
    }
}

#[cfg(test)]
impl Leaf {
    /// Asserts the invariants in the head of this file.
    pub(super) fn check(&self) {
        let len = self.len();
        assert!(self.live_bytes as usize <= LEAF_MAX_BYTES || len == 1);
        assert!(
            self.dead_bytes() <= self.dead_limit(),
            "too many dead bytes"
        );
        let (live, dead) = (&self.slots[..len], &self.slots[len..]);
        let inline: usize = live.iter().map(|slot| slot.inline_len()).sum();
        assert_eq!(inline, self.live_bytes as usize);
        assert!(
            dead.iter()
                .all(|slot| slot.inline_len() == 0 && slot.offset == 0)
        );
        let mut blobs: Vec<u32> = live
            .iter()
            .filter(|slot| slot.is_out_of_line())
            .map(|slot| slot.offset)
            .collect();
        blobs.sort_unstable();
        assert!(
            blobs.iter().copied().eq(0..self.blobs.len() as u32),
            "each blob has one slot"
        );
        let blob_heap: usize = self.blobs.iter().map(|blob| blob.heap_bytes()).sum();
        assert_eq!(blob_heap, self.blob_heap_bytes);
        let rows = || (0..len).map(|at| self.entry(at));
        assert!(
            rows()
                .map(|row| row.0)
                .is_sorted_by(|left, right| left < right),
            "key order"
        );
        assert_eq!(
            rows().map(|row| row.0.len() + row.1.len()).sum::<usize>(),
            self.payload_bytes
        );
        let prefix = &self.key(0)[..self.skip as usize];
        for (at, (key, _)) in rows().enumerate() {
            assert!(key.starts_with(prefix), "key without the common prefix");
            assert_eq!(self.heads[at], heads::head(key, prefix.len()));
            assert_eq!(self.find(key), Ok(at));
        }
        assert!(self.heads[len..].iter().all(|head| *head == PAD));
    }
}
