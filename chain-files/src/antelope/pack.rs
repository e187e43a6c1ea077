//! The packed form of Antelope's types: fixed-width numbers, counts of 7 bits a byte, no padding.
//!
//! The same decoder reads a block from a slice and from a stream whose entries state no length.
//! Must always hold: a taken range lies within what has arrived; a stream holds every length
//! against the limit before it reads.

use std::io::Read;
use std::ops::Range;

use crate::error::Fault;
use crate::input::Input;

/// Longest form of a count: 32 bits, 7 a byte.
const COUNT_BYTES_MAX: u32 = 5;

/// Where the bytes of a block come from.
pub(super) trait Source {
    /// Takes the next bytes and says where in [`bytes`](Self::bytes) they are.
    fn take(&mut self, count: u64, what: &'static str) -> Result<Range<usize>, Fault>;

    /// All bytes taken so far (a slice may give more).
    fn bytes(&self) -> &[u8];

    /// Bytes taken so far.
    fn taken(&self) -> usize;

    /// The next `N` bytes.
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Fault> {
        let range = self.take(N as u64, what)?;
        let mut bytes = [0; N];
        for (slot, byte) in bytes
            .iter_mut()
            .zip(self.bytes().get(range).unwrap_or_default())
        {
            *slot = *byte;
        }
        Ok(bytes)
    }

    fn byte(&mut self, what: &'static str) -> Result<u8, Fault> {
        self.array(what).map(|[byte]| byte)
    }

    /// A count or length; only its shortest form is taken.
    fn count(&mut self, what: &'static str) -> Result<u64, Fault> {
        let mut value = 0_u64;
        for place in 0..COUNT_BYTES_MAX {
            let byte = self.byte(what)?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                if (byte == 0 && place > 0) || value > u64::from(u32::MAX) {
                    return Err(Fault::NotCanonical { what });
                }
                return Ok(value);
            }
        }
        Err(Fault::NotCanonical { what })
    }

    /// A byte string behind its length.
    fn string(&mut self, what: &'static str) -> Result<Range<usize>, Fault> {
        let length = self.count(what)?;
        self.take(length, what)
    }

    /// A public key: K1 and R1 of 33 bytes, or a web authentication key.
    fn public_key(&mut self) -> Result<(), Fault> {
        let what = "public key";
        match self.byte(what)? {
            0 | 1 => self.take(33, what).map(|_| ()),
            2 => {
                self.take(34, what)?;
                self.string(what).map(|_| ())
            }
            kind => Err(unsupported("kind of public key", kind)),
        }
    }

    /// A signature of the same three kinds.
    fn signature(&mut self) -> Result<(), Fault> {
        let what = "signature";
        match self.byte(what)? {
            0 | 1 => self.take(65, what).map(|_| ()),
            2 => {
                self.take(65, what)?;
                self.string(what)?;
                self.string(what).map(|_| ())
            }
            kind => Err(unsupported("kind of signature", kind)),
        }
    }

    /// Extensions: a type and a byte string each.
    fn extensions(&mut self, what: &'static str) -> Result<(), Fault> {
        for _ in 0..self.count(what)? {
            self.take(2, what)?;
            self.string(what)?;
        }
        Ok(())
    }
}

pub(super) fn unsupported(what: &'static str, found: u8) -> Fault {
    Fault::Unsupported {
        what,
        found: u64::from(found),
    }
}

/// A block that is there as a whole.
pub(super) struct SliceSource<'a> {
    bytes: &'a [u8],
    taken: usize,
}

impl<'a> SliceSource<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, taken: 0 }
    }
}

impl Source for SliceSource<'_> {
    fn take(&mut self, count: u64, what: &'static str) -> Result<Range<usize>, Fault> {
        let left_bytes = (self.bytes.len() - self.taken) as u64;
        if count > left_bytes {
            return Err(Fault::Overrun {
                what,
                wanted_bytes: count,
                left_bytes,
            });
        }
        let start = self.taken;
        self.taken += count as usize;
        Ok(start..self.taken)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes
    }

    fn taken(&self) -> usize {
        self.taken
    }
}

/// A block that is read from a stream as far as its fields ask for it.
pub(super) struct StreamSource<'a, R> {
    pub(super) input: &'a mut Input<R>,
    pub(super) bytes: &'a mut Vec<u8>,
    pub(super) limit_bytes: u64,
}

impl<R: Read> Source for StreamSource<'_, R> {
    fn take(&mut self, count: u64, what: &'static str) -> Result<Range<usize>, Fault> {
        let start = self.bytes.len();
        let found = count.saturating_add(start as u64);
        if found > self.limit_bytes {
            return Err(Fault::OverLimit {
                what: "length of the block in bytes",
                found,
                limit: self.limit_bytes,
            });
        }
        self.input.append(self.bytes, count, what)?;
        Ok(start..self.bytes.len())
    }

    fn bytes(&self) -> &[u8] {
        self.bytes
    }

    fn taken(&self) -> usize {
        self.bytes.len()
    }
}
