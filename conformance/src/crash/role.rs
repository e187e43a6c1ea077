//! The part that a child process plays, and what it tells its parent meanwhile.
//!
//! Invariants: the part travels in one environment variable, the words back through a datagram
//! socket, whose `sendto` no fault or kill of these tests aims at; a datagram that was sent is read
//! even if its sender is dead by then, so an acknowledgement is never lost and never half there.

use std::fmt;
use std::io::{self, BufRead};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

use super::plan::Ballast;

/// The variable that turns a process into a child; its value is a [`Role`].
pub const ROLE_VARIABLE: &str = "CHAINSTORE_CRASH_ROLE";

/// Where a child waits until its parent writes a line to its standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Nowhere.
    Never,
    /// Before it opens the store.
    BeforeOpen,
    /// Between opening the store and its first commit.
    BeforeWork,
}

/// What a child does about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// No failure is expected; the child is killed.
    Crash,
    /// Failures are expected: the child checks what must be true after each, opens the store again
    /// and goes on.
    Fault,
}

/// A lie that a child tells or a wrong that it does, so that the oracle can be shown to see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// None: the store is used as it is.
    None,
    /// A commit is acknowledged before it is made.
    AckFirst,
    /// A commit is acknowledged and made only together with the next one.
    Late,
    /// One table's share of a commit is a commit of its own.
    Torn,
    /// A write that failed is taken for one that succeeded.
    ErrorIgnored,
}

macro_rules! words {
    ($kind:ident { $($word:literal = $variant:ident),* $(,)? }) => {
        impl $kind {
            const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
            fn of_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)* _ => None }
            }
        }
    };
}

words!(Wait { "never" = Never, "open" = BeforeOpen, "work" = BeforeWork });
words!(Mode { "crash" = Crash, "fault" = Fault });
words!(Ballast { "none" = None, "first" = First });
words!(Sabotage {
    "none" = None,
    "ack-first" = AckFirst,
    "late" = Late,
    "torn" = Torn,
    "error-ignored" = ErrorIgnored,
});

/// The part of one child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Role {
    /// Which engine to open, in the harness's own words, without a semicolon.
    pub engine: String,
    /// The store's directory.
    pub directory: PathBuf,
    /// The parent's socket.
    pub socket: PathBuf,
    /// Seed of the plan.
    pub seed: u64,
    /// Whether the plan begins with a large commit.
    pub ballast: Ballast,
    /// The commit of the plan to reach.
    pub commits: u64,
    /// Where to wait.
    pub wait: Wait,
    /// What to do about failures.
    pub mode: Mode,
    /// What to do wrong.
    pub sabotage: Sabotage,
}

impl Role {
    /// The part that this process plays, if its environment gives it one.
    #[must_use]
    pub fn of_process() -> Option<Self> {
        Self::parse(&std::env::var(ROLE_VARIABLE).ok()?)
    }

    /// The part in this text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(9, ';');
        let mut next = || parts.next();
        let role = Self {
            engine: next()?.to_owned(),
            seed: next()?.parse().ok()?,
            ballast: Ballast::of_word(next()?)?,
            commits: next()?.parse().ok()?,
            wait: Wait::of_word(next()?)?,
            mode: Mode::of_word(next()?)?,
            sabotage: Sabotage::of_word(next()?)?,
            socket: next()?.into(),
            directory: next()?.into(),
        };
        Some(role)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{};{};{};{};{};{};{};{};{}",
            self.engine,
            self.seed,
            self.ballast.word(),
            self.commits,
            self.wait.word(),
            self.mode.word(),
            self.sabotage.word(),
            self.socket.display(),
            self.directory.display()
        )
    }
}

/// What a child tells its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It waits for a line.
    Waiting,
    /// The store is open, in the state after this commit.
    Opened(u64),
    /// This commit returned, and survives the death of the process as the store says.
    Acked(u64),
    /// A call failed: which call, the kind of its error, and the kind of the error behind it.
    Failed {
        /// The call.
        call: String,
        /// The error's kind, by its variant's name.
        kind: String,
        /// The kind that caused it, by its variant's name; the same where there is none.
        cause: String,
        /// The errors in words.
        text: String,
    },
    /// It has tried often enough and waits until the fault is lifted.
    Stuck,
    /// Everything is committed and the store is closed.
    Done,
    /// Something is not as it must be.
    Wrong(String),
}

impl Message {
    fn to_text(&self) -> String {
        match self {
            Self::Waiting => "waiting ".to_owned(),
            Self::Opened(number) => format!("opened {number}"),
            Self::Acked(number) => format!("acked {number}"),
            Self::Failed {
                call,
                kind,
                cause,
                text,
            } => format!("failed {call}|{kind}|{cause}|{text}"),
            Self::Stuck => "stuck ".to_owned(),
            Self::Done => "done ".to_owned(),
            Self::Wrong(what) => format!("wrong {what}"),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (verb, rest) = text.split_once(' ')?;
        Some(match verb {
            "waiting" => Self::Waiting,
            "opened" => Self::Opened(rest.parse().ok()?),
            "acked" => Self::Acked(rest.parse().ok()?),
            "failed" => {
                let mut parts = rest.splitn(4, '|').map(str::to_owned);
                Self::Failed {
                    call: parts.next()?,
                    kind: parts.next()?,
                    cause: parts.next()?,
                    text: parts.next()?,
                }
            }
            "stuck" => Self::Stuck,
            "done" => Self::Done,
            "wrong" => Self::Wrong(rest.to_owned()),
            _ => return None,
        })
    }
}

/// The child's end of the socket.
#[derive(Debug)]
pub struct Voice {
    socket: UnixDatagram,
    parent: PathBuf,
}

impl Voice {
    /// A way to speak to the parent at this socket.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn to(parent: &Path) -> io::Result<Self> {
        Ok(Self {
            socket: UnixDatagram::unbound()?,
            parent: parent.to_owned(),
        })
    }

    /// Says one word; what is longer than a datagram is cut.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn say(&self, message: &Message) -> io::Result<()> {
        let mut text = message.to_text();
        // A datagram has a limit; the beginning says what matters.
        let cut = (0..=text.len().min(4000)).rev();
        let cut = cut.into_iter().find(|at| text.is_char_boundary(*at));
        text.truncate(cut.unwrap_or(0));
        self.socket.send_to(text.as_bytes(), &self.parent).map(drop)
    }

    /// Says that it waits, and waits until the parent writes a line to the standard input.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn wait(&self) -> io::Result<()> {
        self.say(&Message::Waiting)?;
        wait_for_line()
    }
}

/// Waits for a line from the parent.
pub(crate) fn wait_for_line() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map(drop)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn parts_and_words_travel() {
        let role = Role {
            engine: "redb".to_owned(),
            directory: "/a;b/c".into(),
            socket: "/s".into(),
            seed: 7,
            ballast: Ballast::First,
            commits: 9,
            wait: Wait::BeforeWork,
            mode: Mode::Fault,
            sabotage: Sabotage::Late,
        };
        assert_eq!(Role::parse(&role.to_string()), Some(role));
        let failed = Message::Failed {
            call: "put".to_owned(),
            kind: "Io".to_owned(),
            cause: "Io".to_owned(),
            text: "a|b c".to_owned(),
        };
        for message in [
            Message::Waiting,
            Message::Opened(1),
            Message::Acked(2),
            failed,
            Message::Stuck,
            Message::Done,
            Message::Wrong("x y".to_owned()),
        ] {
            assert_eq!(Message::parse(&message.to_text()).unwrap(), message);
        }
    }
}
