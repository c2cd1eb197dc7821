//! Faults that a real broker cannot be made to show, by librdkafka's mock cluster.

use std::time::Duration;

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::timeout;

use super::*;
use crate::clock::Clock;
use crate::domain::job::JobId;
use crate::domain::tier::TierMap;
use crate::domain::time::Timestamp;
use crate::queue::Storing;
use crate::queue::kafka::settings::KafkaSettings;
use crate::queue::kafka::topics::Topics;

type Mock = MockCluster<'static, DefaultProducerContext>;

/// A cluster of one broker with a topic of one partition.
fn mock() -> Mock {
    let mock = MockCluster::new(1).unwrap();
    mock.create_topic(TOPIC, 1, 1).unwrap();
    mock
}

async fn lane(mock: &Mock, patience: Duration) -> Lane {
    let brokers = mock.bootstrap_servers();
    let settings = KafkaSettings { brokers, timeout: patience, ..KafkaSettings::default() };
    let topics = Topics { jobs: TierMap::from_fn(|_| TOPIC.into()), ..Topics::of(&TierMap::default()) };
    let lane = Lane::open(Shared::new(settings, topics, Clock::start()), Tier::P1).unwrap();
    lane.reached().await.unwrap();
    lane
}

fn append(lane: &Lane, jobs: usize) -> Result<Storing, StoreError> {
    let (answer, storing) = Storing::channel();
    let job = Job::bare(JobId::new(Timestamp::from_millis(1), [0; 10]), Tier::P1);
    let bytes = write::size(&job) * jobs;
    lane.append(Group { jobs: vec![job; jobs], bytes, answer })?;
    Ok(storing)
}

async fn store(lane: &Lane, jobs: usize) -> Result<Stored, StoreError> {
    append(lane, jobs)?.await
}

async fn becomes(lane: &Lane, wanted: Presence) {
    let mut presence = lane.0.presence.subscribe();
    let seen = timeout(PATIENCE, presence.wait_for(|presence| *presence == wanted)).await;
    assert!(seen.is_ok(), "not {wanted:?}, but {:?}", lane.outage());
}

fn is_unavailable<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Unavailable { .. }))
}

#[tokio::test]
async fn a_producer_that_failed_for_good_is_made_anew_and_its_records_are_unknown() {
    let mock = mock();
    let lane = lane(&mock, PATIENCE).await;
    store(&lane, 2).await.unwrap();
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER],
    );
    assert_eq!(store(&lane, 3).await, Err(StoreError::Unknown));
    let mut presence = lane.0.presence.subscribe();
    let back = presence.wait_for(|presence| *presence == Presence::There && lane.rebuilt() == 1);
    timeout(PATIENCE, back).await.unwrap().unwrap();
    store(&lane, 2).await.unwrap();
}

#[tokio::test]
async fn a_refusal_is_one_only_while_nothing_can_have_been_sent_twice() {
    let mock = mock();
    let lane = lane(&mock, PATIENCE).await;
    let too_large = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    mock.request_errors(RDKafkaApiKey::Produce, &[too_large]);
    let refused = store(&lane, 1).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    // The first answer is lost with its connection; the record is sent again.
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT, too_large]);
    assert_eq!(store(&lane, 1).await, Err(StoreError::Unknown));
    becomes(&lane, Presence::There).await;
    store(&lane, 1).await.unwrap();
}

#[tokio::test]
async fn a_partition_without_a_leader_is_an_outage_until_it_has_one() {
    let mock = mock();
    let lane = lane(&mock, PATIENCE).await;
    mock.partition_leader(TOPIC, 0, None).unwrap();
    becomes(&lane, Presence::Away).await;
    let refused = append(&lane, 1);
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(lane.outage().unwrap().detail.contains("no leader"), "{:?}", lane.outage());
    mock.partition_leader(TOPIC, 0, Some(1)).unwrap();
    becomes(&lane, Presence::There).await;
    store(&lane, 1).await.unwrap();
}

#[tokio::test]
async fn when_a_broker_falls_silent_what_was_not_sent_is_refused_and_the_rest_is_unknown() {
    let mock = mock();
    let lane = lane(&mock, SHORT).await;
    mock.broker_round_trip_time(1, SILENCE).unwrap();
    // More than is risked before the first record is stored.
    let (begun, waiting) = (append(&lane, 100).unwrap(), append(&lane, 10).unwrap());
    let refused = waiting.await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(is_unavailable(&append(&lane, 1)));
    assert_eq!(begun.await, Err(StoreError::Unknown));
    mock.broker_round_trip_time(1, Duration::ZERO).unwrap();
    mock.broker_down(1).unwrap();
    mock.broker_up(1).unwrap();
    becomes(&lane, Presence::There).await;
    store(&lane, 1).await.unwrap();
}

#[tokio::test]
async fn closing_stores_what_it_can_and_answers_the_rest() {
    let mock = mock();
    let orderly = lane(&mock, PATIENCE).await;
    let waiting: Vec<Storing> = (0..50).map(|_| append(&orderly, 100).unwrap()).collect();
    timeout(PATIENCE, orderly.close()).await.unwrap();
    for storing in waiting {
        storing.await.unwrap();
    }
    assert_eq!(append(&orderly, 1).map(drop), Err(StoreError::Closed));

    let silent = lane(&mock, SHORT).await;
    mock.broker_round_trip_time(1, SILENCE).unwrap();
    let begun = append(&silent, 100).unwrap();
    let waiting: Vec<Storing> = (0..5).map(|_| append(&silent, 100).unwrap()).collect();
    timeout(PATIENCE, silent.close()).await.unwrap();
    assert_eq!(begun.await, Err(StoreError::Unknown));
    assert_eq!(waiting.into_iter().next_back().unwrap().await, Err(StoreError::Closed));
}

#[tokio::test]
async fn a_record_beyond_the_largest_is_refused_before_anything_is_sent() {
    let mock = mock();
    let lane = lane(&mock, PATIENCE).await;
    let (answer, _storing) = Storing::channel();
    let mut jobs = vec![Job::bare(JobId::new(Timestamp::from_millis(1), [0; 10]), Tier::P1); 2];
    jobs[1].payload = vec![0; 2_000_000].into();
    let refused = lane.append(Group { jobs, bytes: 2_000_000, answer });
    assert!(matches!(refused, Err(StoreError::TooLarge { .. })), "{refused:?}");
    assert_eq!(store(&lane, 1).await.unwrap().depth, 1);
}

const TOPIC: &str = "jobs.standard";
/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// A timeout that is waited for.
const SHORT: Duration = Duration::from_secs(1);
/// A broker that takes so long is silent.
const SILENCE: Duration = Duration::from_secs(600);
