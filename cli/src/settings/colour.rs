//! Whether what is written has colours: `--color`, `NO_COLOR`, `CLICOLOR_FORCE`, `TERM`, the
//! configuration, the terminal.
//!
//! Invariants: the words are the same with and without; JSON and raw bytes never have any. What the
//! variables mean: <https://no-color.org> and <https://bixense.com/clicolors>.

use std::io::IsTerminal;
use std::sync::OnceLock;

use clap::{ColorChoice, ValueEnum};

use super::Origin;

/// When there are colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Choice {
    /// On a terminal that shows them.
    #[default]
    Auto,
    /// Everywhere.
    Always,
    /// Nowhere.
    Never,
}

impl Choice {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

impl From<Choice> for ColorChoice {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Auto => Self::Auto,
            Choice::Always => Self::Always,
            Choice::Never => Self::Never,
        }
    }
}

/// The choice of this process.
static CHOSEN: OnceLock<Choice> = OnceLock::new();

/// What a part of a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The head of a table.
    Head,
    /// The word `error`.
    Error,
    /// The word `hint`.
    Hint,
}

/// Decides, with the flag first, then the environment, then the file.
pub(super) fn decide(flag: Option<Choice>, file: Option<(Choice, Origin)>) -> (Choice, Origin) {
    if let Some(choice @ (Choice::Always | Choice::Never)) = flag {
        return (choice, Origin::Flag("--color"));
    }
    if anstyle_query::no_color() {
        return (Choice::Never, Origin::Environment("NO_COLOR"));
    }
    if anstyle_query::clicolor_force() {
        return (Choice::Always, Origin::Environment("CLICOLOR_FORCE"));
    }
    match (flag, file) {
        (Some(choice), _) => (choice, Origin::Flag("--color")),
        (None, Some(given)) => given,
        (None, None) => (Choice::Auto, Origin::Default),
    }
}

/// Takes the choice over; the first one counts.
pub(super) fn choose(choice: Choice) {
    let _first_counts = CHOSEN.set(choice);
}

/// Whether what goes there has colours.
pub(crate) fn is_on(stream: &impl IsTerminal) -> bool {
    match CHOSEN.get().copied().unwrap_or_default() {
        Choice::Always => true,
        Choice::Never => false,
        Choice::Auto => stream.is_terminal() && anstyle_query::term_supports_color(),
    }
}

/// The text as this part of a whole that goes there.
pub(crate) fn paint(part: Part, text: &str, stream: &impl IsTerminal) -> String {
    if !is_on(stream) {
        return text.to_owned();
    }
    let code = match part {
        Part::Head => "1",
        Part::Error => "1;31",
        Part::Hint => "1;32",
    };
    format!("\x1b[{code}m{text}\x1b[0m")
}
