//! Logs: text for people, JSON for machines; one line per state change, whatever its fields hold.

pub mod refusals;
pub mod sampled;
pub mod states;

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: Level,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends the process's logs to standard error in the form asked for. A second call changes nothing.
pub fn init(settings: LogSettings) {
    let lines = tracing_subscriber::fmt()
        .with_max_level(settings.level)
        .with_writer(|| OneLine(io::stderr()))
        .with_target(false);
    let heard = heard(settings.level);
    // An error means that logging is set up already, which only happens in tests.
    let _ = match settings.format {
        LogFormat::Text => {
            tracing::subscriber::set_global_default(lines.with_ansi(false).finish().with(heard))
        }
        LogFormat::Json => {
            tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish().with(heard))
        }
    };
}

/// Whose events are written, and from which level on. What libraries say of connections is in their clients' hands: at
/// `warn` a client can fill the log, at `debug` every frame of HTTP/2 is a line. So of them only errors are heard, unless
/// everything is asked for.
fn heard(level: Level) -> Targets {
    if level == Level::TRACE {
        return Targets::new().with_default(Level::TRACE);
    }
    Targets::new().with_default(LevelFilter::ERROR).with_target(env!("CARGO_CRATE_NAME"), level)
}

/// Writes each event, which comes as a whole, as one line of visible characters: what a server or a client said can
/// neither look like a further event nor steer the terminal that shows it.
#[derive(Debug)]
pub struct OneLine<W>(pub W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = text.strip_suffix('\n').map_or((&*text, ""), |line| (line, "\n"));
        // In one piece: other processes may write to the same place.
        match visible(line) {
            Cow::Borrowed(_) => self.0.write_all(text.as_bytes())?,
            Cow::Owned(line) => self.0.write_all((line + end).as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// What steers a terminal, or ends or turns a line for who reads it.
fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line with hidden characters as JSON writes them: within a JSON string they stay the same characters.
pub fn visible(line: &str) -> Cow<'_, str> {
    if line.chars().any(is_hidden) { Cow::Owned(shown(line)) } else { Cow::Borrowed(line) }
}

fn shown(line: &str) -> String {
    line.chars().fold(String::with_capacity(line.len() + 16), |mut shown, c| {
        if is_hidden(c) {
            // Writing to a text cannot fail.
            let _ = write!(shown, "\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::Value;
    use tracing::{debug, error, info, trace, warn};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    const HOSTILE: &str =
        "a\r\n2026-01-01T00:00:00Z  INFO forged\u{0}\u{7}\u{1b}[2J\u{9b}31m\u{7f}\u{85}\u{2028}\u{202e}b\tc";

    fn logged(format: LogFormat) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().with_writer(move || OneLine(writer.clone())).with_target(false);
        let event = || {
            let name = HOSTILE;
            info!(name, shown = %HOSTILE, debug = ?HOSTILE, "{HOSTILE}");
            warn!("käufer ☃");
        };
        match format {
            LogFormat::Text => tracing::subscriber::with_default(lines.with_ansi(false).finish(), event),
            LogFormat::Json => {
                tracing::subscriber::with_default(lines.json().flatten_event(true).finish(), event)
            }
        }
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn whatever_its_fields_hold_an_event_is_one_line_of_visible_characters() {
        for format in [LogFormat::Text, LogFormat::Json] {
            let log = logged(format);
            assert_eq!(log.matches('\n').count(), 2, "{log}");
            assert!(log.lines().all(|line| !line.chars().any(is_hidden)), "{log:?}");
            assert!(log.contains("forged") && log.contains("käufer ☃"), "{log}");
        }
    }

    #[test]
    fn a_json_line_still_says_what_was_said() {
        let log = logged(LogFormat::Json);
        let event: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
        assert_eq!((&event["name"], &event["shown"]), (&HOSTILE.into(), &HOSTILE.into()));
    }

    /// The letters of the events that are written at this level: ours in capitals, those of others in small ones.
    fn written(level: Level) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        let lines = tracing_subscriber::fmt().with_max_level(level).with_writer(move || writer.clone());
        let lines = lines.without_time().with_level(false).with_target(false).with_ansi(false).finish();
        tracing::subscriber::with_default(lines.with(heard(level)), || {
            error!("E");
            warn!("W");
            debug!("D");
            trace!("T");
            error!(target: "rustls::conn", "e");
            warn!(target: "h2::proto::streams::streams", "w");
            info!(target: "hyper_util", "i");
            debug!(target: "h2::codec::framed_read", "d");
            trace!(target: "redis", "t");
        });
        let text = kept.0.lock().unwrap().clone();
        String::from_utf8(text).unwrap().split_whitespace().collect()
    }

    #[test]
    fn what_clients_make_libraries_say_is_written_only_where_everything_is() {
        assert_eq!(written(Level::ERROR), "Ee");
        assert_eq!(written(Level::INFO), "EWe");
        assert_eq!(written(Level::DEBUG), "EWDe");
        assert_eq!(written(Level::TRACE), "EWDTewidt");
    }
}
