//! The keys of the configuration, one name each in the file, on the command line and in `config
//! show`.
//!
//! Invariant: a value that [`Key::check`] lets pass is one that the command line takes.

use chain_store::StoreUrl;
use clap::ValueEnum;

use super::colour::Choice;
use crate::metrics::Address;
use crate::output::Format;

/// A setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    Store,
    Output,
    Color,
    LogLevel,
    MemoryBudgetBytes,
    MetricsAddr,
}

/// What a file has to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Integer,
    TextOrInteger,
}

impl Type {
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Integer => "an integer",
            Self::TextOrInteger => "a string or an integer",
        }
    }
}

/// What is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogLevel {
    Off,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Key {
    pub(crate) const ALL: [Self; 6] = [
        Self::Store,
        Self::Output,
        Self::Color,
        Self::LogLevel,
        Self::MemoryBudgetBytes,
        Self::MetricsAddr,
    ];

    /// Its name in a file, which is the name of the argument, too.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Output => "output",
            Self::Color => "color",
            Self::LogLevel => "log_level",
            Self::MemoryBudgetBytes => "memory_budget_bytes",
            Self::MetricsAddr => "metrics_addr",
        }
    }

    /// Its flag.
    pub(super) const fn flag(self) -> &'static str {
        match self {
            Self::Store => "--store",
            Self::Output => "--output",
            Self::Color => "--color",
            Self::LogLevel => "--log-level",
            Self::MemoryBudgetBytes => "--memory-budget-bytes",
            Self::MetricsAddr => "--metrics-addr",
        }
    }

    /// Its environment variable; the others have several, with meanings of their own.
    pub(super) const fn variable(self) -> Option<&'static str> {
        match self {
            Self::Store => Some("CHAINSTORE_STORE"),
            Self::Output => Some("CHAINSTORE_OUTPUT"),
            Self::MemoryBudgetBytes => Some("CHAINSTORE_MEMORY_BUDGET_BYTES"),
            Self::MetricsAddr => Some("CHAINSTORE_METRICS_ADDR"),
            Self::Color | Self::LogLevel => None,
        }
    }

    /// Whether the command line's own definition carries the value; the others are decided from
    /// several sources.
    pub(super) const fn is_argument(self) -> bool {
        !matches!(self, Self::Color | Self::LogLevel)
    }

    pub(super) const fn kind(self) -> Type {
        match self {
            Self::Store | Self::Output | Self::Color | Self::LogLevel => Type::Text,
            Self::MemoryBudgetBytes => Type::Integer,
            Self::MetricsAddr => Type::TextOrInteger,
        }
    }

    /// What is wrong with a value.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        match self {
            Self::Store => value
                .parse::<StoreUrl>()
                .map(drop)
                .map_err(|error| error.to_string()),
            Self::Output => match Format::from_str(value, false) {
                Ok(format) if !format.is_page() => Ok(()),
                _ => Err("table, json or jsonl is needed".to_owned()),
            },
            Self::Color => Choice::from_str(value, false)
                .map(drop)
                .map_err(|_| "auto, always or never is needed".to_owned()),
            Self::LogLevel => LogLevel::from_str(value, false)
                .map(drop)
                .map_err(|_| "off, error, warn, info, debug or trace is needed".to_owned()),
            Self::MemoryBudgetBytes => match value.parse::<u64>() {
                Ok(1..) => Ok(()),
                _ => Err("a number of bytes from 1 on is needed".to_owned()),
            },
            Self::MetricsAddr => value.parse::<Address>().map(drop),
        }
    }
}
