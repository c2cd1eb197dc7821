//! Receipts are true when somebody dies: whatever was answered 202 is there, once, after `kill -9` of the broker under load, and
//! after one of the gateway.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::{BOUND, Place};
use crate::support::book::{Book, Load};
use crate::support::kafka::Kafka;
use crate::support::policy::Policy;
use crate::support::recovery::{finish, recovers, without_probes};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_receipt_is_lost_when_the_broker_is_killed_again_and_again() {
    let mut kafka = Kafka::start(&[]).await;
    let place = Place::on(&kafka, 2, &[]).await;
    let gateway = Arc::new(place.before(&kafka, Policy::calm()).start().await);
    let mut random = StdRng::seed_from_u64(7);
    let mut receipts = 0;
    for round in 0..ROUNDS {
        let book = Book::new();
        let load = Load::start(&gateway, &book);
        tokio::time::sleep(Duration::from_millis(random.random_range(300..900))).await;
        kafka.kill();
        tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        kafka.restart().await;
        let back = Instant::now();
        recovers(&gateway, "p0", BOUND).await;
        let recovered = back.elapsed();
        tokio::time::sleep(Duration::from_millis(200)).await;
        load.stop().await;
        let taken = without_probes(place.drain_all(&kafka).await);
        let fates = book.fates();
        println!("round {round}: {fates:?}, {} taken, back after {recovered:?}", taken.len());
        book.check_but_open_ones(taken);
        assert!(book.slowest() < BOUND, "a client waited {:?}", book.slowest());
        assert!(fates.not_stored + fates.unknown > 0, "nobody noticed: {fates:?}");
        receipts += fates.stored;
    }
    assert!(receipts > 100 * ROUNDS, "only {receipts} receipts: the load was too thin to prove anything");
    finish(gateway).await;
}

/// What was on its way when the gateway died is unknown to its client: it may be there, under one id.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_receipt_is_lost_and_none_comes_twice_when_the_gateway_is_killed() {
    let kafka = Kafka::shared().await;
    let place = Place::on(kafka, 2, &[]).await;
    let mut gateway = place.before(kafka, Policy::calm()).start().await;
    let mut random = StdRng::seed_from_u64(4711);
    let mut receipts: HashMap<String, String> = HashMap::new();
    let mut sent = 0;
    for round in 0..ROUNDS {
        let kill = async {
            tokio::time::sleep(Duration::from_millis(random.random_range(200..900))).await;
            gateway.signal("KILL");
        };
        let clients = futures(&gateway, round);
        let (got, ()) = tokio::join!(clients, kill);
        for (answered, number) in got {
            receipts.extend(answered);
            sent += number;
        }
        gateway.kill();
        gateway.restart().await;
    }
    let taken = place.drain_all(kafka).await;
    let mut by_payload = HashMap::new();
    for job in &taken {
        let id = by_payload.insert(job.text().to_owned(), job.id().to_owned());
        assert_eq!(id, None, "stored twice: {job:?}");
    }
    let lost: Vec<_> =
        receipts.iter().filter(|(payload, id)| by_payload.get(*payload) != Some(*id)).collect();
    println!("{sent} sent, {} receipts, {} taken", receipts.len(), taken.len());
    assert!(lost.is_empty(), "{} of {} receipts are lost: {lost:?}", lost.len(), receipts.len());
    assert!(receipts.len() > 50 * ROUNDS, "only {} receipts prove nothing", receipts.len());
    gateway.finish_after_outage().await;
}

/// Clients of single jobs and of batches until the gateway dies: what each was answered, and how many jobs it sent.
async fn futures(
    gateway: &crate::support::gateway::Gateway,
    round: usize,
) -> [(Vec<(String, String)>, usize); 3] {
    let client = async |client: usize, batch: usize| {
        let (mut receipts, mut sent) = (Vec::new(), 0);
        loop {
            let payloads: Vec<String> =
                (sent..sent + batch).map(|number| format!("\"{round}/{client}/{number}\"")).collect();
            sent += batch;
            let lines = payloads.join("\n");
            let Ok(answer) = gateway.try_batch("application/x-ndjson", lines, &[]).await else {
                return (receipts, sent);
            };
            let document = answer.json();
            for item in document["items"].as_array().expect("nothing is refused") {
                let index = usize::try_from(item["index"].as_u64().unwrap()).unwrap();
                receipts.push((payloads[index].clone(), item["id"].as_str().expect("an id").to_owned()));
            }
        }
    };
    let (one, other, third) = tokio::join!(client(0, 1), client(1, 1), client(2, 25));
    [one, other, third]
}

const ROUNDS: usize = 4;
