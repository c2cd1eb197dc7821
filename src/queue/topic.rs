//! What a backend with topics says of a tier beside its backlog: partitions, throttling, retention.

use std::time::Duration;

/// The topic of a tier, as of the last reading.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TopicState {
    /// Its partitions.
    pub partitions: u32,
    /// The partition before which most jobs wait; `None` where none waits.
    pub hottest: Option<HotPartition>,
    /// Whether offsets do not count jobs one by one: the topic is compacted, or transactions write to it.
    pub estimated: bool,
    /// How long the brokers made the gateway wait with its requests of late.
    pub throttle: Duration,
    /// How often the client that writes to it failed for good and was made anew, since the start.
    pub producers_rebuilt: u64,
    /// What its retention leaves.
    pub retention: Retention,
}

/// The partition before which most jobs wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HotPartition {
    /// Its number.
    pub partition: u32,
    /// Jobs that wait in it.
    pub lag: u64,
    /// Their part of all that wait in the topic, above 0 and up to 1.
    pub share: f64,
}

/// How far the oldest unread job is from being deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    /// How long the topic keeps a job; `None` where it keeps it for ever or that is not known.
    pub limit: Option<Duration>,
    /// Until the oldest unread job is as old; `None` where nothing is deleted or nothing waits.
    pub headroom: Option<Duration>,
    /// How the headroom changes, in seconds per second: -1 while nobody reads, 0 while readers keep pace.
    pub trend: Option<f64>,
    /// Until the headroom is used up at this pace; `None` while it does not shrink.
    pub deleted_in: Option<Duration>,
    /// Jobs that were deleted before every group had read them, since the start.
    pub lost_unread: u64,
}
