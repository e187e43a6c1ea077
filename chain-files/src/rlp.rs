//! Recursive length prefix (Ethereum Yellow Paper, appendix B), strict, over a slice.
//!
//! Only the one canonical form of a value is taken: the shortest length, no leading zero in a
//! length or an integer, a byte below 0x80 as itself. Must always hold: no function recurses, none
//! allocates while reading, and an item never reaches past the slice that holds it. Cost: an item
//! is told from its first nine bytes; [`check_nested`] visits every item once.

use crate::error::Fault;

#[cfg(test)]
mod tests;

/// Deepest nesting of lists that is read. A block of Ethereum needs six.
pub const DEPTH_MAX: usize = 16;

/// Longest head of an item in bytes: the first byte and eight of length.
pub const HEAD_BYTES_MAX: usize = 9;

/// The two kinds of items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string of bytes; integers too are written so.
    Bytes,
    /// A list of items.
    List,
}

/// What the first bytes of an item say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The kind of the item.
    pub kind: Kind,
    /// Bytes before the payload, 0 to 9.
    pub head_bytes: usize,
    /// Bytes of the payload as stated, not yet held against anything.
    pub payload_bytes: u64,
}

impl Head {
    /// Bytes of a head that begins with this byte, 0 for a byte that stands for itself.
    #[must_use]
    pub fn bytes_for(first: u8) -> usize {
        match first {
            0x00..=0x7f => 0,
            0x80..=0xb7 | 0xc0..=0xf7 => 1,
            0xb8..=0xbf => usize::from(first - 0xb7) + 1,
            0xf8..=0xff => usize::from(first - 0xf7) + 1,
        }
    }

    /// Reads a head.
    ///
    /// # Errors
    ///
    /// [`Fault::Overrun`] when bytes are missing, [`Fault::NotCanonical`].
    pub fn decode(bytes: &[u8], what: &'static str) -> Result<Self, Fault> {
        let Some(&first) = bytes.first() else {
            return Err(overrun(what, 1, 0));
        };
        let head_bytes = Self::bytes_for(first);
        let kind = if first < 0xc0 {
            Kind::Bytes
        } else {
            Kind::List
        };
        let payload_bytes = match first {
            0x00..=0x7f => 1,
            0x80..=0xb7 => u64::from(first - 0x80),
            0xc0..=0xf7 => u64::from(first - 0xc0),
            0xb8..=0xbf | 0xf8..=0xff => {
                let Some(length) = bytes.get(1..head_bytes) else {
                    return Err(overrun(what, head_bytes as u64, bytes.len() as u64));
                };
                let value = length
                    .iter()
                    .fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
                if length.first() == Some(&0) || value <= 55 {
                    return Err(Fault::NotCanonical { what });
                }
                value
            }
        };
        Ok(Self {
            kind,
            head_bytes,
            payload_bytes,
        })
    }
}

/// One item, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    kind: Kind,
    encoded: &'a [u8],
    head_bytes: usize,
}

impl<'a> Item<'a> {
    /// Reads the item that begins at the first byte and gives what follows it.
    ///
    /// # Errors
    ///
    /// [`Fault::Overrun`], [`Fault::NotCanonical`].
    pub fn split(bytes: &'a [u8], what: &'static str) -> Result<(Self, &'a [u8]), Fault> {
        let head = Head::decode(bytes, what)?;
        let left = (bytes.len() - head.head_bytes.min(bytes.len())) as u64;
        if head.payload_bytes > left {
            return Err(overrun(what, head.payload_bytes, left));
        }
        let end = head.head_bytes + head.payload_bytes as usize;
        let (encoded, rest) = bytes.split_at(end);
        // One byte below 0x80 has to stand for itself.
        if head.head_bytes == 1
            && head.kind == Kind::Bytes
            && matches!(encoded, [_, byte] if *byte < 0x80)
        {
            return Err(Fault::NotCanonical { what });
        }
        let item = Self {
            kind: head.kind,
            encoded,
            head_bytes: head.head_bytes,
        };
        Ok((item, rest))
    }

    /// Reads the one item that fills the slice.
    ///
    /// # Errors
    ///
    /// As [`split`](Self::split), and [`Fault::Trailing`].
    pub fn whole(bytes: &'a [u8], what: &'static str) -> Result<Self, Fault> {
        let (item, rest) = Self::split(bytes, what)?;
        end_of(rest, what)?;
        Ok(item)
    }

    /// The kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The item with its head.
    #[must_use]
    pub fn encoded(&self) -> &'a [u8] {
        self.encoded
    }

    /// The item without its head.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.encoded[self.head_bytes..]
    }

    /// The items of a list.
    ///
    /// # Errors
    ///
    /// [`Fault::Kind`].
    pub fn list(&self, what: &'static str) -> Result<Items<'a>, Fault> {
        match self.kind {
            Kind::List => Ok(Items {
                rest: self.payload(),
            }),
            Kind::Bytes => Err(Fault::Kind {
                what,
                expected: "list",
            }),
        }
    }

    /// The bytes of a string.
    ///
    /// # Errors
    ///
    /// [`Fault::Kind`].
    pub fn bytes(&self, what: &'static str) -> Result<&'a [u8], Fault> {
        match self.kind {
            Kind::Bytes => Ok(self.payload()),
            Kind::List => Err(Fault::Kind {
                what,
                expected: "byte string",
            }),
        }
    }

    /// The bytes of a string of fixed size.
    ///
    /// # Errors
    ///
    /// [`Fault::Kind`], [`Fault::Length`].
    pub fn array<const N: usize>(&self, what: &'static str) -> Result<[u8; N], Fault> {
        let bytes = self.bytes(what)?;
        <[u8; N]>::try_from(bytes).map_err(|_| Fault::Length {
            what,
            expected_bytes: N as u64,
            found_bytes: bytes.len() as u64,
        })
    }

    /// An integer, most significant byte first and right-aligned.
    ///
    /// # Errors
    ///
    /// [`Fault::Kind`], [`Fault::NotCanonical`] on a leading zero, [`Fault::OverLimit`] when it has
    /// more than `N` bytes.
    pub fn integer<const N: usize>(&self, what: &'static str) -> Result<[u8; N], Fault> {
        let bytes = self.bytes(what)?;
        if bytes.first() == Some(&0) {
            return Err(Fault::NotCanonical { what });
        }
        let mut value = [0; N];
        let Some(skip) = N.checked_sub(bytes.len()) else {
            return Err(Fault::OverLimit {
                what,
                found: bytes.len() as u64,
                limit: N as u64,
            });
        };
        value[skip..].copy_from_slice(bytes);
        Ok(value)
    }

    /// An integer of at most 64 bits.
    ///
    /// # Errors
    ///
    /// As [`integer`](Self::integer).
    pub fn uint(&self, what: &'static str) -> Result<u64, Fault> {
        self.integer(what).map(u64::from_be_bytes)
    }
}

/// The items of a list, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    rest: &'a [u8],
}

impl<'a> Items<'a> {
    /// The next item; `None` at the end.
    ///
    /// # Errors
    ///
    /// As [`Item::split`].
    pub fn next_item(&mut self, what: &'static str) -> Result<Option<Item<'a>>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (item, rest) = Item::split(self.rest, what)?;
        self.rest = rest;
        Ok(Some(item))
    }

    /// The next item, which must be there.
    ///
    /// # Errors
    ///
    /// As [`Item::split`].
    pub fn expect(&mut self, what: &'static str) -> Result<Item<'a>, Fault> {
        let (item, rest) = Item::split(self.rest, what)?;
        self.rest = rest;
        Ok(item)
    }

    /// The bytes of the items that were not taken yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Must be at the end.
    ///
    /// # Errors
    ///
    /// [`Fault::Trailing`].
    pub fn end(self, what: &'static str) -> Result<(), Fault> {
        end_of(self.rest, what)
    }
}

/// Checks every item inside, down to the last, without recursion.
///
/// # Errors
///
/// [`Fault::TooDeep`] beyond [`DEPTH_MAX`] lists, [`Fault::Overrun`], [`Fault::NotCanonical`].
pub fn check_nested(item: Item<'_>) -> Result<(), Fault> {
    let what = "RLP item";
    // The rests of the lists that are open, outermost first; a fixed array, so no allocation.
    let mut open: [&[u8]; DEPTH_MAX] = [&[]; DEPTH_MAX];
    let mut depth = 0;
    let mut current = Some(item);
    loop {
        if let Some(item) = current.take()
            && item.kind == Kind::List
        {
            let Some(slot) = open.get_mut(depth) else {
                return Err(Fault::TooDeep { limit: DEPTH_MAX });
            };
            *slot = item.payload();
            depth += 1;
        }
        let Some(rest) = depth.checked_sub(1).and_then(|top| open.get_mut(top)) else {
            return Ok(());
        };
        if rest.is_empty() {
            depth -= 1;
        } else {
            let (item, left) = Item::split(rest, what)?;
            *rest = left;
            current = Some(item);
        }
    }
}

/// Appends a byte string.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    if !matches!(bytes, [byte] if *byte < 0x80) {
        put_head(out, Kind::Bytes, bytes.len());
    }
    out.extend_from_slice(bytes);
}

/// Appends an integer in its shortest form.
pub fn put_uint(out: &mut Vec<u8>, value: u64) {
    let skip = (value.leading_zeros() / 8) as usize;
    put_bytes(out, &value.to_be_bytes()[skip..]);
}

/// Appends a list whose items are what `items` appends.
///
/// Cost: the items are moved once by the length of the head.
pub fn put_list(out: &mut Vec<u8>, items: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    items(out);
    let payload_bytes = out.len() - start;
    let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
    put_head(&mut head, Kind::List, payload_bytes);
    out.splice(start..start, head);
}

/// Appends the head of an item with a payload of so many bytes.
pub fn put_head(out: &mut Vec<u8>, kind: Kind, payload_bytes: usize) {
    let base: u8 = match kind {
        Kind::Bytes => 0x80,
        Kind::List => 0xc0,
    };
    if payload_bytes <= 55 {
        out.push(base + payload_bytes as u8);
        return;
    }
    let length = (payload_bytes as u64).to_be_bytes();
    let skip = ((payload_bytes as u64).leading_zeros() / 8) as usize;
    out.push(base + 55 + (length.len() - skip) as u8);
    out.extend_from_slice(&length[skip..]);
}

fn end_of(rest: &[u8], what: &'static str) -> Result<(), Fault> {
    if rest.is_empty() {
        return Ok(());
    }
    Err(Fault::Trailing {
        what,
        count_bytes: rest.len() as u64,
    })
}

fn overrun(what: &'static str, wanted_bytes: u64, left_bytes: u64) -> Fault {
    Fault::Overrun {
        what,
        wanted_bytes,
        left_bytes,
    }
}
