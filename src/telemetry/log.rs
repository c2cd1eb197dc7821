//! Logs: text for people, JSON for machines; one line per state change.

use std::io;

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The form of a line.
    pub format: LogFormat,
    /// The least important level that is written.
    pub level: tracing::Level,
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
    let lines =
        tracing_subscriber::fmt().with_max_level(settings.level).with_writer(io::stderr).with_target(false);
    // An error means that logging is set up already, which only happens in tests.
    let _ = match settings.format {
        LogFormat::Text => tracing::subscriber::set_global_default(lines.with_ansi(false).finish()),
        LogFormat::Json => tracing::subscriber::set_global_default(lines.json().flatten_event(true).finish()),
    };
}
