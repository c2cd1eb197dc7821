//! What every law says: an answer to each request, a setting at each control step.

use std::time::Duration;

/// The answer to a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// Come in.
    Admitted,
    /// Refused by rate, window or bound; come back after this.
    Throttled(Duration),
    /// Refused by a threshold, a higher tier or a lost signal; come back after this.
    Shed(Duration),
}

/// What a control step set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Setting {
    /// The depth to hold, in jobs.
    pub target: f64,
    /// The admission rate in jobs per second; infinite is no limit.
    pub rate: f64,
    /// The drain as the law estimates it, in jobs per second.
    pub drain: f64,
    /// Whether it had to do without a signal.
    pub blind: bool,
}
