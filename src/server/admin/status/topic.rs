//! A tier's topic in `GET /v1/status`: its partitions, what its retention leaves.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use crate::queue::topic::{HotPartition, Retention, TopicState};

/// The tier's topic, as of the last reading.
#[derive(Serialize, JsonSchema)]
pub(super) struct Topic {
    partitions: u32,
    /// The partition before which most jobs wait; null where none waits.
    hottest: Option<Hottest>,
    /// Whether the depth is an estimate: the topic is compacted, or transactions write to it.
    estimated: bool,
    /// How long the brokers held back the gateway's requests of late.
    throttle_seconds: f64,
    /// Producers that were made anew after an error that ends them, since the start.
    producers_rebuilt: u64,
}

/// The partition before which most jobs wait.
#[derive(Serialize, JsonSchema)]
struct Hottest {
    partition: u32,
    lag: u64,
    /// Its part of all that wait in the topic.
    share: f64,
}

/// How far the oldest unread job is from being deleted.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Retention")]
pub(super) struct RetentionStatus {
    /// How long the topic keeps a job; null where it keeps it for ever or that is not known.
    limit_seconds: Option<f64>,
    /// Until the oldest unread job is deleted; null where nothing is deleted or nothing waits.
    headroom_seconds: Option<f64>,
    /// How the headroom changes, in seconds per second; null where that is not known yet.
    trend: Option<f64>,
    /// Until the headroom is used up at this pace; null while it does not shrink.
    deleted_in_seconds: Option<f64>,
    /// Jobs that were deleted before every group had read them, since the start.
    lost_unread: u64,
}

impl Topic {
    pub(super) fn of(state: TopicState) -> Topic {
        let hottest =
            state.hottest.map(|HotPartition { partition, lag, share }| Hottest { partition, lag, share });
        let throttle_seconds = state.throttle.as_secs_f64();
        let TopicState { partitions, estimated, producers_rebuilt, .. } = state;
        Topic { partitions, hottest, estimated, throttle_seconds, producers_rebuilt }
    }
}

impl RetentionStatus {
    pub(super) fn of(retention: Retention) -> RetentionStatus {
        let seconds = |time: Option<Duration>| time.as_ref().map(Duration::as_secs_f64);
        RetentionStatus {
            limit_seconds: seconds(retention.limit),
            headroom_seconds: seconds(retention.headroom),
            trend: retention.trend,
            deleted_in_seconds: seconds(retention.deleted_in),
            lost_unread: retention.lost_unread,
        }
    }
}
