//! A segment: the header of its file, and the names of files. Byte ruler: `docs/format/seglog.md`.
//!
//! Invariants: a file gets the name of a segment once its header and everything before it is
//! durable, so a segment always has a whole header; the header names the segment, the first height
//! and the chain, so a file that was renamed, swapped or taken from elsewhere is noticed.

use std::fmt;

use crate::checksum::checksum;
use crate::error::{LogError, LogResult};
use crate::{ChainTag, Height};

/// What a file of this format begins with: noticeably damaged by whatever treats it as text.
pub(crate) const MAGIC: [u8; 8] = *b"\x89SEGL\r\n\x1a";

/// The newest version of the format.
pub(crate) const VERSION: u16 = 1;

/// Bytes of the header of a segment, where its first record begins.
pub const SEGMENT_HEADER_BYTES: u64 = HEADER_LEN as u64;

pub(crate) const HEADER_LEN: usize = 64;

const CHECKED: usize = HEADER_LEN - 4;

/// The number of a segment, from 0, without a gap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(u64);

impl SegmentNumber {
    /// The segment of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The name of its file.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:010}.seg", self.0)
    }

    /// The name of its file when it is packed.
    #[must_use]
    pub fn packed_name(self) -> String {
        format!("{:010}.segz", self.0)
    }

    /// The segment whose file has this name, plain or packed.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (digits, _) = name.split_once('.')?;
        let number = Self(digits.parse().ok()?);
        (number.file_name() == name || number.packed_name() == name).then_some(number)
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a file that becomes a segment.
pub(crate) const COMING: &str = "coming.new";

/// The name of a file that was a segment and can become one again.
pub(crate) const SPARE: &str = "spare.old";

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) chain: ChainTag,
    pub(crate) number: SegmentNumber,
    pub(crate) first: Height,
    pub(crate) nonce: u32,
}

impl SegmentHeader {
    /// The bytes and their checksum.
    pub(crate) fn encode(&self) -> ([u8; HEADER_LEN], u32) {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.chain.get().to_le_bytes());
        bytes[24..32].copy_from_slice(&self.number.get().to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first.get().to_le_bytes());
        bytes[40..44].copy_from_slice(&self.nonce.to_le_bytes());
        let checksum = checksum(&bytes[..CHECKED]);
        bytes[CHECKED..].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// The header of the segment of this number and chain, and its checksum.
    pub(crate) fn decode(
        bytes: &[u8],
        (chain, number): (ChainTag, SegmentNumber),
        place: &dyn Fn() -> String,
    ) -> LogResult<(Self, u32)> {
        let damaged = |what| LogError::Damaged {
            place: place(),
            segment: number,
            offset: 0,
            what,
        };
        let Some(bytes) = bytes.first_chunk::<HEADER_LEN>() else {
            return Err(damaged("the file ends inside its header"));
        };
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let long = |at: usize| {
            let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
            bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
        };
        if bytes.first_chunk() != Some(&MAGIC) {
            return Err(damaged("the file does not begin as a segment"));
        }
        let checksum = checksum(&bytes[..CHECKED]);
        if checksum.to_le_bytes() != bytes[CHECKED..] {
            return Err(damaged("the header of the segment does not check"));
        }
        if half(8) != VERSION {
            return Err(LogError::TooNew {
                place: place(),
                found: half(8),
                known: VERSION,
            });
        }
        let header = Self {
            chain: ChainTag::new(long(16)),
            number: SegmentNumber::new(long(24)),
            first: Height::new(long(32)),
            nonce: (long(40) & u64::from(u32::MAX)) as u32,
        };
        if header.chain != chain {
            return Err(LogError::other_chain(place(), header.chain, chain));
        }
        if header.number != number {
            let what = format!("the file is segment {} and was renamed", header.number);
            return Err(LogError::Foreign {
                place: place(),
                what,
            });
        }
        Ok((header, checksum))
    }
}
