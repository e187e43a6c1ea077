//! Settings and where each comes from: flags, then the environment, then the file of `--config`,
//! then defaults.
//!
//! Invariants: a file is used only if it is named; a key or value in it that is not understood is
//! an error that names file, line and key, before anything runs; a setting that is understood takes
//! effect in every command that has it, because it becomes the default of the command line's own
//! definition; `config show` tells what came of it.

pub(crate) mod colour;
mod file;
mod key;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, ValueEnum};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::exit::Stop;
use crate::settings::colour::Choice;

pub(crate) use key::{Key, LogLevel};

/// Names the file where no `--config` does.
const CONFIG_VARIABLE: &str = "CHAINSTORE_CONFIG";
/// Decides what is logged, in the words of the tracing library.
const LOG_VARIABLE: &str = "RUST_LOG";

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    File(PathBuf, usize),
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Environment(variable) => write!(f, "environment {variable}"),
            Self::File(path, line) => write!(f, "file {} line {line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value below the flags.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Given {
    key: Key,
    value: String,
    origin: Origin,
}

/// An effective value.
#[derive(Clone, Debug)]
pub(crate) struct Effective {
    pub(crate) key: &'static str,
    pub(crate) value: Option<String>,
    pub(crate) origin: Origin,
}

/// What the environment and the file say.
#[derive(Debug)]
pub(crate) struct Settings {
    config: Option<(PathBuf, Origin)>,
    given: Vec<Given>,
    colour: (Choice, Origin),
}

/// The value of an environment variable that says anything.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// The value of a flag, read before the command line is: the settings have a part in reading it.
fn flag(asked: &[OsString], name: &str) -> Option<OsString> {
    let mut words = asked.iter().take_while(|word| *word != "--");
    while let Some(word) = words.next() {
        if word == name {
            return words.next().cloned();
        }
        let bytes = word.as_encoded_bytes();
        if let Some(rest) = bytes.strip_prefix(name.as_bytes())
            && rest.first() == Some(&b'=')
        {
            // Words that are no text are refused when the command line is read.
            return Some(OsString::from(String::from_utf8_lossy(&rest[1..]).as_ref()));
        }
    }
    None
}

impl Settings {
    /// Reads the environment and the file that the words of the command line name.
    pub(crate) fn gather(asked: &[OsString]) -> Result<Self> {
        let config = match (flag(asked, "--config"), variable(CONFIG_VARIABLE)) {
            (Some(path), _) => Some((PathBuf::from(path), Origin::Flag("--config"))),
            (None, Some(path)) => Some((PathBuf::from(path), Origin::Environment(CONFIG_VARIABLE))),
            (None, None) => None,
        };
        let mut given = Vec::new();
        if let Some((path, _)) = &config {
            given = file::read(path)?;
        }
        for key in Key::ALL {
            if let Some(above) = of_environment(key)? {
                given.retain(|below| below.key != key);
                given.push(above);
            }
        }
        let asked = flag(asked, "--color").and_then(|word| choice(&word));
        let below = given.iter().find(|given| given.key == Key::Color);
        let below = below.and_then(|given| Some((choice(given.value.as_ref())?, &given.origin)));
        let colour = colour::decide(asked, below.map(|(choice, from)| (choice, from.clone())));
        colour::choose(colour.0);
        Ok(Self {
            config,
            given,
            colour,
        })
    }

    fn of(&self, key: Key) -> Option<&Given> {
        self.given.iter().find(|given| given.key == key)
    }

    /// The definition of the command line with these settings as its defaults.
    pub(crate) fn apply(&self, definition: Command) -> Command {
        self.with_defaults(definition).color(self.colour.0.into())
    }

    fn with_defaults(&self, command: Command) -> Command {
        let with_default = |arg: Arg| {
            let given = Key::ALL
                .into_iter()
                .find(|key| key.is_argument() && arg.get_id() == key.name())
                .and_then(|key| self.of(key));
            match given {
                // The definition lives as long as the process, and is made once.
                Some(given) => {
                    let value: &'static str = given.value.clone().leak();
                    arg.required(false).default_value(value)
                }
                None => arg,
            }
        };
        command
            .mut_args(with_default)
            .mut_subcommands(|command| self.with_defaults(command))
    }

    /// Every setting as it is in effect for the command that was asked for.
    pub(crate) fn effective(&self, matches: &ArgMatches) -> Vec<Effective> {
        let mut shown = vec![Effective {
            key: "config",
            value: (self.config.as_ref()).map(|(path, _)| path.display().to_string()),
            origin: (self.config.as_ref()).map_or(Origin::Default, |(_, from)| from.clone()),
        }];
        shown.extend(Key::ALL.into_iter().map(|key| {
            let (value, origin) = match key {
                Key::Color => {
                    let (choice, origin) = &self.colour;
                    (Some(choice.as_str().to_owned()), origin.clone())
                }
                Key::LogLevel => {
                    let (words, origin) = self.log(matches);
                    (Some(words), origin)
                }
                key => self.argument(key, deepest(matches)),
            };
            Effective {
                key: key.name(),
                value,
                origin,
            }
        }));
        shown
    }

    /// A value that the command line's own definition carries.
    fn argument(&self, key: Key, matches: &ArgMatches) -> (Option<String>, Origin) {
        let id = key.name();
        let value = match matches.try_get_raw(id) {
            Ok(Some(mut values)) => values.next().map(OsStr::to_string_lossy),
            _ => None,
        };
        let Some(value) = value else {
            return (None, Origin::Default);
        };
        let origin = match (matches.value_source(id), self.of(key)) {
            (Some(ValueSource::CommandLine), _) => Origin::Flag(key.flag()),
            (Some(ValueSource::EnvVariable), _) => {
                Origin::Environment(key.variable().unwrap_or_default())
            }
            (_, Some(given)) => given.origin.clone(),
            (_, None) => Origin::Default,
        };
        (Some(value.into_owned()), origin)
    }

    /// What is logged, and who says so.
    fn log(&self, matches: &ArgMatches) -> (String, Origin) {
        let level = |level: LogLevel| level.as_str().to_owned();
        if let Some(asked) = matches.get_one::<LogLevel>(Key::LogLevel.name()) {
            return (level(*asked), Origin::Flag("--log-level"));
        }
        match matches.get_count("verbose") {
            0 => {}
            1 => return (level(LogLevel::Info), Origin::Flag("-v")),
            _ => return (level(LogLevel::Trace), Origin::Flag("-vv")),
        }
        if let Some(words) = variable(LOG_VARIABLE) {
            let words = words.to_string_lossy().into_owned();
            return (words, Origin::Environment(LOG_VARIABLE));
        }
        match self.of(Key::LogLevel) {
            Some(given) => (given.value.clone(), given.origin.clone()),
            None => (level(LogLevel::Warn), Origin::Default),
        }
    }

    /// What is logged.
    pub(crate) fn log_filter(&self, matches: &ArgMatches) -> EnvFilter {
        let (words, _) = self.log(matches);
        EnvFilter::builder()
            .with_default_directive(LevelFilter::WARN.into())
            .parse_lossy(words)
    }
}

/// What the command's own words came to.
fn deepest(matches: &ArgMatches) -> &ArgMatches {
    matches
        .subcommand()
        .map_or(matches, |(_, matches)| deepest(matches))
}

fn choice(word: &OsStr) -> Option<Choice> {
    Choice::from_str(word.to_str()?, false).ok()
}

/// What the environment says about a key, where the definition of the command line does not ask it
/// itself.
fn of_environment(key: Key) -> Result<Option<Given>> {
    let Some(name) = key.variable().filter(|_| key != Key::Store) else {
        return Ok(None);
    };
    let Some(value) = variable(name) else {
        return Ok(None);
    };
    let value = value.to_string_lossy().into_owned();
    match key.check(&value) {
        Ok(()) => Ok(Some(Given {
            key,
            value,
            origin: Origin::Environment(name),
        })),
        Err(why) => {
            let what = format!("environment variable {name}: {value:?}: {why}");
            Err(Stop::Usage(what).into())
        }
    }
}
