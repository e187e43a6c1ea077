//! Progress on standard error: a bar with rate and time left on a terminal, a plain line every few
//! seconds elsewhere (container logs).
//!
//! Invariants: never on standard output; nothing at all for work shorter than the interval, where
//! there is no terminal; updating costs one reading of the clock.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::output::grouped;

/// Between two plain lines.
const LINE_INTERVAL: Duration = Duration::from_secs(3);
/// Between two drawings of a bar whose work reports rarely.
const TICK_INTERVAL: Duration = Duration::from_millis(200);

/// One line to standard error; nobody reading it is no reason to stop.
pub(crate) fn say(line: &str) {
    let _nobody_reads = writeln!(io::stderr(), "{line}");
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Bytes.
    Bytes,
    /// Anything else, by its name.
    Things(&'static str),
}

/// How far some work has come.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    unit: Unit,
    total: Option<u64>,
    before: u64,
    begun: Instant,
    line_due: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Begins to report some work; `total` is unknown or how much there is.
    pub(crate) fn begin(what: &'static str, unit: Unit, total: Option<u64>) -> Self {
        let now = Instant::now();
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let draws = io::stderr().is_terminal() && !is_dumb;
        Self {
            what,
            unit,
            total,
            before: 0,
            begun: now,
            line_due: now + LINE_INTERVAL,
            bar: draws.then(|| bar(what, unit, total)),
        }
    }

    /// The same where some of it was done before, which counts for no rate.
    pub(crate) fn after(mut self, done_before: u64) -> Self {
        self.before = done_before;
        if let Some(bar) = &self.bar {
            bar.set_position(done_before);
            bar.reset_eta();
        }
        self
    }

    /// So much is done; `note` makes a few words that are shown beside it.
    pub(crate) fn set(&mut self, done: u64, note: impl FnOnce() -> String) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(note());
        } else {
            let now = Instant::now();
            if now >= self.line_due {
                self.line_due = now + LINE_INTERVAL;
                let line = self.line(done, now.duration_since(self.begun));
                let note = note();
                let comma = if note.is_empty() { "" } else { ", " };
                say(&format!("{line}{comma}{note}"));
            }
        }
    }

    fn line(&self, done: u64, took: Duration) -> String {
        let unit = match self.unit {
            Unit::Bytes => "bytes",
            Unit::Things(name) => name,
        };
        let rate = done.saturating_sub(self.before) as f64 / took.as_secs_f64().max(0.001);
        let what = self.what;
        let mut line = match self.total {
            Some(total) => format!("{what}: {} of {} {unit}", grouped(done), grouped(total)),
            None => format!("{what}: {} {unit}", grouped(done)),
        };
        // Rates are shown whole.
        line.push_str(&format!(", {}/s", grouped(rate as u64)));
        if let Some(left) = self.total.map(|total| total.saturating_sub(done))
            && rate > 0.0
        {
            line.push_str(&format!(", {:.0} s left", left as f64 / rate));
        }
        line
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// The bar's template. The words at the end are cut to what the terminal has left, so that no line
/// is broken.
fn template(unit: Unit, total: Option<u64>) -> String {
    let (position, rate) = match unit {
        Unit::Bytes => ("{bytes}", "{bytes_per_sec}"),
        Unit::Things(_) => ("{human_pos}", "{per_sec}"),
    };
    if total.is_some() {
        format!("{{prefix}} [{{bar:8}}] {{percent}}% {rate} {{eta}} left {{wide_msg}}")
    } else {
        format!("{{prefix}} {{spinner}} {position} {rate} {{elapsed}} {{wide_msg}}")
    }
}

fn bar(what: &'static str, unit: Unit, total: Option<u64>) -> ProgressBar {
    let bar = total.map_or_else(ProgressBar::no_length, ProgressBar::new);
    // A template that cannot be read would leave the library's own style; a test reads them all.
    if let Ok(style) = ProgressStyle::with_template(&template(unit, total)) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(what);
    bar.enable_steady_tick(TICK_INTERVAL);
    bar
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::{ProgressDrawTarget, TermLike};

    use super::*;

    #[test]
    fn lines_tell_rate_and_time_left() {
        let progress = |total| Progress::begin("import", Unit::Things("blocks"), total);
        let line = progress(Some(4_000)).line(1_000, Duration::from_secs(2));
        assert_eq!(line, "import: 1,000 of 4,000 blocks, 500/s, 6 s left");
        let resumed = progress(Some(4_000)).after(500);
        let line = resumed.line(1_000, Duration::from_secs(2));
        assert_eq!(line, "import: 1,000 of 4,000 blocks, 250/s, 12 s left");
        let line = progress(None).line(1_000, Duration::from_secs(2));
        assert_eq!(line, "import: 1,000 blocks, 500/s");
        let line = progress(Some(4_000)).line(0, Duration::ZERO);
        assert_eq!(line, "import: 0 of 4,000 blocks, 0/s");
    }

    /// A terminal of 80 columns that keeps what is written.
    #[derive(Clone, Debug, Default)]
    struct Narrow(Arc<Mutex<Vec<String>>>);

    impl Narrow {
        fn keep(&self, text: &str) -> io::Result<()> {
            if let Ok(mut kept) = self.0.lock() {
                kept.push(text.to_owned());
            }
            Ok(())
        }
    }

    impl TermLike for Narrow {
        fn width(&self) -> u16 {
            80
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.keep(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.keep(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn bars_fit_80_columns() {
        for unit in [Unit::Bytes, Unit::Things("blocks")] {
            for total in [None, Some(134_217_728)] {
                let terminal = Narrow::default();
                let bar = bar("import", unit, total);
                bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(terminal.clone())));
                bar.set_message("123,456 blocks stored, 123,456 known before".to_owned());
                bar.set_position(123_456_789);
                bar.force_draw();
                bar.abandon();
                let kept = terminal.0.lock().map(|kept| kept.clone());
                let kept = kept.unwrap_or_default();
                let shown = kept.iter().any(|text| text.contains("blocks sto"));
                assert!(shown, "{kept:?}");
                // The spinner is one column wide and several bytes long.
                let columns = |text: &String| text.trim_end().chars().count();
                let widest = kept.iter().map(columns).max();
                assert!(widest.is_some_and(|widest| widest <= 80), "{kept:?}");
            }
        }
    }

    #[test]
    fn templates_are_readable() {
        for unit in [Unit::Bytes, Unit::Things("rows")] {
            for total in [None, Some(1)] {
                let template = template(unit, total);
                assert!(
                    ProgressStyle::with_template(&template).is_ok(),
                    "{template}"
                );
            }
        }
    }
}
