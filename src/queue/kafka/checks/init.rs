//! Making the topics: what is missing is made, what is there is compared, and never changed.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{NewTopic, TopicReplication};
use rdkafka::error::KafkaError;

use crate::domain::tier::{Tier, TierMap};
use crate::policy::Requirement;
use crate::queue::kafka::checks::asker::{Asker, Unreachable};
use crate::queue::kafka::checks::given::{Given, Words};
use crate::queue::kafka::checks::topic_fault::TopicFault;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::topics::Topics;

/// How topics shall be; what is not said has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Partitions of the topics of jobs and retries.
    pub partitions: Option<u16>,
    /// Copies of each partition.
    pub replication: Option<u16>,
    /// How long jobs are kept, read or not.
    pub retention: Option<Duration>,
    /// Copies that must have a job before it is confirmed.
    pub min_insync: Option<u16>,
}

/// How one topic shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub topic: Arc<str>,
    /// Its partitions.
    pub partitions: u16,
    /// Copies of each.
    pub replication: u16,
    /// Its settings beside the cluster's own.
    pub settings: Vec<(&'static str, String)>,
}

/// What became of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was made.
    Made(Plan),
    /// It is missing, and would be made.
    WouldBeMade(Plan),
    /// It was there and is as it should be.
    Fits(Given),
    /// It was there and is not as it should be, or could not be made.
    Wrong {
        /// Which.
        topic: Arc<str>,
        /// Everything that is wrong, a sentence each.
        why: Vec<String>,
    },
}

/// Why nothing can be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// No client can be made of the settings.
    #[error("{0}")]
    Client(String),
    /// No broker answers.
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    /// The wishes contradict each other, the policy or the cluster.
    #[error("{0}")]
    Wishes(String),
}

/// Makes what is missing, or tells what would be made.
///
/// # Errors
/// Nothing was made, and why.
pub async fn init(
    settings: &KafkaSettings,
    topics: &Topics,
    required: &TierMap<Option<Requirement>>,
    wishes: Wishes,
    dry: bool,
) -> Result<Vec<Outcome>, InitError> {
    let client = |error: KafkaError| InitError::Client(crate::queue::kafka::client::said(settings, &error));
    let asker = Asker::open(settings).map_err(client)?;
    let words = Words::of(settings);
    let plans = plans(topics, required, wishes, asker.brokers().await?, &words)?;
    let names: Vec<_> = plans.iter().map(|plan| Arc::clone(&plan.topic)).collect();
    let found = asker.topics(&names).await?;
    let mut outcomes = Vec::with_capacity(plans.len());
    for (plan, found) in plans.into_iter().zip(found) {
        outcomes.push(match found {
            Ok(given) => compare(&plan, given, wishes, &words),
            Err(TopicFault::Missing { .. }) if dry => Outcome::WouldBeMade(plan),
            Err(TopicFault::Missing { .. }) => make(&asker, plan).await?,
            Err(fault) => Outcome::Wrong { topic: plan.topic, why: vec![fault.to_string()] },
        });
    }
    Ok(outcomes)
}

/// How every topic shall be.
fn plans(
    topics: &Topics,
    required: &TierMap<Option<Requirement>>,
    wishes: Wishes,
    brokers: usize,
    words: &Words,
) -> Result<Vec<Plan>, InitError> {
    let brokers = u16::try_from(brokers).unwrap_or(u16::MAX).max(1);
    let replication = wishes.replication.unwrap_or(USUAL_REPLICATION.min(brokers));
    let min_insync = wishes.min_insync.unwrap_or(if replication >= 3 { 2 } else { 1 });
    if replication > brokers {
        return Err(InitError::Wishes(format!(
            "--replication {replication} needs as many brokers, and the cluster has {brokers}"
        )));
    }
    if min_insync > replication {
        return Err(InitError::Wishes(format!(
            "--min-insync {min_insync} needs --replication {min_insync} or more: no job could ever be stored"
        )));
    }
    let partitions = wishes.partitions.unwrap_or(USUAL_PARTITIONS);
    let retention = wishes.retention.unwrap_or(USUAL_RETENTION).as_millis().to_string();
    let mut plans = Vec::new();
    for names in [&topics.jobs, &topics.retry] {
        for tier in Tier::ALL {
            let mut settings = vec![
                ("cleanup.policy", "delete".to_owned()),
                ("retention.ms", retention.clone()),
                ("retention.bytes", "-1".to_owned()),
                ("min.insync.replicas", min_insync.to_string()),
                ("max.message.bytes", words.largest().max(KAFKAS_LARGEST).to_string()),
            ];
            match required[tier] {
                Some(Requirement::Replicated) if min_insync < 2 => {
                    return Err(InitError::Wishes(format!(
                        "tier {tier} requires replicated: that needs --replication 2 and --min-insync 2 or more, \
                         and the cluster has {brokers} broker(s)"
                    )));
                }
                Some(Requirement::Disk) if min_insync < 2 => {
                    settings.push(("flush.messages", "1".to_owned()))
                }
                _ => {}
            }
            plans.push(Plan { topic: Arc::clone(&names[tier]), partitions, replication, settings });
        }
    }
    let settings = vec![
        ("cleanup.policy", "compact".to_owned()),
        ("min.insync.replicas", min_insync.to_string()),
        ("max.message.bytes", words.largest().max(KAFKAS_LARGEST).to_string()),
    ];
    plans.push(Plan { topic: Arc::clone(&topics.dead_letters), partitions: 1, replication, settings });
    Ok(plans)
}

/// What is there beside what was asked for by name, and what the gateway needs.
fn compare(plan: &Plan, given: Given, wishes: Wishes, words: &Words) -> Outcome {
    let mut why = Vec::new();
    let topic = Arc::clone(&given.topic);
    let of_jobs = plan.settings.iter().any(|(name, value)| *name == "cleanup.policy" && value == "delete");
    let checked = given.clone().checked_size(words);
    why.extend(checked.err().map(|fault| fault.to_string()));
    if of_jobs {
        why.extend(given.clone().checked_cleaning(words).err().map(|fault| fault.to_string()));
        why.extend(given.clone().checked_replicas(words).err().map(|fault| fault.to_string()));
        if let Some(wanted) = wishes.partitions.map(usize::from).filter(|wanted| *wanted > given.partitions) {
            why.push(format!(
                "it has {} partition(s), {wanted} are wanted (kafka-topics.sh --alter)",
                given.partitions
            ));
        }
        if let (Some(wanted), Some(kept)) = (wishes.retention, given.retention)
            && kept < wanted
        {
            let fix = words.alter(&topic, &format!("retention.ms={}", wanted.as_millis()));
            why.push(format!(
                "it keeps jobs for {}, {} is wanted: {fix}",
                humantime::format_duration(kept),
                humantime::format_duration(wanted)
            ));
        }
        let disk = plan.settings.iter().any(|(name, _)| *name == "flush.messages");
        if disk && let Some(fix) = given.fix(Requirement::Disk, words) {
            why.push(format!("its tier requires disk: {fix}"));
        }
    } else if !given.compacts {
        let fix = words.alter(&topic, "cleanup.policy=compact");
        why.push(TopicFault::NotCompacted { topic: Arc::clone(&topic), fix }.to_string());
    }
    if let Some(wanted) = wishes.replication.map(usize::from).filter(|wanted| *wanted > given.replicas) {
        let has = given.replicas;
        why.push(format!("it has {has} replica(s), {wanted} are wanted (kafka-reassign-partitions.sh)"));
    }
    if let Some(wanted) = wishes.min_insync.map(usize::from).filter(|wanted| *wanted > given.min_insync) {
        let fix = words.alter(&topic, &format!("min.insync.replicas={wanted}"));
        why.push(format!("min.insync.replicas is {}, {wanted} is wanted: {fix}", given.min_insync));
    }
    if why.is_empty() { Outcome::Fits(given) } else { Outcome::Wrong { topic, why } }
}

async fn make(asker: &Asker, plan: Plan) -> Result<Outcome, Unreachable> {
    let replication = TopicReplication::Fixed(i32::from(plan.replication));
    let mut topic = NewTopic::new(&plan.topic, i32::from(plan.partitions), replication);
    for (name, value) in &plan.settings {
        topic = topic.set(name, value);
    }
    let made = asker.create(&[topic]).await?.into_iter().next();
    Ok(match made {
        Some(Ok(())) => Outcome::Made(plan),
        Some(Err(why)) => {
            Outcome::Wrong { topic: plan.topic, why: vec![format!("it cannot be made: {why}")] }
        }
        None => Outcome::Wrong { topic: plan.topic, why: vec!["it cannot be made: no answer".to_owned()] },
    })
}

/// Enough for six workers at once in a group, and few enough that each is looked at often.
pub const USUAL_PARTITIONS: u16 = 6;

/// Copies where the cluster has as many brokers: one may be lost, and jobs are still taken.
pub const USUAL_REPLICATION: u16 = 3;

/// A long weekend and the days after it.
pub const USUAL_RETENTION: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What a topic takes unless told otherwise.
const KAFKAS_LARGEST: u64 = 1_048_588;

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(required: Option<Requirement>, wishes: Wishes, brokers: usize) -> Result<Vec<Plan>, String> {
        let topics = Topics::of(&TierMap::from_fn(|tier| format!("jobs:{tier}")));
        let required = TierMap::from((required, None, None));
        let words = Words::of(&KafkaSettings::default());
        plans(&topics, &required, wishes, brokers, &words).map_err(|error| error.to_string())
    }

    fn of<'a>(plan: &'a Plan, name: &str) -> Option<&'a str> {
        plan.settings.iter().find(|(setting, _)| *setting == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn unless_told_otherwise_one_broker_may_be_lost_where_there_are_three() {
        for (brokers, replication, min_insync) in [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (9, 3, "2")] {
            let plans = planned(None, Wishes::default(), brokers).unwrap();
            let names: Vec<_> = plans.iter().map(|plan| &*plan.topic).collect();
            assert_eq!(
                names,
                [
                    "jobs.p0",
                    "jobs.p1",
                    "jobs.p2",
                    "jobs.p0.retry",
                    "jobs.p1.retry",
                    "jobs.p2.retry",
                    "jobs.dead_letter"
                ]
            );
            assert!(plans.iter().all(|plan| plan.replication == replication));
            assert!(plans.iter().all(|plan| of(plan, "min.insync.replicas") == Some(min_insync)));
            assert_eq!(
                (of(&plans[0], "retention.ms"), of(&plans[6], "retention.ms")),
                (Some("604800000"), None)
            );
            assert_eq!(
                (of(&plans[0], "cleanup.policy"), of(&plans[6], "cleanup.policy")),
                (Some("delete"), Some("compact"))
            );
            assert_eq!((plans[0].partitions, plans[6].partitions), (6, 1));
        }
    }

    #[test]
    fn a_tier_gets_what_it_requires() {
        let disk = planned(Some(Requirement::Disk), Wishes::default(), 1).unwrap();
        assert_eq!((of(&disk[0], "flush.messages"), of(&disk[1], "flush.messages")), (Some("1"), None));
        let replicas = planned(Some(Requirement::Disk), Wishes::default(), 3).unwrap();
        assert_eq!(of(&replicas[0], "flush.messages"), None, "two copies are more than a disk");
        assert!(planned(Some(Requirement::Replicated), Wishes::default(), 3).is_ok());
        let alone = planned(Some(Requirement::Replicated), Wishes::default(), 1).unwrap_err();
        assert!(alone.contains("p0") && alone.contains("--min-insync 2"), "{alone}");
    }

    #[test]
    fn wishes_that_cannot_be_are_told() {
        let wish = |replication, min_insync| Wishes { replication, min_insync, ..Wishes::default() };
        assert!(planned(None, wish(Some(3), None), 1).unwrap_err().contains("brokers"));
        assert!(planned(None, wish(Some(1), Some(2)), 3).unwrap_err().contains("--replication 2"));
    }

    #[test]
    fn what_is_there_is_compared_with_what_was_asked_for() {
        let words = Words::of(&KafkaSettings::default());
        let given = Given {
            topic: "jobs.p0".into(),
            partitions: 3,
            replicas: 1,
            in_sync: 1,
            hidden: false,
            min_insync: 1,
            flush_messages: u64::MAX,
            max_message_bytes: Some(KAFKAS_LARGEST),
            retention: Some(Duration::from_secs(3600)),
            retention_bytes: None,
            compacts: false,
        };
        let plan = &planned(None, Wishes::default(), 1).unwrap()[0];
        let compared = |wishes| compare(plan, given.clone(), wishes, &words);
        assert_eq!(
            compared(Wishes::default()),
            Outcome::Fits(given.clone()),
            "its own ways are nobody's business"
        );
        let wishes = Wishes {
            partitions: Some(6),
            replication: Some(3),
            retention: Some(Duration::from_secs(7200)),
            min_insync: Some(2),
        };
        let Outcome::Wrong { why, .. } = compared(wishes) else { panic!("it does not fit") };
        assert_eq!(why.len(), 4, "{why:?}");
        let fewer = Wishes { partitions: Some(1), ..Wishes::default() };
        assert!(matches!(compared(fewer), Outcome::Fits(_)), "more than enough");
    }
}
