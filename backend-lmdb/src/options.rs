//! What only LMDB knows: the size of its map, the number of reader slots, read-ahead.
//!
//! Invariant: an option never changes a meaning, only limits and speed. Sizes are rounded to 64 KiB
//! here, so that every page size of an operating system divides them.

use storage_api::{Error, Result};

/// Address space that is reserved when the options name no limit, in bytes.
#[cfg(target_pointer_width = "64")]
pub(crate) const MAP_BYTES_DEFAULT: u64 = 1 << 40;
/// Address space that is reserved when the options name no limit, in bytes.
#[cfg(not(target_pointer_width = "64"))]
pub(crate) const MAP_BYTES_DEFAULT: u64 = 1 << 30;

/// The smallest map, in bytes: room for the two meta pages, the catalogue and a first transaction.
pub(crate) const MAP_BYTES_MIN: u64 = 1 << 20;

/// Reader slots when the options name no number.
pub(crate) const READERS_DEFAULT: u32 = 1024;

const MAP_STEP_BYTES: u64 = 64 << 10;

/// Whether the operating system reads ahead of a page fault in the map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadAhead {
    /// As the operating system decides; best while the store fits into memory or is scanned.
    #[default]
    System,
    /// Off; for random reads of a store larger than memory, where most of what is read ahead is
    /// thrown away.
    Off,
}

/// Options of the LMDB engine. Several read-only handles of one store in one process share one map,
/// with the options of the first.
///
/// `memory_budget_bytes` of the common options does not apply: LMDB has no cache of its own, pages
/// live in the page cache of the operating system. Beside it, a write transaction holds the pages
/// it changed on the heap, 512 MiB of them at most (131 071 pages) before it begins to write them
/// out early, and an open store holds about 3 MiB of lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LmdbOptions {
    /// The largest the store may become, in bytes, 1 MiB at least; `None` reserves 1 TiB of address
    /// space (1 GiB on 32-bit machines), halved as often as the operating system refuses. The map
    /// is address space, not disk: `data.mdb` is as long as what was written. Past it writes fail
    /// with `Full`, and opening with a larger one is enough to go on.
    pub map_bytes_max: Option<u64>,
    /// The map to begin with, in bytes; `None` maps all of `map_bytes_max` at once, so that it
    /// never has to grow. A smaller map doubles when a write transaction begins while more than
    /// half of it is used, or after one failed with `Full`, up to the maximum. Growing needs a
    /// moment without any view; while views live, the map stays as it is.
    pub map_bytes_initial: Option<u64>,
    /// The most views at once, 1 at least. Each takes 64 bytes of `lock.mdb`.
    pub readers_max: u32,
    /// Reading ahead.
    pub read_ahead: ReadAhead,
}

impl Default for LmdbOptions {
    fn default() -> Self {
        Self {
            map_bytes_max: None,
            map_bytes_initial: None,
            readers_max: READERS_DEFAULT,
            read_ahead: ReadAhead::System,
        }
    }
}

/// The sizes of the map that follow from the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapPlan {
    /// Bytes to map first.
    pub(crate) initial_bytes: u64,
    /// Bytes never to pass.
    pub(crate) max_bytes: u64,
    /// Whether a map that the system refuses may be halved, because nobody asked for this size.
    pub(crate) may_shrink: bool,
}

impl MapPlan {
    /// The plan of these options.
    ///
    /// # Errors
    /// `InvalidArgument` when a size is below 1 MiB, past the address space, or the initial one is
    /// above the maximum.
    pub(crate) fn new(options: &LmdbOptions) -> Result<Self> {
        let max_bytes = options.map_bytes_max.unwrap_or(MAP_BYTES_DEFAULT);
        let initial_bytes = options.map_bytes_initial.unwrap_or(max_bytes);
        let fits = usize::try_from(max_bytes).is_ok_and(|bytes| bytes <= isize::MAX as usize);
        if max_bytes < MAP_BYTES_MIN || initial_bytes < MAP_BYTES_MIN || !fits {
            return Err(Error::invalid(format!(
                "map of {initial_bytes}..={max_bytes} bytes is not within {MAP_BYTES_MIN}..={}",
                isize::MAX
            )));
        }
        if initial_bytes > max_bytes {
            return Err(Error::invalid(format!(
                "initial map of {initial_bytes} bytes is above its maximum of {max_bytes} bytes"
            )));
        }
        Ok(Self {
            initial_bytes: round(initial_bytes),
            max_bytes: round(max_bytes),
            may_shrink: options.map_bytes_max.is_none(),
        })
    }

    /// The next larger map after one of `bytes`.
    pub(crate) fn next_bytes(&self, bytes: u64) -> u64 {
        round(bytes.saturating_mul(2)).min(self.max_bytes)
    }
}

fn round(bytes: u64) -> u64 {
    bytes / MAP_STEP_BYTES * MAP_STEP_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(max: Option<u64>, initial: Option<u64>) -> Result<MapPlan> {
        MapPlan::new(&LmdbOptions {
            map_bytes_max: max,
            map_bytes_initial: initial,
            ..LmdbOptions::default()
        })
    }

    #[test]
    fn sizes_are_rounded_and_checked() {
        let planned = plan(Some(10_000_000), Some(1_100_000));
        assert_eq!(
            planned.ok(),
            Some(MapPlan {
                initial_bytes: 1_048_576,
                max_bytes: 9_961_472,
                may_shrink: false
            })
        );
        assert!(plan(Some(MAP_BYTES_MIN - 1), None).is_err());
        assert!(plan(Some(MAP_BYTES_MIN), Some(MAP_BYTES_MIN + 1)).is_err());
        assert!(plan(Some(u64::MAX), None).is_err());
    }

    #[test]
    fn growth_doubles_up_to_the_maximum() {
        let plan = MapPlan {
            initial_bytes: MAP_BYTES_MIN,
            max_bytes: 3 * MAP_BYTES_MIN,
            may_shrink: false,
        };
        assert_eq!(plan.next_bytes(MAP_BYTES_MIN), 2 * MAP_BYTES_MIN);
        assert_eq!(plan.next_bytes(2 * MAP_BYTES_MIN), 3 * MAP_BYTES_MIN);
        assert_eq!(plan.next_bytes(3 * MAP_BYTES_MIN), 3 * MAP_BYTES_MIN);
    }
}
