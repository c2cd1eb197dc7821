//! Dead letters that workers wrote to the compacted topic: listed, shown, replayed, purged.

use std::time::Duration;

use tidegate::clock::Clock;
use tidegate::domain::job::JobId;
use tidegate::domain::tier::Tier;
use tidegate::queue::dead_letter::{DeadLetterQuery, PurgeResult, ReplayResult};
use tidegate::queue::error::QueueError;
use tidegate::queue::kafka::dead_letters::DeadLetters;
use tidegate::queue::kafka::topics::Topics;

use super::{own_topics, settings};
use crate::support::gateway::free_port;
use crate::support::kafka::Kafka;
use crate::support::kafka_client::{ends, read_all, send_with};
use crate::support::poll::until;

fn job_id(number: u32) -> JobId {
    format!("018bcfe5-6800-7b2f-8c1d-{number:012}").parse().unwrap()
}

/// A letter as a worker in any language writes it.
async fn give_up(kafka: &Kafka, topics: &Topics, number: u32, tier: &str, body: &[u8]) {
    let id = job_id(number).to_string();
    let died_at = format!("2026-01-31T12:00:00.{number:03}Z");
    let headers = [
        ("id", id.as_str()),
        ("tier", tier),
        ("type", "invoice"),
        ("tenant", "acme"),
        ("accepted-at", "2026-01-31T11:00:00.007Z"),
        ("content-type", "text/plain"),
        ("ordering-key", "customer-7"),
        ("ce_subject", "Zoë"),
        ("attempt", "3"),
        ("attempts", "3"),
        ("reason", "no \"luck\""),
        ("first-failed-at", "2026-01-31T11:30:00.000Z"),
        ("died-at", died_at.as_str()),
    ];
    send_with(kafka, &topics.dead_letters, Some(&id), Some(body), &headers).await;
}

async fn open(kafka: &Kafka, topics: &Topics) -> DeadLetters {
    let letters = DeadLetters::open(&settings(kafka), topics, Clock::start()).unwrap();
    read(kafka, topics, &letters).await;
    letters
}

/// Waits until the letters are known as they lie in the topic now.
async fn read(kafka: &Kafka, topics: &Topics, letters: &DeadLetters) {
    let ends = ends(kafka, &topics.dead_letters).await;
    assert!(letters.caught_up(&ends, PATIENCE).await, "the letters were not read");
}

async fn make(kafka: &Kafka, topics: &Topics) {
    for tier in Tier::ALL {
        kafka.create(&topics.jobs[tier], 3, &[]).await;
    }
    kafka.create(&topics.dead_letters, 2, &[("cleanup.policy", "compact")]).await;
}

fn query(limit: usize) -> DeadLetterQuery {
    DeadLetterQuery { tier: None, limit, after: None }
}

fn count(letters: &DeadLetters, tier: Tier) -> u64 {
    letters.count(tier).expect("they were read")
}

async fn all(letters: &DeadLetters, limit: usize) -> Vec<JobId> {
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let page = letters.list(&DeadLetterQuery { after, ..query(limit) }).await.unwrap();
        assert!(page.dead_letters.len() <= limit);
        ids.extend(page.dead_letters.iter().map(|letter| letter.id));
        after = page.next;
        if after.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn letters_are_listed_oldest_first_counted_and_shown_whole() {
    let kafka = Kafka::shared().await;
    let topics = own_topics();
    make(kafka, &topics).await;
    for number in [3, 1, 5, 2, 4] {
        let tier = if number == 5 { "p0" } else { "p2" };
        give_up(kafka, &topics, number, tier, format!("body {number}").as_bytes()).await;
    }
    let letters = open(kafka, &topics).await;
    assert_eq!(all(&letters, 2).await, (1..=5).map(job_id).collect::<Vec<_>>());
    assert_eq!((count(&letters, Tier::P0), count(&letters, Tier::P1), count(&letters, Tier::P2)), (1, 0, 4));
    let bad = DeadLetterQuery { after: Some("never".to_owned()), ..query(1) };
    assert_eq!(letters.list(&bad).await, Err(QueueError::BadPage));
    let of_p0 = letters.list(&DeadLetterQuery { tier: Some(Tier::P0), ..query(9) }).await.unwrap();
    assert_eq!(of_p0.dead_letters.len(), 1);
    let listed = &of_p0.dead_letters[0];
    assert_eq!((listed.job_type.as_deref(), listed.size, listed.death.attempts), (Some("invoice"), 6, 3));

    let shown = letters.show(job_id(2)).await.unwrap().unwrap();
    assert_eq!((&*shown.job.payload, &*shown.death.reason), (&b"body 2"[..], "no \"luck\""));
    assert_eq!((shown.job.ordering_key.as_deref(), &*shown.job.tenant), (Some("customer-7"), "acme"));
    assert_eq!(shown.death.first_failed_at.to_string(), "2026-01-31T11:30:00.000Z");
    assert_eq!(letters.show(job_id(9)).await, Ok(None));

    // One more comes, one goes by another's hand, and both are seen.
    give_up(kafka, &topics, 6, "p2", b"").await;
    send_with(kafka, &topics.dead_letters, Some(&job_id(1).to_string()), None, &[]).await;
    read(kafka, &topics, &letters).await;
    assert_eq!(all(&letters, 9).await, (2..=6).map(job_id).collect::<Vec<_>>());
    assert_eq!(letters.show(job_id(6)).await.unwrap().unwrap().job.payload.len(), 0, "empty is not gone");
    // Another gateway, or this one after a restart, knows the same.
    assert_eq!(all(&open(kafka, &topics).await, 9).await, (2..=6).map(job_id).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_replay_is_the_job_again_in_its_topic_and_a_tombstone() {
    let kafka = Kafka::shared().await;
    let topics = own_topics();
    make(kafka, &topics).await;
    for number in 1..=4 {
        give_up(kafka, &topics, number, "p1", if number == 2 { b"" } else { b"payload" }).await;
    }
    let letters = open(kafka, &topics).await;
    let acted = letters.replay(&[job_id(2), job_id(9), job_id(1), job_id(2)]).await;
    use ReplayResult::{Replayed, Unknown};
    assert_eq!((acted.error, acted.results), (None, vec![Replayed, Unknown, Replayed, Unknown]));
    assert_eq!((acted.tiers[Tier::P1], acted.tiers[Tier::P2]), (2, 0));
    assert_eq!(all(&letters, 9).await, [job_id(3), job_id(4)], "they are gone at once");
    assert_eq!(count(&letters, Tier::P1), 2);
    let again = letters.replay(&[job_id(1)]).await;
    assert_eq!(again.results, [Unknown]);

    let mut jobs = read_all(kafka, &topics.jobs[Tier::P1]).await;
    jobs.sort_by(|a, b| a.id().cmp(b.id()));
    let ids: Vec<_> = jobs.iter().map(|job| job.id().to_owned()).collect();
    assert_eq!(ids, [job_id(1).to_string(), job_id(2).to_string()]);
    assert_eq!(
        (jobs[0].text(), jobs[1].value.as_deref()),
        ("payload", Some(&b""[..])),
        "empty, and no tombstone"
    );
    assert_eq!(jobs[0].key.as_deref(), Some("customer-7"));
    for (name, value) in [
        ("attempt", "1"),
        ("earlier-attempts", "3"),
        ("first-failed-at", "2026-01-31T11:30:00.000Z"),
        ("accepted-at", "2026-01-31T11:00:00.007Z"),
        ("ce_subject", "Zoë"),
        ("type", "invoice"),
    ] {
        assert_eq!(jobs[0].header(name), value);
    }
    assert!(!jobs[0].headers.contains_key("reason"));

    let purged = letters.purge(&[job_id(3), job_id(1), job_id(3)]).await;
    assert_eq!(
        (purged.error, purged.results),
        (None, vec![PurgeResult::Purged, PurgeResult::Unknown, PurgeResult::Unknown])
    );
    assert_eq!(all(&letters, 9).await, [job_id(4)]);
    let lying = read_all(kafka, &topics.dead_letters).await;
    let tombstones: Vec<_> = lying.iter().filter(|record| record.value.is_none()).collect();
    assert_eq!(tombstones.len(), 3, "one for each that went");
    read(kafka, &topics, &letters).await;
    assert_eq!(all(&letters, 9).await, [job_id(4)]);

    // What dies again is a letter again.
    give_up(kafka, &topics, 1, "p1", b"payload").await;
    read(kafka, &topics, &letters).await;
    assert_eq!(all(&letters, 9).await, [job_id(1), job_id(4)]);
}

#[tokio::test]
async fn hundreds_are_replayed_in_one_call() {
    let kafka = Kafka::shared().await;
    let topics = own_topics();
    make(kafka, &topics).await;
    let many = 450;
    let producer: rdkafka::producer::FutureProducer = kafka.client().create().unwrap();
    let mut sent = Vec::new();
    for number in 0..many {
        let id = job_id(number).to_string();
        let headers = [
            ("id", id.as_str()),
            ("tier", "p2"),
            ("reason", "x"),
            ("accepted-at", "2026-01-31T11:00:00.007Z"),
        ];
        let headers = headers.iter().fold(rdkafka::message::OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(rdkafka::message::Header { key, value: Some(*value) })
        });
        let record = rdkafka::producer::FutureRecord::to(&topics.dead_letters)
            .key(&id)
            .payload("body")
            .headers(headers);
        sent.push(producer.send_result(record).map_err(|(why, _)| why).unwrap());
    }
    for sent in sent {
        sent.await.unwrap().map_err(|(why, _)| why).unwrap();
    }
    let letters = open(kafka, &topics).await;
    assert_eq!(count(&letters, Tier::P2), u64::from(many));
    let ids: Vec<_> = (0..many).map(job_id).collect();
    let acted = letters.replay(&ids).await;
    assert_eq!((acted.error, acted.tiers[Tier::P2]), (None, u64::from(many)));
    assert!(acted.results.iter().all(|result| *result == ReplayResult::Replayed));
    assert_eq!(count(&letters, Tier::P2), 0);
    assert_eq!(read_all(kafka, &topics.jobs[Tier::P2]).await.len(), many as usize);
}

#[tokio::test]
async fn a_letter_that_cannot_be_read_harms_no_other_and_can_be_purged() {
    let kafka = Kafka::shared().await;
    let topics = own_topics();
    make(kafka, &topics).await;
    give_up(kafka, &topics, 1, "p1", b"good").await;
    let other = job_id(9).to_string();
    let headers = [("id", other.as_str()), ("tier", "p1"), ("reason", "x")];
    send_with(kafka, &topics.dead_letters, Some(&job_id(2).to_string()), Some(b"x"), &headers).await;
    send_with(kafka, &topics.dead_letters, Some(&job_id(3).to_string()), Some(b"no headers"), &[]).await;
    send_with(kafka, &topics.dead_letters, Some("no id"), Some(b"x"), &headers).await;
    let letters = open(kafka, &topics).await;
    let page = letters.list(&query(9)).await.unwrap();
    let mut broken: Vec<_> =
        page.dead_letters.iter().filter(|letter| letter.death.reason.contains("cannot be read")).collect();
    broken.sort_by_key(|letter| letter.id);
    assert_eq!(broken.iter().map(|letter| letter.id).collect::<Vec<_>>(), [job_id(2), job_id(3)]);
    assert!(broken[1].death.reason.contains("`id` is missing"), "{}", broken[1].death.reason);
    assert_eq!((page.dead_letters.len(), count(&letters, Tier::P1), count(&letters, Tier::P2)), (3, 2, 1));
    assert!(matches!(letters.show(job_id(3)).await, Err(QueueError::Unavailable { .. })));
    assert_eq!(letters.tier(job_id(3)).await, Ok(Some(Tier::P2)));
    let acted = letters.replay(&[job_id(2), job_id(3), job_id(1)]).await;
    use ReplayResult::{Replayed, Unknown};
    assert_eq!((acted.error, acted.results), (None, vec![Unknown, Unknown, Replayed]));
    let purged = letters.purge(&[job_id(2), job_id(3)]).await;
    assert_eq!(purged.results, [PurgeResult::Purged, PurgeResult::Purged]);
    assert_eq!(all(&letters, 9).await, []);
}

#[tokio::test]
async fn a_missing_topic_is_no_dead_letters_until_it_is_made() {
    let kafka = Kafka::shared().await;
    let topics = own_topics();
    let letters = DeadLetters::open(&settings(kafka), &topics, Clock::start()).unwrap();
    assert_eq!(all(&letters, 9).await, []);
    assert_eq!((letters.show(job_id(1)).await, count(&letters, Tier::P1)), (Ok(None), 0));
    assert_eq!(letters.purge(&[job_id(1)]).await.results, [PurgeResult::Unknown]);
    make(kafka, &topics).await;
    give_up(kafka, &topics, 1, "p1", b"x").await;
    read(kafka, &topics, &letters).await;
    assert_eq!(all(&letters, 9).await, [job_id(1)]);
    // Deleted and made again, it is another topic.
    kafka.delete(&topics.dead_letters).await;
    until("the letters are gone with their topic", PATIENCE, async || {
        (count(&letters, Tier::P1) == 0).then_some(())
    })
    .await;
    kafka.create(&topics.dead_letters, 1, &[("cleanup.policy", "compact")]).await;
    give_up(kafka, &topics, 2, "p1", b"x").await;
    until("the new topic is read", PATIENCE, async || (all(&letters, 9).await == [job_id(2)]).then_some(()))
        .await;
}

#[tokio::test]
async fn an_outage_is_an_error_never_an_empty_list() {
    let mut nowhere = settings(Kafka::shared().await);
    nowhere.brokers = format!("127.0.0.1:{}", free_port());
    nowhere.timeout = Duration::from_millis(500);
    let letters = DeadLetters::open(&nowhere, &own_topics(), Clock::start()).unwrap();
    assert_eq!(letters.count(Tier::P1), None, "unknown is not none");
    assert!(matches!(letters.list(&query(9)).await, Err(QueueError::Unavailable { .. })));
    assert!(letters.replay(&[job_id(1)]).await.error.is_some());
    assert!(!letters.caught_up(&[1], Duration::from_millis(10)).await);

    let mut kafka = Kafka::start(&[]).await;
    let topics = own_topics();
    make(&kafka, &topics).await;
    give_up(&kafka, &topics, 1, "p1", b"x").await;
    let patient = settings(&kafka);
    let brief =
        tidegate::queue::kafka::settings::KafkaSettings { timeout: Duration::from_secs(2), ..patient };
    let letters = DeadLetters::open(&brief, &topics, Clock::start()).unwrap();
    read(&kafka, &topics, &letters).await;
    kafka.kill();
    assert!(matches!(letters.show(job_id(1)).await, Err(QueueError::Unavailable { .. })));
    let acted = letters.replay(&[job_id(1)]).await;
    assert!(acted.error.is_some() && acted.results.is_empty() && acted.tiers[Tier::P1] == 0, "{acted:?}");
    assert_eq!(count(&letters, Tier::P1), 1, "what is known stays known");
    kafka.restart().await;
    until("it works again", PATIENCE, async || {
        let acted = letters.replay(&[job_id(1)]).await;
        acted.error.is_none().then(|| assert_eq!(acted.results, [ReplayResult::Replayed]))
    })
    .await;
    assert_eq!(read_all(&kafka, &topics.jobs[Tier::P1]).await.len(), 1);
}

const PATIENCE: Duration = Duration::from_secs(60);
