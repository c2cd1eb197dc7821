//! A broker that hangs or is gone: readings say so in time, and come back by themselves.

use std::time::{Duration, Instant};

use tidegate::clock::Clock;
use tidegate::domain::tier::{Tier, TierMap};
use tidegate::queue::kafka::settings::KafkaSettings;
use tidegate::queue::kafka::signals::Observer;

use super::PATIENCE;
use crate::support::kafka::Kafka;
use crate::support::poll::until;

#[tokio::test]
async fn readings_of_a_broker_that_hangs_or_is_gone_fail_in_time_and_come_back() {
    let mut kafka = Kafka::start(&[]).await;
    let topics = TierMap::from_fn(|tier| format!("jobs.{tier}"));
    for (_, topic) in topics.iter() {
        kafka.create(topic, 1, &[]).await;
    }
    let settings = KafkaSettings { brokers: kafka.brokers(), ..KafkaSettings::default() };
    let observer = Observer::of(&settings, &topics, Clock::start()).unwrap();
    let works = async || observer.look().await[Tier::P2].is_ok().then_some(());
    until("it is read", PATIENCE, works).await;

    kafka.stop();
    let asked = Instant::now();
    let sights = observer.look().await;
    println!("hangs: {:?} after {:?}", sights[Tier::P0], asked.elapsed());
    assert!(sights.iter().all(|(_, sight)| sight.is_err()) && asked.elapsed() < Duration::from_secs(3));
    kafka.cont();
    let back = Instant::now();
    until("it is read again", PATIENCE, works).await;
    println!("back after {:?}", back.elapsed());

    kafka.kill();
    let asked = Instant::now();
    assert!(observer.look().await.iter().all(|(_, sight)| sight.is_err()));
    assert!(asked.elapsed() < Duration::from_secs(3));
    kafka.restart().await;
    let back = Instant::now();
    until("it is read after a restart", PATIENCE, works).await;
    println!("back after {:?}", back.elapsed());
    assert!(back.elapsed() < Duration::from_secs(10));
}
