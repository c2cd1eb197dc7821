//! The names of all topics, made from the names of the three queues.

use std::sync::Arc;

use crate::domain::tier::TierMap;

/// Every topic that the gateway touches. Topics have `.` where queues have `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// The topics that workers read.
    pub jobs: TierMap<Arc<str>>,
    /// The topics of jobs that wait for another attempt; they may be missing.
    pub retry: TierMap<Arc<str>>,
    /// The compacted topic of dead letters, by job id; it may be missing.
    pub dead_letters: Arc<str>,
}

impl Topics {
    /// The topics for queues of these names.
    pub fn of(queues: &TierMap<String>) -> Topics {
        let topic = |queue: &str| queue.replace(':', ".");
        Topics {
            jobs: TierMap::from_fn(|tier| topic(&queues[tier]).into()),
            retry: TierMap::from_fn(|tier| format!("{}.retry", topic(&queues[tier])).into()),
            dead_letters: "jobs.dead_letter".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::tier::Tier;

    #[test]
    fn topics_have_points_where_queues_have_colons() {
        let queues = TierMap::from_fn(|tier| format!("jobs:{tier}"));
        let topics = Topics::of(&queues);
        assert_eq!((&*topics.jobs[Tier::P0], &*topics.retry[Tier::P2]), ("jobs.p0", "jobs.p2.retry"));
        assert_eq!(&*topics.dead_letters, "jobs.dead_letter");
    }
}
