//! What topics give, and what is said of those that cannot take jobs.

use std::time::Duration;

use tidegate::domain::tier::Tier;
use tidegate::policy::Requirement;
use tidegate::queue::Durability;
use tidegate::queue::kafka::checks::{Checks, Given, TopicFault};
use tidegate::queue::kafka::settings::KafkaSettings;

use super::{own_topics, settings};
use crate::support::gateway::free_port;
use crate::support::kafka::Kafka;
use crate::support::poll::until;

#[tokio::test]
async fn a_topic_that_cannot_take_jobs_is_one_sentence_with_the_command_that_helps() {
    let kafka = Kafka::shared().await;
    let topics = own_topics();
    kafka.create(&topics.jobs[Tier::P1], 1, &[("cleanup.policy", "compact")]).await;
    kafka.create(&topics.jobs[Tier::P2], 1, &[("max.message.bytes", "100000")]).await;
    kafka.create(&topics.dead_letters, 1, &[]).await;
    let checks = Checks::open(&settings(kafka), &topics).unwrap();
    let look = checks.look().await.unwrap();
    let said = |fault: Option<&TopicFault>| fault.map(ToString::to_string).unwrap_or_default();
    let of = |tier: Tier| said(look.jobs[tier].as_ref().err());
    assert_eq!(
        of(Tier::P0),
        format!("the topic {} does not exist: run `tidegate kafka init`", topics.jobs[Tier::P0])
    );
    assert!(
        of(Tier::P1).contains("compacted") && of(Tier::P1).contains("cleanup.policy=delete"),
        "{}",
        of(Tier::P1)
    );
    assert!(
        of(Tier::P2).contains("100000") && of(Tier::P2).contains("max.message.bytes=1032768"),
        "{}",
        of(Tier::P2)
    );
    assert!(said(look.dead_letters.as_ref().err()).contains("cleanup.policy=compact"));
    assert!(look.retry.iter().all(|(_, retry)| matches!(retry, Err(TopicFault::Missing { .. }))));
}

#[tokio::test]
async fn what_a_receipt_says_follows_from_the_topics_settings_as_they_are_now() {
    let kafka = Kafka::shared().await;
    let topics = own_topics();
    for tier in Tier::ALL {
        kafka.create(&topics.jobs[tier], 2, &[("retention.ms", "3600000")]).await;
    }
    let checks = Checks::open(&settings(kafka), &topics).unwrap();
    let of = async |tier: Tier| checks.look().await.unwrap().jobs[tier].clone();
    let given: Given = of(Tier::P0).await.unwrap();
    assert_eq!((given.partitions, given.replicas, given.in_sync, given.min_insync), (2, 1, 1, 1));
    assert_eq!((given.retention, given.retention_bytes), (Some(Duration::from_secs(3600)), None));
    assert_eq!((given.durability(), given.hidden), (Durability::Memory, false));
    let command = checks.fix(&given, Requirement::Disk).unwrap();
    assert!(command.contains(&kafka.brokers()) && command.ends_with("flush.messages=1"), "{command}");
    assert!(checks.fix(&given, Requirement::Replicated).unwrap().contains("3 replicas"));

    kafka.configure(&topics.jobs[Tier::P0], &[("flush.messages", "1")]).await;
    until("flush.messages counts", PATIENCE, async || {
        let given = of(Tier::P0).await.unwrap();
        (given.durability() == Durability::Disk)
            .then(|| assert_eq!(checks.fix(&given, Requirement::Disk), None))
    })
    .await;
    kafka.configure(&topics.jobs[Tier::P0], &[("min.insync.replicas", "2")]).await;
    until("one copy is not two", PATIENCE, async || {
        of(Tier::P0)
            .await
            .err()
            .map(|fault| assert!(fault.to_string().contains("never takes a job"), "{fault}"))
    })
    .await;
    assert_eq!(of(Tier::P1).await.unwrap().durability(), Durability::Memory, "another topic");
}

#[tokio::test]
async fn brokers_that_are_away_are_told_in_time_and_looked_at_again() {
    let nobody = KafkaSettings {
        brokers: format!("127.0.0.1:{}", free_port()),
        timeout: Duration::from_millis(500),
        ..KafkaSettings::default()
    };
    let checks = Checks::open(&nobody, &own_topics()).unwrap();
    let look = tokio::time::timeout(Duration::from_secs(5), checks.look()).await.expect("in time");
    assert!(look.unwrap_err().to_string().contains(&nobody.brokers));
}

const PATIENCE: Duration = Duration::from_secs(30);
