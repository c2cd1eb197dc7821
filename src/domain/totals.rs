//! What has happened to a tier's jobs since the process started: the queue's side of the counting identities.

/// Counts of one tier, all of one instant:
/// `recovered + stored + dead_at_start = waiting + leased + done + expired + dead + purged + lost`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Found in the queue at start.
    pub recovered: u64,
    /// Dead letters found at start.
    pub dead_at_start: u64,
    /// Stored since.
    pub stored: u64,
    /// Acknowledged by workers.
    pub done: u64,
    /// Dropped past their expiry.
    pub expired: u64,
    /// Dead letters deleted for good.
    pub purged: u64,
    /// Deleted by the backend's retention before a worker had them.
    pub lost: u64,
    /// Wait now, delayed ones included.
    pub waiting: u64,
    /// Leased now.
    pub leased: u64,
    /// Dead letters now.
    pub dead: u64,
}
