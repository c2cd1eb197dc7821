//! Two brokers: the one that leads dies, the other takes over, and clients hardly notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BROKER_BACK, Place, QUEUES};
use crate::support::book::{Book, Load};
use crate::support::kafka::{Kafka, unique};
use crate::support::kafka_client::{blocking, committed};
use crate::support::policy::Policy;
use crate::support::poll::until;
use crate::support::recovery::{finish, recovers, without_probes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_dies_is_replaced_and_no_receipt_is_lost() {
    let first = Kafka::start(&[]).await;
    // The first broker coordinates all groups, of which there is no second copy: they are not what is asked here.
    first.create_replicated("before-the-second", 1, 1, &[]).await;
    committed(&first, "anybody", "before-the-second").await;
    let mut second = Kafka::beside(&first, 2).await;
    let place = Place { name: unique("place") };
    for queue in QUEUES {
        // Both have every record before it counts as stored.
        let topic = format!("{}.{queue}", place.name);
        first.create_replicated(&topic, 4, 2, &[("min.insync.replicas", "1")]).await;
    }
    let leaders = leaders_of(&first, &place.topic(1)).await;
    assert!(leaders.contains(&1) && leaders.contains(&2), "both lead some: {leaders:?}");
    let gateway = Arc::new(place.before(&first, Policy::calm()).start().await);
    let book = Book::new();
    let load = Load::start(&gateway, &book);
    tokio::time::sleep(Duration::from_secs(1)).await;
    second.kill();
    let died = Instant::now();
    until("the first leads alone", BROKER_BACK, async || {
        leaders_of(&first, &place.topic(1)).await.iter().all(|leader| *leader == 1).then_some(())
    })
    .await;
    println!("the first broker leads alone after {:?}", died.elapsed());
    recovers(&gateway, "p0", BROKER_BACK).await;
    recovers(&gateway, "p2", BROKER_BACK).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    load.stop().await;
    let fates = book.fates();
    println!("{fates:?}, slowest answer {:?}", book.slowest());
    book.check_but_open_ones(without_probes(place.drain_all(&first).await));
    assert!(fates.stored > 300, "{fates:?} proves nothing");
    assert!(book.slowest() < 2 * super::BOUND, "a client waited {:?}", book.slowest());
    finish(gateway).await;
}

async fn leaders_of(kafka: &Kafka, topic: &str) -> Vec<i32> {
    let (admin, topic) = (kafka.admin(), topic.to_owned());
    blocking(move || {
        let metadata = admin.inner().fetch_metadata(Some(&topic), Duration::from_secs(10)).expect("metadata");
        metadata.topics()[0].partitions().iter().map(rdkafka::metadata::MetadataPartition::leader).collect()
    })
    .await
}
