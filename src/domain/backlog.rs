//! The signal that drives the gate: what waits downstream, and the moment that was true.

use std::time::Duration;

use crate::domain::time::Moment;

/// What stands between the gateway and done work, for one tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Jobs that wait for a worker, those delayed for a retry included.
    pub waiting: u64,
    /// Jobs that a worker holds and has not finished.
    pub leased: u64,
    /// Age of the oldest waiting job, if one waits.
    pub oldest_age: Option<Duration>,
    /// Age of the job 1 % from the head of the queue, if one waits.
    pub p99_age: Option<Duration>,
    /// Time until the backend deletes the oldest waiting job unread; `None` where nothing is deleted or nothing waits.
    pub headroom: Option<Duration>,
}

impl Backlog {
    /// Waiting and leased jobs together: the depth that the control law holds at its target.
    pub const fn depth(&self) -> u64 {
        self.waiting.saturating_add(self.leased)
    }
}

/// Jobs that entered or left a tier other than by a worker's acknowledgement, counted since the process started.
///
/// With the depth these give what workers consumed: `C = D0 + stored + replayed - expired - dead - lost - D`.
/// A retry changes nothing here: the job stays in the depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flows {
    /// Jobs of ours whose storage the backend confirmed.
    pub stored: u64,
    /// Dead letters put back into the queue.
    pub replayed: u64,
    /// Jobs dropped because they were past their expiry.
    pub expired: u64,
    /// Jobs moved to the dead letters.
    pub dead: u64,
    /// Jobs that the backend deleted before a worker had them.
    pub lost: u64,
}

/// One reading of one tier: backlog and flows of the same instant, stamped with that instant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// What stood in the queue.
    pub backlog: Backlog,
    /// What had come in and gone out beside the workers.
    pub flows: Flows,
    /// When the reading was *taken* (never when it arrived).
    pub taken: Moment,
}
