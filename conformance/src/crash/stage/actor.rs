//! The parent's side: starting a child, hearing it, killing it, and finding it dead.
//!
//! Invariants: only a child that was started here is ever killed, by its own handle; a child that
//! is silent and alive past the deadline is killed and counts as hanging; every word it sent before
//! it died is heard.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::crash::role::{Message, ROLE_VARIABLE, Role};

/// A child that neither speaks nor ends for this long hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// How often a silent child is looked at.
const GLANCE: Duration = Duration::from_millis(1);

/// A child process at work.
#[derive(Debug)]
pub struct Actor {
    child: Child,
    socket: UnixDatagram,
    words: PathBuf,
    /// What it has said.
    pub heard: Vec<Message>,
}

/// A child that has ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it had said.
    pub heard: Vec<Message>,
    /// The end of its error output.
    pub words: String,
}

/// How a child was found.
#[derive(Debug)]
pub enum Found {
    /// It said something.
    Message(Message),
    /// It has ended.
    Ended(ExitStatus),
    /// It was silent until the time was over.
    Silent,
}

impl Actor {
    /// Starts a child with this part; its words and its error output go through files in `home`.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn start(mut command: Command, role: &Role, home: &Path) -> io::Result<Self> {
        let _gone = std::fs::remove_file(&role.socket);
        let socket = UnixDatagram::bind(&role.socket)?;
        let words = home.join("words");
        let child = command
            .env(ROLE_VARIABLE, role.to_string())
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(File::create(&words)?)
            .spawn()?;
        Ok(Self {
            child,
            socket,
            words,
            heard: Vec::new(),
        })
    }

    /// The child's process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits for the next word for at most this long.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn listen(&mut self, most: Duration) -> io::Result<Found> {
        let until = Instant::now() + most;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let glance = left.clamp(Duration::from_micros(100), GLANCE);
            if let Some(message) = self.receive(glance)? {
                return Ok(Found::Message(message));
            }
            if let Some(status) = self.child.try_wait()? {
                return Ok(match self.receive(Duration::from_micros(100))? {
                    Some(message) => Found::Message(message),
                    None => Found::Ended(status),
                });
            }
            if left.is_zero() {
                return Ok(Found::Silent);
            }
        }
    }

    fn receive(&mut self, most: Duration) -> io::Result<Option<Message>> {
        let mut text = [0; 4096];
        self.socket.set_read_timeout(Some(most))?;
        let len = match self.socket.recv(&mut text) {
            Ok(len) => len,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(text.get(..len).unwrap_or_default());
        let message = Message::parse(&text)
            .ok_or_else(|| io::Error::other(format!("a word that means nothing: {text}")))?;
        self.heard.push(message.clone());
        Ok(Some(message))
    }

    /// Waits until the child says that it waits.
    ///
    /// # Errors
    /// When it ends or hangs instead.
    pub fn wait_until_ready(&mut self) -> io::Result<()> {
        loop {
            match self.listen(DEADLINE)? {
                Found::Message(Message::Waiting) => return Ok(()),
                Found::Message(_) => {}
                other => return Err(self.complaint(&format!("{other:?} before it was ready"))),
            }
        }
    }

    /// Writes the line that a waiting child waits for. A child that is dead by then is no error.
    pub fn go_on(&mut self) {
        if let Some(input) = &mut self.child.stdin {
            let _dead_by_then = input.write_all(b"\n").and_then(|()| input.flush());
        }
    }

    /// Listens until the child ends; `on_stuck` lifts the fault for a child that asks for it.
    ///
    /// # Errors
    /// Of the operating system, and when the child hangs: it is killed then.
    pub fn finish(mut self, on_stuck: &mut dyn FnMut()) -> io::Result<Ended> {
        let mut last_word = Instant::now();
        loop {
            match self.listen(DEADLINE)? {
                Found::Message(Message::Stuck) => {
                    on_stuck();
                    self.go_on();
                    last_word = Instant::now();
                }
                Found::Message(_) => last_word = Instant::now(),
                Found::Ended(status) => return Ok(self.ended(status)),
                Found::Silent => {
                    let complaint = self.complaint(&format!("hangs since {last_word:?}"));
                    self.kill()?;
                    return Err(complaint);
                }
            }
        }
    }

    /// Kills the child with `SIGKILL` and hears what it had said.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn kill(mut self) -> io::Result<Ended> {
        self.child.kill()?;
        // Reading goes on, so that the child is not waiting for room in the socket meanwhile.
        while !matches!(self.listen(DEADLINE)?, Found::Ended(_) | Found::Silent) {}
        let status = self.child.wait()?;
        Ok(self.ended(status))
    }

    fn ended(self, status: ExitStatus) -> Ended {
        let words = self.last_words();
        Ended {
            status,
            heard: self.heard,
            words,
        }
    }

    fn last_words(&self) -> String {
        let all = std::fs::read(&self.words).unwrap_or_default();
        let tail = all.len().saturating_sub(2000);
        String::from_utf8_lossy(all.get(tail..).unwrap_or_default()).into_owned()
    }

    fn complaint(&self, what: &str) -> io::Error {
        io::Error::other(format!(
            "the child {what}; it had said {:?} and {}",
            self.heard.last(),
            self.last_words()
        ))
    }
}

impl Ended {
    /// The last commit that was acknowledged, 0 if none was.
    #[must_use]
    pub fn acked(&self) -> u64 {
        let acked = self.heard.iter().filter_map(|message| match message {
            Message::Acked(number) | Message::Opened(number) => Some(*number),
            _ => None,
        });
        acked.max().unwrap_or(0)
    }

    /// Whether it was killed, as it should be.
    #[must_use]
    pub fn was_killed(&self) -> bool {
        const SIGKILL: i32 = 9;
        self.status.signal() == Some(SIGKILL)
    }

    /// Whether it came to its end and said so.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.status.success() && self.heard.last() == Some(&Message::Done)
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the child ended with {} after {:?}; its words: {}",
            self.status,
            self.heard.iter().rev().take(3).collect::<Vec<_>>(),
            self.words
        )
    }
}
