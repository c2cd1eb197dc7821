//! The checks of one decision, by name and in their order, with the numbers that they compare.

use crate::admission::decision::Reason;
use crate::admission::settings::{RetentionSettings, RetryAfterBounds, ShedSettings};
use crate::admission::shed::Headroom;
use crate::admission::tenants::asker::QuotaSeen;

/// One check of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The backlog can be seen, or the policy does not shut the tier without it.
    Signal,
    /// The depth stays within its hard bound.
    Bound,
    /// The depth is below the threshold of shedding, or was never above it since it was below the lower one.
    Shed,
    /// The oldest unread job is far enough from being deleted, or was never too near since it last was.
    Retention,
    /// No higher tier to which this one yields is at its hard bound.
    Yields,
    /// The tenant's own rate is not used up.
    Tenant,
    /// The predicted depth stays within the window.
    Window,
    /// The bucket holds a token, where admission is paced.
    Rate,
}

impl Check {
    /// Every check, in the order in which a gate asks them; the first that fails answers.
    pub const ORDER: [Check; 8] = [
        Check::Signal,
        Check::Bound,
        Check::Shed,
        Check::Retention,
        Check::Yields,
        Check::Tenant,
        Check::Window,
        Check::Rate,
    ];
}

/// What every check of a gate says of one request at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checks {
    /// Each check in its order, with the reason for which it refuses, if it does.
    pub verdicts: [(Check, Option<Reason>); Check::ORDER.len()],
    /// What they compare.
    pub numbers: Numbers,
}

impl Checks {
    /// The reason of the first check that fails.
    pub fn refusal(&self) -> Option<Reason> {
        self.verdicts.iter().find_map(|(_, reason)| *reason)
    }
}

/// The numbers behind the checks; jobs, seconds and jobs per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// Last depth read and all that was let in and not seen in it.
    pub depth: u64,
    /// The hard bound.
    pub max_depth: u64,
    /// The thresholds of shedding.
    pub shed: Option<ShedSettings>,
    /// The thresholds of the headroom before retention.
    pub retention: Option<RetentionSettings>,
    /// The headroom last read, where jobs wait that are deleted some day.
    pub headroom: Option<Headroom>,
    /// While the tier must yield: seconds until the higher tier is expected below its bound.
    pub yields: Option<f64>,
    /// The tenant's own rate, where it has one.
    pub quota: Option<QuotaSeen>,
    /// The tenant's weight beside others.
    pub weight: u32,
    /// The predicted depth.
    pub predicted_depth: f64,
    /// The predicted depth that admission may reach; infinite is no window.
    pub window: f64,
    /// The predicted depth from which on the bucket is asked.
    pub paced_from: f64,
    /// Tokens in the bucket; below zero is a debt.
    pub tokens: f64,
    /// The admission rate.
    pub rate: f64,
    /// What the workers are known to do; zero where nothing is known.
    pub capacity: f64,
    /// What they are expected to do where that is not known.
    pub expected: f64,
    /// Rate at which promised returns fall due.
    pub spare: f64,
    /// Seconds until the first check that fails can pass, infinite where nothing drains; zero where none fails.
    pub not_before: f64,
    /// The bounds of the promised returns.
    pub retry_after: RetryAfterBounds,
}
