//! Store URLs: `ENGINE:PATH`, `mem:`, or a bare path whose marker names the engine.
//!
//! Invariant: parsing never looks at the disk and never guesses; a one-letter scheme is a path (a
//! drive), everything else before the first colon is an engine's name if it looks like one.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use backend_kit::RawEngine;
use storage_api::{Error, ErrorKind};

/// The engines this project knows, compiled in or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EngineName {
    /// In memory; always compiled.
    Mem,
    /// redb, feature `redb`.
    Redb,
    /// LMDB, feature `lmdb`.
    Lmdb,
    /// RocksDB, feature `rocks`.
    Rocks,
}

impl EngineName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mem, Self::Redb, Self::Lmdb, Self::Rocks];

    /// URL scheme, marker and feature name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mem => "mem",
            Self::Redb => "redb",
            Self::Lmdb => "lmdb",
            Self::Rocks => "rocks",
        }
    }

    /// Whether this build has it.
    #[must_use]
    pub const fn is_compiled(self) -> bool {
        match self {
            Self::Mem => true,
            Self::Redb => cfg!(feature = "redb"),
            Self::Lmdb => cfg!(feature = "lmdb"),
            Self::Rocks => cfg!(feature = "rocks"),
        }
    }

    /// The engines of this build.
    pub fn compiled() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|engine| engine.is_compiled())
    }

    /// Version of how this build lays tables out in the engine, as the marker of a directory
    /// records it; `None` when the engine is not compiled in.
    #[must_use]
    pub const fn format(self) -> Option<u32> {
        match self {
            Self::Mem => Some(<backend_mem::MemEngine as RawEngine>::FORMAT),
            #[cfg(feature = "redb")]
            Self::Redb => Some(<backend_redb::RedbEngine as RawEngine>::FORMAT),
            #[cfg(feature = "lmdb")]
            Self::Lmdb => Some(<backend_lmdb::LmdbEngine as RawEngine>::FORMAT),
            #[cfg(feature = "rocks")]
            Self::Rocks => Some(<backend_rocks::RocksEngine as RawEngine>::FORMAT),
            #[cfg(not(all(feature = "redb", feature = "lmdb", feature = "rocks")))]
            _ => None,
        }
    }

    /// The error for an engine that this build does not have.
    #[must_use]
    pub fn not_compiled(self) -> Error {
        Error::new(ErrorKind::EngineNotCompiled {
            engine: self.as_str().to_owned(),
            feature: self.as_str().to_owned(),
            available: join(Self::compiled()),
        })
    }
}

fn join(engines: impl Iterator<Item = EngineName>) -> String {
    engines
        .map(EngineName::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

impl fmt::Display for EngineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EngineName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.as_str() == name)
            .ok_or_else(|| {
                Error::new(ErrorKind::UnknownEngine {
                    engine: name.to_owned(),
                    known: join(Self::ALL.into_iter()),
                })
            })
    }
}

/// Where a store is and, where said, of which engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `mem:`
    Memory,
    /// `ENGINE:PATH`
    Engine(EngineName, PathBuf),
    /// `PATH`; the marker in it names the engine.
    Path(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::invalid(
                "empty store URL; write ENGINE:PATH, PATH or mem:",
            ));
        }
        let Some((scheme, path)) = text.split_once(':') else {
            return Ok(Self::Path(PathBuf::from(text)));
        };
        let is_name = scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric());
        if !is_name {
            return Ok(Self::Path(PathBuf::from(text)));
        }
        match (scheme.parse()?, path) {
            (EngineName::Mem, "") => Ok(Self::Memory),
            (EngineName::Mem, path) => Err(Error::invalid(format!(
                "a store in memory has no path: mem:{path}"
            ))),
            (engine, "") => Err(Error::invalid(format!("{engine}: is missing its path"))),
            (engine, path) => Ok(Self::Engine(engine, PathBuf::from(path))),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("mem:"),
            Self::Engine(engine, path) => write!(f, "{engine}:{}", path.display()),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &StoreUrl) {
        assert_eq!(
            text.parse::<StoreUrl>().ok().as_ref(),
            Some(expected),
            "{text}"
        );
    }

    #[test]
    fn urls() {
        check("mem:", &StoreUrl::Memory);
        check(
            "redb:a/b",
            &StoreUrl::Engine(EngineName::Redb, "a/b".into()),
        );
        check(
            "lmdb:/x:y",
            &StoreUrl::Engine(EngineName::Lmdb, "/x:y".into()),
        );
        check("./a:b", &StoreUrl::Path("./a:b".into()));
        check("c:\\data", &StoreUrl::Path("c:\\data".into()));
        for bad in ["", "mem:x", "rocks:", "leveldb:x"] {
            assert!(bad.parse::<StoreUrl>().is_err(), "{bad:?}");
        }
    }
}
