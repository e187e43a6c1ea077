//! The store as a thing in the world: opening, directory, durability, limits, errors, extensions.

pub(crate) mod bulk;
pub(crate) mod directory;
pub(crate) mod durability;
pub(crate) mod errors;
pub(crate) mod extension;
pub(crate) mod limits;
pub(crate) mod open;
pub(crate) mod replay;
