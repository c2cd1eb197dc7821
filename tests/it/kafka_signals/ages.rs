//! How long jobs have waited: from when they came, also those that came before the gateway.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate::domain::tier::Tier;

use super::{Bench, send_of};
use crate::support::kafka_client::commit;

fn ago(seconds: u64) -> Option<i64> {
    let time = SystemTime::now() - Duration::from_secs(seconds);
    Some(i64::try_from(time.duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

fn about(age: Option<Duration>, seconds: f64) {
    let age = age.unwrap().as_secs_f64();
    assert!((age / seconds - 1.0).abs() < 0.05, "{age} s, not {seconds} s");
}

#[tokio::test]
async fn jobs_that_came_before_the_gateway_are_as_old_as_they_say() {
    let bench = Bench::with(2, &[("retention.ms", "864000000")], |_| {}).await;
    let topic = bench.topic(Tier::P0);
    for (partition, records, seconds) in [(0, 20, 80_000), (0, 30, 7_200), (0, 50, 600), (1, 400, 60)] {
        send_of(bench.kafka, topic, partition, records, ago(seconds)).await;
    }
    commit(bench.kafka, "workers", topic, &[20, 0]).await;
    let sight = bench.sight().await;
    about(sight.backlog.oldest_age, 7_200.0);
    about(sight.backlog.p99_age, 7_200.0);
    commit(bench.kafka, "workers", topic, &[49, 0]).await;
    let sight = bench.sight().await;
    about(sight.backlog.oldest_age, 7_200.0);
    assert!(sight.backlog.p99_age.unwrap() < Duration::from_secs(2_000), "4 of 451 are older: {sight:?}");
    commit(bench.kafka, "workers", topic, &[100, 0]).await;
    about(bench.sight().await.backlog.oldest_age, 60.0);
}

#[tokio::test]
async fn jobs_that_come_now_age_from_now() {
    let bench = Bench::new(1).await;
    bench.sight().await;
    bench.send(bench.topic(Tier::P0), 0, 10).await;
    assert!(bench.sight().await.backlog.oldest_age.unwrap() < Duration::from_secs(2));
    let older = bench.seen("they age", |sight| sight.backlog.oldest_age > Some(Duration::from_secs(3))).await;
    assert!(older.backlog.oldest_age.unwrap() < Duration::from_secs(10));
}
