//! The yardstick before Kafka: a `FutureProducer` with the settings of the gateway's own that sends the gateway's records, and does
//! nothing else.
//!
//! `raw_producer BROKERS TOPIC SECONDS` keeps 16 calls of 500 records each on their way and prints, like `batch.lua`,
//! `measured RECORDS/S RECORDS 0 FAILED`. `kafka.sh` beside this file drives it and the gateway in turn.

use std::error::Error;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: raw_producer BROKERS TOPIC SECONDS";
    let (brokers, topic) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let time = Duration::from_secs(arguments.next().ok_or(usage)?.parse()?);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .set("compression.type", "lz4")
        .set("partitioner", "murmur2_random")
        .set("max.in.flight.requests.per.connection", "5")
        .create()?;
    let started = Instant::now();
    let calls: Vec<_> = (0..CALLS)
        .map(|_| {
            let (producer, topic) = (producer.clone(), topic.clone());
            tokio::spawn(async move { call(&producer, &topic, started, time).await })
        })
        .collect();
    let (mut sent, mut failed) = (0_u64, 0_u64);
    for call in calls {
        let (stored, lost) = call.await?;
        sent += stored;
        failed += lost;
    }
    println!("measured {:.0} {sent} 0 {failed}", sent as f64 / started.elapsed().as_secs_f64());
    Ok(())
}

/// Sends as many records as a batch has, waits for all of them, and begins again.
async fn call(producer: &FutureProducer, topic: &str, started: Instant, time: Duration) -> (u64, u64) {
    let payload = format!("{{\"type\":\"measure\",\"payload\":\"{}\"}}", "x".repeat(225));
    let (mut stored, mut lost) = (0, 0);
    while started.elapsed() < time {
        let sent: Vec<Option<DeliveryFuture>> = (0..EACH).map(|_| send(producer, topic, &payload)).collect();
        for report in sent {
            let delivered = match report {
                Some(report) => matches!(report.await, Ok(Ok(_))),
                None => false,
            };
            if delivered { stored += 1 } else { lost += 1 }
        }
    }
    (stored, lost)
}

/// A record as the gateway writes it.
fn send(producer: &FutureProducer, topic: &str, payload: &str) -> Option<DeliveryFuture> {
    let headers =
        HEADERS.iter().fold(OwnedHeaders::new_with_capacity(HEADERS.len()), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
    producer.send_result(FutureRecord::<str, str>::to(topic).payload(payload).headers(headers)).ok()
}

const CALLS: usize = 16;
const EACH: usize = 500;

const HEADERS: [(&str, &str); 7] = [
    ("id", "01a1ff61-53ff-7c5e-bcbd-63e2e8194736"),
    ("tier", "p1"),
    ("type", "measure"),
    ("tenant", "anonymous"),
    ("accepted-at", "2026-11-21T21:00:00.000Z"),
    ("content-type", "application/json"),
    ("attempt", "1"),
];
