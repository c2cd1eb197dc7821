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

/// Which of these queues cannot be topics, and why.
pub fn unfit(queues: &TierMap<String>) -> TierMap<Option<String>> {
    let topics = Topics::of(queues);
    // Kafka takes names for one that differ in these alone.
    let told_apart = |name: &str| name.replace('_', ".");
    let all = topics.jobs.iter().chain(topics.retry.iter()).map(|(_, name)| &**name);
    let all: Vec<String> = all.chain([&*topics.dead_letters]).map(told_apart).collect();
    TierMap::from_fn(|tier| {
        let name = &*topics.jobs[tier];
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(fits) || [".", ".."].contains(&name) {
            return Some(format!(
                "Kafka has no topic `{name}`: write 1 to {LONGEST} of A-Z a-z 0-9 . _ - (and : for .)"
            ));
        }
        let taken = all.iter().filter(|other| **other == told_apart(name)).count() > 1;
        taken.then(|| format!("the topic `{name}` is that of another queue, of retries or of dead letters"))
    })
}

/// Kafka takes 249 characters; those of retries are longer by 6.
const LONGEST: usize = 243;

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

    #[test]
    fn queues_that_cannot_be_topics_are_told() {
        let unfit = |p0: &str, p1: &str| {
            let queues = TierMap::from((p0.to_owned(), p1.to_owned(), "jobs:bulk".to_owned()));
            super::unfit(&queues)
                .iter()
                .filter(|(_, why)| why.is_some())
                .map(|(tier, _)| tier)
                .collect::<Vec<_>>()
        };
        assert_eq!(unfit("jobs:critical", "jobs-2_x"), []);
        assert_eq!(unfit("jobs critical", "{shop}:x"), [Tier::P0, Tier::P1]);
        assert_eq!(unfit("jobs.bulk", "jobs:standard"), [Tier::P0, Tier::P2]);
        assert_eq!(unfit("jobs_bulk.retry", "jobs:dead_letter"), [Tier::P0, Tier::P1]);
        assert_eq!(unfit(&"x".repeat(244), ".."), [Tier::P0, Tier::P1]);
    }
}
