//! What one control step saw and did, as plain values: the source of status, metrics and logs.

use std::time::Duration;

use crate::domain::backlog::Backlog;
use crate::domain::units::Rate;

/// One tier after one control step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TickReport {
    /// The last backlog read.
    pub backlog: Backlog,
    /// Age of that reading; `None` before the first.
    pub signal_age: Option<Duration>,
    /// How the law treats the signal.
    pub signal: Signal,
    /// Depth predicted for this moment, jobs admitted but not yet stored included.
    pub predicted_depth: f64,
    /// The depth the law holds, D*.
    pub target_depth: f64,
    /// Predicted depth over target: 1 is at the target.
    pub pressure: f64,
    /// Estimated drain, mu.
    pub drain: Rate,
    /// Drain of the last few progress events.
    pub recent_drain: Rate,
    /// The admission rate set: this replica's share of that of all.
    pub rate: Rate,
    /// This replica's share of what all let in: 1 where it is alone, 0 as long as it has none.
    pub share: f64,
    /// The sum's parts, in jobs per second.
    pub terms: Terms,
    /// The bound that acted on the rate, if one did.
    pub clamp: Clamp,
    /// Jobs the window still admits until the next reading.
    pub window: u64,
    /// Whether the tier is shed.
    pub shedding: bool,
    /// Whether the tier is at its hard bound.
    pub full: bool,
    /// Whether jobs go to the spool, which bounds them in place of the law.
    pub spooling: bool,
}

/// The parts of the control law's sum, in jobs per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Terms {
    /// The measured drain.
    pub feed_forward: f64,
    /// Gain times error.
    pub proportional: f64,
    /// The integral's share.
    pub integral: f64,
    /// The derivative's share (subtracted).
    pub derivative: f64,
}

/// What bounded the rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Clamp {
    /// Nothing: the sum stands.
    #[default]
    None,
    /// `rate.min`.
    Min,
    /// `rate.max`.
    Max,
    /// The rule for a lost signal (`on_stale`).
    Stale,
}

/// How the law treats its signal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signal {
    /// No reading has come yet.
    #[default]
    Awaited,
    /// Fresh: the law acts on it.
    Fresh,
    /// Late: the model stands in for it.
    Modelled,
    /// Lost: `on_stale` rules.
    Stale,
}
