//! Misses.
use super::Known;
pub(super) const KNOWN: &[Known] = &[];
