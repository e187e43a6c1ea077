//! How a plain segment is laid out: its header, the headers of its records, their checksum. The
//! bytes are told in `docs/format/seglog.md`.
//!
//! Invariant: nothing here touches a file; what is decoded was compared with its checksum first.

pub(crate) mod checksum;
pub(crate) mod record;
pub(crate) mod segment;
